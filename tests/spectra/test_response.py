"""Dielectric response of Brownian oscillators against closed forms, by two routes, with correct error bars."""

import numpy as np
import pytest

from helpers import langevin as simulated
from tnep_calc.errors import InputError
from tnep_calc.spectra import (
    LazySignal,
    dielectric_function,
    dielectric_spectrum,
    electronic_dielectric,
    infrared_spectrum,
    kramers_kronig,
    lag_window,
    optical_constants,
    static_dielectric,
)
from tnep_calc.spectra.dielectric import f_sum_rule, fluctuation_factor
from tnep_calc.spectra.estimate import choose_resolution
from tnep_calc.units import EPSILON_0, INV_CM_TO_RAD_PER_FS

VOLUME, TEMPERATURE = 1500.0, 320.0
FACTOR = fluctuation_factor(VOLUME, TEMPERATURE)


@pytest.fixture
def langevin():
    return simulated.Langevin


@pytest.fixture(scope="module")
def two_bands():
    return simulated.two_bands()


def windowed(oscillators, dt, resolution, window="gaussian"):
    weights = lag_window(window, resolution, dt)
    t = dt * np.arange(len(weights))
    return dielectric_function(sum(o.correlation(t) for o in oscillators) * weights, dt, resolution, FACTOR)


@pytest.mark.slow
def test_z_scores_over_200_runs_are_standard_normal(langevin):
    """Test values and error bars together: (value - exact) / error, at five points, for three quantities."""
    rng = np.random.default_rng(1)
    oscillator, runs, dt, n = langevin(600.0, 100.0), 200, 2.0, 9600
    positions = oscillator.run(n, dt, 3 * runs, rng)[0]
    _, exact = windowed([oscillator], dt, 100.0)
    scores = {"absorption": [], "eps_real": [], "loss": []}
    for run in range(runs):
        found = dielectric_spectrum(
            dt,
            VOLUME,
            TEMPERATURE,
            dipole=positions[:, 3 * run : 3 * run + 3],
            eps_inf=2.0,
            resolution=100.0,
            blocks=15,
        )
        points = np.searchsorted(found.wavenumber, [300.0, 450.0, 600.0, 750.0, 900.0])
        eps = exact[points] + 2.0
        expected = {
            "absorption": 2 * np.pi * found.wavenumber[points] * eps.imag,
            "eps_real": eps.real,
            "loss": -(1 / eps).imag,
        }
        for name, value in expected.items():
            scores[name].append((found.values[name][points] - value) / found.errors[name][points])
    for name, z in scores.items():
        z = np.array(z)
        # Student's t with 14 degrees of freedom has a standard deviation of 1.08
        assert abs(z.mean()) < 0.15, name
        assert 0.95 < z.std() < 1.25, name
        assert np.mean(np.abs(z) < 2) > 0.90, name


def test_both_routes_give_the_same_response(two_bands):
    oscillators, dipole, current = two_bands
    options = {"resolution": 20.0, "eps_inf": 2.2}
    one = dielectric_spectrum(1.0, VOLUME, TEMPERATURE, dipole=dipole, **options)
    two = dielectric_spectrum(1.0, VOLUME, TEMPERATURE, current=current, **options)
    keep = (one.wavenumber > 60) & (one.wavenumber < 2500)
    highest = one.values["eps_imag"].max()
    for name in ("eps_imag", "eps_real", "absorption", "loss", "reflectivity"):
        error = np.hypot(one.errors[name], two.errors[name])[keep]
        difference = np.abs(one.values[name] - two.values[name])[keep]
        assert np.mean(difference < error) > 0.98, name
    difference = np.abs(one.values["eps_imag"] - two.values["eps_imag"])[keep]
    assert difference.max() < 0.02 * highest
    statics = [s.parameters["static_fluctuation"] for s in (one, two)]
    assert statics[0] == pytest.approx(FACTOR * np.var(dipole, axis=0).mean(), rel=1e-9)
    assert statics[1] == pytest.approx(statics[0], rel=0.02)
    # the same for the infrared spectrum
    ir = infrared_spectrum(None, 1.0, VOLUME, TEMPERATURE, 20.0, current=current)
    np.testing.assert_allclose(ir.values["absorption"], two.values["absorption"], rtol=1e-12)


