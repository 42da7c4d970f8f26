"""Edges of a structure: every pair of a centre and a neighbour (periodic images included) within a cutoff.

The search itself is done by the library vesin or by the native kernels.  This module adds lists with a skin, which are
kept between the steps of a simulation and rebuilt as soon as a new pair could have come within the cutoff, also when
the cell changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import vesin
from ase.geometry import complete_cell

from .errors import InputError

MIN_DISTANCE = 1e-3
"""Smallest distance of a pair in Å; closer pairs are refused, because no model is valid there."""


@dataclass(frozen=True)
class Edges:
    """Edges sorted by centre, in the form of the model contract (see ``tnep_calc.models``).

    They are tensors on a device if they come from a search there (``tnep_calc.ops.device_search``).

    Attributes
    ----------
    offsets : ndarray of int64, shape (n_atoms + 1,)
        The edges of atom i are ``offsets[i]:offsets[i + 1]``.
    neighbors : ndarray of int64, shape (n_edges,)
        Atom index of the neighbour (the original atom of a periodic image).
    vectors : ndarray of float64, shape (n_edges, 3), in Å
        From the centre to the neighbour (image).
    """

    offsets: np.ndarray
    neighbors: np.ndarray
    vectors: np.ndarray

    @staticmethod
    def joined(parts: Sequence[Edges]) -> Edges:
        """Return the edges of several structures as those of one, whose atoms are numbered one structure after another.

        Examples
        --------
        >>> pair = Edges(np.array([0, 1, 2]), np.array([1, 0]), np.array([[0.0, 0, 1], [0, 0, -1]]))
        >>> Edges.joined([pair, pair]).neighbors.tolist()
        [1, 0, 3, 2]
        """
        atoms = np.cumsum([0] + [len(part.offsets) - 1 for part in parts])
        counts = np.concatenate([np.zeros(1, dtype=np.int64), *(np.diff(part.offsets) for part in parts)])
        neighbors = [part.neighbors + first for part, first in zip(parts, atoms, strict=False)]
        return Edges(np.cumsum(counts), np.concatenate(neighbors), np.concatenate([part.vectors for part in parts]))


@dataclass(frozen=True)
class _Built:
    """A stored search: the structure that was searched, and its pairs with their cell shifts."""

    positions: np.ndarray
    cell: np.ndarray
    pbc: np.ndarray
    offsets: np.ndarray
    neighbors: np.ndarray
    shifts: np.ndarray


class VesinSearch:
    """Neighbour search of the library vesin; the searches of ``tnep_calc.ops`` have the same methods."""

    def find(self, positions, cell, pbc, radius) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the pairs within `radius`: offsets (n_atoms + 1,), neighbours (n_edges,), cell shifts (n_edges, 3)."""
        search = vesin.NeighborList(cutoff=radius, full_list=True, sorted=True, n_threads=1)
        origin, neighbors, shifts = search.compute(positions, cell, pbc, quantities="ijS")
        counts = np.bincount(origin.astype(np.int64), minlength=len(positions))
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), neighbors.astype(np.int64), shifts

    def vectors(self, positions, cell, offsets, neighbors, shifts) -> np.ndarray:
        """Return the edge vectors in Å, shape (n_edges, 3), of pairs from `find` at these positions and this cell."""
        vectors = np.take(positions, neighbors, axis=0)
        vectors -= np.repeat(positions, np.diff(offsets), axis=0)
        vectors += shifts @ cell
        return vectors

    def closest(self, vectors, offsets, neighbors) -> tuple[float, int, int]:
        """Return the smallest squared distance in Å², and the centre and the neighbour of this pair."""
        squared = np.einsum("ij,ij->i", vectors, vectors)
        edge = int(np.argmin(squared))
        return float(squared[edge]), int(np.searchsorted(offsets, edge, side="right")) - 1, int(neighbors[edge])


