"""Infrared response of harmonic modes: intensities, dielectric function, optical constants."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..spectra.infrared import unit_vector
from ..spectra.optics import UNITS as OPTICAL_UNITS
from ..spectra.optics import optical_constants
from ..spectra.record import Spectrum
from ..units import (
    ATOMIC_MASS,
    AVOGADRO,
    DEBYE,
    ELEMENTARY_CHARGE,
    EPSILON_0,
    EPSILON_0_SI,
    SPEED_OF_LIGHT,
    SQRT_EV_PER_A2_AMU_TO_INV_CM,
    THZ_TO_INV_CM,
)
from .modes import GammaModes

TO_DEBYE2 = 1.0 / DEBYE**2
"""Factor from e²/amu to (D/Å)²/amu."""

TO_KM_PER_MOL = AVOGADRO * ELEMENTARY_CHARGE**2 / (12 * EPSILON_0_SI * SPEED_OF_LIGHT**2 * ATOMIC_MASS) * 1e-3
"""Factor from e²/amu to km/mol, the absorption coefficient (base e) per concentration, integrated over wavenumbers."""

UNITS = {"e2/amu": 1.0, "D2/A2/amu": TO_DEBYE2, "km/mol": TO_KM_PER_MOL}
"""Units of infrared intensities, with the factors from e²/amu."""

DEFAULT_WIDTH = 8.0
"""Default full width at half maximum in cm^-1."""


def mode_charges(born_charges, modes: GammaModes) -> np.ndarray:
    """Return the dipole of a cell per normal coordinate, ``p_m[a] = sum_jb Z[j, a, b] e_m[j, b] / sqrt(m_j)``.

    See Gonze and Lee, Phys. Rev. B 55, 10355 (1997), eq. 53.

    Parameters
    ----------
    born_charges : array, shape (n_atoms, 3, 3), in e
        [atom, dipole component, displacement component]. They are not corrected here; those of :func:`.nac.charges_of`
        obey the sum rule.
    modes : GammaModes

    Returns
    -------
    ndarray, shape (n_modes, 3), in e/sqrt(amu)

    Raises
    ------
    InputError
        If the shape does not fit.
    """
    born = np.asarray(born_charges, dtype=float)
    if born.shape != (len(modes.masses), 3, 3):
        raise InputError(f"Born charges must have the shape ({len(modes.masses)}, 3, 3), got {born.shape}")
    return np.einsum("jab,mjb->ma", born, modes.displacements)


def intensities(charges, unit: str = "e2/amu") -> np.ndarray:
    """Return the infrared intensities ``|p_m|^2``.  That of a degenerate set is the sum over its modes.

    Parameters
    ----------
    charges : array, shape (n_modes, 3), in e/sqrt(amu)
        Mode charges (:func:`mode_charges`).
    unit : {"e2/amu", "D2/A2/amu", "km/mol"}
        Unit of the result.

    Returns
    -------
    ndarray, shape (n_modes,)

    Raises
    ------
    InputError
        If the unit is unknown.

    Examples
    --------
    >>> [round(float(intensities([[1.0, 0, 0]], unit)[0]), 4) for unit in UNITS]
    [1.0, 23.0708, 974.8801]
    """
    if unit not in UNITS:
        raise InputError(f"the unit of infrared intensities must be one of {', '.join(UNITS)}, got '{unit}'")
    return UNITS[unit] * (np.asarray(charges, dtype=float) ** 2).sum(axis=-1)


def oscillator_strengths(charges, modes: GammaModes) -> np.ndarray:
    """Return the contribution of each mode to the static dielectric tensor, ``p_m p_m / (eps0 V w_m^2)``.

    See Gonze and Lee, Phys. Rev. B 55, 10355 (1997), eq. 57.  Translations contribute zero.

    Parameters
    ----------
    charges : array, shape (n_modes, 3), in e/sqrt(amu)
        Mode charges (:func:`mode_charges`).
    modes : GammaModes
        Modes of a crystal at Gamma, without the macroscopic field.

    Returns
    -------
    ndarray, shape (n_modes, 3, 3), dimensionless

    Raises
    ------
    InputError
        If an optical mode is imaginary.
    """
    modes.require_stable("the static dielectric tensor")
    p = np.where(modes.external[:, None], 0.0, np.asarray(charges, dtype=float))
    squared = (np.where(modes.external, 1.0, modes.wavenumbers) / SQRT_EV_PER_A2_AMU_TO_INV_CM) ** 2
    return np.einsum("ma,mb->mab", p, p) / (EPSILON_0 * modes.volume * squared[:, None, None])


def static_dielectric(eps_inf, charges, modes: GammaModes) -> np.ndarray:
    """Return the static dielectric tensor at fixed cell, ``eps_inf + sum_m p_m p_m / (eps0 V w_m^2)``, shape (3, 3).

    Parameters
    ----------
    eps_inf : array, shape (3, 3)
    charges, modes
        As in :func:`oscillator_strengths`.
    """
    return np.asarray(eps_inf, dtype=float) + oscillator_strengths(charges, modes).sum(axis=0)


def check_widths(widths, modes: GammaModes) -> np.ndarray:
    """Return the full width at half maximum of each mode, shape (n_modes,), in cm^-1, averaged over degenerate sets.

    Parameters
    ----------
    widths : float or array, shape (n_modes,), in cm^-1
        Full widths at half maximum. (phono3py's ``gamma`` is a half width; see :func:`widths_of_phono3py`.)
    modes : GammaModes

    Raises
    ------
    InputError
        If the shape does not fit or a width of an optical mode is not positive.
    """
    value = np.asarray(widths, dtype=float)
    if value.ndim and value.shape != modes.wavenumbers.shape:
        raise InputError(f"widths must be one number or {len(modes.wavenumbers)}, one per mode, got {value.shape}")
    value = np.broadcast_to(value, modes.wavenumbers.shape).copy()
    for group in modes.sets:
        value[list(group)] = value[list(group)].mean()
    optical = value[~modes.external]
    if not (np.isfinite(optical).all() and (optical > 0).all()):
        raise InputError(
            "the widths of all optical modes must be positive numbers of cm^-1 (full width at half maximum)"
        )
    return value


def widths_of_phono3py(path, temperature: float) -> np.ndarray:
    """Return the full widths of the modes at Gamma from a ``kappa-*.hdf5`` file of phono3py.

    phono3py's ``gamma`` is the half width at half maximum in THz (ordinary frequency): FWHM = 2 gamma.

    Parameters
    ----------
    path : str or path
        File with ``gamma`` of a grid that includes Gamma, or of Gamma alone (``--gp 0``).
    temperature : float, in K
        One of the temperatures of the file (to 0.5 K).

    Returns
    -------
    ndarray, shape (n_modes,), in cm^-1

    Raises
    ------
    DataFileError
        If the file is not such a file.
    InputError
        If the file does not have this temperature, or has no linewidths at Gamma.
    """
    import h5py

    from ..errors import DataFileError
    from ..io.files import check_readable, reading
    from ..io.hdf5 import read_dataset
    from ..io.trial import tried

    def read():
        with h5py.File(path, "r") as file:
            temperatures, gamma = (read_dataset(file[name], path) for name in ("temperature", "gamma"))
            points = read_dataset(file["qpoint"], path).reshape(-1, 3) if "qpoint" in file else np.zeros((1, 3))
        return temperatures, gamma, points

    try:
        with reading(path, "a file of phono3py"):
            temperatures, gamma, points = tried(check_readable(path), "the HDF5 library", read)
    except DataFileError as error:
        raise DataFileError(f"{path} is not a file of phono3py with 'gamma' and 'temperature' ({error})") from error
    nearest = int(np.abs(temperatures - temperature).argmin())
    if abs(temperatures[nearest] - temperature) > 0.5:
        raise InputError(
            f"{path} has no temperature of {temperature:g} K, only {temperatures.min():g} to "
            f"{temperatures.max():g} K in {len(temperatures)} steps"
        )
    row = gamma[nearest]
    if row.ndim == 2:
        at = np.flatnonzero(np.abs(points).max(axis=1) < 1e-8)
        if not len(at):
            raise InputError(f"{path} has no linewidths at Gamma: run phono3py with a grid that includes Gamma")
        row = row[at[0]]
    return 2 * THZ_TO_INV_CM * row


def dielectric_function(wavenumber, eps_inf, charges, modes: GammaModes, widths=DEFAULT_WIDTH) -> np.ndarray:
    """Return the complex dielectric tensor of damped harmonic modes.

    ``eps(w) = eps_inf + (1 / (eps0 V)) sum_m p_m p_m / (w_m^2 - w^2 - i g_m w)`` (Gonze and Lee, Phys. Rev. B 55,
    10355 (1997), eq. 55, with damping).  The imaginary part is positive in an absorbing medium.

    Parameters
    ----------
    wavenumber : array, shape (n,), in cm^-1
    eps_inf : array, shape (3, 3)
    charges : array, shape (n_modes, 3), in e/sqrt(amu)
        Mode charges (:func:`mode_charges`).
    modes : GammaModes
        Modes of a crystal at Gamma, without the macroscopic field. The zeros of eps(w) are then the LO modes.
    widths : float or array, shape (n_modes,), in cm^-1
        Full widths at half maximum ``g_m``.

    Returns
    -------
    complex ndarray, shape (n, 3, 3)

    Raises
    ------
    InputError
        If an optical mode is imaginary, or the widths are not valid.
    """
    w = np.asarray(wavenumber, dtype=float)[:, None]
    strength = oscillator_strengths(charges, modes)
    optical = ~modes.external
    w0, g = modes.wavenumbers[optical], check_widths(widths, modes)[optical]
    response = w0**2 / (w0**2 - w**2 - 1j * g * w)
    return np.asarray(eps_inf, dtype=float) + np.einsum("wm,mab->wab", response, strength[optical])


def principal_axes(tensor) -> np.ndarray:
    """Return the principal axes of a symmetric tensor in rows, shape (3, 3); the Cartesian axes if it is diagonal.

    In monoclinic and triclinic crystals the principal axes of eps(w) depend on w, so that those of one tensor are
    arbitrary.
    """
    t = np.asarray(tensor, dtype=float)
    t = 0.5 * (t + t.T)
    if np.abs(t - np.diag(t.diagonal())).max() < 1e-6 * np.abs(t).max():
        return np.eye(3)
    axes = np.linalg.eigh(t)[1].T
    return axes * np.sign(axes[np.arange(3), np.abs(axes).argmax(axis=1)])[:, None]


def infrared_modes_spectrum(
    wavenumber, eps_inf, charges, modes: GammaModes, widths=DEFAULT_WIDTH, direction=None
) -> Spectrum:
    """Return the optical constants of a crystal at normal incidence for light polarized along a direction.

    Parameters
    ----------
    wavenumber : array, shape (n,), in cm^-1
    eps_inf, charges, modes, widths
        As in :func:`dielectric_function`.
    direction : array, shape (3,), optional
        Polarization along a principal axis of the dielectric tensor.  Default: a third of the trace, which is the
        average of a powder only if absorption is weak.

    Returns
    -------
    Spectrum
        Columns ``eps_real``, ``eps_imag``, ``absorption`` (n alpha, cm^-1), and those of
        :func:`tnep_calc.spectra.optics.optical_constants`.
    """
    w = np.asarray(wavenumber, dtype=float)
    tensor = dielectric_function(w, eps_inf, charges, modes, widths)
    if direction is None:
        eps = np.trace(tensor, axis1=1, axis2=2) / 3
    else:
        axis = unit_vector(direction)
        eps = np.einsum("a,wab,b->w", axis, tensor, axis)
    values = {
        "eps_real": eps.real,
        "eps_imag": eps.imag,
        "absorption": 2 * np.pi * w * eps.imag,
        **optical_constants(w, eps),
    }
    units = {name: OPTICAL_UNITS.get(name, "cm^-1" if name == "absorption" else "1") for name in values}
    g = check_widths(widths, modes)[~modes.external]
    parameters = {
        "direction": None if direction is None else axis.tolist(),
        "fwhm_cm-1": float(g[0]) if np.ptp(g) == 0 else g.tolist(),
        "model": "harmonic modes at Gamma, Lorentz oscillators",
    }
    return Spectrum("infrared of modes", w, values, units, parameters=parameters)