def test_current_correlation_in_closed_form(langevin):
    """<J J> = - d^2 C / dt^2 of one oscillator, no noise: the Lorentz oscillator at all wavenumbers."""
    from tnep_calc.spectra import dielectric_function_from_current

    o, dt = langevin(900.0, 20.0), 0.5
    t = dt * np.arange(200_000)
    shifted = np.sqrt(o.w0**2 - 0.25 * o.gamma**2)
    c = o.w0**2 * np.exp(-0.5 * o.gamma * t) * (np.cos(shifted * t) - 0.5 * o.gamma / shifted * np.sin(shifted * t))
    wavenumber, eps = dielectric_function_from_current(c, dt, 20.0, 2.0)
    expected = 2.0 * o.response(wavenumber)
    near = (wavenumber > 20) & (wavenumber < 3000)
    np.testing.assert_allclose(eps[near], expected[near], atol=2e-5 * abs(expected).max())
    assert eps[0] == pytest.approx(2.0, rel=1e-4)


def test_tensor_of_a_rotated_crystal(two_bands):
    _, dipole, _ = two_bands
    stretched = dipole[:20_000] * [1.0, 0.6, 0.3]
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    eps_inf = np.diag([2.0, 2.5, 3.0])
    options = {"resolution": 40.0, "tensor": True, "blocks": 0}
    own = dielectric_spectrum(1.0, VOLUME, TEMPERATURE, dipole=stretched, eps_inf=eps_inf, **options)
    turned = dielectric_spectrum(
        1.0, VOLUME, TEMPERATURE, dipole=stretched @ rotation.T, eps_inf=rotation @ eps_inf @ rotation.T, **options
    )

    def full(spectrum):
        order = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
        eps = np.zeros((len(spectrum.wavenumber), 3, 3), dtype=complex)
        for i, j in order:
            name = "xyz"[i] + "xyz"[j]
            value = spectrum.values[f"eps_real_{name}"] + 1j * spectrum.values[f"eps_imag_{name}"]
            eps[:, i, j] = eps[:, j, i] = value
        return eps

    np.testing.assert_allclose(full(turned), rotation @ full(own) @ rotation.T, atol=1e-9)
    np.testing.assert_allclose(np.trace(full(own), axis1=1, axis2=2).imag / 3, own.values["eps_imag"], atol=1e-10)
    along = dielectric_spectrum(
        1.0, VOLUME, TEMPERATURE, dipole=stretched, eps_inf=eps_inf, resolution=40.0, direction=[0, 3, 0], blocks=0
    )
    np.testing.assert_allclose(along.values["eps_imag"], own.values["eps_imag_yy"], atol=1e-10)
    assert along.parameters["eps_inf"] == pytest.approx(2.5)


@pytest.mark.slow
def test_kramers_kronig_and_f_sum(two_bands, langevin):
    o = langevin(900.0, 20.0)
    w = np.arange(0.0, 6000.0)
    exact = o.response(w)
    near = w < 3000
    np.testing.assert_allclose(kramers_kronig(w, exact.imag)[near], exact.real[near], atol=5e-3 * exact.real.max())
    oscillators, dipole, current = two_bands
    found = dielectric_spectrum(1.0, VOLUME, TEMPERATURE, dipole=dipole, resolution=20.0, blocks=0)
    kept = found.wavenumber < 3000
    ionic = found.values["eps_real"] - 1.0
    again = kramers_kronig(found.wavenumber, found.values["eps_imag"])
    assert np.abs(again - ionic)[kept].max() < 5e-3 * ionic.max()
    # (2 / pi) integral w eps'' dw = <J^2> / (3 eps0 V kT)
    fluctuation = FACTOR * np.mean(np.sum(current**2, axis=1)) / 3 / INV_CM_TO_RAD_PER_FS**2
    exact_sum = FACTOR * sum(o.variance * o.position**2 for o in oscillators)
    assert fluctuation == pytest.approx(exact_sum, rel=0.05)
    assert f_sum_rule(found.wavenumber, found.values["eps_imag"]) == pytest.approx(fluctuation, rel=0.02)


def test_longitudinal_frequency_is_the_peak_of_the_loss(two_bands):
    """Lyddane-Sachs-Teller for a single mode: w_LO = w_TO sqrt(eps_0 / eps_inf)."""
    oscillators, _, _ = two_bands
    wavenumber, eps = windowed(oscillators[:1], 1.0, 10.0)
    loss = optical_constants(wavenumber, eps + 2.0)["loss"]
    expected = 600.0 * np.sqrt((2.0 + 0.8 * FACTOR) / 2.0)
    assert wavenumber[loss.argmax()] == pytest.approx(expected, rel=0.01)


