"""The polarization quantum: fold dipoles of crystals, follow one branch of a series, and move between branches.

The dipole of a crystal is defined modulo the quantum, which is e times a lattice vector.  It is twice that in
spin-paired calculations with even ion charges, but folding by the smaller quantum is always allowed: it can only merge
branches that the larger quantum distinguishes.
"""

from __future__ import annotations

import numpy as np

from .errors import InputError

MAX_CHANGE = 0.25
"""Largest change, in quanta, for which :func:`nearest_branch` can determine the branch."""


def fold_dipole(dipole, cell) -> np.ndarray:
    """Return the dipole on the branch where its reduced coordinates are in [-1/2, 1/2).

    Parameters
    ----------
    dipole : ndarray, shape (..., 3), in e·Å
    cell : ndarray, shape (3, 3), in Å
        Lattice vectors in rows; the cell may have any shape.

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
    """Return the quanta in a change of dipole: the nearest lattice vector in reduced coordinates, times e.

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
    """Return a small change of dipole after removing the quanta in it.

    Parameters
    ----------
    change : ndarray, shape (3,), in e·Å
    cell : ndarray, shape (3, 3), in Å
        Lattice vectors in rows.

    Returns
    -------
    ndarray, shape (3,), in e·Å

    Raises
    ------
    InputError
        If the rest is more than a quarter of a quantum, so that the branch is ambiguous.
    """
    reduced = np.asarray(change, dtype=float) @ np.linalg.inv(cell)
    rest = reduced - np.round(reduced)
    if np.abs(rest).max() > MAX_CHANGE:
        raise InputError(
            f"the dipole changes by {np.abs(rest).max():.2f} quanta (e times a lattice vector); above {MAX_CHANGE} the "
            "branch is ambiguous: use a smaller field"
        )
    return rest @ cell


def change_of_branch(field, quanta) -> tuple[float, np.ndarray]:
    """Return the changes of energy and virial of a crystal in a field when its dipole is lowered by some quanta.

    The enthalpy contains the term ``-E.P``.  On a branch whose dipole is lower by ``q = sum_k n_k R_k`` (integers n
    times lattice vectors, in e·Å), it is therefore higher by ``E.q``.  The virial ``-dH/d(strain)`` is lower by the
    symmetric part of ``E q``.

    Parameters
    ----------
    field : ndarray, shape (3,), in V/Å
    quanta : ndarray, shape (3,), in e·Å

    Returns
    -------
    energy : float, in eV
        Change of the energy, ``E.q``.
    virial : ndarray, shape (3, 3), in eV
        Change of the virial, ``-(E_a q_b + E_b q_a) / 2``.

    Examples
    --------
    >>> energy, virial = change_of_branch(np.array([0.1, 0, 0]), np.array([4.0, 2.0, 0]))
    >>> energy, virial[0].round(9).tolist()
    (0.4, [-0.4, -0.1, -0.0])
    """
    torque = np.outer(field, quanta)
    return float(field @ quanta), -(torque + torque.T) / 2


MAX_STEP = 0.4
"""Largest step between samples, in quanta, that is still assigned to a branch."""


def unwrap_dipole(dipole, cell) -> np.ndarray:
    """Return a dipole series that follows one branch.

    In reduced coordinates ``p = P . cell^-1`` the quantum is one elementary charge for each lattice vector, whatever
    the shape of the cell and also if it varies.  Every sample is moved to the branch nearest to the previous one; the
    first is not changed (King-Smith and Vanderbilt, Phys. Rev. B 47, 1651 (1993)).

    Parameters
    ----------
    dipole : ndarray, shape (n, 3), in e·Å
        Successive samples of one uninterrupted run.
    cell : ndarray, shape (3, 3) or (n, 3, 3), in Å
        Lattice vectors in rows.

    Returns
    -------
    ndarray, shape (n, 3), in e·Å

    Raises
    ------
    InputError
        If a shape is wrong, a cell has no volume, or a step is more than 0.4 quanta away from the nearest branch, so
        that the branch is ambiguous.

    Examples
    --------
    >>> smooth = np.linspace(0, 12, 25)[:, None] * np.array([1.0, 0.5, 0.0])
    >>> cell = np.array([[4.0, 0, 0], [1.0, 5.0, 0], [0, 0, 6.0]])
    >>> reduced = smooth @ np.linalg.inv(cell)
    >>> wrapped = (reduced - np.round(reduced)) @ cell
    >>> bool(np.allclose(unwrap_dipole(wrapped, cell), smooth))
    True
    """
    dipole, cell = np.asarray(dipole, dtype=float), np.asarray(cell, dtype=float)
    if dipole.ndim != 2 or dipole.shape[1] != 3:
        raise InputError(f"dipole must have shape (n, 3), got {dipole.shape}")
    if cell.shape not in ((3, 3), (len(dipole), 3, 3)):
        raise InputError(f"cell must have shape (3, 3) or ({len(dipole)}, 3, 3), got {cell.shape}")
    if np.any(np.abs(np.linalg.det(cell)) < np.finfo(float).eps):
        raise InputError("the cell has no volume: three independent lattice vectors are needed to unwrap")
    reduced = (dipole[:, None] @ np.linalg.inv(cell))[:, 0]
    steps = np.diff(reduced, axis=0)
    quanta = np.round(steps)
    worst = np.abs(steps - quanta)
    if worst.size and worst.max() > MAX_STEP:
        row = int(worst.max(axis=1).argmax())
        raise InputError(
            f"between samples {row} and {row + 1} the dipole moves by {worst[row].max():.2f} quanta (e times a lattice "
            f"vector) away from the nearest branch; above {MAX_STEP} the branch is ambiguous: sample more often"
        )
    reduced[1:] -= np.cumsum(quanta, axis=0)
    return (reduced[:, None] @ cell)[:, 0]


def align_branches(pieces, cell) -> list[np.ndarray]:
    """Move each piece of a simulation to the branch on which its mean is nearest to the mean of the first piece.

    Use this for separate runs of one system, each unwrapped with :func:`unwrap_dipole`, because the branch on which a
    run begins is arbitrary.

    Parameters
    ----------
    pieces : sequence of ndarray, shape (n, 3), in e·Å
        Dipoles of each run; the lengths may differ.
    cell : ndarray, shape (3, 3), in Å
        Lattice vectors in rows.

    Returns
    -------
    list of ndarray, shape (n, 3), in e·Å

    Examples
    --------
    >>> first, second = np.full((4, 3), 0.1), np.full((4, 3), 5.2)
    >>> align_branches([first, second], 5.0 * np.eye(3))[1][0].round(9).tolist()
    [0.2, 0.2, 0.2]
    """
    pieces, cell = [np.asarray(piece, dtype=float) for piece in pieces], np.asarray(cell, dtype=float)
    if cell.shape != (3, 3):
        raise InputError(f"cell must have shape (3, 3), got {cell.shape}")
    reference = pieces[0].mean(axis=0)
    inverse = np.linalg.inv(cell)
    return [piece - np.round((piece.mean(axis=0) - reference) @ inverse) @ cell for piece in pieces]
