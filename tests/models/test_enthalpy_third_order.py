"""Enthalpy models with a hyperpolarizability: derivatives, symmetries, files, and the path that is used."""

import itertools
import logging

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from helpers.random_enthalpy import CUTOFF, RADIAL, SPECIES, call, random_enthalpy, random_sites, silica
from tnep_calc import TNEPCalculator, ops
from tnep_calc.artifact import export_enthalpy, load_artifact
from tnep_calc.conventions import HYPERPOLARIZABILITY
from tnep_calc.models.enthalpy.model import QUANTITIES
from tnep_calc.models.enthalpy.sites import EnthalpySites, SiteShape

FIELD = np.array([0.4, -0.2, 0.6])
ORDERS = list(itertools.permutations(range(3)))


@pytest.fixture(scope="module")
def model():
    return random_enthalpy(hyperpolarizability=True)


def properties(model, atoms, names, field=None):
    calc = TNEPCalculator(enthalpy=model, efield=field)
    return [np.array(calc.get_property(name, atoms)) for name in names]


def test_the_tensor_is_symmetric_with_both_parts(model):
    (b,) = properties(model, silica(), ["hyperpolarizability"])
    size = np.abs(b).max()
    assert b.shape == (3, 3, 3) and size > 0.01
    assert all(np.abs(b - b.transpose(order)).max() < 1e-14 * size for order in ORDERS)
    vector = np.einsum("ijj->i", b) / 5
    octupole = b - sum(np.einsum("i,jk->ijk", vector, np.eye(3)).transpose(order) for order in ORDERS) / 2
    assert np.abs(np.einsum("ijj->i", octupole)).max() < 1e-14
    assert np.abs(vector).max() > 0.003 and np.abs(octupole).max() > 0.003


def test_enthalpy_is_a_polynomial_of_third_order(model):
    """p, a and b at zero field give H, P and alpha at any field."""
    atoms, names = silica(), ["energy", "dipole", "polarizability", "hyperpolarizability"]
    h0, p, a, b = properties(model, atoms, names)
    for field in (FIELD, -3 * FIELD[::-1]):
        h, dipole, alpha, beta = properties(model, atoms, names, field)
        cubic = b @ field @ field
        assert abs(cubic @ field) > 1e-3
        assert h == pytest.approx(h0 - field @ (p + a @ field / 2 + cubic / 6), abs=1e-11)
        np.testing.assert_allclose(dipole, p + a @ field + cubic / 2, atol=1e-12)
        np.testing.assert_allclose(alpha, a + b @ field, atol=1e-12)
        np.testing.assert_array_equal(beta, b)


def test_derivatives_by_the_field(model):
    """Finite differences: P = -dH/dE without a curl, alpha = dP/dE, b = d alpha/dE."""
    atoms, h = silica(), 1e-4
    dipole, alpha, b = properties(model, atoms, ["dipole", "polarizability", "hyperpolarizability"], FIELD)
    slopes = []
    for step in h * np.eye(3):
        sides = [properties(model, atoms, ["energy", "dipole", "polarizability"], FIELD + s) for s in (step, -step)]
        slopes.append([(plus - minus) / (2 * h) for plus, minus in zip(*sides, strict=True)])
    energies, dipoles, alphas = (np.array(x) for x in zip(*slopes, strict=True))
    np.testing.assert_allclose(-energies, dipole, atol=1e-8)
    np.testing.assert_allclose(dipoles, alpha, atol=1e-9)
    np.testing.assert_allclose(dipoles, dipoles.T, atol=1e-9)
    np.testing.assert_allclose(alphas, b, atol=1e-9)


@pytest.mark.slow
def test_derivatives_by_positions_and_strain_in_a_field(model):
    atoms, h = silica(), 1e-5
    calc = atoms.calc = TNEPCalculator(enthalpy=model, efield=FIELD)
    np.testing.assert_allclose(atoms.get_forces(), calculate_numerical_forces(atoms, eps=3e-5), atol=3e-7)
    np.testing.assert_allclose(atoms.get_stress(), calculate_numerical_stress(atoms, eps=1e-5), atol=1e-7)
    z, raman, strained = (
        calc.get_property(name, atoms)
        for name in ("born_effective_charges", "polarizability_gradient", "piezoelectric_tensor")
    )
    assert np.abs(z.sum(0)).max() < 1e-12
    strain = np.zeros((3, 3))
    strain[0, 2] = strain[2, 0] = h / 2
    moved, sheared = ([atoms.copy(), atoms.copy()] for _ in range(2))
    for k, sign in enumerate((1, -1)):
        moved[k].positions[4, 1] += sign * h
        sheared[k].set_cell(atoms.cell.array @ (np.eye(3) + sign * strain), scale_atoms=True)

    def difference(name, pair):
        plus, minus = (calc.get_property(name, copy) for copy in pair)
        return (plus - minus) / (2 * h)

    np.testing.assert_allclose(difference("dipole", moved), z[4, :, 1], atol=1e-8)
    np.testing.assert_allclose(difference("polarizability", moved), raman[4, 1], atol=1e-8)
    found = difference("dipole", sheared) / atoms.get_volume()
    np.testing.assert_allclose(found, strained[:, 0, 2], atol=1e-8)


