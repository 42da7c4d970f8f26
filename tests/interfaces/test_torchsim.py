"""Models in TorchSim: its own check of an interface, the numbers of the ASE calculator, and dynamics."""

import numpy as np
import pytest
import torch
from ase.build import bulk

from helpers.random_enthalpy import random_enthalpy, silica
from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator
from tnep_calc.artifact import artifact_from_nep
from tnep_calc.errors import InputError
from tnep_calc.interfaces.torchsim import TorchSimModel
from tnep_calc.ops.device_search import DeviceSearch

REASON = "TorchSim is not installed: pip install 'tnep_calc[doors]'"
ts = pytest.importorskip("torch_sim", reason=REASON)
SMALL = {"n_max": (2, 2), "basis_size": (3, 3), "l_max": 2, "extra": (False,) * 6, "cutoffs": (4.0, 3.5)}


def state_of(frames):
    return ts.io.atoms_to_state(frames, torch.device("cpu"), torch.float64)


def crystals(symbols="BN"):
    one, two = bulk(symbols, "zincblende", a=3.6), bulk(symbols, "zincblende", a=3.7, cubic=True)
    for k, atoms in enumerate((one, two)):
        atoms.rattle(0.05, seed=k)
    two.set_cell(two.cell.array @ (np.eye(3) + [[0, 0.03, 0], [0.03, 0, 0], [0, 0, 0.02]]), scale_atoms=True)
    return [one, two]


def compare(found, frames, calc):
    start = 0
    for k, atoms in enumerate(frames):
        atoms.calc = calc
        own = found["forces"][start : start + len(atoms)]
        start += len(atoms)
        assert float(found["energy"][k]) == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        np.testing.assert_allclose(own, atoms.get_forces(), atol=1e-10)
        np.testing.assert_allclose(found["stress"][k], atoms.get_stress(voigt=False), atol=1e-10)
        np.testing.assert_allclose(found["dipole"][k], atoms.get_dipole_moment(), atol=1e-10)
        expected = calc.get_property("polarizability", atoms)
        np.testing.assert_allclose(found["polarizability"][k], expected, atol=1e-10)


@pytest.mark.parametrize("unit", [None, "N*chi"])
def test_a_batch_equals_the_calculator(unit):
    models = {
        "energy": artifact_from_nep(random_nep(**SMALL)),
        "dipole": artifact_from_nep(random_nep("dipole", **SMALL)),
        "susceptibility": artifact_from_nep(random_nep("polarizability", **SMALL), unit=unit),
    }
    frames = crystals()
    compare(TorchSimModel(**models)(state_of(frames)), frames, TNEPCalculator(**models))


def test_a_batch_on_a_device(monkeypatch):
    """The search for a GPU, in tensors on the CPU."""
    models = {
        "energy": artifact_from_nep(random_nep(**SMALL)),
        "dipole": artifact_from_nep(random_nep("dipole", **SMALL)),
    }
    frames = crystals()
    wanted = TorchSimModel(**models)(state_of(frames))
    monkeypatch.setattr("tnep_calc.ops.neighbors.search_on", DeviceSearch)
    model, calls = TorchSimModel(**models), []
    monkeypatch.setattr(model, "_edges", lambda *structures: calls.append(1) or model._edges_on_device(*structures))
    found = model(state_of(frames))
    assert calls == [1]
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, atol=1e-10)


def test_an_enthalpy_model_gives_everything():
    model = random_enthalpy()
    frames = [silica(), silica()]
    frames[1].rattle(0.05, seed=3)
    compare(TorchSimModel(enthalpy=model)(state_of(frames)), frames, TNEPCalculator(enthalpy=model))


def test_the_check_of_torchsim():
    from torch_sim.models.interface import validate_model_outputs

    model = TorchSimModel(energy=artifact_from_nep(random_nep(species=("Si", "Fe"), **SMALL)))
    validate_model_outputs(model, torch.device("cpu"), torch.float64)


def test_dynamics():
    """Velocity Verlet of TorchSim conserves the energy."""
    model = TorchSimModel(energy=artifact_from_nep(random_nep(**SMALL)))
    frames = crystals()
    before = model(state_of(frames))["energy"]
    nve = getattr(ts, "Integrator", ts.integrators).nve
    final = ts.integrate(system=frames, model=model, integrator=nve, n_steps=5, timestep=0.0002, temperature=1.0)
    assert final.positions.shape == (10, 3)
    total = final.energy + ts.calc_kinetic_energy(
        masses=final.masses, momenta=final.momenta, system_idx=final.system_idx
    )
    np.testing.assert_allclose(total, before, atol=2e-3)


def test_errors():
    with pytest.raises(InputError, match="give energy= or enthalpy="):
        TorchSimModel(dipole=artifact_from_nep(random_nep("dipole", **SMALL)))
    model = TorchSimModel(energy=artifact_from_nep(random_nep(**SMALL)))
    with pytest.raises(InputError, match="atomic numbers"):
        model(state_of([bulk("Si", "diamond", a=5.4)]))
