r"""Modes of equal energy: a spectrum without the chance energies of the modes in a short run.

In classical equilibrium the velocities of normal coordinates are normal and independent of the positions, so
``<dQ_m/dt dQ_n/dt> = k_B T delta_mn``, in an anharmonic crystal as well.  In a run of the length ``t`` the mean energy
of a mode of the lifetime ``tau`` has a relative error of about ``sqrt(2 tau / t)``.  The strength of its band has the
same error, and the LO frequency, which follows from that strength, has a part of it.  Both vanish if the part of the
dipole that is linear in the coordinates of a degenerate set, ``Q . Z``, is replaced by ``Q . W . Z`` with

.. math:: W = (k_B T)^{1/2} \langle \dot Q \dot Q^T \rangle^{-1/2}

of the run.  Each band becomes a ratio of averages whose errors are correlated.  W tends to the unit matrix in a long
run.  Positions and shapes of lines, and what is not linear in the coordinates, stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..units import BOLTZMANN, SQRT_EV_PER_A2_AMU_TO_RAD_PER_FS
from .correlation import Signal, as_pieces
from .quantum import check_temperature


def energy_ratios(velocities: Signal, sets: Sequence[Sequence[int]], temperature: float) -> list[np.ndarray]:
    """Return the matrices ``<dQ/dt dQ/dt^T> / (k_B T)`` of degenerate sets; their expectation is the unit matrix.

    Parameters
    ----------
    velocities : ndarray, shape (n, modes), or sequence of such, in sqrt(amu)·Å/fs
        Velocities of the normal coordinates, from :func:`.modes.mode_velocities`.
    sets : sequence of sequence of int
        Modes of each degenerate set.
    temperature : float, in K

    Returns
    -------
    list of ndarray, shape (modes of the set, modes of the set)

    Raises
    ------
    InputError
        If the temperature is not positive, or the arrays differ in their number of modes.

    Examples
    --------
    >>> amplitude = np.sqrt(2 * BOLTZMANN * 300.0) * SQRT_EV_PER_A2_AMU_TO_RAD_PER_FS
    >>> rate = amplitude * np.sin(0.1 * np.pi * np.arange(20.0))[:, None]
    >>> [found] = energy_ratios(rate, [[0]], 300.0)
    >>> float(round(found[0, 0], 12))
    1.0
    """
    unit = BOLTZMANN * check_temperature(temperature) * SQRT_EV_PER_A2_AMU_TO_RAD_PER_FS**2  # amu·Å²/fs²
    modes = sum(map(len, sets))
    pieces = [np.asarray(piece) for piece in as_pieces(velocities, (modes,), "velocities of the modes")]
    samples = sum(map(len, pieces))
    ratios = []
    for group in map(list, sets):
        ratios.append(sum(piece[:, group].T @ piece[:, group] for piece in pieces) / (samples * unit))
    return ratios


def at_equal_energy(
    signal: Signal, motion: Signal, charges: np.ndarray, sets: Sequence[Sequence[int]], ratios: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Return the dipole, or the current, of a run whose modes have the energy k_B T each.

    Parameters
    ----------
    signal : ndarray, shape (n, 3), or sequence of such, in e·Å or e·Å/fs
        Dipole or current of the cell.
    motion : ndarray, shape (n, modes), or sequence of such
        Normal coordinates in sqrt(amu)·Å with a dipole, their velocities in sqrt(amu)·Å/fs with a current.
    charges : ndarray, shape (modes, 3), in e/sqrt(amu)
        Derivative of the dipole of the cell with respect to the normal coordinates.
    sets : sequence of sequence of int
        Modes of each degenerate set.
    ratios : sequence of ndarray
        From :func:`energy_ratios`.

    Returns
    -------
    list of ndarray, shape (n, 3)

    Raises
    ------
    InputError
        If signal and motion differ in length, or a polar mode does not move.
    """
    charges = np.asarray(charges, dtype=float)
    pieces = [np.asarray(piece) for piece in as_pieces(signal, (3,), "dipole or current")]
    moved = [np.asarray(piece) for piece in as_pieces(motion, (len(charges),), "motion of the modes")]
    if [len(piece) for piece in pieces] != [len(piece) for piece in moved]:
        raise InputError(
            f"the dipole has pieces of {[len(piece) for piece in pieces]} samples, but the modes of "
            f"{[len(piece) for piece in moved]}"
        )
    added = np.zeros_like(charges)
    for group, ratio in zip(map(list, sets), ratios, strict=True):
        values, vectors = np.linalg.eigh(ratio)
        if not values[0] > 0:
            raise InputError(f"mode {group[0] + 1} does not move in this run, so that its energy cannot be scaled")
        scale = (vectors / np.sqrt(values)) @ vectors.T
        added[group] = (scale - np.eye(len(group))) @ charges[group]
    return [piece + own @ added for piece, own in zip(pieces, moved, strict=True)]
