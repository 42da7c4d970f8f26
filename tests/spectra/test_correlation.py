"""Correlation, windows, dielectric function and infrared spectrum against closed forms and an independent code."""

import numpy as np
import pytest
from scipy.integrate import simpson
from scipy.interpolate import CubicSpline

from helpers.paths import shared_data
from tnep_calc.errors import InputError
from tnep_calc.spectra import (
    align_branches,
    autocorrelation,
    correlation_tensor,
    dielectric_function,
    electronic_dielectric,
    find_peaks,
    infrared_spectrum,
    lag_window,
    optical_constants,
    split_blocks,
    static_dielectric,
    unwrap_dipole,
)
from tnep_calc.spectra.correlation import nyquist_load, one_sided_transform
from tnep_calc.spectra.dielectric import fluctuation_factor, static_sum_rule
from tnep_calc.spectra.windows import window_time
from tnep_calc.units import BOLTZMANN, DEBYE, DIPOLE_UNITS, EPSILON_0, INV_CM_TO_RAD_PER_FS, POLARIZABILITY_UNITS

VOLUME, TEMPERATURE = 1500.0, 320.0
FACTOR = fluctuation_factor(VOLUME, TEMPERATURE)


def oscillator(t, position, width, variance=1.0):
    """Return the position correlation of a Langevin oscillator; position and damping (FWHM) in cm^-1, t in fs."""
    w0, g = position * INV_CM_TO_RAD_PER_FS, width * INV_CM_TO_RAD_PER_FS
    shifted = np.sqrt(w0**2 - 0.25 * g**2)
    return variance * np.exp(-0.5 * g * t) * (np.cos(shifted * t) + 0.5 * g / shifted * np.sin(shifted * t))


def gaussian_process(correlation, shape, rng):
    """Return exact samples, shape (n, components), of a stationary process with this correlation, which decays to zero."""
    n, components = shape
    even = np.concatenate([correlation, correlation[-2:0:-1]])
    power = np.maximum(np.fft.rfft(even).real, 0.0)
    size = len(even)
    assert n <= size // 2
    noise = np.fft.rfft(rng.normal(size=(size, components)), axis=0)
    return np.fft.irfft(noise * np.sqrt(power)[:, None], size, axis=0)[:n]


@pytest.fixture(scope="module")
def liquid():
    rng = np.random.default_rng(7)
    t = np.arange(2.0**17)
    bands = ((600.0, 40.0, 0.8), (1650.0, 25.0, 0.3))
    c = sum(oscillator(t, *band) for band in bands)
    return bands, gaussian_process(c, (120_000, 3), rng)


# --- windows


@pytest.mark.parametrize("kind", ["gaussian", "hann"])
def test_resolution_is_the_full_width_at_half_maximum(kind):
    window = lag_window(kind, 12.5, 1.0)
    wavenumber, transform = one_sided_transform(window, 1.0, 12.5)
    line = CubicSpline(wavenumber, transform.real)
    assert line(6.25) == pytest.approx(0.5 * line(0.0), rel=1e-4)
    assert window[0] == 1.0


def test_window_errors():
    with pytest.raises(InputError, match="gaussian, hann"):
        lag_window("boxcar", 10.0, 1.0)
    with pytest.raises(InputError, match="resolution"):
        lag_window("hann", 0.0, 1.0)
    with pytest.raises(InputError, match="interval"):
        lag_window("hann", 10.0, float("nan"))


# --- correlation


def test_autocorrelation_equals_the_direct_sum_within_pieces():
    rng = np.random.default_rng(0)
    pieces = [rng.normal(size=(n, 3)) for n in (37, 11, 4)]
    expected = []
    for lag in range(20):
        products = [np.sum(p[: len(p) - lag] * p[lag:], axis=1) for p in pieces if len(p) > lag]
        expected.append(np.concatenate(products).mean())
    np.testing.assert_allclose(autocorrelation(pieces, 20), expected, atol=1e-13)


def test_correlation_tensor_equals_the_symmetric_direct_sum():
    rng = np.random.default_rng(1)
    pieces = [rng.normal(size=(n, 3)) for n in (37, 11)]
    expected = []
    for lag in range(20):
        pairs = [(p[: len(p) - lag], p[lag:]) for p in pieces if len(p) > lag]
        mean = sum(a.T @ b for a, b in pairs) / sum(len(a) for a, _ in pairs)
        expected.append(0.5 * (mean + mean.T))
    found = correlation_tensor(pieces, 20)
    np.testing.assert_allclose(found, expected, atol=1e-13)
    np.testing.assert_allclose(np.trace(found, axis1=1, axis2=2), autocorrelation(pieces, 20), atol=1e-13)