class NeighborList:
    """Neighbour list with a skin, for any cell: triclinic, smaller than the cutoff, or partly periodic.

    Parameters
    ----------
    cutoff : float
        Cutoff in Å.
    skin : float, default 0.0
        Extra radius in Å of the stored list; 0 rebuilds it at every call.  All edges of the stored list are returned,
        because models ignore those beyond their cutoff.
    search : object, optional
        Object that finds pairs and computes vectors, with the methods of `VesinSearch` (the default).

    Attributes
    ----------
    builds : int
        Number of searches done so far.
    """

    def __init__(self, cutoff: float, skin: float = 0.0, search=None):
        if not (np.isfinite(cutoff) and cutoff > 0) or not (np.isfinite(skin) and skin >= 0):
            raise InputError(f"cutoff must be positive and skin not negative (Å), got {cutoff} and {skin}")
        self.cutoff, self.skin = float(cutoff), float(skin)
        self.builds = 0
        self._search = VesinSearch() if search is None else search
        self._built: _Built | None = None

    def edges(self, positions, cell, pbc) -> Edges:
        """Return the edges of a structure.

        Parameters
        ----------
        positions : array, shape (n_atoms, 3), in Å
        cell : array, shape (3, 3), in Å
            Rows are lattice vectors; rows of non-periodic directions may be zero.
        pbc : array of bool, shape (3,)

        Returns
        -------
        Edges

        Raises
        ------
        InputError
            If shapes are wrong, numbers not finite, a periodic direction has no lattice vector, the cell has no
            volume or is too dense, or two atoms are closer than ``MIN_DISTANCE``.
        """
        positions, cell, pbc = checked_structure(positions, cell, pbc, self.cutoff + self.skin)
        if len(positions) == 0:
            return Edges(np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((0, 3)))
        built = self._built
        if built is None or not self._still_valid(built, positions, cell, pbc):
            pairs = self._search.find(positions, cell, pbc, self.cutoff + self.skin)
            built = self._built = _Built(positions.copy(), cell.copy(), pbc.copy(), *pairs)
            self.builds += 1
        vectors = self._search.vectors(positions, cell, built.offsets, built.neighbors, built.shifts)
        if len(vectors):
            squared, centre, neighbor = self._search.closest(vectors, built.offsets, built.neighbors)
            if squared < MIN_DISTANCE**2:
                raise InputError(coincidence(squared, centre, neighbor))
        return Edges(built.offsets, built.neighbors, vectors)

    def _still_valid(self, built, positions, cell, pbc):
        """Return whether no pair outside the stored list can have come within the cutoff.

        Let ``F`` be the deformation from the old to the new cell, and ``u`` the displacements of the atoms beyond it.
        A pair that was at least ``cutoff + skin`` apart is now at least ``(cutoff + skin) sigma_min(F) - 2 max|u|``
        apart.
        """
        if self.skin == 0.0 or positions.shape != built.positions.shape or (pbc != built.pbc).any():
            return False
        reference, stretch = built.positions, 1.0
        if (cell != built.cell).any():
            deformation = np.linalg.solve(built.cell, cell)
            stretch = np.linalg.svd(deformation, compute_uv=False)[-1]
            reference = built.positions @ deformation
        moved = positions - reference
        furthest = np.sqrt(np.einsum("ij,ij->i", moved, moved).max())
        return (self.cutoff + self.skin) * stretch - 2 * furthest >= self.cutoff


MAX_COORDINATE = 1e6
"""Largest accepted component of a position or lattice vector in Å; a larger one must be corrupt."""
MAX_NEIGHBORS = 20_000
"""Largest accepted mean number of neighbours of an atom; more would fill the memory."""


def checked_structure(positions, cell, pbc, reach) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions, cell with all three vectors, and periodicity (shape (3,)) for a search within `reach` (Å).

    Raises
    ------
    InputError
        As for :meth:`NeighborList.edges`, but for atoms that coincide.
    """
    positions = np.ascontiguousarray(positions, dtype=float)
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise InputError(f"positions must have shape (n_atoms, 3), got {positions.shape}")
    finite = np.isfinite(positions).all(axis=1)
    if not finite.all():
        raise InputError(f"position of atom {int(np.argmin(finite))} is not finite: {positions[np.argmin(finite)]}")
    if positions.size and not np.abs(positions).max() <= MAX_COORDINATE:
        far = int(np.abs(positions).max(axis=1).argmax())
        raise InputError(f"atom {far} is more than {MAX_COORDINATE:g} Å away from the origin: {positions[far]}")
    pbc = np.broadcast_to(np.asarray(pbc, dtype=bool), 3)
    cell = _sound_cell(np.asarray(cell, dtype=float), pbc)
    _check_density(len(positions), cell, pbc, reach)
    return positions, cell, pbc


def coincidence(squared: float, centre: int, neighbor: int) -> str:
    """Return the message for two atoms that are too close, from their squared distance in Å²."""
    return f"atoms {centre} and {neighbor} coincide (distance {squared**0.5:.1e} Å)"


def _check_density(n_atoms, cell, pbc, reach):
    """Raise ``InputError`` for periodic cells that are so dense or flat that neighbours would fill the memory."""
    if not pbc.all() or n_atoms == 0:
        return
    per_atom = n_atoms / abs(np.linalg.det(cell)) * 4 / 3 * np.pi * reach**3
    if per_atom > MAX_NEIGHBORS:
        raise InputError(
            f"{n_atoms} atoms in {abs(np.linalg.det(cell)):.3g} Å³ have about {per_atom:.2g} neighbours each within "
            f"{reach:g} Å, more than {MAX_NEIGHBORS}: check the cell"
        )


def _sound_cell(cell, pbc):
    """Return the cell with non-periodic directions completed; raise ``InputError`` if it is invalid."""
    if cell.shape != (3, 3):
        raise InputError(f"cell must have shape (3, 3), got {cell.shape}")
    if not np.isfinite(cell).all():
        raise InputError("the cell has non-finite components")
    if not np.abs(cell).max() <= MAX_COORDINATE:
        raise InputError(f"a lattice vector has a component above {MAX_COORDINATE:g} Å: {cell.tolist()}")
    lengths = np.linalg.norm(cell, axis=1)
    if (lengths[pbc] == 0).any():
        axis = int(np.flatnonzero(pbc & (lengths == 0))[0])
        raise InputError(f"pbc is set along cell vector {axis}, but that vector is zero: set a cell or pbc=False")
    kept = np.where(pbc[:, None], cell, 0.0)
    full = complete_cell(kept)
    if abs(np.linalg.det(full)) < 1e-9 * np.prod(np.linalg.norm(full, axis=1)):
        raise InputError(f"the periodic cell vectors are linearly dependent: {cell.tolist()}")
    return full
