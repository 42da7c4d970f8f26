"""Raman scattering of oriented crystals: Porto notation, rotated polarizations, LO modes, average over q."""

from __future__ import annotations

import numpy as np

from ..errors import InputError, MissingComponentError
from ..spectra.porto import Geometry, parse_porto
from ..spectra.record import Spectrum
from ..units import EPSILON_0, POLARIZABILITY_TO_A3
from .infrared import DEFAULT_WIDTH, mode_charges
from .loto import check_directions
from .modes import GammaModes, gamma_modes
from .nac import charges_of
from .raman import lorentzian, raman_tensors, stokes_factor


def longitudinal_tensors(phonon, gradient, direction, hyperpolarizability=None) -> tuple[GammaModes, np.ndarray]:
    """Return the modes at q -> 0 along a direction and their Raman tensors, those of LO modes included.

    With the hyperpolarizability ``beta = d alpha / d E``, the macroscopic field of a mode, ``E = -q (q.p) / (eps0 V
    q.eps_inf.q)`` per normal coordinate, adds the electro-optic term ``beta . E`` (Johnston, Phys. Rev. B 1, 3494
    (1970)).  Without it only the part of the displacements is there, and LO modes lack that term.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With force constants and ``nac_params``.
    gradient : array, shape (n_atoms, 3, 3, 3), in e·Å/V
        As of `raman.raman_tensors`.
    direction : array, shape (3,), Cartesian
    hyperpolarizability : array, shape (3, 3, 3), in e·Å³/V² per primitive cell, optional

    Returns
    -------
    modes : GammaModes
    tensors : ndarray, shape (n_modes, 3, 3), in Å²/sqrt(amu)
    """
    (q,) = check_directions([direction])
    modes = gamma_modes(phonon, q)
    tensors = raman_tensors(gradient, modes)
    if hyperpolarizability is not None:
        charges = charges_of(phonon)
        dipole = mode_charges(charges.used, modes) @ q
        field = -dipole[:, None] * q / (EPSILON_0 * modes.volume * (q @ charges.dielectric @ q))
        beta = np.asarray(hyperpolarizability, dtype=float)
        tensors = tensors + POLARIZABILITY_TO_A3 * np.einsum("ijk,mk->mij", beta, field)
    return modes, tensors


def electro_optic_tensor(atoms, calculator) -> np.ndarray:
    """Return the hyperpolarizability ``d alpha / d E`` of a cell, shape (3, 3, 3), in e·Å³/V².

    Raises
    ------
    InputError
        If the calculator has none: only enthalpy models of third order in the field do.
    """
    if "hyperpolarizability" not in getattr(calculator, "implemented_properties", ()):
        raise InputError(
            "the electro-optic term of LO modes needs 'hyperpolarizability', which only an enthalpy model of third "
            "order in the field has: train one, or leave the term out"
        )
    return np.array(calculator.get_property("hyperpolarizability", atoms))


def oriented_intensities(tensors, modes: GammaModes, geometry: Geometry) -> np.ndarray:
    """Return ``|e_out . A . e_in|^2`` summed over each degenerate set, shape (n_sets,), in Å⁴/amu."""
    return modes.of_sets(geometry.project(tensors) ** 2)


def porto_spectrum(
    phonon,
    gradient,
    notation: str,
    wavenumber,
    temperature: float = 300.0,
    laser: float = 532.0,
    widths: float = DEFAULT_WIDTH,
    hyperpolarizability=None,
    cell=None,
) -> tuple[Spectrum, GammaModes, np.ndarray]:
    """Return the Stokes spectrum of an oriented crystal, with the modes of the q that the geometry selects.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With force constants; with ``nac_params`` LO modes appear where they belong.
    gradient : array, shape (n_atoms, 3, 3, 3), in e·Å/V
    notation : str
        Porto notation, see `spectra.porto.parse_porto`.
    wavenumber : array, shape (n,), in cm^-1
    temperature : float, in K
    laser : float, in nm
    widths : float, in cm^-1
        Full width at half maximum of all modes.
    hyperpolarizability : array, shape (3, 3, 3), optional
        As of `longitudinal_tensors`.
    cell : array, shape (3, 3), optional
        Lattice vectors in rows: brackets in the notation are then directions of the lattice; None: Cartesian.

    Returns
    -------
    spectrum : Spectrum
        Column ``oriented``, in Å⁶ per cm^-1 and primitive cell.
    modes : GammaModes
    intensities : ndarray, shape (n_sets,), in Å⁴/amu
        ``|e_out . A . e_in|^2`` of the degenerate sets of `modes`.
    """
    geometry = parse_porto(notation, cell)
    if phonon.nac_params is None or geometry.q is None:
        modes = gamma_modes(phonon)
        tensors = raman_tensors(gradient, modes)
    else:
        modes, tensors = longitudinal_tensors(phonon, gradient, geometry.q, hyperpolarizability)
    modes.require_stable("a Raman spectrum")
    squared = oriented_intensities(tensors, modes, geometry)
    sets = modes.optical_sets
    centres = np.array([modes.wavenumbers[list(modes.sets[k])].mean() for k in sets])
    factor = stokes_factor(centres, temperature, laser)
    value = lorentzian(wavenumber, centres, widths) @ (factor * squared[sets])
    parameters = {
        "porto": notation,
        "temperature_K": float(temperature),
        "laser_nm": float(laser),
        "fwhm_cm-1": float(widths),
        "q_cartesian": None if geometry.q is None else geometry.q.tolist(),
        "non_analytic_term": phonon.nac_params is not None and geometry.q is not None,
        "electro_optic_term": hyperpolarizability is not None,
    }
    spectrum = Spectrum(
        "raman of modes",
        np.asarray(wavenumber, dtype=float),
        {"oriented": value},
        {"oriented": "A^6/cm^-1"},
        parameters=parameters,
    )
    return spectrum, modes, squared