def test_autocorrelation_needs_a_piece_as_long_as_the_lags():
    with pytest.raises(InputError, match="at least 12"):
        autocorrelation([np.zeros((11, 3)), np.zeros((4, 3))], 12)


def test_blocks_do_not_reach_across_pieces():
    a, b = np.arange(10.0)[:, None], np.arange(100.0, 107.0)[:, None]
    blocks = split_blocks([a, b], 3)
    assert [block[0, 0] for block in blocks] == [0.0, 5.0, 100.0]
    assert all(len(block) == 5 for block in blocks)
    with pytest.raises(InputError, match="cannot be cut"):
        split_blocks([a], 11)


# --- dielectric function


def test_dielectric_function_of_an_oscillator_in_closed_form():
    dt = 1.0
    c = oscillator(dt * np.arange(60_000), 900.0, 20.0)
    wavenumber, eps = dielectric_function(c, dt, 20.0, 2.0)
    w, w0, g = wavenumber, 900.0, 20.0
    expected = 2.0 * w0**2 / (w0**2 - w**2 - 1j * g * w)
    near = w < 3000.0
    scale = np.abs(expected).max()
    np.testing.assert_allclose(eps[near].real, expected[near].real, atol=2e-5 * scale)
    # aliases of the w^-4 tail of the band, and nothing else, separate the imaginary parts
    np.testing.assert_allclose(eps[near].imag, expected[near].imag, atol=2e-5 * scale)
    assert eps[0] == pytest.approx(2.0)


def test_windowed_dielectric_function_equals_the_continuous_integral():
    dt, resolution = 2.0, 15.0
    window = lag_window("gaussian", resolution, dt)
    c = oscillator(dt * np.arange(len(window)), 1500.0, 10.0)
    wavenumber, eps = dielectric_function(c * window, dt, resolution, 1.0)
    scale = window_time("gaussian", resolution)
    t = np.linspace(0.0, 5 * scale, 200_001)
    fine = oscillator(t, 1500.0, 10.0) * np.exp(-0.5 * (t / scale) ** 2)
    for k in np.searchsorted(wavenumber, [300.0, 1480.0, 1500.0, 1510.0, 2500.0]):
        w = wavenumber[k] * INV_CM_TO_RAD_PER_FS
        expected = fine[0] + 1j * w * (simpson(fine * np.cos(w * t), x=t) + 1j * simpson(fine * np.sin(w * t), x=t))
        assert eps[k].real == pytest.approx(expected.real, abs=3e-4 * abs(eps).max())
        assert eps[k].imag == pytest.approx(expected.imag, abs=3e-4 * abs(eps).max())


def test_static_dielectric_equals_the_fluctuation_formula():
    rng = np.random.default_rng(3)
    dipole = rng.normal(size=(500, 3)) @ np.diag([1.0, 2.0, 3.0]) + 40.0
    eps = static_dielectric(dipole, VOLUME, TEMPERATURE, eps_inf=2.5).tensor
    fluctuation = np.mean(dipole[:, 2] ** 2) - np.mean(dipole[:, 2]) ** 2
    assert eps[2, 2] == pytest.approx(2.5 + fluctuation / (EPSILON_0 * VOLUME * BOLTZMANN * TEMPERATURE), rel=1e-10)
    np.testing.assert_allclose(eps, eps.T)
    tensor = static_dielectric(dipole, VOLUME, TEMPERATURE, eps_inf=np.diag([2.0, 3.0, 4.0])).tensor
    assert tensor[2, 2] - eps[2, 2] == pytest.approx(1.5)
    assert static_dielectric(dipole, VOLUME, TEMPERATURE).tensor[2, 2] == pytest.approx(eps[2, 2] - 1.5)


