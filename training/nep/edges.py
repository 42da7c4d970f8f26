"""Find the edges (centre and neighbour within the cutoff) of structures, over which the moments sum."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tnep_calc.errors import DataFileError, TnepError
from tnep_calc.neighbors import NeighborList
from tnep_calc.ops.neighbors import native_search
from tnep_calc.structures import LabelledStructure

from .features import Basis


@dataclass(frozen=True, eq=False)
class StructureEdges:
    """Edges of one structure within the cutoffs of their pairs.

    Attributes
    ----------
    types : ndarray of int, shape (n_atoms,)
        Species index of each atom.
    origin, end : ndarray of int, shape (n_edges,)
        Atom indices of centre and neighbour.
    vectors : ndarray of float64, shape (n_edges, 3), in Å
        From the centre to the neighbour.
    n_slots : int
        Number of different (centre, species of neighbour).
    max_neighbors : tuple of 2 int
        Largest number of neighbours of an atom within the radial and the angular cutoff.
    """

    types: np.ndarray
    origin: np.ndarray
    end: np.ndarray
    vectors: np.ndarray
    n_slots: int
    max_neighbors: tuple[int, int]

    @cached_property
    def n_pairs(self) -> int:
        """Number of different (centre, neighbour); periodic images of a neighbour count once."""
        return len(np.unique(self.origin * len(self.types) + self.end))


class EdgeFinder:
    """Finds the edges of structures, and checks their geometry.

    Parameters
    ----------
    basis : Basis
        Species and cutoffs.
    """

    def __init__(self, basis: Basis):
        self.basis = basis
        self.index = {symbol: k for k, symbol in enumerate(basis.species)}
        self.search = NeighborList(basis.cutoff, search=native_search())
        self._cutoffs = [np.array(c) for c in (basis.radial_cutoffs, basis.angular_cutoffs)]

    def __call__(self, s: LabelledStructure) -> StructureEdges:
        """Return the edges of a structure.

        Raises
        ------
        DataFileError
            If the structure has an unknown species or an unsound geometry.
        """
        unknown = sorted(set(s.symbols) - set(self.index))
        if unknown:
            species = " ".join(self.basis.species)
            raise DataFileError(f"{s.source}: has {' '.join(unknown)}, but the model has {species}")
        try:
            edges = self.search.edges(s.positions, s.cell, s.pbc)
        except TnepError as error:
            raise DataFileError(f"{s.source}: {error}") from error
        n, t = len(s), len(self.basis.species)
        types = np.array([self.index[symbol] for symbol in s.symbols])
        origin, end, vectors = np.repeat(np.arange(n), np.diff(edges.offsets)), edges.neighbors, edges.vectors
        lengths = np.sqrt((vectors * vectors).sum(1))
        radial, angular = ((c[types[origin]] + c[types[end]]) / 2 for c in self._cutoffs)
        inside = lengths < radial
        largest = tuple(int(np.bincount(origin[lengths < c], minlength=n).max(initial=0)) for c in (radial, angular))
        origin, end, vectors = origin[inside], end[inside], vectors[inside]
        occupied = np.zeros(n * t, dtype=bool)
        occupied[origin * t + types[end]] = True
        n_slots = int(np.count_nonzero(occupied))
        return StructureEdges(types, origin, end, vectors, n_slots, (largest[0], largest[1]))
