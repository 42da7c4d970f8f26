"""Exact properties of H(R, E) for any parameters: sum rules, path independence, conservation, symmetries."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet

from helpers.random_enthalpy import CUTOFF, random_enthalpy, silica
from tnep_calc import TNEPCalculator
from tnep_calc.calculators.field import follow

FIELD = np.array([0.2, -0.1, 0.3])
RANKS = {
    "energy": 0,
    "energies": 0,
    "forces": 1,
    "dipole": 1,
    "born_effective_charges": 2,
    "polarizability": 2,
    "polarizability_gradient": 3,
    "piezoelectric_tensor": 3,
}


def calculator(efield=None, **kwargs):
    return TNEPCalculator(enthalpy=random_enthalpy(**kwargs), efield=efield)


def properties(atoms, efield):
    calc = calculator(efield)
    return {name: np.array(calc.get_property(name, atoms)) for name in (*RANKS, "stress")}


def turned(tensor, q, rank):
    """Rotate the last `rank` axes."""
    for axis in range(tensor.ndim - rank, tensor.ndim):
        tensor = np.moveaxis(np.tensordot(q, tensor, axes=(1, axis)), 0, axis)
    return tensor


def assert_same(found, expected, digits=11):
    size = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=size * 10.0**-digits)


@pytest.mark.parametrize("field", [None, FIELD])
def test_sum_rules(field):
    atoms, calc = silica(), calculator(field, dipole_unit=0.5)
    z = calc.get_property("born_effective_charges", atoms)
    assert np.abs(z).max() > 0.5 and np.abs(z.sum(0)).max() < 1e-10
    assert np.abs(calc.get_property("forces", atoms).sum(0)).max() < 1e-10
    assert np.abs(calc.get_property("polarizability_gradient", atoms).sum(0)).max() < 1e-10


def test_the_dipole_is_independent_of_the_path():
    """The line integral of Z dR and of F dR around a triangle in configuration space is zero."""
    calc, rng = calculator(FIELD), np.random.default_rng(0)
    corners = [silica().positions]
    corners += [corners[0] + 0.004 * rng.normal(size=corners[0].shape) for _ in range(2)]
    nodes, weights = np.polynomial.legendre.leggauss(16)
    dipole, energy, longest = np.zeros(3), 0.0, 0.0
    atoms = silica()
    for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
        change = np.zeros(3)
        for node, weight in zip(0.5 + 0.5 * nodes, 0.5 * weights, strict=True):
            atoms.positions = start + node * (end - start)
            z = calc.get_property("born_effective_charges", atoms)
            change += weight * np.einsum("nij,nj->i", z, end - start)
            energy -= weight * (calc.get_forces(atoms) * (end - start)).sum()
        dipole += change
        longest = max(longest, np.abs(change).max())
    assert longest > 0.01
    assert np.abs(dipole).max() < 1e-10 and abs(energy) < 1e-10


def trajectory(efield, dt, duration=8.0):
    """Return times, total enthalpy, dipole and field along NVE dynamics."""
    atoms = silica()
    atoms.calc = calculator(efield, energy_unit=0.02)
    atoms.set_momenta(np.random.default_rng(5).normal(size=(len(atoms), 3)))
    dynamics = VelocityVerlet(atoms, dt * units.fs)
    follow(dynamics, atoms.calc)
    rows = []

    def record():
        field = atoms.calc.efield(atoms.calc.time) if callable(efield) else np.zeros(3)
        rows.append((atoms.get_total_energy(), *atoms.get_dipole_moment(), *field))

    dynamics.attach(record)
    dynamics.run(round(duration / dt))
    rows = np.array(rows)
    return rows[:, 0], rows[:, 1:4], rows[:, 4:]


@pytest.mark.slow
def test_enthalpy_is_conserved_in_a_constant_field():
    """Only the integrator makes it fluctuate: in second order of the step, and not more than without a field."""
    errors = {}
    for name, field in (("none", None), ("field", FIELD)):
        for dt in (0.25, 0.125):
            h = trajectory(field, dt)[0]
            errors[name, dt] = np.abs(h - h[0]).max()
    assert errors["field", 0.125] < 1e-3
    for name in ("none", "field"):
        assert errors[name, 0.25] / errors[name, 0.125] == pytest.approx(4, rel=0.2)
    assert errors["field", 0.125] < 2 * errors["none", 0.125]


@pytest.mark.slow
def test_work_of_a_field_of_time():
    """dH/dt = -P.dE/dt for KE + H(R, E(t)), to second order in the step."""

    def field(time):
        return np.array([0.2 * np.sin(0.5 * time), 0.0, 0.1 * np.cos(0.4 * time)])

    mismatch = []
    for dt in (0.25, 0.125):
        h, dipole, e = trajectory(field, dt)
        work = -np.concatenate([[0], np.cumsum(0.5 * ((dipole[1:] + dipole[:-1]) * np.diff(e, axis=0)).sum(1))])
        mismatch.append(np.abs(h - h[0] - work).max())
        assert np.abs(work).max() > 0.005
    assert mismatch[1] < 1e-3 and mismatch[0] / mismatch[1] == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize("improper", [False, True])
def test_rotations_and_reflections(improper):
    q = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    q *= np.linalg.det(q) * (-1 if improper else 1)
    atoms = silica()
    moved = Atoms(atoms.symbols, atoms.positions @ q.T, cell=atoms.cell.array @ q.T, pbc=True)
    before, after = properties(atoms, FIELD), properties(moved, q @ FIELD)
    for name, rank in RANKS.items():
        assert_same(after[name], turned(before[name], q, rank))
    assert np.trace(np.diag(after["stress"][:3])) == pytest.approx(before["stress"][:3].sum(), abs=1e-12)


def test_permutation_and_translation():
    atoms, order = silica(), np.random.default_rng(4).permutation(9)
    moved = atoms[order]
    moved.positions += [0.3, -1.7, 12.2]
    moved.wrap()
    before, after = properties(atoms, FIELD), properties(moved, FIELD)
    for name in (*RANKS, "stress"):
        of_atoms = name in ("energies", "forces", "born_effective_charges", "polarizability_gradient")
        assert_same(after[name], before[name][order] if of_atoms else before[name])


def test_supercell():
    before, after = properties(silica(), FIELD), properties(silica(repeat=(2, 1, 2)), FIELD)
    for name in ("energy", "dipole", "polarizability"):
        assert_same(after[name], 4 * before[name])
    for name in ("energies", "forces", "born_effective_charges", "polarizability_gradient"):
        assert_same(after[name], np.concatenate([before[name]] * 4))
    for name in ("stress", "piezoelectric_tensor"):
        assert_same(after[name], before[name])


def test_cell_smaller_than_the_cutoff():
    small = Atoms(
        "SiO",
        scaled_positions=[[0, 0, 0], [0.4, 0.5, 0.6]],
        cell=[[2.4, 0, 0], [0.7, 2.5, 0], [-0.4, 0.3, 2.6]],
        pbc=True,
    )
    assert max(small.cell.lengths()) < CUTOFF
    before, after = properties(small, FIELD), properties(small.repeat((3, 2, 2)), FIELD)
    assert_same(after["energy"], 12 * before["energy"])
    assert_same(after["forces"][:2], before["forces"])
    assert_same(after["born_effective_charges"][:2], before["born_effective_charges"])
    assert_same(after["stress"], before["stress"])


def test_isolated_atoms():
    """Without neighbours there are no forces and no spontaneous dipole, only an isotropic polarizability."""
    apart = Atoms("SiO", positions=[[0, 0, 0], [50, 0, 0]])
    calc = calculator(FIELD)
    alone = [calc.get_potential_energy(Atoms(s)) for s in ("Si", "O")]
    assert calc.get_potential_energy(apart) == pytest.approx(sum(alone), abs=1e-11)
    alpha = calc.get_property("polarizability", apart)
    assert_same(alpha, alpha[0, 0] * np.eye(3))
    assert_same(calc.get_property("dipole", apart), alpha @ FIELD)
    for name in ("forces", "born_effective_charges", "polarizability_gradient"):
        assert not np.any(calc.get_property(name, apart))


def test_smooth_at_the_cutoff():
    """When a third atom enters the cutoff, the forces change in second order of its distance from the cutoff."""
    calc = calculator(FIELD)

    def of(distance):
        atoms = Atoms("SiO2", positions=[[0, 0, 0], [0, 1.6, 0], [distance, 0, 0]])
        return calc.get_forces(atoms)

    outside = of(CUTOFF + 1e-9)
    changes = [np.abs(of(CUTOFF - depth) - outside).max() for depth in (0.004, 0.002)]
    assert 0 < changes[1] < 1e-3 and changes[0] / changes[1] == pytest.approx(4, rel=0.1)