def test_water_dipole_unit_gives_debye_fluctuation_formula():
    """Independent units: eps - 1 = <M^2> / (3 eps0 V kT) in SI, with M in debye."""
    m2 = 3.0 * 25.0  # D^2
    si = m2 * 3.33564e-30**2 / (3 * 8.8541878128e-12 * VOLUME * 1e-30 * 1.380649e-23 * TEMPERATURE)
    signs = np.array([[i, j, k] for i in (1, -1) for j in (1, -1) for k in (1, -1)])
    eps = static_dielectric(signs * 5.0 * DEBYE, VOLUME, TEMPERATURE).tensor
    assert np.trace(eps) / 3 - 1 == pytest.approx(si, rel=1e-5)


def test_electronic_dielectric():
    """Clausius-Mossotti needs local fields; the sum over a cell does not: chi = alpha / (eps0 V) = 4 pi alpha' / V."""
    alpha = np.eye(3) * 100.0 * POLARIZABILITY_UNITS["A^3"]
    eps = electronic_dielectric(np.stack([alpha * 0.5, alpha * 1.5]), 1000.0).tensor
    np.testing.assert_allclose(eps, np.eye(3) * (1 + 4 * np.pi * 0.1), rtol=1e-9)


def test_optical_constants_are_consistent():
    eps = np.array([3.0 + 4.0j, -1.0 + 0.5j])
    got = optical_constants(np.array([100.0, 200.0]), eps)
    index = got["refractive_index"] + 1j * got["extinction"]
    np.testing.assert_allclose(index**2, eps)
    np.testing.assert_allclose(got["absorption_coefficient"], 4 * np.pi * got["extinction"] * [100.0, 200.0])
    # absorbed and refracted: n * alpha = 2 pi w eps''
    expected = 2 * np.pi * np.array([100.0, 200.0]) * eps.imag
    np.testing.assert_allclose(got["refractive_index"] * got["absorption_coefficient"], expected)
    assert got["reflectivity"][0] == pytest.approx(abs((2 + 1j - 1) / (2 + 1j + 1)) ** 2)


# --- infrared


def exact_infrared(bands, resolution, window, wavenumber):
    """n*alpha of Langevin oscillators behind the same window, by quadrature on a fine grid."""
    scale = window_time(window, resolution)
    t = np.linspace(0.0, 5 * scale if window == "gaussian" else scale, 60_001)
    g = np.exp(-0.5 * (t / scale) ** 2) if window == "gaussian" else np.cos(0.5 * np.pi * t / scale) ** 2
    c = sum(oscillator(t, *band) for band in bands) * g
    w = wavenumber * INV_CM_TO_RAD_PER_FS
    integral = np.array([simpson(c * np.cos(x * t), x=t) for x in w])
    return 2 * np.pi * wavenumber * FACTOR * w * integral


@pytest.mark.parametrize("window", ["gaussian", "hann"])
def test_langevin_oscillators_within_their_error_bars(liquid, window):
    bands, dipole = liquid
    ir = infrared_spectrum(dipole, 1.0, VOLUME, TEMPERATURE, 20.0, window, blocks=16)
    # points further apart than the resolution are independent
    points = np.searchsorted(ir.wavenumber, np.r_[560:650:25, 1610:1690:25])
    exact = exact_infrared(bands, 20.0, window, ir.wavenumber[points])
    value, error = ir.values["absorption"][points], ir.errors["absorption"][points]
    z = (value - exact) / error
    assert (error < 0.2 * exact.max()).all()
    assert abs(z.mean()) < 1.2
    assert 0.3 < np.mean(z**2) < 2.5
    assert np.sum(np.abs(value - exact)) < 0.12 * np.sum(exact)


def test_standard_error_of_the_mean_of_blocks(liquid):
    blocks = [block - block.mean(axis=0) for block in split_blocks([liquid[1][:30_000]], 6)]
    ir = infrared_spectrum(np.concatenate(blocks), 1.0, VOLUME, TEMPERATURE, 50.0, blocks=6)
    single = [infrared_spectrum(block, 1.0, VOLUME, TEMPERATURE, 50.0, blocks=0).values["eps_imag"] for block in blocks]
    expected = np.std(single, axis=0, ddof=1) / np.sqrt(6)
    np.testing.assert_allclose(ir.errors["eps_imag"], expected, rtol=1e-6, atol=1e-9 * expected.max())


