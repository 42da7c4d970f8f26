"""Operations that turn a crystal, and all that is known of it, into an equally good training structure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import spglib
from ase.data import atomic_numbers
from scipy.spatial.transform import Rotation

from tnep_calc.errors import DataFileError
from tnep_calc.io.dataset import LabelledStructure

AUGMENTATIONS = ("point_group", "rotations", "none")
"""Kinds of augmentation; rotations are those of O(3), proper or not, drawn uniformly."""


def point_groups(structures: Sequence[LabelledStructure], symprec: float) -> list[np.ndarray]:
    """Return the operations of the crystal class of each structure, shape (n_operations, 3, 3), Cartesian.

    Displaced atoms have no symmetry of their own: the operations are those of the mean of all structures with the same
    symbols and periodic directions, as spglib finds them.  A structure that is not periodic in three directions, or not
    a displaced form of the first of its kind, has the identity alone.

    Parameters
    ----------
    structures : sequence of LabelledStructure
    symprec : float, in Å
        Largest distance of symmetric atoms in the mean.

    Raises
    ------
    DataFileError
        If spglib finds nothing.
    """
    kinds: dict[tuple, list[int]] = {}
    for k, s in enumerate(structures):
        kinds.setdefault((s.symbols, s.pbc.tobytes()), []).append(k)
    found = [np.eye(3)[None]] * len(structures)
    for members in kinds.values():
        alike = [structures[k] for k in members]
        if alike[0].pbc.all():
            operations = _operations(alike, symprec)
            for k in members:
                found[k] = operations
    return found


def _operations(alike: Sequence[LabelledStructure], symprec: float) -> np.ndarray:
    """Return the Cartesian operations of the mean of displaced forms of one crystal."""
    first = alike[0].positions @ np.linalg.inv(alike[0].cell)
    moved = np.array([s.positions @ np.linalg.inv(s.cell) - first for s in alike])
    moved -= np.rint(moved)
    moved -= moved.mean(axis=1, keepdims=True)
    cell = np.mean([s.cell for s in alike], axis=0)
    numbers = [atomic_numbers[symbol] for symbol in alike[0].symbols]
    found = spglib.get_symmetry((cell, first + moved.mean(axis=0), numbers), symprec=symprec)
    if found is None:
        raise DataFileError(
            f"{alike[0].source}: spglib finds no symmetry of the mean of the {len(alike)} structures like it: use "
            "data.augmentation = 'rotations' or 'none', or another data.symprec"
        )
    rotations = np.unique(found["rotations"], axis=0)
    cartesian = np.linalg.solve(cell, np.swapaxes(rotations, 1, 2) @ cell)  # of row vectors
    u, _, v = np.linalg.svd(np.swapaxes(cartesian, 1, 2))  # the mean cell is symmetric up to symprec only
    return u @ v


def random_operations(groups: Sequence[np.ndarray], augmentation: str, rng: np.random.Generator) -> np.ndarray:
    """Draw one operation for each structure of a batch, shape (n_structures, 3, 3)."""
    if augmentation == "point_group":
        return np.array([group[rng.integers(len(group))] for group in groups])
    if augmentation == "rotations":
        proper = Rotation.random(len(groups), random_state=rng).as_matrix()
        return proper * rng.choice([-1.0, 1.0], size=(len(groups), 1, 1))
    return np.broadcast_to(np.eye(3), (len(groups), 3, 3)).copy()
