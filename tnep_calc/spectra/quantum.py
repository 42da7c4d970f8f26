"""Quantum and optical factors between a classical line shape and a measured intensity."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..units import hc_over_kt

NM_INV_CM = 1e7
"""Wavenumber (cm^-1) times wavelength (nm)."""


def check_temperature(temperature) -> float:
    """Return the temperature in K as a float; raise InputError if it is missing or not positive."""
    if temperature is None:
        raise InputError("the temperature of the simulation is not known: give it in K")
    if not (np.isfinite(temperature) and temperature > 0):
        raise InputError(f"the temperature must be a positive number of K, got {temperature}")
    return float(temperature)


def bose_factor(wavenumber, temperature: float) -> np.ndarray:
    """Return ``x / (1 - exp(-x)) = x (n(w) + 1)`` with ``x = h c w / k_B T``, for Stokes scattering.

    This is the harmonic quantum correction, which converts the classical fluctuation spectrum of a harmonic mode
    exactly to the quantum one (Ramirez et al., J. Chem. Phys. 121, 3973 (2004)).  It applies to scattering intensities
    only.  ``eps''`` and the absorption coefficient from the classical fluctuation-dissipation theorem are already exact
    for harmonic modes and must not be multiplied by it.

    Parameters
    ----------
    wavenumber : ndarray, in cm^-1
        Stokes shift; negative for the anti-Stokes side.
    temperature : float, in K

    Returns
    -------
    ndarray, dimensionless, 1 at zero wavenumber

    Examples
    --------
    >>> round(float(bose_factor(500.0, 300.0)), 2)
    2.64
    >>> float(bose_factor(0.0, 300.0))
    1.0
    """
    x = np.asarray(hc_over_kt(check_temperature(temperature)) * np.asarray(wavenumber, dtype=float))
    small = np.abs(x) < np.finfo(float).eps
    safe = np.where(small, 1.0, x)
    return np.where(small, 1.0, safe / -np.expm1(-safe))


def laser_factor(wavenumber, laser: float) -> np.ndarray:
    """Return ``((w_L - w) / w_L)^4``, the frequency dependence of the scattered power relative to the laser line.

    Parameters
    ----------
    wavenumber : ndarray, in cm^-1
        Stokes shift; negative for the anti-Stokes side.
    laser : float, in nm
        Vacuum wavelength of the laser.

    Returns
    -------
    ndarray, dimensionless, 1 at zero shift

    Raises
    ------
    InputError
        If the laser wavelength is not positive, or the shift exceeds the laser's wavenumber.

    Examples
    --------
    >>> round(float(laser_factor(1000.0, 532.0)), 4)
    0.8036
    """
    if not (np.isfinite(laser) and laser > 0):
        raise InputError(f"the laser wavelength must be a positive number of nm, got {laser}")
    line = NM_INV_CM / laser
    ratio = 1.0 - np.asarray(wavenumber, dtype=float) / line
    if np.any(ratio < 0):
        raise InputError(f"shifts above the laser's {line:.0f} cm^-1 cannot be scattered: limit the wavenumbers")
    return ratio**4
