"""Raman scattering of harmonic modes (Placzek): tensors, invariants, activities, cross-sections, powder spectra.

Tensors are ``A = d alpha / d Q`` with the volume polarizability of the primitive cell in Å³ and the normal coordinate
in Å sqrt(amu), so that their unit is Å²/sqrt(amu).  For a crystal, ``A = (V / 4 pi) d eps / d Q``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..spectra.quantum import NM_INV_CM, bose_factor, check_temperature, laser_factor
from ..spectra.record import Spectrum
from ..units import (
    ATOMIC_MASS,
    HBAR,
    INV_CM_TO_HERTZ,
    PLANCK,
    POLARIZABILITY_TO_A3,
    SPEED_OF_LIGHT,
    hc_over_kt,
)
from .infrared import DEFAULT_WIDTH, check_widths
from .modes import GammaModes

_ZERO_POINT = HBAR / (2 * np.pi * INV_CM_TO_HERTZ) / 2 / ATOMIC_MASS * 1e20
"""``hbar / (2 w)`` in amu Å² at one cm^-1."""

_CROSS_SECTION = (2 * np.pi) ** 4 / 45 * PLANCK / (8 * np.pi**2 * SPEED_OF_LIGHT) * 1e6 * 1e-40 / ATOMIC_MASS * 1e4
"""Cross-section in cm²/sr for an activity of 1 Å⁴/amu and wavenumbers in cm^-1."""


def raman_tensors(gradient, modes: GammaModes) -> np.ndarray:
    """Return the Raman tensors of modes, ``A_m = sum_jb (d alpha / d u_jb) e_m[j, b] / sqrt(m_j)``.

    Parameters
    ----------
    gradient : array, shape (n_atoms, 3, 3, 3), in e·Å/V
        Derivative of the polarizability of the primitive cell or molecule, [atom, displacement component, i, j]. This
        is the property ``polarizability_gradient`` of the calculator.
    modes : GammaModes

    Returns
    -------
    ndarray, shape (n_modes, 3, 3), in Å²/sqrt(amu)
        Symmetric tensors.

    Raises
    ------
    InputError
        If the shape does not fit, or a number is not finite.
    """
    g = np.asarray(gradient, dtype=float)
    if g.shape != (len(modes.masses), 3, 3, 3):
        raise InputError(
            f"the polarizability gradient must have the shape ({len(modes.masses)}, 3, 3, 3), got {g.shape}"
        )
    if not np.isfinite(g).all():
        raise InputError("the polarizability gradient has numbers that are not finite: check the model or the file")
    tensors = POLARIZABILITY_TO_A3 * np.einsum("jbik,mjb->mik", g, modes.displacements)
    return 0.5 * (tensors + tensors.transpose(0, 2, 1))


class Invariants(NamedTuple):
    """``mean_squared = (tr A / 3)^2`` and ``anisotropy_squared = gamma^2`` of Raman tensors."""

    mean_squared: np.ndarray
    anisotropy_squared: np.ndarray


def invariants(tensors) -> Invariants:
    """Return the rotational invariants of symmetric tensors, shape (..., 3, 3) -> (...).

    ``gamma^2 = [(xx-yy)^2 + (yy-zz)^2 + (zz-xx)^2] / 2 + 3 (xy^2 + yz^2 + zx^2)`` (Long, The Raman Effect, 2002).
    Both are quadratic.  For a degenerate set use their sum over its modes, which does not depend on the basis.

    Examples
    --------
    >>> a2, g2 = invariants(np.diag([1.0, 2.0, 3.0]))
    >>> float(a2), float(g2)
    (4.0, 3.0)
    """
    t = np.asarray(tensors, dtype=float)
    mean = np.trace(t, axis1=-2, axis2=-1) / 3
    rest = t - mean[..., None, None] * np.eye(3)
    return Invariants(mean**2, 1.5 * (rest**2).sum(axis=(-2, -1)))


def activity(inv: Invariants) -> np.ndarray:
    """Return the Raman activity ``45 a^2 + 7 gamma^2`` in Å⁴/amu."""
    return 45 * inv.mean_squared + 7 * inv.anisotropy_squared


def depolarization(inv: Invariants, natural: bool = False) -> np.ndarray:
    """Return the depolarization ratio of a powder, liquid or gas; NaN for a mode without activity.

    It is ``3 g^2 / (45 a^2 + 4 g^2)`` for plane polarized light (at most 3/4), and ``6 g^2 / (45 a^2 + 7 g^2)`` for
    `natural` light (at most 6/7).
    """
    a, g = inv
    top, bottom = (6 * g, 45 * a + 7 * g) if natural else (3 * g, 45 * a + 4 * g)
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=np.asarray(bottom) > 1e-12)


def cross_section(wavenumber, activities, temperature: float, laser: float = 532.0) -> np.ndarray:
    """Return the Stokes cross-section at 90 degrees of a primitive cell or molecule, without an analyser.

    ``(2 pi)^4 / 45 (nu_L - nu)^4 h / (8 pi^2 c nu) S / (1 - exp(-h c nu / k T))`` (Schrötter and Klöckner, in Raman
    Spectroscopy of Gases and Liquids, ed. Weber, 1979).

    Parameters
    ----------
    wavenumber : array, in cm^-1, positive
    activities : array, in Å⁴/amu
    temperature : float, in K
    laser : float, in nm

    Returns
    -------
    ndarray, in cm²/sr

    Raises
    ------
    InputError
        If a wavenumber, the temperature or the laser wavelength is not positive.
    """
    nu = np.asarray(wavenumber, dtype=float)
    if not (nu > 0).all():
        raise InputError("a Raman cross-section needs positive wavenumbers")
    thermal = -np.expm1(-hc_over_kt(check_temperature(temperature)) * nu)
    line = laser_factor(nu, laser) * (NM_INV_CM / laser) ** 4
    return _CROSS_SECTION * line / nu * np.asarray(activities, dtype=float) / thermal


def stokes_factor(wavenumber, temperature: float, laser: float = 532.0) -> np.ndarray:
    """Return ``((nu_L - nu) / nu_L)^4 (n + 1) hbar / (2 w)`` in amu Å², the factor from squared tensors to intensities.

    The intensities have the scale of :func:`tnep_calc.spectra.raman_spectrum`, so that spectra of modes and of
    molecular dynamics can be compared without a free factor.  The former are per primitive cell, the latter per
    simulation cell.

    Parameters
    ----------
    wavenumber : array, in cm^-1, positive
    temperature : float, in K
    laser : float, in nm
    """
    nu = np.asarray(wavenumber, dtype=float)
    occupied = bose_factor(nu, temperature) / (hc_over_kt(temperature) * nu)  # n + 1
    return laser_factor(nu, laser) * occupied * _ZERO_POINT / nu


def lorentzian(wavenumber, centre, fwhm) -> np.ndarray:
    """Return Lorentzians of unit area, shape (n_wavenumbers, n_modes), in cm, for arguments in cm^-1."""
    half = np.asarray(fwhm, dtype=float) / 2
    return half / np.pi / ((np.asarray(wavenumber, dtype=float)[:, None] - np.asarray(centre)) ** 2 + half**2)


def raman_modes_spectrum(
    wavenumber, tensors, modes: GammaModes, temperature: float = 300.0, laser: float = 532.0, widths=DEFAULT_WIDTH
) -> Spectrum:
    """Return the Stokes Raman spectrum of a powder, liquid or gas from the tensors of its modes.

    Parameters
    ----------
    wavenumber : array, shape (n,), in cm^-1
    tensors : array, shape (n_modes, 3, 3), in Å²/sqrt(amu)
        Raman tensors (:func:`raman_tensors`).
    modes : GammaModes
        Modes at Gamma.  For polar modes of a crystal without inversion use :func:`.raman_crystal.powder_average`, which
        includes LO modes.
    temperature : float, in K
    laser : float, in nm
    widths : float or array, shape (n_modes,), in cm^-1
        Full widths at half maximum of the Lorentzians.

    Returns
    -------
    Spectrum
        Columns ``VV``, ``VH`` and ``unpolarised`` (VV + VH), in Å⁶ per cm^-1 and primitive cell.

    Raises
    ------
    InputError
        If an optical mode is imaginary, or the widths are not valid.
    """
    modes.require_stable("a Raman spectrum")
    use = ~modes.external
    inv = invariants(np.asarray(tensors)[use])
    shape = lorentzian(wavenumber, modes.wavenumbers[use], check_widths(widths, modes)[use])
    factor = stokes_factor(modes.wavenumbers[use], temperature, laser)
    vv = shape @ (factor * (45 * inv.mean_squared + 4 * inv.anisotropy_squared) / 45)
    vh = shape @ (factor * inv.anisotropy_squared / 15)
    parameters = {
        "temperature_K": float(temperature),
        "laser_nm": float(laser),
        "intensity_factors": "((w_L - w) / w_L)^4 (n + 1) hbar / (2 w)",
        "line_shape": "Lorentzian, widths are full widths at half maximum",
    }
    values = {"VV": vv, "VH": vh, "unpolarised": vv + vh}
    return Spectrum(
        "raman of modes",
        np.asarray(wavenumber, dtype=float),
        values,
        dict.fromkeys(values, "A^6/cm^-1"),
        parameters=parameters,
    )
