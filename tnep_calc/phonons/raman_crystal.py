"""Raman scattering of oriented crystals: Porto notation, rotated polarizations, LO modes, and averages over q."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..errors import InputError, MissingComponentError
from ..spectra.porto import Geometry, parse_porto
from ..spectra.record import Spectrum
from ..units import EPSILON_0, POLARIZABILITY_TO_A3
from .infrared import DEFAULT_WIDTH, check_widths, mode_charges
from .loto import check_directions
from .modes import GammaModes, gamma_modes
from .nac import charges_of
from .raman import lorentzian, raman_tensors, stokes_factor


def longitudinal_tensors(phonon, gradient, direction, hyperpolarizability=None) -> tuple[GammaModes, np.ndarray]:
    """Return the modes at q -> 0 along a direction and their Raman tensors, including those of LO modes.

    With the hyperpolarizability ``beta = d alpha / d E``, the macroscopic field of a mode, ``E = -q (q.p) / (eps0 V
    q.eps_inf.q)`` per normal coordinate, adds the electro-optic term ``beta . E`` (Johnston, Phys. Rev. B 1, 3494
    (1970)).  Without it, the tensors of LO modes lack this term.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With force constants and ``nac_params``.
    gradient : array, shape (n_atoms, 3, 3, 3), in e·Å/V
        As in :func:`.raman.raman_tensors`.
    direction : array, shape (3,), Cartesian
        Direction of q.
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


def widths_at_q(modes: GammaModes, transverse: GammaModes, widths) -> np.ndarray:
    """Return the widths of modes at q -> 0 from those of the TO modes, shape (n_modes,), in cm^-1.

    To first order in the damping, a mode ``e_m`` has the width ``sum_k (e_m.e_k)^2 g_k`` over the TO modes ``e_k``.
    The dielectric function with the widths ``g_k`` has zeros with these widths.

    Parameters
    ----------
    modes : GammaModes
        Modes at q -> 0 (:func:`longitudinal_tensors`).
    transverse : GammaModes
        Modes at Gamma without the macroscopic field.
    widths : float or array, shape (n_modes,), in cm^-1
        Full widths at half maximum of the TO modes.

    Raises
    ------
    InputError
        As in :func:`.infrared.check_widths`.
    """
    n = len(modes.wavenumbers)
    overlap = modes.eigenvectors.reshape(n, -1) @ transverse.eigenvectors.reshape(n, -1).T
    return overlap**2 @ check_widths(widths, transverse)


def electro_optic_tensor(atoms, calculator) -> np.ndarray:
    """Return the hyperpolarizability ``d alpha / d E`` of a cell, shape (3, 3, 3), in e·Å³/V².

    Raises
    ------
    InputError
        If the calculator does not have it; only enthalpy models of third order in the field do.
    """
    if "hyperpolarizability" not in getattr(calculator, "implemented_properties", ()):
        raise InputError(
            "the electro-optic term of LO modes needs 'hyperpolarizability', which only an enthalpy model of third "
            "order in the field has: train one, or compute without this term"
        )
    return np.array(calculator.get_property("hyperpolarizability", atoms))


def oriented_intensities(tensors, modes: GammaModes, geometry: Geometry) -> np.ndarray:
    """Return ``|e_out . A . e_in|^2`` summed over each degenerate set, shape (n_sets,), in Å⁴/amu.

    Parameters
    ----------
    tensors : array, shape (n_modes, 3, 3), in Å²/sqrt(amu)
    modes : GammaModes
    geometry : Geometry
    """
    return modes.of_sets(geometry.project(tensors) ** 2)


