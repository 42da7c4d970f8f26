"""LO-TO, infrared and Raman of modes against phonopy, Phonopy-Spectroscopy, ramannoodle and ABINIT."""

import json

import numpy as np
import pytest

from helpers.paths import shared_data
from tnep_calc.errors import InputError
from tnep_calc.phonons import lo_to
from tnep_calc.phonons.infrared import UNITS, intensities, mode_charges, oscillator_strengths, static_dielectric
from tnep_calc.phonons.loto import angle_scan, assign, lyddane_sachs_teller
from tnep_calc.phonons.modes import gamma_modes, modes_from
from tnep_calc.phonons.nac import charges_of, set_nac
from tnep_calc.phonons.raman import (
    activity,
    cross_section,
    depolarization,
    invariants,
    lorentzian,
    raman_tensors,
    stokes_factor,
)
from tnep_calc.phonons.raman_source import from_dielectric, gradient_from_structures, gradient_from_tensors
from tnep_calc.units import SQRT_EV_PER_A2_AMU_TO_INV_CM, THZ_TO_INV_CM

phonopy = pytest.importorskip("phonopy")
CRYSTALS = ("NaCl-phonopy", "MgO", "SnO2", "TiO2-anatase", "ZnTe")


def reference(name):
    folder = shared_data(f"phonons/{name}")
    return folder, json.loads((folder / "reference.json").read_text())


@pytest.fixture(scope="module", params=CRYSTALS)
def crystal(request):
    folder, numbers = reference(request.param)
    return phonopy.load(folder / "phonopy_params.yaml.xz", log_level=0), numbers


@pytest.mark.slow
def test_lo_to_in_every_direction(crystal):
    phonon, r = crystal
    found = lo_to(phonon, [entry["q_cart"] for entry in r["gamma_nac"]])
    expected = np.array([entry["frequencies_gonze_THz"] for entry in r["gamma_nac"]]) * THZ_TO_INV_CM
    assert found.shape == (len(r["gamma_nac"]), 3 * r["natom_primitive"])
    np.testing.assert_allclose(found, expected, atol=1e-4 * THZ_TO_INV_CM)
    np.testing.assert_allclose(lo_to(phonon, [[-3.0, -3.0, 0.0]]), lo_to(phonon, [[1.0, 1.0, 0.0]]), atol=2e-4)


def test_wang_is_the_same_at_gamma(crystal):
    phonon, r = crystal
    before = phonon.nac_params
    directions = [entry["q_cart"] for entry in r["gamma_nac"]]
    gonze = lo_to(phonon, directions)
    try:
        phonon.nac_params = {**before, "method": "wang"}
        assert charges_of(phonon).method == "wang"
        np.testing.assert_allclose(lo_to(phonon, directions), gonze, atol=1e-4 * THZ_TO_INV_CM)
    finally:
        phonon.nac_params = before


def test_infrared_and_static_dielectric_tensor(crystal):
    phonon, r = crystal
    modes, charges = gamma_modes(phonon), charges_of(phonon)
    np.testing.assert_allclose(charges.used, r["born"], atol=1e-6)
    p = mode_charges(charges.used, modes)
    for unit, name in (
        ("e2/amu", "mode_effective_charge_e_per_sqrt_amu_norm2"),
        ("km/mol", "intensity_km_per_mol"),
        ("D2/A2/amu", "intensity_D2_per_A2_amu"),
    ):
        expected = modes.of_sets(np.array(r["ir"][name]))
        np.testing.assert_allclose(modes.of_sets(intensities(p, unit)), expected, atol=1e-6 * expected.max())
    traces = modes.of_sets(np.trace(oscillator_strengths(p, modes), axis1=1, axis2=2))
    expected = modes.of_sets(np.array(r["ir"]["oscillator_strength_trace_delta_eps"]))
    np.testing.assert_allclose(traces, expected, atol=1e-6 * expected.max())
    np.testing.assert_allclose(
        static_dielectric(charges.dielectric, p, modes), r["ir"]["epsilon_static"], rtol=1e-6, atol=1e-7
    )
    active = modes.of_sets(intensities(p)) > 1e-9
    assert [bool(a) for a in active[1:]] == [bool(a) for a in modes.infrared_active[1:]]


def test_lyddane_sachs_teller(crystal):
    phonon, r = crystal
    for entry in r["lyddane_sachs_teller"]:
        found = lyddane_sachs_teller(phonon, entry["q"])
        assert found.frequencies == pytest.approx(entry["prod_wLO2_over_wTO2"], rel=1e-6)
        assert abs(found.deviation) < 1e-4
    assert abs(lyddane_sachs_teller(phonon, [1.0, 2.0, 3.0]).deviation) < 1e-4  # any direction, not only principal axes


