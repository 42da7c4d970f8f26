"""Dielectric response from dipole fluctuations: static, frequency dependent, and what follows from it.

Equations: Neumann and Steinhauser, Chem. Phys. Lett. 102, 508 (1983); sign convention ``exp(-i w t)``, so that
``eps'' >= 0`` is absorption.  Conducting (tin-foil) boundary: a periodic simulation without a macroscopic field.
"""

from __future__ import annotations

import numpy as np
from scipy.integrate import trapezoid

from ..errors import InputError
from ..units import BOLTZMANN, EPSILON_0, INV_CM_TO_RAD_PER_FS
from .correlation import Signal, as_pieces, one_sided_transform
from .quantum import check_temperature


def check_volume(volume) -> float:
    """Return the volume in Å³ as a float; raise InputError where it is missing or not positive."""
    if volume is None:
        raise InputError("the volume of the cell is not known: give the volume (Å³) or the cell")
    if not (np.isfinite(volume) and volume > 0):
        raise InputError(f"the volume must be a positive number of Å³, got {volume}")
    return float(volume)


def fluctuation_factor(volume: float, temperature: float) -> float:
    """Return ``1 / (eps0 V k_B T)`` in (e·Å)^-2: dipole fluctuations times it are dimensionless."""
    return 1.0 / (EPSILON_0 * check_volume(volume) * BOLTZMANN * check_temperature(temperature))


def static_dielectric(dipole: Signal, volume: float, temperature: float, eps_inf=None) -> np.ndarray:
    """Return the static dielectric tensor ``eps_inf + (<M_a M_b> - <M_a><M_b>) / (eps0 V k_B T)``.

    Parameters
    ----------
    dipole : ndarray, shape (n, 3), or sequence of such, in e·Å
        Total dipole of the cell, on one branch.
    volume : float, in Å³
    temperature : float, in K
    eps_inf : float or ndarray, shape (3, 3), optional
        Electronic contribution; None: 1, that is, the answer is the ionic part plus the vacuum.

    Returns
    -------
    ndarray, shape (3, 3), dimensionless
    """
    samples = np.concatenate(as_pieces(dipole, (3,), "dipole"))
    covariance = np.cov(samples.T, bias=True)
    electronic = np.eye(3) if eps_inf is None else np.asarray(eps_inf) * (np.eye(3) if np.ndim(eps_inf) == 0 else 1.0)
    return electronic + covariance * fluctuation_factor(volume, temperature)


def eps_inf_from_polarizability(polarizability: Signal, volume: float) -> np.ndarray:
    """Return ``1 + <alpha> / (eps0 V)``, shape (3, 3), from polarizabilities, shape (n, 3, 3), in e·Å²/V.

    Examples
    --------
    >>> alpha = np.full((5, 3, 3), 0.5 * EPSILON_0 * 1000.0) * np.eye(3)
    >>> eps_inf_from_polarizability(alpha, 1000.0).round(12).diagonal().tolist()
    [1.5, 1.5, 1.5]
    """
    samples = as_pieces(polarizability, (3, 3), "polarizability")
    mean = sum(piece.sum(axis=0) for piece in samples) / sum(map(len, samples))
    return np.eye(3) + mean / (EPSILON_0 * check_volume(volume))


def dielectric_function(
    correlation: np.ndarray, dt: float, resolution: float, factor: float
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return wavenumbers and the complex ``eps(w) - eps_inf`` of a windowed dipole correlation function.

    .. math:: \epsilon(\omega) - \epsilon_\infty = \frac{1}{\epsilon_0 V k_B T}
              \left[C(0) + i\omega\int_0^\infty C(t) e^{i\omega t}\,dt\right]

    with C(t) the correlation function of one Cartesian component.  Real and imaginary part fulfil the
    Kramers-Kronig relations by construction.  The trapezoid error of the imaginary part of the integral, which comes
    from t = 0, is removed for the constant term of C(t); what is left is of order
    ``(w dt)^2 (w_0 dt)^2 / 240``.

    Parameters
    ----------
    correlation : ndarray, shape (n_lags,), in (e·Å)²
        ``C(k dt)``, multiplied by the window.
    dt : float, in fs
    resolution : float, in cm^-1
        Only sets the grid.
    factor : float, in (e·Å)^-2
        :func:`fluctuation_factor`.

    Returns
    -------
    wavenumber : ndarray, shape (m,), in cm^-1
    eps : complex ndarray, shape (m,), dimensionless
    """
    wavenumber, transform = one_sided_transform(correlation, dt, resolution)
    omega = wavenumber * INV_CM_TO_RAD_PER_FS
    half = 0.5 * omega * dt
    end_correction = np.divide(half, np.tan(half), out=np.ones_like(half), where=half > 0)
    real = end_correction * correlation[0] - omega * transform.imag
    return wavenumber, factor * (real + 1j * omega * transform.real)


def optical_constants(wavenumber, eps) -> dict[str, np.ndarray]:
    """Return refractive index, extinction, absorption coefficient and reflectivity of an isotropic medium.

    ``n + i k = sqrt(eps)``; absorption coefficient ``4 pi k w`` (cm^-1, base e); reflectivity at normal incidence
    from vacuum ``|(n + i k - 1) / (n + i k + 1)|^2``.

    Parameters
    ----------
    wavenumber : ndarray, shape (n,), in cm^-1
    eps : complex ndarray, shape (n,)
        Including ``eps_inf``.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        ``refractive_index``, ``extinction``, ``absorption_coefficient``, ``reflectivity``.

    Examples
    --------
    >>> glass = optical_constants(np.array([100.0]), np.array([2.25 + 0.0j]))
    >>> float(glass["refractive_index"][0]), round(float(glass["reflectivity"][0]), 4)
    (1.5, 0.04)
    """
    index = np.sqrt(np.asarray(eps, dtype=complex))
    return {
        "refractive_index": index.real,
        "extinction": index.imag,
        "absorption_coefficient": 4 * np.pi * index.imag * np.asarray(wavenumber, dtype=float),
        "reflectivity": np.abs((index - 1) / (index + 1)) ** 2,
    }


def static_sum_rule(wavenumber, eps_imag) -> float:
    """Return ``(2 / pi) * integral of eps''(w) / w dw``: the ionic part of the static dielectric constant.

    Trapezoid rule from zero (where ``eps''/w`` is taken from the first point above zero) to the last wavenumber.  For
    a spectrum up to its Nyquist wavenumber this equals the dipole fluctuation, for any window; what is missing at a
    lower end is the weight above it.
    """
    x, y = np.asarray(wavenumber, dtype=float), np.asarray(eps_imag, dtype=float)
    positive = x > 0
    x, y = x[positive], y[positive] / x[positive]
    return float(2 / np.pi * (trapezoid(y, x) + x[0] * y[0]))
