"""Labels of similar frames against each other: energies with forces, dipoles with Born charges.

Between two frames with the displacement u the trapezoid rule gives ``dE = -(F1 + F2).u / 2`` and
``dP = (Z1 + Z2).u / 2``.  Wrong units, a wrong sign, a transposed Born charge, and jumps of the polarization by
quanta (e times a lattice vector) all show up there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..structures import LabelledStructure

LARGEST = 0.25
"""Largest rms displacement (Å) of a pair, with the mean displacement removed."""
MAX_FRAMES = 400
"""Frames of one kind that are compared with each other, evenly chosen."""


@dataclass(frozen=True)
class Pairs:
    """Two of each: differences of the labels, and the trapezoid rule for them.

    Attributes
    ----------
    indices : list of (int, int)
        Places in the list of structures.
    change : ndarray, shape (n_pairs,) or (n_pairs, 3)
        Difference of the labels, eV or e·Å (as in the data, not folded).
    expected : ndarray, the same shape
        From the derivatives.
    transposed : ndarray or None
        The same with Born charges transposed.
    cells : ndarray, shape (n_pairs, 3, 3), in Å
    """

    indices: list[tuple[int, int]]
    change: np.ndarray
    expected: np.ndarray
    transposed: np.ndarray | None
    cells: np.ndarray

    def __len__(self):
        return len(self.indices)


def similar_frames(structures: Sequence[LabelledStructure]) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield the places of frames with their nearest frame of the same cell, and the displacement (n_atoms, 3) in Å."""
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
    """Return the differences of energies, and what the forces give for them."""
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
    """Return the differences of dipoles, and what the Born charges give for them."""
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
    """Yield the places of structures without field with those of the same geometry (within 0.001 Å) in a field."""
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
    """Return the whole quanta in differences of dipoles, shape (n, 3), zero where there is no cell."""
    found = np.zeros_like(change)
    for k, cell in enumerate(cells):
        if abs(np.linalg.det(cell)) > 0:
            found[k] = np.round(change[k] @ np.linalg.inv(cell))
    return found


def slope(change: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Return the slope of `change` over `expected` through the origin, and the correlation."""
    x, y = np.ravel(expected), np.ravel(change)
    norm = float(x @ x * (y @ y))
    return float(x @ y / (x @ x)) if x.any() else 0.0, float(x @ y / norm**0.5) if norm > 0 else 0.0
