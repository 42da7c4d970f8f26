"""Range of the atomic environments in the training data, which an artifact stores to recognize extrapolation.

The environment of an atom is described by four numbers for each species t of neighbours: the distance to the nearest
neighbour of that species (the cutoff if there is none), and the densities ``sum_j (1 - r_ij / r_c)^p`` over the
neighbours j of species t within the cutoff r_c, for the powers p = 2, 4 and 8.  They are smooth, need only the edges of
the structure, and are the same in ASE and in the LAMMPS plugin (``lammps_plugin/src/shared/training_range.cpp``).  The
range is the smallest and largest value of each number over the training data, by the species of the atom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from ..errors import InputError
from ..neighbors import Edges, NeighborList
from ..structures import LabelledStructure

POWERS = (2, 4, 8)
NUMBERS = 1 + len(POWERS)
"""Numbers per atom and species of neighbours: the nearest distance, and the densities."""
TOLERANCE = 0.1
"""An atom is outside if a number exceeds the range by more than this share of its width."""
SMALLEST_DISTANCE_WIDTH = 0.1  # Å
SMALLEST_DENSITY_WIDTH = 0.05  # relative to the largest density
_DIGITS = 7


@dataclass(frozen=True)
class Outside:
    """Atoms of one structure that are outside the range of the training data.

    Attributes
    ----------
    atoms : int
        Number of atoms outside.
    total : int
        Number of atoms of the structure.
    excess : float
        Largest distance from the range, as a share of its width.
    words : str
        Description of that largest distance.
    """

    atoms: int
    total: int
    excess: float
    words: str


def environments(edges: Edges, index: np.ndarray, n_species: int, cutoff: float) -> np.ndarray:
    """Return the numbers that describe the environments of the atoms.

    Parameters
    ----------
    edges : Edges
        Edges longer than the cutoff are ignored.
    index : ndarray of int, shape (n_atoms,)
        Species of each atom.
    n_species : int
    cutoff : float, in Å

    Returns
    -------
    ndarray, shape (n_atoms, n_species, NUMBERS)
        ``[atom, species of the neighbours, (nearest distance in Å, densities)]``.
    """
    n = len(index)
    r = np.sqrt(np.einsum("ij,ij->i", edges.vectors, edges.vectors))
    near = r < cutoff
    slot = (np.repeat(np.arange(n), np.diff(edges.offsets)) * n_species + index[edges.neighbors])[near]
    r = r[near]
    out = np.empty((n * n_species, NUMBERS))
    out[:, 0] = cutoff
    np.minimum.at(out[:, 0], slot, r)
    for k, power in enumerate(POWERS, start=1):
        out[:, k] = np.bincount(slot, weights=(1 - r / cutoff) ** power, minlength=n * n_species)
    return out.reshape(n, n_species, NUMBERS)


@dataclass(frozen=True, eq=False)
class TrainingRange:
    """Range of the environments in training data.

    Attributes
    ----------
    species : tuple of str
        Species of the model.
    cutoff : float, in Å
    structures : int
        Number of structures of the training data.
    low, high : ndarray, shape (n_species, n_species, NUMBERS)
        Range by species of the atom and of its neighbours; NaN for a species that the data lack.
    """

    species: tuple[str, ...]
    cutoff: float
    structures: int
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, structures: Sequence[LabelledStructure], species: Sequence[str], cutoff: float) -> TrainingRange:
        """Return the range of structures.

        Parameters
        ----------
        structures : sequence of LabelledStructure
        species : sequence of str
            Species of the model.
        cutoff : float, in Å
            Largest cutoff of the model.

        Raises
        ------
        InputError
            If there is no structure, or one has a species that the model does not know.
        """
        if not structures:
            raise InputError("the range of the training data needs at least one structure")
        shape = (len(species), len(species), NUMBERS)
        low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
        search = NeighborList(cutoff)
        for structure in structures:
            index = _indices(structure.symbols, species, structure.source)
            edges = search.edges(structure.positions, structure.cell, structure.pbc)
            found = environments(edges, index, len(species), cutoff)
            np.minimum.at(low, index, found)
            np.maximum.at(high, index, found)
        low[np.isinf(low)] = high[np.isinf(high)] = np.nan
        return cls(tuple(species), float(cutoff), len(structures), low, high)

    def table(self) -> dict[str, Any]:
        """Return the range as plain values for the metadata; a species that the data lack is left out."""
        known = [k for k in range(len(self.species)) if np.isfinite(self.low[k]).all()]
        return {
            "cutoff": self.cutoff,
            "powers": list(POWERS),
            "structures": self.structures,
            **{
                name: {self.species[k]: [[_rounded(x) for x in row] for row in values[k]] for k in known}
                for name, values in (("low", self.low), ("high", self.high))
            },
        }

    @classmethod
    def from_table(cls, table: Mapping[str, Any] | None, species: Sequence[str]) -> TrainingRange | None:
        """Return the range from what :meth:`table` has returned and the species of the metadata; None gives None."""
        if table is None:
            return None
        shape = (len(species), len(species), NUMBERS)
        low, high = np.full(shape, np.nan), np.full(shape, np.nan)
        for k, symbol in enumerate(species):
            if symbol in table["low"]:
                low[k], high[k] = table["low"][symbol], table["high"][symbol]
        return cls(tuple(species), float(table["cutoff"]), int(table["structures"]), low, high)

    def union(self, other: TrainingRange) -> TrainingRange:
        """Return the smallest range that has both; species and cutoff must be the same."""
        if (self.species, self.cutoff) != (other.species, other.cutoff):
            raise InputError("ranges of training data can be joined only for the same species and cutoff")
        low, high = np.fmin(self.low, other.low), np.fmax(self.high, other.high)
        return TrainingRange(self.species, self.cutoff, max(self.structures, other.structures), low, high)

    def outside(self, edges: Edges, symbols: Sequence[str]) -> Outside:
        """Return how far the atoms of a structure are outside the range.

        Parameters
        ----------
        edges : Edges
            All edges within the cutoff; longer ones are ignored.
        symbols : sequence of str

        Raises
        ------
        InputError
            If the model does not know a species.
        """
        index = _indices(symbols, self.species, "the structure")
        found = environments(edges, index, len(self.species), self.cutoff)
        low, high = self.low[index], self.high[index]
        width = high - low
        width[..., 0] = np.maximum(width[..., 0], SMALLEST_DISTANCE_WIDTH)
        width[..., 1:] = np.maximum(width[..., 1:], SMALLEST_DENSITY_WIDTH * high[..., 1:])
        with np.errstate(divide="ignore", invalid="ignore"):
            excess = np.maximum(low - found, found - high) / width
        excess[np.isnan(low)] = np.inf  # a species that the data lack
        excess = np.nan_to_num(excess, nan=0.0, posinf=np.inf)  # 0 / 0: no such neighbours, neither here nor there
        largest = excess.reshape(len(index), -1).max(axis=1, initial=0.0)
        count = int((largest > TOLERANCE).sum())
        if not count:
            return Outside(0, len(index), 0.0, "")
        lacking = np.isnan(low).any(axis=(1, 2))
        if lacking.any():
            return Outside(count, len(index), np.inf, f"they have no {self.species[index[lacking.argmax()]]}")
        near = np.where(found[..., 0] < low[..., 0], excess[..., 0], 0.0)  # a short distance says more than a density
        if near.max() > TOLERANCE:
            atom, neighbor, number = *(int(k) for k in np.unravel_index(near.argmax(), near.shape)), 0
        else:
            atom, neighbor, number = (int(k) for k in np.unravel_index(excess.argmax(), excess.shape))
        words = self._describe(index[atom], neighbor, number, found[atom, neighbor, number], excess.max())
        return Outside(count, len(index), float(excess.max()), words)

    def _describe(self, center, neighbor, number, value, excess):
        a, b = self.species[center], self.species[neighbor]
        low, high = self.low[center, neighbor, number], self.high[center, neighbor, number]
        if self.high[center, neighbor, 1] == 0:
            return f"{a} has a neighbour {b}, which it never has there"
        if number == 0:
            side = f"at least {low:.3g}" if value < low else f"at most {high:.3g}"
            return f"the nearest {b} of {a} is {value:.3g} Å away, there {side} Å"
        side = "below" if value < low else "above"
        return f"the density of {b} around {a} is {side} their range by {100 * excess:.3g} % of its width"


def joined(ranges: Sequence[TrainingRange | None]) -> TrainingRange | None:
    """Return the range of several models together; None if one has no range, or their species or cutoffs differ."""
    known = [one for one in ranges if one is not None]
    if len(known) < len(ranges) or len({(one.species, one.cutoff) for one in known}) != 1:
        return None
    return reduce(TrainingRange.union, known)


def describe(outside: Outside) -> str:
    """Return one sentence about the atoms outside the range."""
    return (
        f"{outside.atoms} of {outside.total} atoms are outside the range of the training data ({outside.words}), so "
        "the results may be wrong: check the structure, or train on such structures"
    )


def is_range(table: Any) -> bool:
    """Return whether a value has the form of :meth:`TrainingRange.table`; None counts as well (no range stored)."""
    if table is None:
        return True
    try:
        low, high = table["low"], table["high"]
        good = set(low) == set(high) and float(table["cutoff"]) > 0 and int(table["structures"]) > 0
        arrays = [np.asarray(rows, dtype=float) for part in (low, high) for rows in part.values()]
        shapes = {array.shape for array in arrays}
        return bool(
            good
            and table["powers"] == list(POWERS)
            and arrays
            and len(shapes) == 1
            and all(a.ndim == 2 and a.shape[1] == NUMBERS and np.isfinite(a).all() for a in arrays)
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return False


def _indices(symbols, species, source):
    numbers = {symbol: k for k, symbol in enumerate(species)}
    unknown = sorted(set(symbols) - set(species))
    if unknown:
        raise InputError(f"{source} has {' '.join(unknown)}, but the model knows {' '.join(species)}")
    return np.array([numbers[s] for s in symbols], dtype=np.int64)


def _rounded(value):
    return float(f"{value:.{_DIGITS}g}")