def test_sum_rule_and_area(liquid):
    bands, dipole = liquid
    ir = infrared_spectrum(dipole, 1.0, VOLUME, TEMPERATURE, 10.0)
    centred = dipole - dipole.mean(axis=0)
    fluctuation = FACTOR * np.mean(np.sum(centred**2, axis=1)) / 3
    assert ir.parameters["static_fluctuation"] == pytest.approx(fluctuation, rel=1e-10)
    assert static_sum_rule(ir.wavenumber, ir.values["eps_imag"]) == pytest.approx(fluctuation, rel=1e-4)
    assert fluctuation == pytest.approx(FACTOR * 1.1, rel=0.05)
    # the strength of a band: integral n alpha dw = pi^2 w0^2 * variance * factor (w in cm^-1)
    part = ir.between(1400.0, 1900.0)
    area = np.sum(part.values["absorption"]) * (part.wavenumber[1] - part.wavenumber[0])
    assert area == pytest.approx(np.pi**2 * 1650.0**2 * 0.3 * FACTOR, rel=0.08)


def test_pieces_directions_and_eps_inf(liquid):
    dipole = liquid[1][:40_000]
    whole = infrared_spectrum(dipole, 1.0, VOLUME, TEMPERATURE, 30.0, blocks=0)
    axes = [infrared_spectrum(dipole, 1.0, VOLUME, TEMPERATURE, 30.0, blocks=0, direction=e) for e in np.eye(3) * 5]
    mean = np.mean([axis.values["eps_imag"] for axis in axes], axis=0)
    np.testing.assert_allclose(mean, whole.values["eps_imag"], atol=1e-10 * mean.max())
    halves = infrared_spectrum([dipole[:25_000], dipole[25_000:]], 1.0, VOLUME, TEMPERATURE, 30.0)
    assert np.abs(halves.values["eps_imag"] - whole.values["eps_imag"]).max() < 0.1 * whole.values["eps_imag"].max()
    assert halves.parameters["pieces"] == 2 and whole.errors == {}
    optical = infrared_spectrum(dipole, 1.0, VOLUME, TEMPERATURE, 30.0, eps_inf=1.8, max_wavenumber=2000.0)
    assert optical.wavenumber[-1] <= 2000.0
    v = optical.values
    np.testing.assert_allclose(v["refractive_index"] * v["absorption_coefficient"], v["absorption"], rtol=1e-9)
    assert v["eps_real"][0] == pytest.approx(1.8 + whole.parameters["static_fluctuation"], rel=1e-6)


@pytest.mark.parametrize(
    "change, match",
    [
        ({"dipole": np.zeros((50, 2))}, r"shape \(n, 3\)"),
        ({"dipole": np.full((50, 3), np.nan)}, "not finite at sample 0"),
        ({"dipole": np.zeros((1, 3))}, "at least 2 samples"),
        ({"volume": None}, "volume"),
        ({"volume": -1.0}, "volume"),
        ({"temperature": None}, "temperature"),
        ({"temperature": 0.0}, "temperature"),
        ({"resolution": 0.01}, "coarser resolution or a longer run"),
        ({"blocks": 60}, "use fewer blocks"),
        ({"blocks": -1}, "negative"),
        ({"direction": [0, 0, 0]}, "direction"),
        ({"eps_inf": 0.5}, "eps_inf"),
        ({"dt": 0.0}, "interval"),
        ({"max_wavenumber": -5.0}, "fewer than 3 points"),
    ],
)
def test_infrared_errors(change, match):
    rng = np.random.default_rng(0)
    arguments = {"dipole": rng.normal(size=(5000, 3)), "dt": 1.0, "volume": 100.0, "temperature": 300.0}
    arguments["resolution"] = 50.0
    with pytest.raises(InputError, match=match):
        infrared_spectrum(**(arguments | change))


