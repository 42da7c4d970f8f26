"""Artifacts that an earlier version of the package has written still load, and give the same results."""

import numpy as np
import pytest
from ase.build import bulk

from helpers.paths import DATA
from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator

ROLES = {"potential": "energy", "dipole": "dipole", "polarizability": "susceptibility"}
PROPERTIES = {
    "potential": ("energy", "forces", "stress"),
    "dipole": ("dipole", "born_effective_charges"),
    "polarizability": ("polarizability", "polarizability_gradient"),
}


def crystal():
    atoms = bulk("BN", "zincblende", a=3.6, cubic=True)
    atoms.rattle(0.05, seed=3)
    return atoms


@pytest.mark.parametrize("kind", ROLES)
def test_artifacts_of_an_earlier_version(kind):
    atoms, file = crystal(), DATA / "oracle" / "artifacts" / f"{kind}.pt"
    before, now = (TNEPCalculator(**{ROLES[kind]: model}) for model in (file, random_nep(kind)))
    for name in PROPERTIES[kind]:
        found, expected = before.get_property(name, atoms), now.get_property(name, atoms)
        np.testing.assert_allclose(found, expected, atol=1e-11 * max(1.0, np.abs(expected).max()))


def test_an_earlier_dipole_model_in_a_field():
    field, results = [0.01, -0.02, 0.03], []
    for dipole in (DATA / "oracle" / "artifacts" / "dipole.pt", random_nep("dipole")):
        atoms = crystal()
        atoms.calc = TNEPCalculator(energy=random_nep("potential"), dipole=dipole, efield=field)
        results.append(atoms.get_forces())
    np.testing.assert_allclose(*results, atol=1e-11)