def porto_spectrum(
    phonon,
    gradient,
    notation: str,
    wavenumber,
    temperature: float = 300.0,
    laser: float = 532.0,
    widths=DEFAULT_WIDTH,
    hyperpolarizability=None,
    cell=None,
) -> tuple[Spectrum, GammaModes, np.ndarray]:
    """Return the Stokes spectrum of an oriented crystal, with the modes for the direction of q of the geometry.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With force constants, and with ``nac_params`` for LO modes.
    gradient : array, shape (n_atoms, 3, 3, 3), in e·Å/V
        As in :func:`.raman.raman_tensors`.
    notation : str
        Porto notation (:func:`tnep_calc.spectra.porto.parse_porto`).
    wavenumber : array, shape (n,), in cm^-1
    temperature : float, in K
    laser : float, in nm
    widths : float or array, shape (n_modes,), in cm^-1
        Full widths at half maximum of the TO modes; those of LO modes follow (:func:`widths_at_q`).
    hyperpolarizability : array, shape (3, 3, 3), optional
        As in :func:`longitudinal_tensors`.
    cell : array, shape (3, 3), optional
        Lattice vectors in rows, in which directions in brackets are then given. Default: Cartesian directions.

    Returns
    -------
    spectrum : Spectrum
        With the column ``oriented``, in Å⁶ per cm^-1 and primitive cell.
    modes : GammaModes
    intensities : ndarray, shape (n_sets,), in Å⁴/amu
        ``|e_out . A . e_in|^2`` of the degenerate sets of `modes`.
    """
    geometry = parse_porto(notation, cell)
    transverse = gamma_modes(phonon)
    modes, tensors = _modes_for(phonon, gradient, geometry.q, hyperpolarizability, transverse)
    modes.require_stable("a Raman spectrum")
    squared = oriented_intensities(tensors, modes, geometry)
    sets = modes.optical_sets
    width = widths_at_q(modes, transverse, widths)
    centres, width = (np.array([x[list(modes.sets[k])].mean() for k in sets]) for x in (modes.wavenumbers, width))
    factor = stokes_factor(centres, temperature, laser)
    value = lorentzian(wavenumber, centres, width) @ (factor * squared[sets])
    parameters = {
        "porto": notation,
        "temperature_K": float(temperature),
        "laser_nm": float(laser),
        "fwhm_cm-1": np.asarray(widths, dtype=float).tolist(),
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


def _modes_for(phonon, gradient, q, hyperpolarizability, transverse) -> tuple[GammaModes, np.ndarray]:
    """Return modes and tensors for a direction of q; TO modes without charges or if q is None (forward scattering)."""
    if phonon.nac_params is None or q is None:
        return transverse, raman_tensors(gradient, transverse)
    return longitudinal_tensors(phonon, gradient, q, hyperpolarizability)


class PolarizationScan(NamedTuple):
    """Intensities in backscattering while both polarizations rotate about the direction of the light.

    Attributes
    ----------
    angles : ndarray, shape (n,), in degrees
        Angle of the incident polarization, right-handed about the direction of the incident light.
    incident, start : ndarray, shape (3,)
        Direction of the incident light, and polarization at angle 0.
    modes : GammaModes
        Modes at q -> 0 along the light, with LO modes if there are Born charges.
    parallel, crossed : ndarray, shape (n, n_sets), in Å⁴/amu
        HH (analyser along the polarization) and HV (analyser rotated by 90 degrees), for each degenerate set.
    """

    angles: np.ndarray
    incident: np.ndarray
    start: np.ndarray
    modes: GammaModes
    parallel: np.ndarray
    crossed: np.ndarray

    @property
    def scattering_sets(self) -> list[int]:
        """Indices of the degenerate sets that scatter at any angle."""
        top = np.maximum(self.parallel, self.crossed).max(axis=0)
        return [k for k in self.modes.optical_sets if top[k] > 1e-6 * max(float(top.max()), 1e-12)]


def scan_polarization(
    phonon, gradient, notation: str, step: float = 5.0, hyperpolarizability=None, cell=None
) -> PolarizationScan:
    """Return the intensities of the modes in backscattering against the angle of the polarization, 0 to 360 degrees.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With force constants, and with ``nac_params`` for LO modes.
    gradient : array, shape (n_atoms, 3, 3, 3), in e·Å/V
        As in :func:`.raman.raman_tensors`.
    notation : str
        Direction of the light and polarization at angle 0, e.g. ``"z(x)"``, in the notation of
        :func:`tnep_calc.spectra.porto.parse_porto`.
    step : float, in degrees
        Distance of the angles.
    hyperpolarizability : array, shape (3, 3, 3), optional
        As in :func:`longitudinal_tensors`.
    cell : array, shape (3, 3), optional
        As in :func:`porto_spectrum`.

    Returns
    -------
    PolarizationScan

    Raises
    ------
    InputError
        If the notation is not valid, or the polarization is not perpendicular to the light.
    """
    geometry = scan_geometry(notation, cell)
    modes, tensors = _modes_for(phonon, gradient, geometry.q, hyperpolarizability, gamma_modes(phonon))
    modes.require_stable("a Raman spectrum")
    angles = np.arange(0.0, 360.0 + step / 2, step)
    start = geometry.incident_field
    parallel, crossed = polarization_scan(tensors, modes, geometry.incident, start, angles)
    return PolarizationScan(angles, geometry.incident, start, modes, parallel, crossed)


def scan_geometry(notation: str, cell=None) -> Geometry:
    """Return the backscattering geometry at angle 0 of :func:`scan_polarization`; InputError if it is not valid.

    Examples
    --------
    >>> scan_geometry("z(x)").scattered.tolist()
    [0.0, 0.0, -1.0]
    """
    light, bracket, field = notation.strip().partition("(")
    if not (light and bracket and field.endswith(")")):
        raise InputError(f"a scan of the polarization needs light and polarization, e.g. 'z(x)', got '{notation}'")
    back = light[1:] if light.startswith("-") else "-" + light
    return parse_porto(f"{light}({field[:-1]},{field[:-1]}){back}", cell)


def polarization_scan(tensors, modes: GammaModes, incident, start, angles) -> tuple[np.ndarray, np.ndarray]:
    """Return intensities in backscattering while both polarizations rotate about the direction of the light.

    Parameters
    ----------
    tensors : array, shape (n_modes, 3, 3), in Å²/sqrt(amu)
    modes : GammaModes
    incident : array, shape (3,)
        Direction of the light.
    start : array, shape (3,)
        Polarization at angle 0, perpendicular to `incident`.
    angles : array, shape (n,), in degrees
        Angles of a right-handed rotation about `incident`.

    Returns
    -------
    parallel, crossed : ndarray, shape (n, n_sets), in Å⁴/amu
        HH (analyser along the polarization) and HV (analyser rotated by 90 degrees).

    Raises
    ------
    InputError
        If `start` is not perpendicular to `incident`.
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
    """Return a Lebedev rule that integrates spherical harmonics up to `order` exactly.

    Returns
    -------
    directions : ndarray, shape (n, 3)
        Unit vectors.
    weights : ndarray, shape (n,)
        Their sum is 1.

    Raises
    ------
    MissingComponentError
        If scipy is older than 1.15.
    """
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
    widths=DEFAULT_WIDTH,
    hyperpolarizability=None,
    order: int = 23,
) -> Spectrum:
    """Return the backscattering spectrum of a powder, averaged over directions of q with their modes.

    In a powder q has all directions of the crystal, so that the polar modes of a crystal without inversion scatter at
    frequencies between TO and LO.  The average over directions of q is a Lebedev rule.  The average over rotations of
    the crystallites about q is analytic: if ``[[a, b], [b, c]]`` is the projection of a tensor perpendicular to q, then
    ``VV = s^2 + (d^2 + b^2) / 2`` and ``VH = (d^2 + b^2) / 2`` with ``s = (a + c) / 2`` and ``d = (a - c) / 2``.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With force constants and ``nac_params``.
    gradient, wavenumber, temperature, laser, widths, hyperpolarizability
        As in :func:`porto_spectrum`.
    order : int, default 23
        Order of the Lebedev rule (odd, 3 to 131). Order 23 has 194 directions.

    Returns
    -------
    Spectrum
        Columns ``VV``, ``VH`` and ``unpolarised`` (VV + VH), in Å⁶ per cm^-1 and primitive cell.
    """
    w = np.asarray(wavenumber, dtype=float)
    vv, vh = np.zeros(len(w)), np.zeros(len(w))
    transverse = gamma_modes(phonon)
    for q, weight in zip(*sphere(order), strict=True):
        modes, tensors = longitudinal_tensors(phonon, gradient, q, hyperpolarizability)
        modes.require_stable("a Raman spectrum")
        use = ~modes.external
        plane = np.linalg.svd(q[None])[2][1:]  # two axes perpendicular to q
        projected = np.einsum("pi,mij,rj->mpr", plane, tensors[use], plane)
        s = (projected[:, 0, 0] + projected[:, 1, 1]) / 2
        turning = (((projected[:, 0, 0] - projected[:, 1, 1]) / 2) ** 2 + projected[:, 0, 1] ** 2) / 2
        factor = weight * stokes_factor(modes.wavenumbers[use], temperature, laser)
        shape = lorentzian(w, modes.wavenumbers[use], widths_at_q(modes, transverse, widths)[use])
        vv += shape @ (factor * (s**2 + turning))
        vh += shape @ (factor * turning)
    parameters = {
        "temperature_K": float(temperature),
        "laser_nm": float(laser),
        "fwhm_cm-1": np.asarray(widths, dtype=float).tolist(),
        "geometry": "backscattering, average over directions of q",
        "lebedev_order": order,
        "electro_optic_term": hyperpolarizability is not None,
    }
    values = {"VV": vv, "VH": vh, "unpolarised": vv + vh}
    return Spectrum("raman of modes", w, values, dict.fromkeys(values, "A^6/cm^-1"), parameters=parameters)