def test_calorine_gives_the_same_infrared_spectrum(liquid):
    spectra = pytest.importorskip("calorine.tools.spectra", reason="calorine is not installed")
    pandas = pytest.importorskip("pandas")
    dipole = liquid[1][:30_000]
    frame = pandas.DataFrame(dipole, columns=["mu_x", "mu_y", "mu_z"])
    sigma = window_time("gaussian", 25.0) / 1000
    theirs = spectra.get_ir_spectrum(frame, VOLUME, TEMPERATURE, "mu", dt=0.001, t_sigma=sigma)
    ours = infrared_spectrum(dipole, 1.0, VOLUME, TEMPERATURE, 25.0)
    at = theirs["wavenumber_invcm"].to_numpy()
    keep = at < 4000
    interpolated = CubicSpline(ours.wavenumber, ours.values["eps_imag"])(at[keep])
    expected = theirs["epsilon_imag"].to_numpy()[keep]
    np.testing.assert_allclose(interpolated, expected, atol=2e-4 * expected.max())
    tensor = spectra.get_dielectric_function(
        frame, VOLUME, TEMPERATURE, "mu", dt=0.001, t_sigma=sigma, return_real_part=False
    )
    z = infrared_spectrum(dipole, 1.0, VOLUME, TEMPERATURE, 25.0, direction=[0, 0, 1])
    expected = tensor["epsilon_imag_zz"].to_numpy()[keep]
    imag = CubicSpline(z.wavenumber, z.values["eps_imag"])(at[keep])
    np.testing.assert_allclose(imag, expected, atol=2e-4 * expected.max())