def test_uniaxial_branches_and_assignment():
    folder, _ = reference("SnO2")
    phonon = phonopy.load(folder / "phonopy_params.yaml.xz", log_level=0)
    scan = angle_scan(phonon, [0, 0, 1], [1, 0, 0], n=10)
    np.testing.assert_allclose(scan.wavenumbers[[0, -1]], lo_to(phonon, [[0, 0, 1], [1, 0, 0]]), atol=1e-4)
    assert scan.angles[-1] == pytest.approx(90)
    mixed = (scan.longitudinal[5] > 0.05) & (scan.longitudinal[5] < 0.95)
    assert mixed.sum() == 2 * 4 - 4 or mixed.any()  # extraordinary branches are neither LO nor TO
    to = gamma_modes(phonon)
    modes, branches = assign(phonon, [0, 0, 1], to)
    longitudinal = [b for b in branches if b.longitudinal > 0.99]
    (a2u,) = longitudinal  # along c one A2u mode is longitudinal
    assert a2u.overlap == pytest.approx(1, abs=1e-6)
    assert [to.labels[k] for k, group in enumerate(to.sets) if a2u.origin in group] == ["A2u"]
    assert sorted(b.origin for b in branches) == list(range(18))


def test_charges_that_do_not_sum_to_zero():
    folder, r = reference("ZnTe")
    phonon = phonopy.load(folder / "phonopy_params.yaml.xz", log_level=0)
    shifted = np.array(r["born"]) + 0.03 * np.eye(3)
    charges = set_nac(phonon, shifted, r["epsilon_inf"])
    assert charges.sum_before[0, 0] == pytest.approx(0.06) and abs(charges.sum_after).max() < 1e-12
    assert "subtracted" in charges.correction
    expected = np.array(r["gamma_nac"][0]["frequencies_gonze_THz"]) * THZ_TO_INV_CM
    np.testing.assert_allclose(lo_to(phonon, [r["gamma_nac"][0]["q_cart"]])[0], expected, atol=1e-4 * THZ_TO_INV_CM)


@pytest.fixture(scope="module")
def quartz():
    folder, r = reference("SiO2-quartz")
    arrays = dict(np.load(folder / "modes.npz"))
    wavenumbers = np.array(r["frequencies_THz"]) * THZ_TO_INV_CM
    modes = modes_from(wavenumbers, arrays["eigenvectors"], r["masses"], r["volume_A3"], tolerance=0.05)
    return folder, r, modes, arrays


def by_peak(modes, values, peak):
    (k,) = [k for k, group in enumerate(modes.sets) if abs(modes.wavenumbers[group[0]] - peak["cm1"]) < 0.05]
    return values[k]


def test_infrared_table_of_quartz(quartz):
    _, r, modes, arrays = quartz
    p = mode_charges(r["born"], modes)
    found = modes.of_sets(intensities(p))
    assert len(r["ir_peak_table"]) == 17
    for peak in r["ir_peak_table"]:
        assert by_peak(modes, found, peak) == pytest.approx(peak["intensity_e2_per_amu"], abs=6e-7)
    np.testing.assert_allclose(static_dielectric(r["epsilon_inf"], p, modes), r["epsilon_static"], atol=1e-6)


def test_raman_table_of_quartz(quartz):
    folder, r, modes, arrays = quartz
    tensors = np.nan_to_num(arrays["raman_tensors"])
    fitted = raman_tensors(gradient_from_displaced_quartz(r, arrays), modes)
    for which in (tensors, fitted):
        inv = invariants(which)
        found = modes.of_sets(activity(inv))
        for peak in r["raman_peak_table"]:
            # the table is of tensors rounded to 1e-4
            expected = peak["activity_45a2_7g2_A4_per_amu"]
            assert by_peak(modes, found, peak) == pytest.approx(expected, abs=1e-3 if which is tensors else 2e-3)
    mean, gamma = (modes.of_sets(x) for x in invariants(tensors))
    ratio = depolarization(type(inv)(mean, gamma))
    for peak in r["raman_peak_table"]:
        assert by_peak(modes, ratio, peak) == pytest.approx(peak["depolarisation_ratio_perp_par"], abs=1e-3)
    again = raman_tensors(gradient_from_tensors(tensors_of(modes, r, arrays), modes), modes)
    np.testing.assert_allclose(again, tensors_of(modes, r, arrays), atol=1e-10)


def tensors_of(modes, r, arrays):
    return raman_tensors(gradient_from_displaced_quartz(r, arrays), modes)


def gradient_from_displaced_quartz(r, arrays):
    cell = phonopy.structure.atoms.PhonopyAtoms(
        cell=r["cell"], symbols=r["symbols"], scaled_positions=r["scaled_positions"]
    )
    moved, tensors = [], []
    for entry in r["epsilon_at_displaced"]:
        for q, eps in zip(entry["q_steps"], entry["eps"], strict=True):
            moved.append(q * arrays["eigenvectors"][entry["band_index"]] / np.sqrt(r["masses"])[:, None])
            tensors.append(from_dielectric(eps, r["volume_A3"]))
    return gradient_from_structures(cell, moved, tensors, symprec=1e-3)


