"""``tnep predict`` with an ensemble: errors of the mean, and the deviation of the models."""

import numpy as np
import pytest

from helpers.random_nep import random_nep
from helpers.structures import random_structure
from tnep_calc import TNEPCalculator, write_nep
from tnep_calc.cli import main
from tnep_calc.io.structures.extxyz import write_dataset
from tnep_calc.training.results.prediction import compare, compare_ensemble, predict


@pytest.fixture(scope="module")
def structures():
    return [random_structure(seed, "BNNB") for seed in range(3)]


def test_means_and_deviations(structures):
    models = {
        "energy": [random_nep(seed=k) for k in range(3)],
        "susceptibility": random_nep("polarizability"),
        "dipole": [random_nep("dipole", seed=k) for k in range(3)],
    }
    predictions, compared = compare_ensemble(structures, TNEPCalculator(**models))
    members = [TNEPCalculator(energy=models["energy"][k], dipole=models["dipole"][k]) for k in range(3)]
    panels = {panel["name"]: panel["splits"]["all"] for panel in compared}
    alone = [compare(structures, predict(calc, structures)[0]) for calc in members]
    for name in ("energy", "forces", "virial", "born_charges"):
        values = [next(p for p in one if p["name"] == name)["splits"]["all"]["prediction"] for one in alone]
        np.testing.assert_allclose(panels[name]["prediction"], np.mean(values, axis=0), atol=1e-10)
        np.testing.assert_allclose(panels[name]["deviation"], np.std(values, axis=0, ddof=1), atol=1e-10)
    assert "deviation" in panels["dipole"] and "deviation" not in panels["polarizability"]
    energies = [members[k].get_potential_energy(_atoms(structures[0])) for k in range(3)]
    assert predictions[0].energy == pytest.approx(np.mean(energies))


def _atoms(s):
    from ase import Atoms

    return Atoms(s.symbols, s.positions, cell=s.cell, pbc=s.pbc)


def test_command(structures, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_dataset("data.extxyz", structures)
    for k in range(2):
        write_nep(f"{k}.txt", random_nep("dipole", seed=k))
    assert main(["predict", "data.extxyz", "--dipole", "0.txt", "1.txt", "--plot", "p.png"]) == 0
    assert "models +-" in capsys.readouterr().out
    assert main(["predict", "data.extxyz", "--dipole", "0.txt"]) == 0
    assert "models +-" not in capsys.readouterr().out
