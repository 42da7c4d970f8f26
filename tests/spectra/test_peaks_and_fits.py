"""Peaks: none in noise; positions, widths and areas with correct errors."""

import warnings

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.signal import lfilter

from helpers.langevin import Langevin
from tnep_calc.errors import InputError
from tnep_calc.spectra import infrared_spectrum
from tnep_calc.spectra.fits import damped_oscillator, fit_peaks, lorentzian, voigt
from tnep_calc.spectra.peaks import find_peaks, significant_peaks

VOLUME, TEMPERATURE = 1500.0, 320.0


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [4, 20])
def test_no_peaks_in_noise(blocks):
    """White noise and overdamped motion have many local maxima and no peak."""
    rng = np.random.default_rng(8)
    alarms = 0
    for _ in range(20):
        white = rng.normal(size=(50_000, 3))
        debye = lfilter([1.0], [1.0, -0.99], white, axis=0)
        for signal, name in ((white, "eps_imag"), (white, "absorption"), (debye, "absorption")):
            found = infrared_spectrum(signal, 1.0, VOLUME, TEMPERATURE, 60.0, blocks=blocks, max_wavenumber=4000.0)
            assert len(find_peaks(found.wavenumber, found.values[name], 0.001)) > 8
            alarms += len(significant_peaks(found, name))
    assert alarms <= 6


def test_real_peaks_are_found_and_need_error_bars():
    rng = np.random.default_rng(9)
    signal = sum(Langevin(p, 20.0, v).run(30_000, 1.0, 3, rng)[0] for p, v in ((500, 1.0), (900, 0.1), (1700, 0.02)))
    found = infrared_spectrum(signal, 1.0, VOLUME, TEMPERATURE, 20.0, max_wavenumber=4000.0)
    positions = sorted(peak.position for peak in significant_peaks(found, "absorption"))
    np.testing.assert_allclose(positions, [500, 900, 1700], atol=6)
    bare = infrared_spectrum(signal, 1.0, VOLUME, TEMPERATURE, 20.0, blocks=0)
    with pytest.raises(InputError, match="no error bars"):
        significant_peaks(bare, "absorption")


@pytest.mark.parametrize("power", [0, 1, 2])
def test_areas_are_integrals(power):
    for shape in (
        lambda w: damped_oscillator(w, 500.0, 80.0, 3.0, power),
        lambda w: lorentzian(w, 5e4, 30.0, 3.0),
        lambda w: voigt(w, 5e4, 30.0, 3.0, 20.0),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            area = sum(
                quad(shape, a, b, limit=300)[0]
                for a, b in ((0, 400), (400, 700), (700, 4.9e4), (4.9e4, 5.1e4), (5.1e4, 1e6))
            )
        assert area == pytest.approx(3.0, rel=1e-3)


@pytest.mark.slow
def test_z_scores_of_fitted_parameters():
    """A damped oscillator behind a fine window: position, damping and area with errors of the right size."""
    rng = np.random.default_rng(10)
    oscillator, runs, n = Langevin(800.0, 150.0), 40, 20_000
    signal = oscillator.run(n, 2.0, 3 * runs, rng)[0]
    z = []
    for run in range(runs):
        found = infrared_spectrum(
            signal[:, 3 * run : 3 * run + 3], 2.0, VOLUME, TEMPERATURE, 40.0, max_wavenumber=2500.0
        )
        (peak,) = fit_peaks(found, "absorption", "oscillator", positions=[780.0])
        area = np.pi**2 * 800.0**2 * found.parameters["static_fluctuation"] / np.var(signal[:, 3 * run : 3 * run + 3])
        z.append(
            [
                (peak.position - 800.0) / peak.position_error,
                (peak.area - area) / peak.area_error,
                (peak.width - 150.0) / peak.width_error,
            ]
        )
    z = np.array(z)
    assert np.all(np.abs(z.mean(axis=0)[:2]) < [0.5, 1.0])  # the tails of the area lie outside of the fitted range
    assert np.all((0.7 < z.std(axis=0)) & (z.std(axis=0) < 1.4))
    assert abs(peak.position - 800) < 15 and peak.position_error < 8
    # the window adds to the width of the oscillator, not to that of the Voigt profile
    (narrow,) = fit_peaks(found, "absorption", "voigt", positions=[780.0])
    assert narrow.width < peak.width


def test_overlapping_lines_and_exact_input():
    w = np.arange(0.0, 2000.0, 0.5)
    y = lorentzian(w, 700.0, 20.0, 50.0) + lorentzian(w, 730.0, 16.0, 30.0) + lorentzian(w, 1500.0, 40.0, 10.0)
    from tnep_calc.spectra import Spectrum

    spectrum = Spectrum("raman", w, {"VV": y}, {"VV": "1"}, parameters={"resolution_fwhm_cm-1": 5.0})
    peaks = fit_peaks(spectrum, "VV")
    np.testing.assert_allclose(
        [(p.position, p.width, p.area) for p in peaks], [(700, 20, 50), (730, 16, 30), (1500, 40, 10)], rtol=1e-4
    )
    assert np.isnan(peaks[0].area_error)
    assert fit_peaks(spectrum, "VV", positions=[]) == []
    with pytest.raises(InputError, match="must lie between"):
        fit_peaks(spectrum, "VV", positions=[5000.0])
    with pytest.raises(InputError, match="line shape"):
        fit_peaks(spectrum, "VV", "gaussian")
