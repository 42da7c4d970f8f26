"""Dipoles of crystals: folding into the cell, and the branch nearest to another dipole.

The quantum is e times a lattice vector.  Spin-paired calculations with even ion charges have twice that, but folding by
the smaller quantum is always allowed, as it can only merge branches that the larger one tells apart.
"""

from __future__ import annotations

import numpy as np

from ..errors import InputError

AMBIGUOUS = 0.25
"""Largest difference in quanta that :func:`nearest_branch` takes for a small change."""


def fold_dipole(dipole, cell) -> np.ndarray:
    """Return the dipole with reduced coordinates in [-1/2, 1/2).

    Parameters
    ----------
    dipole : ndarray, shape (..., 3), in e·Å
    cell : ndarray, shape (3, 3), in Å
        Lattice vectors in rows, any shape.

    Returns
    -------
    ndarray, shape (..., 3), in e·Å

    Examples
    --------
    >>> cell = np.array([[4.0, 0.0, 0.0], [2.0, 3.0, 0.0], [0.0, 0.0, 5.0]])
    >>> fold_dipole([6.5, 3.0, -2.5], cell).round(12).tolist()
    [0.5, 0.0, -2.5]
    """
    reduced = np.asarray(dipole, dtype=float) @ np.linalg.inv(cell)
    return (reduced - np.floor(reduced + 0.5)) @ cell


def quanta_in(change, lattice) -> np.ndarray:
    """Return the quanta in a change of dipole: the sum of lattice vectors that is nearest in reduced coordinates.

    Parameters
    ----------
    change : ndarray, shape (..., 3), in e·Å
    lattice : ndarray, shape (n, 3), in Å
        Periodic lattice vectors in rows, up to three.

    Returns
    -------
    ndarray, shape (..., 3), in e·Å
    """
    return np.rint(change @ np.linalg.pinv(lattice)) @ lattice


def nearest_branch(change, cell) -> np.ndarray:
    """Return a small change of dipole without the quanta in it.

    Parameters
    ----------
    change : ndarray, shape (3,), in e·Å
    cell : ndarray, shape (3, 3), in Å

    Raises
    ------
    InputError
        If what is left is more than a quarter of a quantum, so that the branch cannot be told.
    """
    reduced = np.asarray(change, dtype=float) @ np.linalg.inv(cell)
    rest = reduced - np.round(reduced)
    if np.abs(rest).max() > AMBIGUOUS:
        raise InputError(
            f"the dipole changes by {np.abs(rest).max():.2f} quanta (e times a lattice vector), above {AMBIGUOUS} the "
            "branch cannot be told: use a smaller field"
        )
    return rest @ cell