def polarization_scan(tensors, modes: GammaModes, incident, start, angles) -> tuple[np.ndarray, np.ndarray]:
    """Return intensities in backscattering while both polarizations turn about the light.

    Parameters
    ----------
    tensors : array, shape (n_modes, 3, 3), in Å²/sqrt(amu)
    modes : GammaModes
    incident : array, shape (3,)
        Direction of the light.
    start : array, shape (3,)
        Polarization at angle 0, perpendicular to it.
    angles : array, shape (n,), in degrees
        By the right hand about `incident`.

    Returns
    -------
    parallel, crossed : ndarray, shape (n, n_sets), in Å⁴/amu
        HH (analyser along the polarization) and HV (analyser turned by 90 degrees).
    """
    k, e0 = check_directions([incident, start])
    if abs(k @ e0) > 1e-6:
        raise InputError("the polarization at angle 0 must be perpendicular to the direction of the light")
    phi = np.radians(np.asarray(angles, dtype=float))[:, None]
    e = np.cos(phi) * e0 + np.sin(phi) * np.cross(k, e0)
    across = np.cross(k, e)
    t = np.asarray(tensors)
    both = [np.einsum("pi,mij,pj->mp", out, t, e) ** 2 for out in (e, across)]
    return modes.of_sets(both[0]).T, modes.of_sets(both[1]).T


def sphere(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Return directions and weights (sum 1) of a Lebedev rule that integrates harmonics up to `order` exactly."""
    try:
        from scipy.integrate import lebedev_rule
    except ImportError as error:
        raise MissingComponentError("an average over q needs scipy 1.15 or newer: pip install -U scipy") from error
    points, weights = lebedev_rule(order)
    return points.T, weights / weights.sum()


def powder_average(
    phonon,
    gradient,
    wavenumber,
    temperature: float = 300.0,
    laser: float = 532.0,
    widths: float = DEFAULT_WIDTH,
    hyperpolarizability=None,
    order: int = 23,
) -> Spectrum:
    """Return the backscattering spectrum of a powder with the modes of each direction of q.

    In a powder q takes all directions of the crystal, so that the polar modes of a crystal without inversion scatter at
    frequencies between TO and LO.  Crystallites are turned about q analytically: with the projection ``[[a, b], [b,
    c]]`` of a tensor perpendicular to q, ``VV = s^2 + (d^2 + b^2) / 2`` and ``VH = (d^2 + b^2) / 2``, ``s = (a + c) /
    2``, ``d = (a - c) / 2``.  Directions are those of a Lebedev rule.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With force constants and ``nac_params``.
    gradient, wavenumber, temperature, laser, widths, hyperpolarizability
        As of `porto_spectrum`.
    order : int, default 23
        Order of the Lebedev rule (odd, 3 to 131): 194 directions for 23.

    Returns
    -------
    Spectrum
        ``VV``, ``VH`` and ``unpolarised``, in Å⁶ per cm^-1 and primitive cell.
    """
    w = np.asarray(wavenumber, dtype=float)
    vv, vh = np.zeros(len(w)), np.zeros(len(w))
    for q, weight in zip(*sphere(order), strict=True):
        modes, tensors = longitudinal_tensors(phonon, gradient, q, hyperpolarizability)
        modes.require_stable("a Raman spectrum")
        use = ~modes.external
        plane = np.linalg.svd(q[None])[2][1:]  # two axes perpendicular to q
        projected = np.einsum("pi,mij,rj->mpr", plane, tensors[use], plane)
        s = (projected[:, 0, 0] + projected[:, 1, 1]) / 2
        turning = (((projected[:, 0, 0] - projected[:, 1, 1]) / 2) ** 2 + projected[:, 0, 1] ** 2) / 2
        factor = weight * stokes_factor(modes.wavenumbers[use], temperature, laser)
        shape = lorentzian(w, modes.wavenumbers[use], widths)
        vv += shape @ (factor * (s**2 + turning))
        vh += shape @ (factor * turning)
    parameters = {
        "temperature_K": float(temperature),
        "laser_nm": float(laser),
        "fwhm_cm-1": float(widths),
        "geometry": "backscattering, average over directions of q",
        "lebedev_order": order,
        "electro_optic_term": hyperpolarizability is not None,
    }
    values = {"VV": vv, "VH": vh, "unpolarised": vv + vh}
    return Spectrum("raman of modes", w, values, dict.fromkeys(values, "A^6/cm^-1"), parameters=parameters)
