"""Results do not depend on eigensolver, orientation or choice of the cell; identities of averages."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from helpers.polar_crystal import PolarCrystal, wurtzite, zincblende
from tnep_calc.errors import InputError
from tnep_calc.phonons import lo_to
from tnep_calc.phonons.cells import to_ase
from tnep_calc.phonons.infrared import dielectric_function, infrared_modes_spectrum, intensities, mode_charges
from tnep_calc.phonons.modes import fixed_basis, gamma_modes
from tnep_calc.phonons.nac import charges_of, set_nac
from tnep_calc.phonons.raman import activity, invariants, raman_modes_spectrum, raman_tensors, stokes_factor
from tnep_calc.phonons.raman_crystal import (
    longitudinal_tensors,
    oriented_intensities,
    polarization_scan,
    porto_spectrum,
    powder_average,
)
from tnep_calc.phonons.raman_source import finite_differences, polarizability_gradient, symmetrize_gradient
from tnep_calc.phonons.workflow import Settings, run_phonons
from tnep_calc.spectra.porto import parse_porto
from tnep_calc.units import EPSILON_0, POLARIZABILITY_TO_A3

pytestmark = pytest.mark.slow

phonopy = pytest.importorskip("phonopy")
GRID = np.arange(1.0, 600.0, 1.0)


def silent(line):
    pass


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return run_phonons(wurtzite(), PolarCrystal(), tmp_path_factory.mktemp("w"), Settings(length=6), log=silent)


def shuffled(modes, seed=0):
    """Return modes with randomly rotated eigenvectors in each degenerate set."""
    random = np.random.default_rng(seed)
    vectors = modes.eigenvectors.copy()
    for group in modes.sets:
        rows = list(group)
        turn = np.linalg.qr(random.normal(size=(len(rows), len(rows))))[0]
        vectors[rows] = np.einsum("mn,nja->mja", turn, vectors[rows])
    return replace(modes, eigenvectors=vectors)


def all_numbers(result, modes):
    charges = charges_of(result.phonon)
    p = mode_charges(charges.used, modes)
    tensors = raman_tensors(result.gradient, modes)
    return {
        "infrared": modes.of_sets(intensities(p)),
        "activity": modes.of_sets(activity(invariants(tensors))),
        "eps": dielectric_function(GRID, charges.dielectric, p, modes, 8.0),
        "raman": raman_modes_spectrum(GRID, tensors, modes).values["VV"],
        "oriented": oriented_intensities(tensors, modes, parse_porto("z(xy)-z")),
        "angles": np.array(polarization_scan(tensors, modes, [1, 1, 0], [0, 0, 1], [0.0, 20.0, 70.0])),
    }


def test_eigensolver(result):
    expected, modes = all_numbers(result, result.modes), shuffled(result.modes)
    assert np.abs(modes.eigenvectors - result.modes.eigenvectors).max() > 0.1
    for name, value in all_numbers(result, modes).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-8 * np.abs(expected[name]).max(), err_msg=name)
    again = fixed_basis(modes.eigenvectors, modes.sets)
    optical = ~modes.external
    np.testing.assert_allclose(again[optical], result.modes.eigenvectors[optical], atol=1e-8)


def test_basis_of_degenerate_modes_is_along_axes(tmp_path):
    found = run_phonons(zincblende(), PolarCrystal(), tmp_path, Settings(length=6), log=silent)
    p = mode_charges(found.charges.used, found.modes)[3:]
    assert found.modes.labels == ("T2", "T2")
    np.testing.assert_allclose(np.abs(p), np.abs(p).max() * np.eye(3), atol=1e-6)


def test_orientation_and_cell(result, tmp_path):
    """A rotated crystal, and a supercell as input, have the same intensities and splittings to 1e-8."""
    turn = Rotation.from_rotvec([0.3, -0.5, 0.4]).as_matrix()
    atoms = to_ase(result.phonon.unitcell)
    rotated = atoms.copy()
    rotated.set_cell(atoms.cell.array @ turn.T, scale_atoms=True)
    settings = Settings(dim=(2, 2, 1), relax=False)
    plain, turned, big = (
        run_phonons(structure, PolarCrystal(), tmp_path / name, settings, log=silent)
        for name, structure in (("plain", atoms), ("turned", rotated), ("big", atoms.repeat((2, 1, 1))))
    )
    reference = all_numbers(plain, plain.modes)
    for other, frame in ((turned, turn), (big, np.eye(3))):
        assert len(other.phonon.primitive) == 4 and other.modes.labels[1:] == plain.modes.labels[1:]
        np.testing.assert_allclose(other.modes.wavenumbers[3:], plain.modes.wavenumbers[3:], rtol=1e-8)
        found = all_numbers(other, other.modes)
        for name in ("infrared", "activity"):
            np.testing.assert_allclose(found[name], reference[name], atol=1e-8 * reference[name].max())
        q = np.array([[1.0, 0.5, 0.2], [0, 0, 1]])
        np.testing.assert_allclose(lo_to(other.phonon, q @ frame.T)[:, 3:], lo_to(plain.phonon, q)[:, 3:], rtol=1e-7)


def test_rotated_force_constants(result):
    """Without a second relaxation, the rotated crystal has the same intensities to 1e-8."""
    turn = Rotation.from_rotvec([0.3, -0.5, 0.4]).as_matrix()
    old = result.phonon
    unit = old.unitcell.copy()
    unit.cell = unit.cell @ turn.T
    phonon = phonopy.Phonopy(unit, old.supercell_matrix, "P")
    phonon.force_constants = np.einsum("ax,ijxy,by->ijab", turn, old.force_constants, turn)
    charges = np.einsum("ai,jib,cb->jac", turn, result.charges.used, turn)
    set_nac(phonon, charges, turn @ result.charges.dielectric @ turn.T)
    gradient = np.einsum("ab,xi,yk,jbik->jaxy", turn, turn, turn, result.gradient)
    modes = gamma_modes(phonon)
    assert modes.labels == result.modes.labels
    for one, two in (
        (intensities(mode_charges(charges, modes)), intensities(mode_charges(result.charges.used, result.modes))),
        (
            activity(invariants(raman_tensors(gradient, modes))),
            activity(invariants(raman_tensors(result.gradient, result.modes))),
        ),
    ):
        np.testing.assert_allclose(modes.of_sets(one)[1:], result.modes.of_sets(two)[1:], atol=1e-8 * two.max())
    q = np.array([[1.0, 0.5, 0.2], [0, 0, 1]])
    np.testing.assert_allclose(lo_to(phonon, q @ turn.T)[:, 3:], lo_to(old, q)[:, 3:], atol=1e-5)


def test_two_cells_as_primitive_cell(tmp_path):
    """The same force constants with a doubled cell as primitive cell: per cell the same to 1e-8, folded modes are silent."""
    settings = Settings(dim=(2, 2, 1), relax=False)
    one = run_phonons(wurtzite(), PolarCrystal(), tmp_path, settings, log=silent)
    old = one.phonon
    phonon = phonopy.Phonopy(old.unitcell, old.supercell_matrix, np.diag([2.0, 1.0, 1.0]))
    order = [np.argmin(np.linalg.norm(old.supercell.positions - x, axis=1)) for x in phonon.supercell.positions]
    phonon.force_constants = full(old)[np.ix_(order, order)]
    assert len(phonon.primitive) == 8
    modes = gamma_modes(phonon)
    parents = [
        int(
            np.argmin(
                [
                    np.linalg.norm(old.primitive.cell.T @ ((d := old.primitive.scaled_positions - y) - np.rint(d))[k])
                    for k in range(4)
                ]
            )
        )
        for y in phonon.primitive.positions @ np.linalg.inv(old.primitive.cell)
    ]
    p, p1 = mode_charges(one.charges.used[parents], modes), mode_charges(one.charges.used, one.modes)
    eps = one.charges.dielectric
    expected = dielectric_function(GRID, eps, p1, one.modes, 8.0)
    np.testing.assert_allclose(
        dielectric_function(GRID, eps, p, modes, 8.0), expected, atol=1e-8 * np.abs(expected).max()
    )
    activities = activity(invariants(raman_tensors(one.gradient[parents], modes)))
    for k in one.modes.optical_sets:
        w = one.modes.wavenumbers[list(one.modes.sets[k])].mean()
        near = np.abs(modes.wavenumbers - w) < 1e-3
        assert intensities(p)[near].sum() == pytest.approx(2 * intensities(p1)[list(one.modes.sets[k])].sum(), abs=1e-8)
        single = activity(invariants(raman_tensors(one.gradient, one.modes)))[list(one.modes.sets[k])].sum()
        assert activities[near].sum() == pytest.approx(2 * single, abs=1e-8)


def full(phonon):
    """Return force constants between all atoms of the supercell."""
    constants = phonon.force_constants
    if constants.shape[0] == constants.shape[1]:
        return constants
    return phonopy.harmonic.force_constants.compact_fc_to_full_fc(phonon.primitive, constants)


def test_sum_rules_of_the_dielectric_function(result):
    p = mode_charges(result.charges.used, result.modes)
    spectrum = infrared_modes_spectrum(GRID, result.charges.dielectric, p, result.modes, 5.0, direction=[0, 0, 1])
    top = GRID[spectrum.values["loss"].argmax()]
    longitudinal = lo_to(result.phonon, [[0, 0, 1]])[0]
    assert np.abs(longitudinal - top).min() < 1.0  # the loss function peaks at a mode of q along z
    assert spectrum.values["eps_imag"].min() >= 0
    np.testing.assert_allclose(spectrum.values["emissivity"], 1 - spectrum.values["reflectivity"])


def test_derivatives_equal_finite_differences():
    atoms = wurtzite()
    atoms.rattle(0.03, seed=2)
    analytic, how = polarizability_gradient(atoms, PolarCrystal())
    assert "analytic" in how
    numerical, how = polarizability_gradient(atoms, PolarCrystal(without=("polarizability_gradient",)))
    assert "differences of 'polarizability'" in how
    np.testing.assert_allclose(numerical, analytic, atol=1e-4 * np.abs(analytic).max())
    only_eps = PolarCrystal(without=("polarizability_gradient", "polarizability"))
    np.testing.assert_allclose(polarizability_gradient(atoms, only_eps)[0], numerical, atol=1e-9)
    with pytest.raises(InputError, match="susceptibility or enthalpy"):
        polarizability_gradient(
            atoms, PolarCrystal(without=("polarizability_gradient", "polarizability", "dielectric_tensor"))
        )
    z = PolarCrystal().get_property("born_effective_charges", atoms)
    np.testing.assert_allclose(finite_differences(atoms, PolarCrystal(), "dipole").transpose(0, 2, 1), z, atol=1e-4)


def test_symmetrisation_does_not_change_a_symmetric_gradient(result):
    np.testing.assert_allclose(
        symmetrize_gradient(result.gradient, result.phonon.primitive),
        result.gradient,
        atol=1e-6 * np.abs(result.gradient).max(),
    )


def test_powder_average_without_charges_is_the_average_of_orientations(result, tmp_path):
    """Without charges, modes do not depend on q, and the average over q equals that over orientations."""
    weak = run_phonons(wurtzite(), PolarCrystal(charge=1e-6), tmp_path, Settings(length=6), log=silent)
    tensors = raman_tensors(weak.gradient, weak.modes)
    expected = raman_modes_spectrum(GRID, tensors, weak.modes)
    found = powder_average(weak.phonon, weak.gradient, GRID)
    for name in ("VV", "VH"):
        np.testing.assert_allclose(found.values[name], expected.values[name], atol=1e-6 * expected.values[name].max())
    polar = powder_average(result.phonon, result.gradient, GRID)
    without = raman_modes_spectrum(GRID, raman_tensors(result.gradient, result.modes), result.modes)
    assert np.abs(polar.values["VV"] - without.values["VV"]).max() > 0.02 * without.values["VV"].max()
    finer = powder_average(result.phonon, result.gradient, GRID, order=35)
    np.testing.assert_allclose(finer.values["VV"], polar.values["VV"], atol=1e-3 * polar.values["VV"].max())


def test_average_of_orientations_by_brute_force(result):
    tensors = raman_tensors(result.gradient, result.modes)[3:]
    turns = Rotation.random(200000, random_state=1).as_matrix()
    x, y = turns[:, 0], turns[:, 1]
    for out, formula in ((x, lambda a, g: (45 * a + 4 * g) / 45), (y, lambda a, g: g / 15)):
        for tensor in tensors[3:6]:
            sampled = (np.einsum("ni,ij,nj->n", out, tensor, x) ** 2).mean()
            assert sampled == pytest.approx(formula(*invariants(tensor)), rel=0.02, abs=1e-9)


def test_porto_selects_modes(result):
    """z(xx)-z sees A1(LO) and E2; x(zz)-x A1(TO); x(yz)-x E1(TO) of wurtzite (Arguello et al., 1969)."""
    to = {
        label: result.modes.wavenumbers[group[0]]
        for label, group in zip(result.modes.labels, result.modes.sets, strict=True)
        if label in ("A1", "E1")
    }
    seen = {}
    for notation in ("z(xx)-z", "x(zz)-x", "x(yz)-x", "y(xy)z"):
        _, modes, squared = porto_spectrum(result.phonon, result.gradient, notation, GRID)
        seen[notation] = (
            [modes.wavenumbers[modes.sets[k][0]] for k in modes.optical_sets if squared[k] > 1e-6]
            if (notation != "y(xy)z")
            else []
        )
    assert np.abs(np.array(seen["x(zz)-x"]) - to["A1"]).min() < 1e-2
    assert len(seen["x(zz)-x"]) == 1
    assert seen["x(yz)-x"] == pytest.approx([to["E1"]], abs=1e-2)
    a1_lo = max(w for w in lo_to(result.phonon, [[0, 0, 1]])[0] if to["A1"] + 0.1 < w < to["E1"] - 0.1)
    assert np.abs(np.array(seen["z(xx)-z"]) - a1_lo).min() < 1e-2
    assert np.abs(np.array(seen["z(xx)-z"]) - to["A1"]).min() > 0.1


def test_polarization_scan_of_a_uniaxial_tensor():
    """A tensor diag(a, a, b) seen along x, polarization from z: HH = (b cos^2 + a sin^2)^2, HV = ((b - a) sin cos)^2."""
    modes = replace_modes(1)
    a, b = 2.0, 0.5
    angles = np.linspace(0, 180, 7)
    hh, hv = polarization_scan(np.diag([a, a, b])[None], modes, [1, 0, 0], [0, 0, 1], angles)
    c, s = np.cos(np.radians(angles)), np.sin(np.radians(angles))
    np.testing.assert_allclose(hh[:, 0], (b * c**2 + a * s**2) ** 2, atol=1e-12)
    np.testing.assert_allclose(hv[:, 0], ((b - a) * s * c) ** 2, atol=1e-12)


def replace_modes(n):
    from tnep_calc.phonons.modes import GammaModes

    sets = tuple((k,) for k in range(n))
    none = (None,) * n
    return GammaModes(
        np.full(n, 100.0), np.zeros((n, 1, 3)), np.ones(1), 10.0, sets, none, none, none, np.zeros(n, bool)
    )


def test_electro_optic_term(result):
    """The tensor of an LO mode changes by beta . E with the field of the mode: against a finite difference of alpha."""
    random = np.random.default_rng(3).normal(size=(3, 3, 3))
    beta = sum(
        np.transpose(random, order) for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    )
    q = np.array([0.0, 0.0, 1.0])
    modes, plain = longitudinal_tensors(result.phonon, result.gradient, q)
    _, full = longitudinal_tensors(result.phonon, result.gradient, q, beta)
    k = int(np.abs(mode_charges(result.charges.used, modes)[:, 2]).argmax())
    dipole = mode_charges(result.charges.used, modes)[k, 2]
    # zero displacement field along q: eps0 eps_inf E + P_ionic = 0, with P = dipole / V
    field = -dipole / (EPSILON_0 * modes.volume * result.charges.dielectric[2, 2])
    np.testing.assert_allclose(full[k] - plain[k], POLARIZABILITY_TO_A3 * beta[:, :, 2] * field, rtol=1e-9)
    transverse = [m for m in range(12) if abs(mode_charges(result.charges.used, modes)[m, 2]) < 1e-9]
    np.testing.assert_allclose(full[transverse], plain[transverse], atol=1e-8)


def test_scale_equals_that_of_molecular_dynamics():
    """<Q^2> of a classical oscillator times the harmonic factor is hbar (n + 1) / 2w: the same as for the MD spectrum."""
    from tnep_calc.spectra.quantum import bose_factor, laser_factor
    from tnep_calc.units import BOLTZMANN, SQRT_EV_PER_A2_AMU_TO_INV_CM

    w, kelvin = 500.0, 300.0
    classical = BOLTZMANN * kelvin / (w / SQRT_EV_PER_A2_AMU_TO_INV_CM) ** 2  # amu A^2
    expected = 0.5 * classical * bose_factor(w, kelvin) * laser_factor(w, 532.0)
    assert stokes_factor(w, kelvin, 532.0) == pytest.approx(expected, rel=1e-6)
