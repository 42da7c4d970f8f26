"""Use of a calculator by other programs: copying, pickling, exporting results, storing and restoring."""

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys

import ase.db
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import CalculatorSetupError, PropertyNotImplementedError
from ase.io import read, write
from ase.outputs import all_outputs

from helpers.random_enthalpy import random_enthalpy, silica
from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator, export_artifact
from tnep_calc.errors import InputError, ModelFileError

OURS = ("born_effective_charges", "polarizability", "polarizability_gradient", "dielectric_tensor")


def zincblende():
    atoms = bulk("BN", "zincblende", a=3.6, cubic=True)
    atoms.rattle(0.05, seed=0)
    return atoms


@pytest.fixture
def files(tmp_path):
    for kind in ("potential", "dipole", "polarizability"):
        export_artifact(random_nep(kind), tmp_path / f"{kind}.pt")
    return {
        "energy": tmp_path / "potential.pt",
        "dipole": tmp_path / "dipole.pt",
        "susceptibility": tmp_path / "polarizability.pt",
    }


def evaluated(calc):
    atoms = zincblende()
    atoms.calc = calc
    atoms.get_forces(), atoms.get_stress(), atoms.get_dipole_moment()
    for name in OURS:
        calc.get_property(name, atoms)
    return atoms


def test_results_have_only_names_of_ase(files):
    atoms = evaluated(TNEPCalculator(**files))
    assert set(atoms.calc.results) <= set(all_outputs) and "polarizability" in atoms.calc.extra_results
    exported = atoms.calc.export_properties()
    assert np.array_equal(exported["forces"], atoms.get_forces())
    found = atoms.get_properties(["energy", "forces"])
    assert found["energy"] == atoms.get_potential_energy()
    atoms.rattle(0.01)
    before = atoms.calc.extra_results["polarizability"]
    assert not np.array_equal(atoms.calc.get_property("polarizability", atoms), before)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["extxyz", "traj", "json"])
def test_all_results_can_be_exported(files, tmp_path, suffix):
    atoms = evaluated(TNEPCalculator(**files))
    write(tmp_path / f"out.{suffix}", atoms)
    back = read(tmp_path / f"out.{suffix}")
    assert back.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("how", [copy.deepcopy, lambda calc: pickle.loads(pickle.dumps(calc))], ids=["copy", "pickle"])
def test_copies(files, how):
    atoms = evaluated(TNEPCalculator(**files))
    other = atoms.copy()
    other.calc = how(atoms.calc)
    other.rattle(0.02, seed=1)
    again = other.copy()
    again.calc = TNEPCalculator(**files)
    np.testing.assert_allclose(other.get_forces(), again.get_forces(), atol=1e-12)
    mine, fresh = (one.calc.get_property("polarizability", one) for one in (other, again))
    np.testing.assert_allclose(mine, fresh, atol=1e-12)


def energy_of(atoms):
    return atoms.get_potential_energy()


def test_process_pools(files):
    atoms = zincblende()
    atoms.calc = TNEPCalculator(energy=files["energy"])
    expected = atoms.get_potential_energy()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(energy_of, (atoms,)).get(timeout=60) == expected


def test_a_fork_after_threads_is_refused(files, monkeypatch):
    from tnep_calc import threads

    monkeypatch.setitem(threads._state, "unusable", True)
    with pytest.raises(InputError, match="spawn"):
        atoms = zincblende()
        atoms.calc = TNEPCalculator(energy=files["energy"])
        atoms.get_potential_energy()


FORKING = """
import multiprocessing, sys
import torch
from ase.build import bulk
from tnep_calc import TNEPCalculator
torch.set_num_threads(2)
atoms = bulk("BN", "zincblende", a=3.6, cubic=True).repeat(8)
atoms.calc = TNEPCalculator(energy=sys.argv[1])
atoms.get_potential_energy()
def energy(_):
    atoms.rattle(0.01)
    return atoms.get_potential_energy()
with multiprocessing.get_context("fork").Pool(1) as pool:
    try:
        pool.apply_async(energy, (0,)).get(timeout=60)
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.mark.slow
def test_a_fork_pool_after_a_threaded_evaluation_does_not_hang(files):
    """4096 atoms are evaluated by two threads, which do not survive the fork; the worker says so within seconds."""
    command = [sys.executable, "-c", FORKING, str(files["energy"])]
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("InputError this process was forked after an evaluation with several threads")


@pytest.mark.slow
def test_rows_and_trajectories_rebuild_the_calculator(files, tmp_path):
    atoms = evaluated(TNEPCalculator(**files))
    with ase.db.connect(tmp_path / "rows.db") as database:
        database.write(atoms)
    row = next(iter(ase.db.connect(tmp_path / "rows.db").select()))
    again = row.toatoms()
    again.calc = TNEPCalculator.from_dict(row.calculator_parameters)
    assert np.array_equal(again.get_forces(), atoms.get_forces())
    files["dipole"].write_bytes(files["dipole"].read_bytes() + b" ")
    with pytest.raises(ModelFileError, match="SHA-256"):
        TNEPCalculator.from_dict(row.calculator_parameters)
    files["dipole"].unlink()
    with pytest.raises(FileNotFoundError, match="dipole"):
        TNEPCalculator.from_dict(row.calculator_parameters)


def test_words(files):
    calc = TNEPCalculator(**files)
    assert "potential (nep) of B N, cutoff" in str(calc) and "on cpu" in str(calc) and "\n" not in str(calc)
    for wrong, hint in (("polarizability", "susceptibility="), ("devise", "device="), ("xyz", "known: energy")):
        with pytest.raises(InputError, match=f"no keyword '{wrong}': .*{hint}"):
            TNEPCalculator(**files, **{wrong: "x"})
    with pytest.raises(CalculatorSetupError, match="needs atoms"):
        calc.calculate()
    with pytest.raises(TypeError, match="got list"):
        calc.calculate([zincblende()])
    with pytest.raises(FileNotFoundError):
        TNEPCalculator(energy="missing.pt")
    atoms = zincblende()
    atoms.calc = TNEPCalculator(dipole=files["dipole"])
    with pytest.raises(
        PropertyNotImplementedError, match="gives 'energy': give energy= or enthalpy= to TNEPCalculator"
    ):
        atoms.get_potential_energy()
    with pytest.raises(PropertyNotImplementedError, match="gives 'magmoms'$"):
        atoms.get_magnetic_moments()


def test_an_enthalpy_in_both_precisions(tmp_path):
    from tnep_calc.artifact import save_artifact

    save_artifact(random_enthalpy(dtype="float32"), tmp_path / "single.pt")
    atoms, found = silica(), {}
    for dtype in (None, "float64", "float32"):
        atoms.calc = TNEPCalculator(enthalpy=tmp_path / "single.pt", dtype=dtype)
        found[dtype] = atoms.get_forces()
    assert np.array_equal(found[None], found["float64"])
    assert 0 < np.abs(found["float64"] - found["float32"]).max() < 1e-4
    step = 1e-4
    atoms.calc = TNEPCalculator(enthalpy=tmp_path / "single.pt")
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[0, 0] += sign * step
        moved.calc = atoms.calc
        energies.append(moved.get_potential_energy())
    assert -(energies[0] - energies[1]) / (2 * step) == pytest.approx(found[None][0, 0], abs=1e-7)