@pytest.mark.parametrize("improper", [False, True])
def test_rotations_and_reflections(model, improper):
    q = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    q *= np.linalg.det(q) * (-1 if improper else 1)
    atoms = silica()
    moved = Atoms(atoms.symbols, atoms.positions @ q.T, cell=atoms.cell.array @ q.T, pbc=True)
    names = ["energy", "forces", "dipole", "hyperpolarizability"]
    before, after = properties(model, atoms, names, FIELD), properties(model, moved, names, q @ FIELD)
    rotated = [before[0], before[1] @ q.T, q @ before[2], np.einsum("ai,bj,ck,ijk->abc", q, q, q, before[3])]
    for found, expected in zip(after, rotated, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-11)


def test_hyperpolarizability_vanishes_with_inversion_symmetry(model):
    molecule = Atoms("OSiO", positions=[[-1.6, 0.1, 0.2], [0, 0, 0], [1.6, -0.1, -0.2]])
    assert np.abs(properties(model, molecule, ["hyperpolarizability"])[0]).max() < 1e-13


# ---------------------------------------------------------------- paths and files


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_written_and_read(tmp_path, dtype):
    sites = random_sites(hyperpolarizability=True)
    written = export_enthalpy([sites], SPECIES, CUTOFF, RADIAL, 2.0, tmp_path / "model.pt", dtype)
    assert written.quantities == (*QUANTITIES, HYPERPOLARIZABILITY)
    assert written.units[HYPERPOLARIZABILITY] == "e*A^3/V^2"
    loaded = load_artifact(tmp_path / "model.pt")
    exact = random_enthalpy(zbl=2.0, hyperpolarizability=True)
    for field in (None, torch.from_numpy(FIELD), torch.from_numpy(FIELD).repeat(9, 1)):
        names = [name for name in written.quantities if field is not None or name != "field_forces"]
        found, expected = call(loaded, names, field), call(exact.module.plain, names, field)
        for name in names:
            size = float(expected[name].abs().max())
            tolerance = size * (1e-12 if dtype == "float64" else 3e-4)
            assert found[name].dtype == torch.float64
            assert torch.allclose(found[name], expected[name], rtol=0, atol=tolerance), name


@pytest.mark.skipif(not ops.load(), reason="the native kernels are not built")
def test_native_kernels_run_only_at_zero_field(model, monkeypatch):
    plain = []
    forward = model.module.plain.forward
    monkeypatch.setattr(model.module.plain, "forward", lambda *args: (plain.append(args[5]), forward(*args))[1])
    names = [name for name in QUANTITIES if name != "field_forces"]
    native = call(model, names)
    assert not plain
    call(model, ["energy"], torch.from_numpy(FIELD))
    call(model, [HYPERPOLARIZABILITY])
    assert plain == [["energy"], [HYPERPOLARIZABILITY]]
    for name, value in call(model.module.plain, names).items():
        assert torch.allclose(native[name], value, rtol=0, atol=1e-12 * float(value.abs().max())), name


@pytest.mark.skipif(not ops.load(), reason="the native kernels are not built")
@pytest.mark.parametrize("third", [False, True])
def test_the_calculator_reports_the_path(third, caplog):
    with caplog.at_level(logging.INFO):
        TNEPCalculator(enthalpy=random_enthalpy(hyperpolarizability=third))
    (line,) = [r.message for r in caplog.records if "enthalpy model" in r.message]
    more = " at zero field, plain torch in a field (third order)"
    assert line == f"enthalpy: enthalpy model, float64, native kernels{more if third else ''} on cpu"


def test_models_of_second_order_are_unchanged():
    shape = SiteShape(2, 5, 3, 6)
    sites = EnthalpySites(shape)
    assert shape.n_outputs == 2 + 3 * 3 + 3 * 5
    assert set(sites.state_dict()) == {
        "contraction",
        "mixing",
        "linear",
        "w1",
        "b1",
        "w2",
        "b2",
        "w3",
        "b3",
        "left",
        "right",
        "coupling",
        "upper",
        "pairs1",
        "pairs2",
        "rank1",
        "rank2",
        "whitening",
        "offset",
        "spread",
        "gain",
        "units",
        "site",
    }
    assert sites.units.shape == (3,) and sites.gain.shape == (2, 3 * 3 + 3 * 5)
    second = random_enthalpy()
    assert HYPERPOLARIZABILITY not in second.metadata.units and second.metadata.quantities == QUANTITIES
    for models in (second, [second, random_enthalpy(hyperpolarizability=True)]):
        with pytest.raises(PropertyNotImplementedError):
            TNEPCalculator(enthalpy=models).get_property("hyperpolarizability", silica())
    with pytest.raises(ValueError, match="'hyperpolarizability' was asked for"):
        call(second, [HYPERPOLARIZABILITY])


def test_ensemble():
    atoms, models = silica(), [random_enthalpy(seed=s, hyperpolarizability=True) for s in (0, 1)]
    calc = TNEPCalculator(enthalpy=models)
    each = np.array([properties(m, atoms, ["hyperpolarizability"])[0] for m in models])
    np.testing.assert_allclose(calc.get_property("hyperpolarizability", atoms), each.mean(0), atol=1e-13)
    np.testing.assert_allclose(calc.get_uncertainty("hyperpolarizability", atoms), each.std(0, ddof=1), atol=1e-13)
