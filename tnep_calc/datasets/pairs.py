"""Consistency of the labels of similar frames: energies with forces, and dipoles with Born charges.

If two frames differ by the displacement u, the trapezoid rule gives ``dE = -(F1 + F2).u / 2`` and
``dP = (Z1 + Z2).u / 2``.  Deviations reveal wrong units, a wrong sign, transposed Born charges, and jumps of the
polarization by quanta (e times a lattice vector).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..structures import LabelledStructure

LARGEST = 0.25
"""Largest rms displacement (Å) of a pair, after subtraction of the mean displacement."""
MAX_FRAMES = 400
"""Largest number of frames of the same atoms and cell that are compared; more are thinned out evenly."""


@dataclass(frozen=True)
class Pairs:
    """Differences of the labels of pairs of similar frames, and their values from the trapezoid rule.

    Attributes
    ----------
    indices : list of (int, int)
        Indices of the two structures of each pair.
    change : ndarray, shape (n_pairs,) or (n_pairs, 3)
        Difference of the energies in eV, or of the dipoles in e·Å (as in the data, not folded): second minus first.
    expected : ndarray, the same shape
        The same difference from forces or Born charges.
    transposed : ndarray, the same shape, or None
        `expected` with transposed Born charges; None for energies.
    cells : ndarray, shape (n_pairs, 3, 3), in Å
        Lattice vectors in rows.
    """

    indices: list[tuple[int, int]]
    change: np.ndarray
    expected: np.ndarray
    transposed: np.ndarray | None
    cells: np.ndarray

    def __len__(self):
        return len(self.indices)


def similar_frames(structures: Sequence[LabelledStructure]) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield pairs of frames at zero field, each a frame and the nearest other frame of the same atoms and cell.

    Pairs further apart than ``LARGEST`` are left out.

    Yields
    ------
    first, second : int
        Indices of the structures.
    displacement : ndarray, shape (n_atoms, 3), in Å
        Positions of the second minus those of the first.
    """
    kinds: dict[tuple, list[int]] = {}
    for k, s in enumerate(structures):
        if s.electric_field is None or not s.electric_field.any():
            kinds.setdefault((s.symbols, tuple(s.pbc), np.round(s.cell, 4).tobytes()), []).append(k)
    for members in kinds.values():
        if len(members) < 2:
            continue
        if len(members) > MAX_FRAMES:
            members = [members[k] for k in np.linspace(0, len(members) - 1, MAX_FRAMES).astype(int)]
        x = np.array([structures[k].positions - structures[k].positions.mean(axis=0) for k in members])
        flat = x.reshape(len(x), -1)
        squares = (flat**2).sum(axis=1)
        distance = squares[:, None] + squares[None] - 2 * flat @ flat.T
        np.fill_diagonal(distance, np.inf)
        seen = set()
        for i, j in enumerate(distance.argmin(axis=1)):
            pair = (min(i, int(j)), max(i, int(j)))
            rms = np.sqrt(max(distance[pair], 0.0) / x.shape[1])
            if pair not in seen and 1e-4 < rms < LARGEST:
                seen.add(pair)
                a, b = members[pair[0]], members[pair[1]]
                yield a, b, structures[b].positions - structures[a].positions


def energy_pairs(structures: Sequence[LabelledStructure]) -> Pairs:
    """Return the differences of the energies of similar frames, and those expected from the forces."""
    rows = []
    for a, b, u in similar_frames(structures):
        one, two = structures[a], structures[b]
        if one.energy is None or two.energy is None:
            continue
        if one.forces is not None and two.forces is not None:
            rows.append(((a, b), two.energy - one.energy, -0.5 * np.sum((one.forces + two.forces) * u), one.cell))
    return Pairs(
        [row[0] for row in rows],
        np.array([row[1] for row in rows]),
        np.array([row[2] for row in rows]),
        None,
        np.array([row[3] for row in rows]).reshape(-1, 3, 3),
    )


def dipole_pairs(structures: Sequence[LabelledStructure]) -> Pairs:
    """Return the differences of the dipoles of similar frames, and those expected from the Born charges."""
    rows = []
    for a, b, u in similar_frames(structures):
        one, two = structures[a], structures[b]
        if one.dipole is None or two.dipole is None or one.born_charges is None or two.born_charges is None:
            continue
        z = (one.born_charges + two.born_charges) / 2
        rows.append(
            ((a, b), two.dipole - one.dipole, np.einsum("aij,aj->i", z, u), np.einsum("aji,aj->i", z, u), one.cell)
        )
    change, expected, transposed = (np.array([row[k] for row in rows]).reshape(-1, 3) for k in (1, 2, 3))
    cells = np.array([row[4] for row in rows]).reshape(-1, 3, 3)
    return Pairs([row[0] for row in rows], change, expected, transposed, cells)


def same_geometry_in_field(structures: Sequence[LabelledStructure]) -> Iterator[tuple[int, int]]:
    """Yield the indices (at zero field, in a field) of structures with the same geometry (to 0.001 Å)."""
    base: dict[tuple, int] = {}
    inside = []
    for k, s in enumerate(structures):
        key = (s.symbols, tuple(s.pbc), *(np.round(a + 0.0, 3).tobytes() for a in (s.positions, s.cell)))
        if s.electric_field is None or not s.electric_field.any():
            base.setdefault(key, k)
        else:
            inside.append((key, k))
    for key, k in inside:
        if key in base:
            yield base[key], k


def quanta(change: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return the polarization quanta, rounded to integers, in differences of dipoles.

    Parameters
    ----------
    change : ndarray, shape (n, 3), in e·Å
    cells : ndarray, shape (n, 3, 3), in Å
        Lattice vectors in rows.

    Returns
    -------
    ndarray, shape (n, 3)
        Number of quanta along each lattice vector, zero where there is no three-dimensional cell.
    """
    found = np.zeros_like(change)
    for k, cell in enumerate(cells):
        if abs(np.linalg.det(cell)) > 0:
            found[k] = np.round(change[k] @ np.linalg.inv(cell))
    return found


def slope(change: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Return the slope of `change` against `expected` (a line through the origin), and their correlation.

    The correlation is the cosine of the angle between the two arrays; means are not subtracted.
    """
    x, y = np.ravel(expected), np.ravel(change)
    norm = float(x @ x * (y @ y))
    return float(x @ y / (x @ x)) if x.any() else 0.0, float(x @ y / norm**0.5) if norm > 0 else 0.0
