"""Structures evaluated together have the results of single evaluations."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from helpers.random_enthalpy import random_enthalpy, silica
from helpers.random_nep import random_nep
from helpers.random_radnet import calculator_of, displaced, random_artifact
from tnep_calc import TNEPCalculator
from tnep_calc.calculators.batch import Batch, batches
from tnep_calc.errors import InputError

NEP = {"energy": "potential", "dipole": "dipole", "susceptibility": "polarizability"}


def crystals():
    """Return crystals of different size and a molecule."""
    rng = np.random.default_rng(2)
    frames = [bulk("BN", "zincblende", a=3.6 + 0.1 * k, cubic=k > 0) for k in range(3)] + [
        Atoms("BN", [[0] * 3, [0, 0, 1.3]])
    ]
    for atoms in frames:
        atoms.positions += 0.05 * rng.normal(size=(len(atoms), 3))
    return frames


def close(found, calculator, atoms, names):
    for name in names:
        np.testing.assert_allclose(found[name], calculator.get_property(name, atoms), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("role", NEP)
def test_nep(role, several):
    models = [random_nep(NEP[role], seed=k) for k in range(3)]
    calculator = TNEPCalculator(**{role: models if several else models[0]})
    names = ["energy", "forces", "energies"] if role == "energy" else ["dipole", "born_effective_charges"]
    if role == "susceptibility":
        names = ["polarizability", "polarizability_gradient"]
    frames = crystals()
    results = Batch(calculator, frames).properties([*names, *(["stress"] if role == "energy" else [])])
    for found, atoms in zip(results, frames, strict=True):
        more = ["stress"] if role == "energy" and atoms.cell.rank == 3 else []
        close(found, calculator, atoms, names + more)
        if several:
            close(found, calculator, atoms, [name + "_std" for name in names + more])
            members = calculator.get_members(names[0], atoms)
            np.testing.assert_allclose(found[names[0] + "_members"], members, rtol=1e-10, atol=1e-11)
    assert ("stress" in results[-1]) is False
    for found, atoms in zip(Batch(calculator, frames).descriptors(), frames, strict=True):
        np.testing.assert_allclose(found, calculator.get_descriptors(atoms), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("several", [False, True])
def test_enthalpy_in_several_fields(several):
    models = [random_enthalpy(seed=k) for k in range(2)] if several else random_enthalpy()
    calculator = TNEPCalculator(enthalpy=models)
    frames, fields = [silica(k) for k in range(3)], [None, np.array([0.2, 0, -0.1]), np.array([0, 0.3, 0])]
    names = ["energy", "forces", "stress", "dipole", "born_effective_charges", "polarizability"]
    for found, atoms, field in zip(Batch(calculator, frames, fields).properties(names), frames, fields, strict=True):
        calculator.efield = field
        close(found, calculator, atoms, names)
    calculator.efield = fields[1]
    close(Batch(calculator, frames).properties(names)[2], calculator, frames[2], names)
    calculator.efield = lambda time: [0.0, 0.0, time]
    with pytest.raises(InputError, match="no time"):
        Batch(calculator, frames)


def test_radnet():
    calculator, frames = calculator_of(random_artifact()), [displaced(k) for k in range(2)]
    names = ["dipole", "born_effective_charges", "polarizability"]
    for found, atoms in zip(Batch(calculator, frames).properties(names), frames, strict=True):
        close(found, calculator, atoms, names)


def test_groups_keep_the_order():
    frames = [Atoms(f"H{n}") for n in (3, 1, 5, 2)]
    assert [[len(atoms) for atoms in batch] for batch in batches(frames, most=4)] == [[3, 1], [5], [2]]
    assert list(batches([])) == []


def test_bad_structures_are_named():
    calculator, frames = TNEPCalculator(energy=random_nep()), crystals()
    with pytest.raises(InputError, match=r"structure 12: the energy model knows .* but the structure has H O"):
        Batch(calculator, [*frames[:2], molecule("H2O")], first=10)
    frames[1].positions[0] = np.nan
    with pytest.raises(InputError, match="structure 1: position of atom 0 is not finite"):
        Batch(calculator, frames)
    with pytest.raises(InputError, match="needs an enthalpy model"):
        Batch(calculator, frames[:1], [np.ones(3)])
    with pytest.raises(InputError, match="no model gives dipole"):
        Batch(calculator, frames[:1]).properties(["dipole"])
    with pytest.raises(InputError, match="piezoelectric"):
        Batch(TNEPCalculator(enthalpy=random_enthalpy()), [silica(0)]).properties(["piezoelectric_tensor"])