def test_water_tutorial_spectrum():
    """GPUMD tutorial 15: nu^2 FT(Hann * normalised correlation), lags up to 20 ps, one arbitrary factor."""
    folder = shared_data("tnep/water_ir")
    time, acf = np.loadtxt(folder / "dip_dip_correlation_0_20ps.txt.gz").T
    published = np.loadtxt(folder / "ir_original.txt.gz").T
    resolution = 2 * np.pi / (20_000.0 * INV_CM_TO_RAD_PER_FS)
    window = lag_window("hann", resolution, 1.0)
    t = np.arange(len(window))
    correlation = np.where(t <= time[-1], CubicSpline(time, acf)(t), 0.0) * window
    wavenumber, transform = one_sided_transform(correlation, 1.0, resolution)
    ours = 2 * CubicSpline(wavenumber, wavenumber**2 * transform.real)(published[0])
    highest = published[1].max()
    # the file keeps every lag up to 2 ps and every tenth beyond: noise above 1000 cm^-1 is lost, band averages are not
    low = published[0] < 1000.0
    assert np.abs(ours - published[1])[low].max() < 2e-3 * highest
    bins = (published[0] // 200.0).astype(int)
    averages = [np.bincount(bins, weights=y) / np.bincount(bins) for y in (ours, published[1])]
    np.testing.assert_allclose(averages[0], averages[1], atol=2e-3 * highest)
    assert 2e-3 * highest < 0.02 * averages[1].max()


# --- peaks


def test_peaks_between_grid_points_and_their_order():
    w = np.arange(0.0, 3000.0, 1.7)
    y = 2.0 / (1 + ((w - 812.4) / 15) ** 2) + 1.0 / (1 + ((w - 2101.9) / 30) ** 2)
    peaks = find_peaks(w, y)
    assert [round(p.position, 1) for p in peaks] == [812.4, 2101.9]
    assert peaks[0].height == pytest.approx(2.0, rel=3e-3)
    assert len(find_peaks(w, y, prominence=0.8)) == 1
    assert find_peaks(w, np.zeros_like(w)) == []


@pytest.mark.parametrize(
    "x, y, prominence, match",
    [
        (np.arange(5.0), np.ones(4), 0.1, "one length"),
        (np.array([0.0, 1.0, 3.0, 4.0]), np.array([0.0, 1.0, 0.0, 0.0]), 0.1, "equally spaced"),
        (np.arange(5.0), np.ones(5), 0.0, "prominence"),
    ],
)
def test_peak_errors(x, y, prominence, match):
    with pytest.raises(InputError, match=match):
        find_peaks(x, y, prominence)


# --- branches


@pytest.mark.parametrize("cell", [np.diag([4.0, 5.0, 6.0]), [[4.0, 0, 0], [1.9, 5.0, 0], [-1.0, 2.2, 6.0]]])
def test_unwrapping_gives_back_the_smooth_series(cell):
    rng = np.random.default_rng(1)
    smooth = np.cumsum(rng.normal(size=(3000, 3)), axis=0) * 0.3
    wrapped = smooth + rng.integers(-2, 3, size=smooth.shape) @ np.array(cell)
    wrapped[0] = smooth[0]
    np.testing.assert_allclose(unwrap_dipole(wrapped, cell), smooth, atol=1e-10)


def test_unwrapping_follows_a_varying_cell():
    n = 400
    cell = np.array([[4.0, 0, 0], [1.0, 5.0, 0], [0, 0.5, 6.0]]) * (1 + 0.02 * np.sin(np.arange(n) / 9))[:, None, None]
    reduced = np.linspace(0, 3, n)[:, None] * np.array([1.0, -0.7, 0.2])
    wrapped = np.einsum("ti,tij->tj", reduced - np.round(reduced), cell)
    np.testing.assert_allclose(unwrap_dipole(wrapped, cell), np.einsum("ti,tij->tj", reduced, cell), atol=1e-10)


def test_runs_on_different_branches_are_shifted_to_one_branch():
    cell = np.array([[4.0, 0, 0], [1.9, 5.0, 0], [-1.0, 2.2, 6.0]])
    rng = np.random.default_rng(4)
    pieces = [rng.normal(scale=0.2, size=(n, 3)) for n in (30, 40, 50)]
    quanta = np.array([[0, 0, 0], [1, -2, 3], [0, 4, -1]])
    moved = [piece + n @ cell for piece, n in zip(pieces, quanta, strict=True)]
    for got, expected in zip(align_branches(moved, cell), pieces, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-12)
    with pytest.raises(InputError, match="cell must have shape"):
        align_branches(moved, cell[None])


def test_nyquist_load():
    t = np.arange(20_000.0)
    for w in (0.05, 1.0, 3.0):
        assert nyquist_load([np.cos(w * t)[:, None]]) == pytest.approx(np.sin(w / 2) ** 2, rel=1e-3)
    assert nyquist_load([np.random.default_rng(0).normal(size=(20_000, 3))]) == pytest.approx(0.75, abs=0.01)
    assert nyquist_load([np.zeros((2, 3)), np.zeros((5, 3))]) == 0.0


def test_unwrapping_errors():
    jump = np.zeros((4, 3))
    jump[2:, 1] = 2.45
    with pytest.raises(InputError, match=r"between samples 1 and 2 .* sample more often"):
        unwrap_dipole(jump, np.eye(3) * 5.0)
    with pytest.raises(InputError, match=r"shape \(n, 3\)"):
        unwrap_dipole(np.zeros(3), np.eye(3))
    with pytest.raises(InputError, match="cell must have shape"):
        unwrap_dipole(np.zeros((4, 3)), np.zeros((2, 3, 3)))
    with pytest.raises(InputError, match="no volume"):
        unwrap_dipole(np.zeros((4, 3)), np.diag([1.0, 1.0, 0.0]))


# --- units


def test_user_units():
    ase = pytest.importorskip("ase.units")
    assert DIPOLE_UNITS["debye"] == pytest.approx(ase.Debye, rel=1e-6)
    assert DIPOLE_UNITS["e*bohr"] == pytest.approx(ase.Bohr, rel=1e-6)
    assert POLARIZABILITY_UNITS["A^3"] == pytest.approx(0.0694461542, rel=1e-8)
    assert POLARIZABILITY_UNITS["bohr^3"] == pytest.approx(ase.Bohr**2 / ase.Hartree, rel=1e-6)


def test_parity_with_calorine_on_its_own_grid(liquid):
    """The same lags, window and wavenumbers: no interpolation, agreement to rounding."""
    spectra = pytest.importorskip("calorine.tools.spectra", reason="calorine is not installed")
    pandas = pytest.importorskip("pandas")
    dipole = liquid[1][:20_000]
    sigma = window_time("gaussian", 30.0)
    frame = pandas.DataFrame(dipole, columns=["mu_x", "mu_y", "mu_z"])
    theirs = spectra.get_ir_spectrum(frame, VOLUME, TEMPERATURE, "mu", dt=0.001, t_sigma=sigma / 1000)
    n_lags = int(5 * sigma)
    # they remove the mean of each component, as we do
    correlation = autocorrelation(dipole - dipole.mean(axis=0), n_lags) * lag_window("gaussian", 30.0, 1.0)[:n_lags] / 3
    w = theirs["wavenumber_invcm"].to_numpy() * INV_CM_TO_RAD_PER_FS
    keep = theirs["wavenumber_invcm"].to_numpy() < 3000
    half = np.where(np.arange(n_lags) == 0, 0.5, 1.0) * correlation
    ours = FACTOR * w[keep] * (np.cos(np.outer(w[keep], np.arange(n_lags))) @ half)
    expected = theirs["epsilon_imag"].to_numpy()[keep]
    np.testing.assert_allclose(ours, expected, atol=1e-6 * expected.max())
