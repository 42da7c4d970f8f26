"""Every spectrum function that calorine 4.1 also has, on its grid of wavenumbers: agreement to 1e-6.

Correlation, window, prefactors and projections are those of this package.  Only the last step, the transform, is done
here at calorine's wavenumbers (from zero to the Nyquist wavenumber, as many as lags), because this package pads with
zeros to a finer grid.
"""

import numpy as np
import pytest

from helpers.langevin import two_bands
from tnep_calc.conventions import ASE_ORDER
from tnep_calc.spectra import (
    autocorrelation,
    bose_factor,
    correlation_tensor,
    kramers_kronig,
    lag_window,
    optical_constants,
    parse_porto,
)
from tnep_calc.spectra.dielectric import fluctuation_factor
from tnep_calc.spectra.raman import invariants
from tnep_calc.spectra.response import COMPONENTS
from tnep_calc.spectra.windows import window_time
from tnep_calc.units import INV_CM_TO_RAD_PER_FS

spectra = pytest.importorskip("calorine.tools.spectra", reason="calorine is not installed")
pandas = pytest.importorskip("pandas")

VOLUME, TEMPERATURE, RESOLUTION, DT, LENGTH = 1500.0, 320.0, 30.0, 1.0, 20_000
SIGMA = window_time("gaussian", RESOLUTION)  # fs
LAGS = int(5 * SIGMA / DT)
OPTIONS = {"dt": DT / 1000, "t_sigma": SIGMA / 1000}
FACTOR = fluctuation_factor(VOLUME, TEMPERATURE)
DIPOLE, CURRENT = ["mu_x", "mu_y", "mu_z"], ["dPx", "dPy", "dPz"]


def transform(signal, wavenumber, tensor=False):
    """Return half of the two-sided transform of the windowed correlation function at wavenumbers, in unit^2 fs."""
    estimator = correlation_tensor if tensor else autocorrelation
    found = estimator(signal, LAGS)
    half = np.where(np.arange(LAGS) == 0, 0.5, 1.0) * lag_window("gaussian", RESOLUTION, DT)[:LAGS]
    cosines = np.cos(np.outer(wavenumber * INV_CM_TO_RAD_PER_FS, DT * np.arange(LAGS)))
    return DT * np.tensordot(cosines * half, found, axes=1)


@pytest.fixture(scope="module")
def run():
    """Return dipole and current of two damped oscillators, with zero mean and correlated components."""
    _, dipole, current = two_bands()
    mix = np.array([[1.0, 0.3, 0.0], [0.0, 1.0, -0.2], [0.1, 0.0, 1.0]])
    return [(x[:LENGTH] - x[:LENGTH].mean(axis=0)) @ mix for x in (dipole, current)]


def close(found, expected):
    expected = np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("axis", [None, np.array([0.0, 0.6, 0.8])])
@pytest.mark.parametrize("column, power", [("mu", 1), ("dP", -1)])
def test_infrared_spectrum(run, column, power, axis):
    signal = run[0] if power == 1 else run[1]
    frame = pandas.DataFrame(signal, columns=DIPOLE if power == 1 else CURRENT)
    theirs = spectra.get_ir_spectrum(frame, VOLUME, TEMPERATURE, column, polarization=axis, **OPTIONS)
    w = theirs["wavenumber_invcm"].to_numpy()
    omega = w * INV_CM_TO_RAD_PER_FS
    line = transform(signal, w) / 3 if axis is None else transform(signal @ axis, w)
    eps_imag = FACTOR * omega**power * line
    close(eps_imag, theirs["epsilon_imag"])
    conductivity = optical_constants(w, 1j * eps_imag)["conductivity"]  # S/cm
    close(100 * conductivity, theirs["conductivity"])


