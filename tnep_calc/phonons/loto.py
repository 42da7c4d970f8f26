"""LO-TO splitting: frequencies at q -> 0 by direction, the TO modes that they come from, and a sum rule."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..errors import InputError
from ..units import EPSILON_0, SQRT_EV_PER_A2_AMU_TO_INV_CM, THZ_TO_INV_CM
from .modes import GammaModes, gamma_modes
from .nac import charges_of

SHIFTED = 0.01
"""Shift (cm^-1) below which a mode keeps the frequency of its TO mode."""


def check_directions(directions) -> np.ndarray:
    """Return directions of q as unit vectors, shape (n, 3); InputError if the shape is wrong or one is zero."""
    vectors = np.array(directions, dtype=float)
    if vectors.ndim != 2 or vectors.shape[1] != 3 or not len(vectors):
        raise InputError(f"directions must have the shape (n, 3), Cartesian, got {vectors.shape}")
    lengths = np.linalg.norm(vectors, axis=1)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise InputError("every direction of q must be three finite numbers that are not all zero")
    return vectors / lengths[:, None]


def lo_to(phonon, directions) -> np.ndarray:
    """Return the frequencies of the modes at q -> 0 for directions of q.

    Modes with a dipole along q couple to the macroscopic field and become longitudinal (LO).  Modes with a dipole
    perpendicular to q are unchanged (TO).  In general, frequencies are those of the dynamical matrix with the
    non-analytic term of Gonze and Lee, Phys. Rev. B 55, 10355 (1997), eq. 60, as implemented in phonopy.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With force constants and ``nac_params``.
    directions : array, shape (n, 3)
        Directions of q in Cartesian coordinates; their lengths do not matter.

    Returns
    -------
    ndarray, shape (n, 3 n_atoms), in cm^-1
        Frequencies of the primitive cell, ascending; imaginary ones are negative.

    Raises
    ------
    InputError
        If force constants or Born charges are missing, or a direction is zero, not finite or of a wrong shape.

    Examples
    --------
    >>> import phonopy
    >>> phonon = phonopy.load("phonopy_params.yaml")  # doctest: +SKIP
    >>> lo_to(phonon, [[1, 0, 0], [0, 0, 1]])  # doctest: +SKIP
    """
    charges_of(phonon)  # raises if force constants or charges are missing
    rows = []
    for q in check_directions(directions):
        # phonopy expects the direction in coordinates of the reciprocal primitive vectors
        found = phonon.run_qpoints([[0.0, 0.0, 0.0]], nac_q_direction=phonon.primitive.cell @ q)
        rows.append(np.sort(found.frequencies[0]))
    return np.array(rows) * THZ_TO_INV_CM


class Branch(NamedTuple):
    """A mode at q -> 0.

    Attributes
    ----------
    wavenumber : float
        In cm^-1; negative if imaginary.
    longitudinal : float
        Share of its dipole along q, ``(q.p)^2 / p.p``: 1 for LO, 0 for TO, between 0 and 1 for mixed modes, and 0
        without a dipole.
    origin : int
        Index of the TO mode (at Gamma, without the field) that it comes from.
    overlap : float
        Squared overlap with the space of that TO mode and its degenerate partners.
    """

    wavenumber: float
    longitudinal: float
    origin: int
    overlap: float


def assign(phonon, direction, transverse: GammaModes | None = None) -> tuple[GammaModes, list[Branch]]:
    """Return the modes at q -> 0 along a direction, each with the TO mode that it comes from.

    The assignment is one-to-one, with the largest sum of squared overlaps of eigenvectors.  If several polar modes of
    the same symmetry couple, an LO mode may come from several TO modes; its overlap is then below 1/2.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With force constants and ``nac_params``.
    direction : array, shape (3,), Cartesian
    transverse : GammaModes, optional
        ``gamma_modes(phonon)``, if already computed.

    Returns
    -------
    modes : GammaModes
        Modes at q -> 0 along the direction.
    branches : list of Branch
        One for each of these modes.
    """
    (q,) = check_directions([direction])
    to = gamma_modes(phonon) if transverse is None else transverse
    modes = gamma_modes(phonon, q)
    n = len(to.wavenumbers)
    overlap = (modes.eigenvectors.reshape(n, -1) @ to.eigenvectors.reshape(n, -1).T) ** 2
    spaces = np.zeros_like(overlap)
    for group in to.sets:  # the overlap with the space of a degenerate set does not depend on its basis
        spaces[:, group] = overlap[:, group].sum(axis=1, keepdims=True)
    origins = linear_sum_assignment(spaces, maximize=True)[1]
    dipoles = np.einsum("iab,mib->ma", charges_of(phonon).used, modes.displacements)
    squared = (dipoles**2).sum(axis=1)
    share = np.divide((dipoles @ q) ** 2, squared, out=np.zeros(n), where=squared > 1e-10 * squared.max())
    return modes, [
        Branch(float(w), float(s), int(k), float(spaces[m, k]))
        for m, (w, s, k) in enumerate(zip(modes.wavenumbers, share, origins, strict=True))
    ]


class LyddaneSachsTeller(NamedTuple):
    """Both sides of the generalised Lyddane-Sachs-Teller relation along a direction.

    Attributes
    ----------
    frequencies : float
        ``prod w(q)^2 / w_TO^2`` over the optical modes.
    dielectric : float
        ``q.eps_0.q / q.eps_inf.q``.
    deviation : float
        Relative deviation of the former from the latter.
    """

    frequencies: float
    dielectric: float
    deviation: float


def lyddane_sachs_teller(phonon, direction, transverse: GammaModes | None = None) -> LyddaneSachsTeller:
    """Check ``prod w(q)^2 / w_TO^2 = q.eps_0.q / q.eps_inf.q`` over the optical modes.

    The relation holds for any direction and any number of coupled modes.  It follows from the determinant of the
    dynamical matrix with the non-analytic term, which is a matrix of rank one (Cochran and Cowley, J. Phys. Chem.
    Solids 23, 447 (1962)).  Frequencies and mode charges enter separately, so that the check reveals a wrong mass,
    charge, volume or unit.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With force constants and ``nac_params``.
    direction : array, shape (3,), Cartesian
    transverse : GammaModes, optional
        ``gamma_modes(phonon)``, if already computed.

    Returns
    -------
    LyddaneSachsTeller

    Raises
    ------
    InputError
        If an optical mode is imaginary, for which the relation is not defined.
    """
    (q,) = check_directions([direction])
    charges = charges_of(phonon)
    to = gamma_modes(phonon) if transverse is None else transverse
    longitudinal = gamma_modes(phonon, q)
    to.require_stable("the Lyddane-Sachs-Teller relation")
    optical = to.wavenumbers[~to.external]
    ratio = float(np.prod((longitudinal.wavenumbers[~longitudinal.external] / optical) ** 2))
    dipoles = np.einsum("a,iab,mib->m", q, charges.used, to.displacements)[~to.external]
    squared = (optical / SQRT_EV_PER_A2_AMU_TO_INV_CM) ** 2
    electronic = float(q @ charges.dielectric @ q)
    static = electronic + float((dipoles**2 / squared).sum()) / (EPSILON_0 * to.volume)
    return LyddaneSachsTeller(ratio, static / electronic, ratio / (static / electronic) - 1)


class AngleScan(NamedTuple):
    """Modes at q -> 0 for directions of q between two directions.

    Attributes
    ----------
    angles : ndarray, shape (n,), in degrees from the first direction
    directions : ndarray, shape (n, 3)
    wavenumbers : ndarray, shape (n, 3 n_atoms), in cm^-1
    longitudinal : ndarray, shape (n, 3 n_atoms)
        Share of the dipole of each mode along q (see :class:`Branch`).
    """

    angles: np.ndarray
    directions: np.ndarray
    wavenumbers: np.ndarray
    longitudinal: np.ndarray


def scan_directions(start, end, n: int = 46) -> tuple[np.ndarray, np.ndarray]:
    """Return the angles in radians, shape (n,), and the directions of q, shape (n, 3), of :func:`angle_scan`.

    Raises
    ------
    InputError
        If both directions are parallel, or `n` is less than 2.
    """
    first, last = check_directions([start, end])
    across = last - (last @ first) * first
    if n < 2 or np.linalg.norm(across) < 1e-6:
        raise InputError("an angle scan needs two directions that are not parallel, and at least 2 angles")
    across /= np.linalg.norm(across)
    angles = np.linspace(0, np.arctan2(last @ across, last @ first), n)
    return angles, np.cos(angles)[:, None] * first + np.sin(angles)[:, None] * across


def angle_scan(phonon, start, end, n: int = 46) -> AngleScan:
    """Return the modes at q -> 0 while q rotates from `start` to `end`, e.g. extraordinary modes of uniaxial crystals.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With force constants and ``nac_params``.
    start, end : array, shape (3,), Cartesian
    n : int, default 46
        Number of directions, both ends included.

    Returns
    -------
    AngleScan

    Raises
    ------
    InputError
        As :func:`scan_directions`.
    """
    angles, directions = scan_directions(start, end, n)
    to = gamma_modes(phonon)
    rows = [assign(phonon, q, to)[1] for q in directions]
    return AngleScan(
        np.degrees(angles),
        directions,
        np.array([[b.wavenumber for b in row] for row in rows]),
        np.array([[b.longitudinal for b in row] for row in rows]),
    )