def test_a_signal_read_in_chunks_gives_the_same_result(two_bands, monkeypatch):
    from tnep_calc.spectra import correlation, streaming

    _, dipole, _ = two_bands
    whole = dielectric_spectrum(1.0, VOLUME, TEMPERATURE, dipole=dipole, resolution=30.0, tensor=True)
    monkeypatch.setattr(correlation, "CHUNK", 4096)
    monkeypatch.setattr(streaming, "CHUNK", 4096)
    lazy = dielectric_spectrum(1.0, VOLUME, TEMPERATURE, dipole=LazySignal(dipole), resolution=30.0, tensor=True)
    for name, value in whole.values.items():
        np.testing.assert_allclose(lazy.values[name], value, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(lazy.errors[name], whole.errors[name], rtol=1e-5, atol=1e-9)
    static = [static_dielectric(signal, VOLUME, TEMPERATURE) for signal in (dipole, LazySignal(dipole))]
    np.testing.assert_allclose(static[0].tensor, static[1].tensor, rtol=1e-9)
    bad = dipole.copy()
    bad[50_000, 1] = np.nan
    with pytest.raises(InputError, match="not finite at sample 50000"):
        dielectric_spectrum(1.0, VOLUME, TEMPERATURE, dipole=LazySignal(bad))


@pytest.mark.slow
def test_static_dielectric_error_bar_over_100_runs(langevin):
    rng = np.random.default_rng(2)
    oscillator, runs = langevin(100.0, 40.0), 100
    positions = oscillator.run(8000, 5.0, 3 * runs, rng)[0]
    z = []
    for run in range(runs):
        found = static_dielectric(positions[:, 3 * run : 3 * run + 3], VOLUME, TEMPERATURE, eps_inf=2.0, dt=5.0)
        assert found.converged
        z.append((found.mean - 2.0 - FACTOR) / found.error)
    assert abs(np.mean(z)) < 0.4  # a short run has slightly too small fluctuations
    assert 0.9 < np.std(z) < 1.3
    assert found.running[-1] == pytest.approx(found.mean) and found.running_time[-1] == pytest.approx(40.0)
    # the correlation time of x^2 is 2 integral (C / C(0))^2 dt = (for weak damping) 1 / gamma
    assert found.correlation_time * 1000 == pytest.approx(1 / oscillator.gamma, rel=0.3)


def test_an_unconverged_run_is_reported(langevin):
    rng = np.random.default_rng(3)
    found = static_dielectric(np.cumsum(rng.normal(size=(5000, 3)), axis=0), VOLUME, TEMPERATURE)
    assert not found.converged and found.blocks == 5


def test_electronic_part_with_errors_and_fluctuation():
    rng = np.random.default_rng(4)
    alpha = np.eye(3) * 100.0 + rng.normal(size=(5000, 3, 3))
    found = electronic_dielectric([alpha[:2000], alpha[2000:]], 1000.0)
    scale = 1 / (EPSILON_0 * 1000.0)
    assert found.tensor[0, 0] == pytest.approx(1 + 100 * scale, abs=5 * scale / np.sqrt(5000))
    np.testing.assert_allclose(found.dynamic, scale, rtol=0.05)
    np.testing.assert_allclose(found.errors, scale / np.sqrt(5000), rtol=0.6)


def test_resolution_of_short_runs(two_bands):
    _, dipole, _ = two_bands
    found = infrared_spectrum(dipole[:12_000], 1.0, VOLUME, TEMPERATURE)
    assert found.parameters["blocks"] >= 4 and 10 < found.parameters["resolution_fwhm_cm-1"] <= 100
    assert found.parameters["resolution_chosen"] == "automatically"
    assert choose_resolution([10**6], "hann", 1.0) == 10.0
    with pytest.raises(InputError, match="longer run"):
        infrared_spectrum(dipole[:300], 1.0, VOLUME, TEMPERATURE)


@pytest.mark.parametrize(
    "change, match",
    [
        ({"dipole": None}, "either the dipole or the current"),
        ({"current": np.zeros((100, 3))}, "either the dipole or the current"),
        ({"eps_inf": 0.5}, "at least 1"),
        ({"eps_inf": [1, 2, 3]}, "number or a tensor"),
        ({"angle": 90.0}, "below 90"),
        ({"direction": [0, 0, 0]}, "direction"),
    ],
)
def test_errors(change, match):
    arguments = {"dipole": np.random.default_rng(0).normal(size=(5000, 3)), "resolution": 50.0}
    with pytest.raises(InputError, match=match):
        dielectric_spectrum(1.0, VOLUME, TEMPERATURE, **(arguments | change))
