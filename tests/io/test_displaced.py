"""Displaced supercells of phono3py as labelled structures."""

import lzma
import shutil

import numpy as np
import pytest

from helpers.paths import ROOT
from tnep_calc.cli import main
from tnep_calc.errors import DataFileError
from tnep_calc.io.displaced_supercells import training_data
from tnep_calc.io.structures.read import kind_of, read_structures
from tnep_calc.io.supercells import read_supercells

SUPERCELLS = ROOT / "examples" / "nacl" / "phono3py_params_NaCl.yaml.xz"


def test_supercells_are_structures():
    assert kind_of(SUPERCELLS) == "phono3py"
    structures, sources = read_structures([SUPERCELLS], require=["energy", "forces"])
    data = training_data(read_supercells(SUPERCELLS), SUPERCELLS)
    assert sources[0].structures == len(structures) == len(data) == 22
    for k in (0, 21):
        s = structures[k]
        assert s.source == f"{SUPERCELLS.name}, supercell {k + 1}" and s.pbc.all() and len(s) == 64
        assert s.energy == data.energies[k] and np.array_equal(s.forces, data.forces[k])
        assert np.allclose(s.positions - data.supercell.positions, data.displacements[k])
        assert np.allclose(np.linalg.norm(data.displacements[k], axis=1), 0.03, atol=1e-4)


def test_conversion_to_extended_xyz(tmp_path, capsys):
    shutil.copy(SUPERCELLS, tmp_path)
    out = tmp_path / "train.extxyz"
    assert main(["data", str(out), str(tmp_path / SUPERCELLS.name)]) == 0
    again, _ = read_structures([out])
    assert len(again) == 22 and np.allclose(again[3].forces, read_structures([SUPERCELLS])[0][3].forces, atol=1e-7)


def test_supercells_without_energies_are_refused(tmp_path):
    text = lzma.open(SUPERCELLS, "rt").read()
    path = tmp_path / "phono3py_params.yaml"
    path.write_text(text.replace("supercell_energies:", "other_energies:"))
    with pytest.raises(DataFileError, match="phono3py_params.yaml: has no energies"):
        read_structures([path])