@pytest.mark.parametrize("column, power", [("mu", 1), ("dP", -1)])
def test_dielectric_tensor(run, column, power):
    signal = run[0] if power == 1 else run[1]
    frame = pandas.DataFrame(signal, columns=DIPOLE if power == 1 else CURRENT)
    theirs = spectra.get_dielectric_function(frame, VOLUME, TEMPERATURE, column, return_real_part=False, **OPTIONS)
    w = theirs["wavenumber_invcm"].to_numpy()
    omega = w[:, None, None] * INV_CM_TO_RAD_PER_FS
    eps_imag = FACTOR * omega**power * transform(signal, w, tensor=True)
    for name, (i, j) in zip(COMPONENTS, ASE_ORDER, strict=True):
        close(eps_imag[:, i, j], theirs[f"epsilon_imag_{name}"])


@pytest.mark.parametrize("geometry", ["z(xx)z", "z(xy)z", "y(x[0,0.6,0.8])x"])
def test_raman_line_shapes(run, geometry):
    rng = np.random.default_rng(3)
    basis = rng.normal(size=(3, 3, 3))
    tensors = np.einsum("tm,mij->tij", run[0], basis + basis.transpose(0, 2, 1))
    labels = {name: (i, j) for name, (i, j) in zip(COMPONENTS, ASE_ORDER, strict=True)}
    frame = pandas.DataFrame({name: tensors[:, i, j] for name, (i, j) in labels.items()})
    porto = parse_porto(geometry)
    theirs = spectra.get_raman_spectrum(
        frame, polarization_in=porto.incident_field, polarization_out=porto.scattered_field, **OPTIONS
    )
    w = theirs["wavenumber_invcm"].to_numpy()
    mean, rest = invariants(tensors)
    second = 1e-15  # theirs is the two-sided transform, in s
    close(2 * second * transform(mean[:, None], w), theirs["raman_isotropic"])
    close(2 * second * transform(rest, w), theirs["raman_anisotropic"])
    projected = np.einsum("i,tij,j->t", porto.scattered_field, tensors, porto.incident_field)
    close(2 * second * transform(projected[:, None], w), theirs["raman_polarized"])


def test_factors_and_optical_constants():
    w = np.linspace(5.0, 3000.0, 400)
    frame = pandas.DataFrame(
        {"angular_frequency": w * INV_CM_TO_RAD_PER_FS * 1e3, "wavenumber_invcm": w, "raman": np.ones_like(w)}
    )
    close(bose_factor(w, 300.0), spectra.apply_quantum_correction(frame, 300.0, "raman")["raman_qm"])
    tools = pytest.importorskip("calorine.tools.refractive_index")
    eps = 2.4 + 5.0e5 / (700.0**2 - w**2 - 15j * w)
    frame["epsilon_real"], frame["epsilon_imag"] = eps.real, eps.imag
    theirs = tools.get_absorption_coefficient(tools.get_refractive_index(frame))
    ours = optical_constants(w, eps)
    close(ours["refractive_index"], theirs["refractive_index_real"])
    close(ours["extinction"], theirs["refractive_index_imag"])
    (absorption,) = [name for name in theirs if name.startswith("absorption")]
    factor = np.median(ours["absorption_coefficient"] / theirs[absorption])  # their unit is stated per cm or per m
    assert factor in (pytest.approx(1.0, rel=1e-6), pytest.approx(0.01, rel=1e-6))
    close(ours["absorption_coefficient"], factor * theirs[absorption])


def test_kramers_kronig_differs_by_the_rule_of_integration():
    """Against the closed form of a band of 15 cm^-1 on a grid of 2 cm^-1: calorine's trapezoid rule and ours."""
    w = np.arange(2.0, 3000.0, 2.0)
    exact = 5.0e5 / (700.0**2 - w**2 - 15j * w)
    tools = pytest.importorskip("calorine.tools.kramers_kronig")
    if not hasattr(np, "trapezoid"):
        pytest.skip("this function of calorine needs NumPy 2")
    frame = pandas.DataFrame({"angular_frequency": w * INV_CM_TO_RAD_PER_FS * 1e3, "epsilon_imag": exact.imag})
    theirs = tools.apply_kramers_kronig(frame)["epsilon_real"].to_numpy()
    ours = kramers_kronig(w, exact.imag)
    errors = [np.abs(x - exact.real).max() / exact.real.max() for x in (ours, theirs)]
    assert errors[0] < 0.03 and errors[0] < errors[1]
