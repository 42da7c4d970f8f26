import re

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from phonopy import Phonopy

from helpers.paths import shared_data
from helpers.rock_salt import NACL, displaced, nacl
from tnep_calc.errors import DataFileError, InputError, MissingComponentError
from tnep_calc.io.displaced_supercells import check_forces, training_data
from tnep_calc.io.supercells import read_supercells, supercell_matrix

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def crystal():
    return nacl()


def frames(data, count):
    """Return the first displaced supercells with their labels, wrapped into the cell."""
    result = []
    for k in range(count):
        atoms = displaced(data, k)
        atoms.wrap()
        atoms.calc = SinglePointCalculator(atoms, energy=data.energies[k], forces=data.forces[k])
        result.append(atoms)
    return result


def unit_cell(found):
    cell = found.unitcell
    return Atoms(cell.symbols, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=True)


def test_file_of_phono3py(crystal):
    found, data = crystal
    assert data.displacements.shape == data.forces.shape == (22, 64, 3)
    assert np.allclose(np.linalg.norm(data.displacements, axis=2), 0.03, atol=1e-6)
    assert data.energies[0] / 64 == pytest.approx(-3.4981, abs=1e-3)
    assert np.abs(data.forces.sum(axis=1)).max() < 0.01
    assert found.nac_params["dielectric"][0, 0] == pytest.approx(2.563, abs=0.001)


def test_the_same_from_structures(crystal, tmp_path):
    found, data = crystal
    write(tmp_path / "cells.extxyz", frames(data, 4), format="extxyz")
    write(tmp_path / "POSCAR", unit_cell(found), format="vasp", direct=True)
    again = read_supercells(tmp_path / "cells.extxyz", reference=tmp_path / "POSCAR", supercell=[2, 2, 2])
    read = training_data(again, "cells.extxyz")
    assert np.allclose(read.displacements, data.displacements[:4], atol=1e-6)
    assert np.allclose(read.forces, data.forces[:4], atol=1e-7)
    assert np.allclose(read.energies, data.energies[:4], atol=1e-6)


def test_outputs_for_the_supercells_of_a_file(crystal, tmp_path):
    found, data = crystal
    given = found.dataset
    found.dataset = {"displacements": data.displacements[:3]}
    found.save(tmp_path / "phono3py_disp.yaml")
    found.dataset = given
    with pytest.raises(DataFileError, match="has displacements but no forces"):
        read_supercells(tmp_path / "phono3py_disp.yaml")
    outputs = [tmp_path / f"{k}.extxyz" for k in range(3)]
    for path, atoms in zip(outputs, frames(data, 3), strict=True):
        write(path, atoms, format="extxyz")
    read = training_data(read_supercells(tmp_path / "phono3py_disp.yaml", outputs), "")
    assert np.allclose(read.forces, data.forces[:3], atol=1e-7)
    with pytest.raises(DataFileError, match="has 3 displaced supercells, but the outputs have 2"):
        read_supercells(tmp_path / "phono3py_disp.yaml", outputs[:2])
    swapped = [outputs[1], outputs[0], outputs[2]]
    with pytest.raises(DataFileError, match=r"1.extxyz, structure 0 \(supercell 1 of .*: atom \d+ is .* away from"):
        read_supercells(tmp_path / "phono3py_disp.yaml", swapped)


def test_file_of_phonopy():
    path = shared_data("phonons/MgO") / "phonopy_params.yaml.xz"
    found = read_supercells(path)
    assert found.forces.shape == found.displacements.shape
    assert isinstance(found.nac_params["born"], np.ndarray)
    with pytest.raises(DataFileError, match="MgO.*has no energies, which are needed to train a potential"):
        training_data(found, path)
    ph = Phonopy(found.unitcell, found.supercell_matrix, primitive_matrix=found.primitive_matrix)
    assert np.allclose(ph.supercell.positions, found.supercell.positions)