def test_spectra_of_quartz(quartz):
    """Their Lorentzians use the linewidths of their table as full widths, which is wrong for phono3py's gamma."""
    folder, r, modes, _ = quartz
    spectra = np.load(folder / "spectra.npz")
    peaks = [p for p in r["raman_peak_table"]]
    x = spectra["raman"][:, 0]
    shape = lorentzian(x, [p["cm1"] for p in peaks], [p["linewidth_cm1"] for p in peaks])
    y = shape @ np.array([p["activity_45a2_7g2_A4_per_amu"] for p in peaks])
    np.testing.assert_allclose(y, spectra["raman"][:, 1], atol=2e-6 * y.max())


def test_raman_of_ramannoodle():
    folder, _ = reference("TiO2-ramannoodle")
    d = dict(np.load(folder / "data.npz"))
    use = d["wavenumbers_cm1"] > 1
    w = d["wavenumbers_cm1"][use]
    for kind in ("interp", "art"):
        upper = np.triu(d[f"raman_tensors_{kind}"])  # theirs are not symmetric, and only this half is read
        tensors = upper + np.triu(upper, 1).transpose(0, 2, 1)
        found = stokes_factor(w, 300.0, 532.0) * activity(invariants(tensors[use]))
        expected = d[f"intensity_{kind}_532nm_300K"][use]
        np.testing.assert_allclose(found / found.max(), expected / expected.max(), atol=4e-6)


@pytest.mark.parametrize("name, element", [("BN", -0.6374926306777438), ("GaAs", -7.1590361274931835)])
def test_response_of_abinit(name, element):
    _, r = reference(f"{name}-abinit")
    mass = np.array(r["masses_abinit"])
    cell = phonopy.structure.atoms.PhonopyAtoms(
        cell=r["cell"], symbols=r["symbols"], masses=mass, scaled_positions=r["scaled_positions"]
    )
    spring = (r["TO_cm1"] / SQRT_EV_PER_A2_AMU_TO_INV_CM) ** 2 / (1 / mass).sum()
    born = np.array(r["born_xx_raw"])[:, None, None] * np.eye(3)
    eps = r["epsilon_inf"] * np.eye(3)
    for symmetric, expected, tolerance in (
        (False, r["LO_cm1_abinit"], 6e-4),
        (True, r["LO_cm1_own_asr_charges"], 3e-4),
    ):
        phonon = phonopy.Phonopy(cell, np.eye(3), "P", is_symmetry=symmetric)
        phonon.force_constants = spring * np.einsum("ij,ab->ijab", [[1, -1], [-1, 1]], np.eye(3))
        charges = set_nac(phonon, born, eps)
        assert (charges.correction == "none") is not symmetric
        found = lo_to(phonon, [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        np.testing.assert_allclose(found[:, 3:5], r["TO_cm1"], atol=6e-4)  # ABINIT's printed digits
        np.testing.assert_allclose(found[:, 5], expected, atol=tolerance)
    moved = np.zeros((len(r["eps_at_displaced"]), 2, 3))
    moved[:, 0, 0] = [entry["u_x_atom0_A"] for entry in r["eps_at_displaced"]]
    alpha = [from_dielectric(entry["epsilon_inf"], r["volume_A3"]) for entry in r["eps_at_displaced"]]
    modes = gamma_modes(phonon)
    tensors = raman_tensors(gradient_from_structures(cell, moved, alpha), modes)
    assert tensors[3, 1, 2] == pytest.approx(element, rel=1e-7)  # the mode along x
    np.testing.assert_allclose(activity(invariants(tensors[3:])), r["raman_activity_S_A4_per_amu_per_mode"], rtol=1e-7)
    np.testing.assert_allclose(depolarization(invariants(tensors[3:])), 0.75, atol=1e-9)


def test_cross_section_constant():
    """5.8385e-46 cm^2/sr (nu_L - nu)^4 / nu S / (1 - exp(-h c nu / k T)), in cm^-1 and A^4/amu."""
    found = cross_section(1000.0, 10.0, 300.0, 500.0)
    expected = 5.8385e-46 * 19000.0**4 / 1000.0 * 10.0 / (1 - np.exp(-1000 / 208.51))
    assert found == pytest.approx(expected, rel=1e-4)


def test_units_of_infrared_intensities():
    assert UNITS["km/mol"] == pytest.approx(974.880110, rel=1e-8)
    assert UNITS["km/mol"] / UNITS["D2/A2/amu"] == pytest.approx(42.2560615, rel=1e-8)


def test_errors_of_lo_to():
    folder, r = reference("ZnTe")
    phonon = phonopy.load(folder / "phonopy_params.yaml.xz", log_level=0)
    for wrong in ([1, 0, 0], [[0, 0, 0]], [[np.nan, 0, 1]], np.zeros((0, 3))):
        with pytest.raises(InputError, match="direction"):
            lo_to(phonon, wrong)
    with pytest.raises(InputError, match="a metal"):
        set_nac(phonon, r["born"], 1e5 * np.eye(3))
    with pytest.raises(InputError, match="at least 1"):
        set_nac(phonon, r["born"], 0.5 * np.eye(3))
    with pytest.raises(InputError, match="finite"):
        set_nac(phonon, np.nan * np.array(r["born"]), 3 * np.eye(3))
    phonon.nac_params = None
    with pytest.raises(InputError, match="no Born charges"):
        lo_to(phonon, [[1, 0, 0]])
