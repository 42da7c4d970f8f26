"""Models exported to metatomic: the numbers of its ASE calculator, and of TorchSim, equal those of ours."""

import numpy as np
import pytest
from ase.build import bulk

from helpers.random_enthalpy import random_enthalpy, silica
from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator
from tnep_calc.artifact import artifact_from_nep
from tnep_calc.errors import InputError
from tnep_calc.interfaces.metatomic import export_metatomic

REASON = "metatomic is not installed: pip install 'tnep_calc[doors]'"
pytest.importorskip("metatomic.torch", reason=REASON)
SMALL = {"n_max": (2, 2), "basis_size": (3, 3), "l_max": 2, "extra": (False,) * 6, "cutoffs": (4.0, 3.5)}


def nep_models():
    return {
        "energy": artifact_from_nep(random_nep(**SMALL)),
        "dipole": artifact_from_nep(random_nep("dipole", **SMALL)),
        "susceptibility": artifact_from_nep(random_nep("polarizability", **SMALL)),
    }


def strained(atoms):
    atoms.rattle(0.05, seed=0)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + [[0, 0.03, 0], [0.03, 0, 0], [0, 0, 0.02]]), scale_atoms=True)
    return atoms


CASES = {
    "nep": (nep_models, lambda: strained(bulk("BN", "zincblende", a=3.6))),
    "enthalpy": (lambda: {"enthalpy": random_enthalpy()}, lambda: strained(silica())),
}


@pytest.mark.parametrize("name", CASES)
def test_ase_calculator_of_metatomic(name, tmp_path):
    """Forces and stress come from the gradient of the exported energy, in small cells with many images."""
    from metatomic.torch import ModelOutput
    from metatomic_ase import MetatomicCalculator

    make, structure = CASES[name]
    models, atoms = make(), structure()
    path = export_metatomic(tmp_path / "model.pt", **models)
    other = MetatomicCalculator(str(path), device="cpu", check_consistency=True)
    ours = TNEPCalculator(**models)
    moved = atoms.copy()
    moved.calc, atoms.calc = other, ours
    assert moved.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(moved.get_forces(), atoms.get_forces(), atol=1e-9)
    np.testing.assert_allclose(moved.get_stress(), atoms.get_stress(), atol=1e-9)
    outputs = {f"tnep::{kind}": ModelOutput(sample_kind="system") for kind in ("dipole", "polarizability")}
    found = other.run_model(moved, outputs)
    dipole, alpha = (found[key].block().values.detach().numpy()[0, ..., 0] for key in outputs)
    np.testing.assert_allclose(dipole, atoms.get_dipole_moment(), atol=1e-9)
    np.testing.assert_allclose(alpha, ours.get_property("polarizability", atoms), atol=1e-9)


def test_errors(tmp_path):
    with pytest.raises(InputError, match="needs at least one model"):
        export_metatomic(tmp_path / "m.pt")
    normalised = artifact_from_nep(random_nep("polarizability", **SMALL), unit="N*chi")
    with pytest.raises(InputError, match="N\\*chi cannot be exported"):
        export_metatomic(tmp_path / "m.pt", susceptibility=normalised)
