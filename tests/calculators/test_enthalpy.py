"""The ASE calculator of enthalpy models, and fields on separate models."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.md.verlet import VelocityVerlet

from helpers.random_enthalpy import random_enthalpy, silica
from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator
from tnep_calc.calculators.field import follow, to_one_branch
from tnep_calc.errors import InputError
from tnep_calc.units import EPSILON_0

FIELD = np.array([0.2, -0.1, 0.3])


def separate(efield=None, **kwargs):
    models = {"energy": random_nep(zbl=True), "dipole": random_nep("dipole")} | kwargs
    return TNEPCalculator(**models, efield=efield)


@pytest.fixture
def crystal():
    atoms = bulk("BN", "zincblende", a=3.6, cubic=True)
    atoms.rattle(0.05, seed=3)
    return atoms


@pytest.mark.parametrize("field", [None, FIELD])
def test_all_properties(field):
    atoms = silica()
    calc = atoms.calc = TNEPCalculator(enthalpy=random_enthalpy(), efield=field)
    n, volume = len(atoms), atoms.get_volume()
    assert atoms.get_potential_energy() == pytest.approx(atoms.get_potential_energies().sum(), rel=1e-13)
    np.testing.assert_allclose(atoms.get_forces(), calculate_numerical_forces(atoms, eps=3e-5), atol=2e-6)
    np.testing.assert_allclose(atoms.get_stress(), calculate_numerical_stress(atoms, eps=1e-5), atol=1e-6)
    np.testing.assert_allclose(calc.get_property("polarization", atoms), atoms.get_dipole_moment() / volume, rtol=1e-13)
    alpha = calc.get_property("polarizability", atoms)
    chi = alpha / (EPSILON_0 * volume)
    np.testing.assert_allclose(calc.get_property("susceptibility", atoms), chi, rtol=1e-13)
    np.testing.assert_allclose(calc.get_property("dielectric_tensor", atoms), np.eye(3) + chi, rtol=1e-13)
    z, raman = (calc.get_property(p, atoms) for p in ("born_effective_charges", "polarizability_gradient"))
    assert z.shape == (n, 3, 3) and raman.shape == (n, 3, 3, 3)
    moved = [atoms.copy() for _ in range(2)]
    for copy, step in zip(moved, (1e-5, -1e-5), strict=True):
        copy.positions[4, 1] += step
    for name, derivative in (("dipole", z[4, :, 1]), ("polarizability", raman[4, 1])):
        plus, minus = (calc.get_property(name, copy) for copy in moved)
        np.testing.assert_allclose((plus - minus) / 2e-5, derivative, atol=1e-7)


def test_enthalpy_is_the_potential_of_the_dipole():
    """P = -dH/dE and alpha = dP/dE; in zero field the dipole is the spontaneous one."""
    atoms, calc, h = silica(), TNEPCalculator(enthalpy=random_enthalpy()), 1e-3
    start, alpha = (calc.get_property(name, atoms) for name in ("dipole", "polarizability"))
    energies, dipoles = {}, {}
    for axis in range(3):
        for sign in (1, -1):
            calc.efield = FIELD + sign * h * np.eye(3)[axis]
            energies[axis, sign] = calc.get_potential_energy(atoms)
            dipoles[axis, sign] = calc.get_property("dipole", atoms)
    calc.efield = FIELD
    for axis in range(3):
        slope = -(energies[axis, 1] - energies[axis, -1]) / (2 * h)
        assert slope == pytest.approx(calc.get_property("dipole", atoms)[axis], abs=1e-8)
        np.testing.assert_allclose((dipoles[axis, 1] - dipoles[axis, -1]) / (2 * h), alpha[axis], atol=1e-10)
    np.testing.assert_allclose(calc.get_property("dipole", atoms), start + alpha @ FIELD, atol=1e-12)


def test_piezoelectric_tensor_and_stress_in_a_field():
    """e_iab = (dP_i/d strain_ab) / V = - (d(V stress_ab)/dE_i) / V, symmetric strain, at any field."""
    atoms, h = silica(), 1e-5
    calc = TNEPCalculator(enthalpy=random_enthalpy(), efield=FIELD)
    tensor, volume = calc.get_property("piezoelectric_tensor", atoms), atoms.get_volume()
    np.testing.assert_array_equal(tensor, tensor.transpose(0, 2, 1))
    for a, b in ((0, 0), (1, 2), (0, 2)):
        dipoles = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[a, b] += 0.5 * sign * h
            strain[b, a] += 0.5 * sign * h
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            dipoles.append(calc.get_property("dipole", strained))
        np.testing.assert_allclose((dipoles[0] - dipoles[1]) / (2 * h) / volume, tensor[:, a, b], atol=1e-8)
    for axis in range(3):
        stresses = []
        for sign in (1, -1):
            calc.efield = FIELD + sign * h * np.eye(3)[axis]
            stresses.append(calc.get_stress(atoms))
        voigt = [tensor[axis, a, b] for a, b in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))]
        np.testing.assert_allclose(-(stresses[0] - stresses[1]) / (2 * h), voigt, atol=1e-7)


def test_results_in_one_evaluation():
    atoms = silica()
    calc = atoms.calc = TNEPCalculator(enthalpy=random_enthalpy(), efield=FIELD)
    calls = []
    evaluate = calc.evaluate
    calc.evaluate = lambda *args: (calls.append(args[1]), evaluate(*args))[1]
    atoms.get_forces(), atoms.get_potential_energy(), atoms.get_stress(), atoms.get_dipole_moment()
    calc.get_property("dielectric_tensor", atoms)
    assert len(calls) == 1 and "born_charges" not in calls[0]
    calc.get_property("born_effective_charges", atoms)
    assert len(calls) == 2


def test_field_of_time():
    atoms = silica()
    calc = atoms.calc = TNEPCalculator(enthalpy=random_enthalpy(), efield=lambda t: [0, 0, 0.01 * t])
    fixed = TNEPCalculator(enthalpy=random_enthalpy(), efield=[0, 0, 0.2])
    calls = []
    evaluate = calc.evaluate
    calc.evaluate = lambda *args: (calls.append(1), evaluate(*args))[1]
    at_zero = atoms.get_potential_energy()
    calc.time = 20.0
    assert calc.time == 20.0 and atoms.get_potential_energy() == fixed.get_potential_energy(atoms) != at_zero
    calc.time = 20.0
    assert atoms.get_potential_energy() and len(calls) == 2  # the field has not changed, so results are kept
    calc.schedule(30.0)
    assert atoms.get_forces() is not None and calc.time == 20.0 and len(calls) == 2
    atoms.positions[0, 0] += 0.01
    atoms.get_forces()
    assert calc.time == 30.0
    calc.efield = [0, 0, 0.2]
    assert atoms.get_potential_energy() == fixed.get_potential_energy(atoms)
    with pytest.raises(ValueError, match="read-only"):
        calc.efield[2] = 1.0


def test_time_follows_the_dynamics():
    """One evaluation per step, of the configuration of step n in the field at t_n, even if no atom moves."""
    atoms, dt = silica(), 0.5
    seen = []

    def field(time):
        return [0.02 * time, 0, 0]

    calc = atoms.calc = TNEPCalculator(enthalpy=random_enthalpy(), efield=field)
    evaluate = calc.evaluate
    calc.evaluate = lambda *args: (seen.append(args[4][0] / 0.02), evaluate(*args))[1]
    atoms.set_momenta(0.5 * np.random.default_rng(1).normal(size=(len(atoms), 3)))
    dynamics = VelocityVerlet(atoms, dt * units.fs)
    follow(dynamics, calc)
    times = []
    dynamics.attach(lambda: times.append((calc.time, atoms.get_potential_energy())))
    dynamics.run(4)
    np.testing.assert_allclose(seen, dt * np.arange(5), atol=1e-9)
    np.testing.assert_allclose([t for t, _ in times], dt * np.arange(5), atol=1e-9)

    alone = Atoms("Si", cell=[9, 9, 9], pbc=True, calculator=calc)
    del calc.evaluate
    calc.time = 0.0
    dynamics = VelocityVerlet(alone, dt * units.fs)
    follow(dynamics, calc)
    dynamics.run(6)
    alpha = calc.get_property("polarizability", alone)[0, 0]
    assert calc.time == pytest.approx(3.0) and alone.get_dipole_moment()[0] == pytest.approx(alpha * 0.02 * 3.0)


def test_ensemble_in_a_field():
    atoms = silica()
    models = [random_enthalpy(seed=s) for s in range(3)]
    ensemble = TNEPCalculator(enthalpy=models, efield=FIELD)
    members = [TNEPCalculator(enthalpy=m, efield=FIELD) for m in models]
    forces = np.array([m.get_forces(atoms) for m in members])
    np.testing.assert_allclose(ensemble.get_forces(atoms), forces.mean(0), atol=1e-12)
    np.testing.assert_allclose(ensemble.get_uncertainty("forces", atoms), forces.std(0, ddof=1), atol=1e-12)
    assert ensemble.get_uncertainty("piezoelectric_tensor", atoms).shape == (3, 3, 3)


def test_one_branch_of_the_enthalpy():
    cell = silica().cell.array
    one = {"dipole": np.array([0.3, 0.1, -0.2]), "energy": -3.0, "free_energy": -3.0, "energies": np.array([-1.0, -2])}
    shift = np.array([1, -2, 0]) @ cell
    other = {**one, "dipole": one["dipole"] + shift, "energy": -3.0 - FIELD @ shift, "free_energy": -3 - FIELD @ shift}
    other["energies"] = one["energies"] - FIELD @ shift / 2
    one["stress"], other["stress"] = np.arange(6.0), np.arange(6.0)
    for k, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):  # d(-E.R)/d(strain) / V
        strain = np.zeros((3, 3))
        strain[a, b] += 0.5
        strain[b, a] += 0.5
        other["stress"][k] -= FIELD @ strain @ shift / np.linalg.det(cell)
    to_one_branch([one, other], cell, np.ones(3, dtype=bool), FIELD)
    for name in ("energy", "free_energy", "energies", "stress"):
        np.testing.assert_allclose(other[name], one[name], atol=1e-12)


@pytest.mark.parametrize("response", [False, True])
def test_separate_models_in_a_field(response, crystal):
    more = {"susceptibility": random_nep("polarizability")} if response else {}
    calc, still = separate(FIELD, **more), separate(**more)
    crystal.calc = calc
    alpha = still.get_property("polarizability", crystal) if response else np.zeros((3, 3))
    p, u = still.get_property("dipole", crystal), still.get_potential_energy(crystal)
    assert crystal.get_potential_energy() == pytest.approx(u - FIELD @ p - 0.5 * FIELD @ alpha @ FIELD, abs=1e-10)
    assert crystal.get_potential_energies().sum() == pytest.approx(crystal.get_potential_energy(), abs=1e-10)
    np.testing.assert_allclose(crystal.get_dipole_moment(), p + alpha @ FIELD, atol=1e-12)
    size = np.abs(crystal.get_forces()).max()
    np.testing.assert_allclose(crystal.get_forces(), calculate_numerical_forces(crystal, eps=1e-5), atol=1e-5 * size)
    z = calc.get_property("born_effective_charges", crystal)
    copies = [crystal.copy() for _ in range(2)]
    copies[0].positions[2, 1] += 1e-5
    copies[1].positions[2, 1] -= 1e-5
    plus, minus = (calc.get_property("dipole", c) for c in copies)
    np.testing.assert_allclose((plus - minus) / 2e-5, z[2, :, 1], atol=1e-4 * np.abs(z).max())
    with pytest.raises(InputError, match="no stress in a field"):
        crystal.get_stress()
    calc.efield = None
    assert crystal.get_potential_energy() == u and crystal.get_stress() is not None


def test_errors(crystal):
    model = random_enthalpy()
    with pytest.raises(InputError, match="enthalpy= gives all properties"):
        TNEPCalculator(enthalpy=model, dipole=random_nep("dipole"))
    with pytest.raises(InputError, match="dipole= got a model of kind 'enthalpy': pass it as enthalpy="):
        TNEPCalculator(dipole=model)
    with pytest.raises(InputError, match="enthalpy= got a model of kind 'potential': pass it as energy="):
        TNEPCalculator(enthalpy=random_nep())
    for wrong in ([0, 0, np.nan], [1, 2], 0.3, "z", lambda t: [t]):
        with pytest.raises(InputError, match="efield must be three"):
            TNEPCalculator(enthalpy=model, efield=wrong)
    for models in ({"energy": random_nep()}, {"dipole": random_nep("dipole")}):
        with pytest.raises(InputError, match="efield needs a model of the enthalpy, or"):
            TNEPCalculator(**models, efield=FIELD)
    with pytest.raises(InputError, match="only enthalpy models can form an ensemble"):
        separate(FIELD, energy=[random_nep(seed=1), random_nep(seed=2)])
    calc = TNEPCalculator(enthalpy=model, efield=FIELD)
    with pytest.raises(InputError, match="efield must be three"):
        calc.efield = [1, 2]
    assert calc.efield.tolist() == FIELD.tolist()
    with pytest.raises(InputError, match="knows Si O, but the structure has B N"):
        calc.get_potential_energy(crystal)
    molecule = Atoms("SiO", positions=[[0, 0, 0], [0, 0, 1.6]], calculator=calc)
    assert np.isfinite(molecule.get_forces()).all()
    with pytest.raises(PropertyNotImplementedError):
        molecule.get_stress()
    with pytest.raises(InputError, match="periodic in three directions"):
        calc.get_property("dielectric_tensor", molecule)
