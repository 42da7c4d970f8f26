"""Raman spectra: invariants and weights by exact rotational averages, factors, an independent code."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from tnep_calc.errors import InputError
from tnep_calc.spectra import bose_factor, laser_factor, parse_porto, polarization_settings, raman_spectrum
from tnep_calc.spectra.raman import invariants
from tnep_calc.spectra.windows import window_time
from tnep_calc.units import (
    BOLTZMANN,
    BOLTZMANN_SI,
    INV_CM_TO_RAD_PER_FS,
    PLANCK,
    POLARIZABILITY_TO_A3,
    SPEED_OF_LIGHT,
    SQRT_EV_PER_A2_AMU_TO_RAD_PER_FS,
)


@pytest.fixture(scope="module")
def tensors():
    """Return symmetric tensors with bands at 700 cm^-1 (totally symmetric) and 1200 cm^-1 (traceless)."""
    rng = np.random.default_rng(5)
    n = 20_000
    w = np.fft.rfftfreq(n, 1.0) * 33356.40952

    def noise(centre, width, m):
        shape = np.sqrt(1.0 / ((w - centre) ** 2 + width**2))[:, None]
        return np.fft.irfft(np.fft.rfft(rng.normal(size=(n, m)), axis=0) * shape, n, axis=0) * width

    b = noise(1200.0, 25.0, 9).reshape(n, 3, 3)
    b = b + b.transpose(0, 2, 1)
    b -= np.eye(3) * np.trace(b, axis1=1, axis2=2)[:, None, None] / 3
    return noise(700.0, 20.0, 1)[:, :, None] * np.eye(3) + 0.4 * b + np.diag([50.0, 60.0, 70.0])


def test_vv_and_vh_are_the_averages_over_all_orientations(tensors):
    """The 60 icosahedral rotations average products of two rank-2 tensors exactly."""
    tensors = tensors[:6000]
    powder = raman_spectrum(tensors, 1.0, 300.0, 30.0, blocks=0)
    settings = [parse_porto("z(xx)-z"), parse_porto("z(xy)-z")]
    vv, vh = 0.0, 0.0
    for rotation in Rotation.create_group("I").as_matrix():
        turned = rotation @ tensors @ rotation.T
        values = raman_spectrum(turned, 1.0, 300.0, 30.0, blocks=0, geometries=settings).values
        vv += values["z(xx)-z"] / 60
        vh += values["z(xy)-z"] / 60
    np.testing.assert_allclose(powder.values["VV"], vv, rtol=1e-9, atol=1e-12 * vv.max())
    np.testing.assert_allclose(powder.values["VH"], vh, rtol=1e-9, atol=1e-12 * vv.max())
    np.testing.assert_allclose(powder.values["unpolarised"], vv + vh, rtol=1e-9, atol=1e-12 * vv.max())


def test_invariants_equal_those_of_placzek_theory():
    alpha = np.array([[[1.0, 0.2, -0.3], [0.2, 2.0, 0.5], [-0.3, 0.5, -1.0]]])
    mean, anisotropic = invariants(alpha)
    a = alpha[0]
    gamma2 = 0.5 * ((a[0, 0] - a[1, 1]) ** 2 + (a[1, 1] - a[2, 2]) ** 2 + (a[2, 2] - a[0, 0]) ** 2)
    gamma2 += 3 * (a[0, 1] ** 2 + a[1, 2] ** 2 + a[0, 2] ** 2)
    assert mean[0] == pytest.approx(2.0 / 3.0)
    assert 1.5 * np.sum(anisotropic**2) == pytest.approx(gamma2)


def test_depolarisation_bounds(tensors):
    values = raman_spectrum(tensors, 1.0, 300.0, 30.0).between(600.0, 1300.0).values
    ratio = values["VH"] / values["VV"]
    assert ratio.max() <= 0.75 + 1e-9
    assert ratio.max() > 0.74
    assert ratio.min() < 0.02


def test_unit_and_area(tensors):
    """S[a] per wavenumber: its integral over both signs is the variance of a, in A^6."""
    raman = raman_spectrum(tensors, 1.0, 300.0, 20.0, max_wavenumber=2e4, laser=400.0)
    a = np.trace(tensors, axis1=1, axis2=2) / 3 * POLARIZABILITY_TO_A3
    step = raman.wavenumber[1] - raman.wavenumber[0]
    area = step * (2 * raman.values["isotropic"].sum() - raman.values["isotropic"][[0, -1]].sum())
    assert area == pytest.approx(np.var(a), rel=1e-6)
    assert raman.units["VV"] == "A^6/cm^-1"


def test_factors():
    w = np.array([0.0, 200.0, 3000.0])
    x = PLANCK * SPEED_OF_LIGHT * 100 * w[1:] / (BOLTZMANN_SI * 250.0)
    occupation = 1 / np.expm1(x)
    np.testing.assert_allclose(bose_factor(w, 250.0), [1.0, *(x * (occupation + 1))], rtol=1e-12)
    # anti-Stokes: detailed balance exp(-x)
    np.testing.assert_allclose(bose_factor(-w, 250.0)[1:], x * occupation, rtol=1e-12)
    assert bose_factor(1e-9, 300.0) == pytest.approx(1.0)
    np.testing.assert_allclose(laser_factor(w, 500.0), [1.0, 0.99**4, 0.85**4])


def test_columns_are_line_shapes_times_factors(tensors):
    raman = raman_spectrum(tensors, 1.0, 200.0, 30.0, laser=785.0, max_wavenumber=3000.0)
    v, w = raman.values, raman.wavenumber
    factor = bose_factor(w, 200.0) * laser_factor(w, 785.0)
    np.testing.assert_allclose(v["VV"], factor * (v["isotropic"] + 2 / 15 * v["anisotropic"]))
    np.testing.assert_allclose(v["VH"], factor * v["anisotropic"] / 10)
    assert w[-1] <= 3000.0 and set(raman.errors) == set(v)


def test_a_constant_tensor_changes_nothing(tensors):
    one = raman_spectrum(tensors, 1.0, 300.0, 30.0)
    two = raman_spectrum([t + 1000.0 for t in (tensors[:12_000], tensors[12_000:])], 1.0, 300.0, 30.0)
    assert two.parameters["pieces"] == 2
    assert np.abs(one.values["VV"] - two.values["VV"]).max() < 0.1 * one.values["VV"].max()
    assert two.values["VV"][:20].max() < 0.05 * two.values["VV"].max()


def test_calorine_gives_the_same_line_shapes(tensors):
    spectra = pytest.importorskip("calorine.tools.spectra", reason="calorine is not installed")
    pandas = pytest.importorskip("pandas")
    labels = {"xx": (0, 0), "yy": (1, 1), "zz": (2, 2), "yz": (1, 2), "xz": (0, 2), "xy": (0, 1)}
    frame = pandas.DataFrame({name: tensors[:, i, j] for name, (i, j) in labels.items()})
    sigma = window_time("gaussian", 25.0) / 1000
    n_in, n_out = np.array([1.0, 0, 0]), np.array([0, 0.6, 0.8])
    theirs = spectra.get_raman_spectrum(frame, 0.001, n_in, n_out, t_sigma=sigma)
    ours = raman_spectrum(tensors, 1.0, 300.0, 25.0, geometries=[parse_porto("y(x[0,0.6,0.8])x")])
    at = theirs["wavenumber_invcm"].to_numpy()
    keep = at < 4000
    # theirs: input unit squared times seconds per angular frequency; ours: A^6 per cm^-1
    scale = POLARIZABILITY_TO_A3**2 * SPEED_OF_LIGHT * 100
    for name, column in (("isotropic", "raman_isotropic"), ("anisotropic", "raman_anisotropic")):
        expected = theirs[column].to_numpy()[keep] * scale
        got = CubicSpline(ours.wavenumber, ours.values[name])(at[keep])
        np.testing.assert_allclose(got, expected, atol=2e-4 * expected.max())
    expected = theirs["raman_polarized"].to_numpy()[keep] * scale
    factor = bose_factor(ours.wavenumber, 300.0) * laser_factor(ours.wavenumber, 532.0)
    got = CubicSpline(ours.wavenumber, ours.values["y(x[0,0.6,0.8])x"] / factor)(at[keep])
    np.testing.assert_allclose(got, expected, atol=2e-4 * expected.max())


@pytest.mark.parametrize(
    "change, match",
    [
        ({"polarizability": np.zeros((50, 3))}, r"shape \(n, 3, 3\)"),
        ({"temperature": None}, "temperature"),
        ({"laser": -1.0}, "laser"),
        ({"laser": 3000.0}, "cannot be scattered"),
        ({"max_wavenumber": 0.0}, "max_wavenumber"),
        ({"geometries": [parse_porto("z(xx)-z")] * 2}, "given twice"),
        ({"molecules": 0}, "positive integer"),
        ({"resolution": 1.0}, "coarser resolution"),
        ({"window": "none"}, "gaussian, hann"),
    ],
)
def test_raman_errors(tensors, change, match):
    arguments = {"polarizability": tensors[:5000], "dt": 1.0, "temperature": 300.0, "resolution": 50.0}
    with pytest.raises(InputError, match=match):
        raman_spectrum(**(arguments | change))


def harmonic(position, derivative, temperature, n=60_000, dt=1.0):
    """Polarizabilities of one classical mode with energy k_B T; derivative: volume polarizability in Å^2/sqrt(amu)."""
    omega = position * INV_CM_TO_RAD_PER_FS
    amplitude = np.sqrt(2 * BOLTZMANN * temperature) * SQRT_EV_PER_A2_AMU_TO_RAD_PER_FS / omega
    q = amplitude * np.cos(omega * dt * np.arange(n))
    return q[:, None, None] * np.asarray(derivative) / POLARIZABILITY_TO_A3


@pytest.mark.parametrize("position, temperature", [(500.0, 300.0), (1600.0, 150.0)])
def test_cross_section_of_a_mode_equals_placzek_theory(position, temperature):
    """Integral over the band: (2 pi)^4 / 45 (w_L - w)^4 h / (8 pi^2 c w) (45 a^2 + 7 gamma^2) / (1 - exp(-x)), in SI."""
    derivative = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, -0.5], [0.0, -0.5, 0.4]])
    raman = raman_spectrum(
        harmonic(position, derivative, temperature),
        1.0,
        temperature,
        8.0,
        blocks=0,
        laser=500.0,
        molecules=4,
        anti_stokes=True,
    )
    a = np.trace(derivative) / 3
    b = derivative - a * np.eye(3)
    gamma2 = 1.5 * np.sum(b * b)
    si = (1e-20 / np.sqrt(1.66053906660e-27)) ** 2  # (Å^2/sqrt(amu))^2 in m^4/kg
    h, c, k = PLANCK, SPEED_OF_LIGHT, BOLTZMANN_SI
    x = h * c * 100 * position / (k * temperature)
    w = raman.wavenumber
    near = np.abs(w - position) < 40.0
    step = w[1] - w[0]
    for name, weight in (("unpolarised", 45 * a * a + 7 * gamma2), ("VV", 45 * a * a + 4 * gamma2), ("VH", 3 * gamma2)):
        scattered = 100 * (1e7 / 500.0 - position)
        expected = (
            (2 * np.pi * scattered) ** 4 / 45 * h / (8 * np.pi**2 * c * 100 * position) * weight * si / -np.expm1(-x)
        )
        area = step * raman.values[f"cross_section_{name}"][near].sum() * 4 * 1e-4  # four molecules, cm^2 to m^2
        assert area == pytest.approx(expected, rel=0.02)
        # anti-Stokes over Stokes: ((w_L + w) / (w_L - w))^4 exp(-x)
        up = step * raman.values[f"anti_stokes_{name}"][near].sum()
        down = step * raman.values[name][near].sum()
        assert up / down == pytest.approx((100 * (1e7 / 500 + position) / scattered) ** 4 * np.exp(-x), rel=0.02)
    at = near.nonzero()[0][raman.values["VV"][near].argmax()]
    assert raman.values["depolarisation"][at] == pytest.approx(3 * gamma2 / (45 * a * a + 4 * gamma2), rel=1e-6)
    assert raman.units["cross_section_VV"] == "cm^2/sr/cm^-1"


def test_depolarisation_ratio_has_an_error_bar(tensors):
    raman = raman_spectrum(tensors, 1.0, 300.0, 60.0, blocks=9)
    at = np.searchsorted(raman.wavenumber, 1200.0)
    ratio, error = raman.values["depolarisation"][at], raman.errors["depolarisation"][at]
    assert ratio == pytest.approx(0.75, abs=max(0.02, 4 * error)) and error < 0.02
    middle = np.searchsorted(raman.wavenumber, 950.0)  # where two bands meet
    assert raman.errors["depolarisation"][middle] > 5 * error


def test_oriented_settings_see_their_component(tensors):
    settings = polarization_settings([0, 0, 1], [1, 0, 0])
    raman = raman_spectrum(tensors[:6000], 1.0, 300.0, 40.0, blocks=0, geometries=list(settings.values()))
    np.testing.assert_allclose(raman.values["VH"] * 0, 0)
    direct = raman_spectrum(tensors[:6000], 1.0, 300.0, 40.0, blocks=0, geometries=[parse_porto("z(yy)-z")])
    np.testing.assert_allclose(raman.values["oriented_HH"], direct.values["z(yy)-z"], rtol=1e-9)
    np.testing.assert_allclose(raman.values["oriented_VH"], raman.values["oriented_HV"], rtol=1e-9)
