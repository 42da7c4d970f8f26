"""A new model family needs only its own files and one row in the table of families."""

import sys

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from helpers import constant_dipole
from helpers.lammps_run import output, run, script, write_data
from tnep_calc import TNEPCalculator
from tnep_calc.cli import main
from tnep_calc.families import KINDS, Kind
from tnep_calc.io.series.timeseries import read_timeseries

pytestmark = pytest.mark.slow

VALUES = {"B": np.array([0.1, -0.2, 0.3]), "N": np.array([-0.4, 0.5, 0.05])}
TOML = f"""
[data]
files = ["train.extxyz"]
[model]
kind = "{constant_dipole.KIND}"
species = ["B", "N"]
[output]
directory = "out"
"""


def structure(seed):
    rng = np.random.default_rng(seed)
    symbols = ["B"] * int(rng.integers(1, 5)) + ["N"] * int(rng.integers(1, 5))
    places = 2.0 * np.array(list(np.ndindex(2, 2, 2)))[: len(symbols)]
    atoms = Atoms(symbols, places + rng.uniform(-0.3, 0.3, (len(symbols), 3)), cell=[8, 8, 8], pbc=True)
    atoms.info["dipole"] = sum(VALUES[symbol] for symbol in symbols)
    return atoms


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS, constant_dipole.KIND, Kind("constant", ("dipole",), "constant.run"))
    monkeypatch.setitem(sys.modules, "tnep_calc.training.constant.run", constant_dipole)
    write(tmp_path / "train.extxyz", [structure(k) for k in range(20)])
    (tmp_path / "config.toml").write_text(TOML)
    assert main(["train", str(tmp_path / "config.toml")]) == 0
    return str(tmp_path / "out/model.pt")


def test_it_trains_and_runs_in_ase(model):
    atoms = structure(50)
    atoms.calc = TNEPCalculator(dipole=model)
    np.testing.assert_allclose(atoms.get_dipole_moment(), structure(50).info["dipole"], atol=1e-10)
    assert not atoms.calc.get_property("born_effective_charges", atoms).any()


def test_predict_and_series(model, tmp_path, capsys):
    frames = [structure(k) for k in range(30, 33)]
    write(tmp_path / "test.extxyz", frames)
    assert main(["predict", str(tmp_path / "test.extxyz"), "--dipole", model]) == 0
    assert "dipole" in capsys.readouterr().out
    trajectory = [structure(40) for _ in range(5)]
    for k, atoms in enumerate(trajectory):
        atoms.rattle(0.05, seed=k)
    write(tmp_path / "md.extxyz", trajectory)
    command = ["series", str(tmp_path / "md.extxyz"), "-o", str(tmp_path / "md.h5"), "--interval", "1fs"]
    assert main([*command, "--temperature", "300", "--dipole-model", model]) == 0
    values = read_timeseries(tmp_path / "md.h5").dipole.values
    np.testing.assert_allclose(values, [trajectory[0].info["dipole"]] * 5, atol=1e-10)


@pytest.mark.parametrize("ranks", [1, 2])
def test_lammps_runs_the_script(model, tmp_path, ranks):
    atoms = structure(60)
    folder = tmp_path / "lammps"
    folder.mkdir()
    write_data(folder / "data.txt", atoms, [1 if symbol == "B" else 2 for symbol in atoms.get_chemical_symbols()])
    body = f"pair_style zero 3.0\npair_coeff * *\ncompute d all tnep/dipole {model} B N\n"
    found = run(folder, script(body + output("c_d[1] c_d[2] c_d[3]", "x y z")), ranks).thermo
    np.testing.assert_allclose([found[f"c_d[{k}]"] for k in (1, 2, 3)], atoms.info["dipole"], atol=1e-10)