@pytest.mark.parametrize(
    ("change", "message"),
    (
        (lambda atoms: atoms[[1, 0, *range(2, 64)]], None),  # two atoms of one species: too far from their sites
        (lambda atoms: atoms[::-1], "atom 1 is Cl, but Na in the supercell: the atoms must be in phonopy's order"),
        (lambda atoms: atoms[:63], "63 atoms, but the supercell has 64"),
        (lambda atoms: stretched(atoms), "its cell differs from that of the supercell by 0.112 Å"),
    ),
)
def test_structures_that_do_not_match_the_supercell(crystal, tmp_path, change, message):
    found, data = crystal
    good, bad = frames(data, 2)
    forces = bad.get_forces()
    bad.calc = None
    bad.arrays["forces"] = forces
    bad = change(bad)
    bad.info["energy"] = 0.0
    write(tmp_path / "cells.extxyz", [good, bad], format="extxyz")
    write(tmp_path / "POSCAR", unit_cell(found), format="vasp", direct=True)
    expected = message or "atom [12] is 5.6. Å away from its site"
    with pytest.raises(DataFileError, match=f"cells.extxyz, structure 1: .*{expected}"):
        read_supercells(tmp_path / "cells.extxyz", reference=tmp_path / "POSCAR", supercell=[2])


def stretched(atoms):
    atoms.set_cell(1.01 * atoms.cell.array)
    return atoms


def test_values_that_are_missing_or_not_finite(crystal):
    found, data = crystal
    given = found.dataset
    try:
        for change, message in (
            (("forces", 3, np.nan), "x.yaml, supercell 4: forces are not all finite"),
            (("supercell_energies", 2, np.inf), "x.yaml, supercell 3: energies are not all finite"),
            (("displacements", 0, np.nan), "x.yaml, supercell 1: displacements are not all finite"),
        ):
            name, index, value = change
            found.dataset = {key: np.array(values) for key, values in given.items()}
            found.dataset[name][index] = value
            with pytest.raises(DataFileError, match=message):
                check_forces(found, "x.yaml")
        found.dataset = {**given, "supercell_energies": given["supercell_energies"][:5]}
        with pytest.raises(DataFileError, match="the numbers of forces and of energies differ"):
            check_forces(found, "x.yaml")
        found.generate_displacements(distance=0.01, cutoff_pair_distance=2.0)
        first = found.dataset["first_atoms"]
        for row in [*first, *(second for one in first for second in one["second_atoms"])]:
            row["forces"], row["supercell_energy"] = np.zeros((64, 3)), 0.0
        del first[1]["supercell_energy"]
        with pytest.raises(DataFileError, match="x.yaml, supercell 2: has no energies, but others have"):
            check_forces(found, "x.yaml")
    finally:
        found.dataset = given


def test_refusals(tmp_path, monkeypatch):
    (tmp_path / "bad.yaml").write_text("phono3py:\n  version: 4\nsupercell: [\n")
    with pytest.raises(
        DataFileError, match=re.escape(str(tmp_path / "bad.yaml")) + ": damaged, or not a file of phono3py"
    ):
        read_supercells(tmp_path / "bad.yaml")
    with pytest.raises(InputError, match="has its own reference structure"):
        read_supercells(NACL, supercell=[2])
    with pytest.raises(InputError, match="give the reference unit cell and the supercell matrix"):
        read_supercells(tmp_path / "cells.extxyz")
    with pytest.raises(DataFileError, match="BORN: no such file"):
        read_supercells(NACL, born=tmp_path / "BORN")
    for wrong in ([1, 2], [1.5], [-1]):
        with pytest.raises(InputError, match="supercell"):
            supercell_matrix(wrong)
    monkeypatch.setitem(__import__("sys").modules, "phono3py", None)
    with pytest.raises(MissingComponentError, match="phono3py is not installed: pip install"):
        read_supercells(NACL)
