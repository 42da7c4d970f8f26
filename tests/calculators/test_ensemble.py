"""Ensembles in the calculator: means and standard deviations of all properties."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError

from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator
from tnep_calc.calculators.ensemble import combine
from tnep_calc.errors import InputError

SEEDS = (1, 2, 3)
KINDS = {"energy": "potential", "dipole": "dipole", "susceptibility": "polarizability"}


@pytest.fixture
def crystal():
    atoms = bulk("BN", "zincblende", a=3.6, cubic=True)
    atoms.rattle(0.05, seed=3)
    return atoms


def models(role):
    return [random_nep(KINDS[role], seed=seed) for seed in SEEDS]


@pytest.mark.parametrize("role", KINDS)
def test_every_property_has_mean_and_error_bar(role, crystal):
    members = [TNEPCalculator(**{role: model}) for model in models(role)]
    ensemble = TNEPCalculator(**{role: models(role)})
    names = [name for name in ensemble.implemented_properties if not name.endswith("_std")]
    assert set(names) == set(members[0].implemented_properties)
    for name in names:
        values = np.array([member.get_property(name, crystal) for member in members])
        if name in ("dipole", "polarization"):
            lattice = crystal.cell.array / (1 if name == "dipole" else crystal.get_volume())
            values -= np.round((values - values[0]) @ np.linalg.inv(lattice)) @ lattice
        np.testing.assert_allclose(ensemble.get_property(name, crystal), values.mean(0), rtol=1e-12, atol=1e-12)
        deviation = np.sqrt(((values - values.mean(0)) ** 2).sum(0) / (len(SEEDS) - 1))
        found = ensemble.get_uncertainty(name, crystal)
        assert np.shape(found) == np.shape(deviation) and np.max(deviation) > 0
        np.testing.assert_allclose(found, deviation, rtol=1e-10, atol=1e-12)
        np.testing.assert_array_equal(ensemble.extra_results[f"{name}_std"], found)
        np.testing.assert_allclose(ensemble.get_members(name, crystal), values, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(members[0].get_members(name, crystal)[0], members[0].get_property(name, crystal))


def test_error_bars_are_updated_with_the_atoms_and_reuse_evaluations(crystal):
    calc = crystal.calc = TNEPCalculator(dipole=models("dipole"))
    searches = []
    edges = calc._neighbor_list.edges
    calc._neighbor_list.edges = lambda *args: (searches.append(1), edges(*args))[1]
    before = calc.get_uncertainty("dipole", crystal)
    crystal.get_dipole_moment()
    assert len(searches) == 1
    crystal.positions[0] += 0.1
    assert not np.allclose(calc.get_uncertainty("dipole", crystal), before)


def test_branches_of_the_polarization():
    cell = np.array([[3.0, 0, 0], [1.0, 4.0, 0], [0, 0.5, 5.0]])
    dipoles = [np.array([0.1, 0.2, 0.3]), np.array([0.12, 0.2, 0.3]) + cell[0] - 2 * cell[2]]
    both = combine([{"dipole": d} for d in dipoles], cell, np.array([True] * 3))
    np.testing.assert_allclose(both["dipole"], [0.11, 0.2, 0.3], atol=1e-12)
    np.testing.assert_allclose(both["dipole_std"], [0.02 / np.sqrt(2), 0, 0], atol=1e-12)
    slab = combine([{"dipole": d} for d in dipoles], cell, np.array([True, True, False]))
    assert slab["dipole_std"][2] == pytest.approx(2 * cell[2, 2] / np.sqrt(2))


def test_members_of_different_units(crystal):
    """A susceptibility (N chi) and a polarizability model are averaged as polarizabilities."""
    nep = random_nep("polarizability", seed=1)
    alphas = [
        TNEPCalculator(susceptibility=nep, susceptibility_unit=unit).get_property("polarizability", crystal)
        for unit in ("N*chi", "A^3")
    ]
    from tnep_calc.artifact import artifact_from_nep

    calc = TNEPCalculator(susceptibility=[artifact_from_nep(nep, unit=unit) for unit in ("N*chi", "A^3")])
    np.testing.assert_allclose(calc.get_property("polarizability", crystal), np.mean(alphas, axis=0), rtol=1e-12)


def test_without_an_ensemble_there_is_no_error_bar(crystal):
    single = TNEPCalculator(dipole=models("dipole")[:1])
    with pytest.raises(InputError, match="list of models"):
        single.get_uncertainty("dipole", crystal)
    with pytest.raises(InputError, match="no model gives 'energy'"):
        single.get_uncertainty("energy", crystal)
    with pytest.raises(PropertyNotImplementedError):
        single.get_property("dipole_std", crystal)
    with pytest.raises(InputError, match="empty list"):
        TNEPCalculator(dipole=[])
    with pytest.raises(InputError, match="needs a dipole model"):
        TNEPCalculator(dipole=[*models("dipole"), random_nep("polarizability")])
