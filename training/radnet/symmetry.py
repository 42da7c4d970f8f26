"""The symmetric crystal of a set of displaced structures: its point group and its formal polarization."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase.data import atomic_numbers
from scipy.spatial.transform import Rotation

from tnep_calc.errors import DataFileError, MissingComponentError
from tnep_calc.structures import LabelledStructure

log = logging.getLogger(__name__)

_POLAR = 1e-6  # the mean operation of a nonpolar point group is zero up to this


@dataclass(frozen=True)
class Crystal:
    """The symmetric crystal of displaced structures with the same symbols.

    Attributes
    ----------
    operations : ndarray, shape (n_operations, 3, 3)
        Cartesian operations of the point group.
    reduced : ndarray, shape (n_atoms, 3)
        Symmetric positions in reduced coordinates.
    """

    operations: np.ndarray
    reduced: np.ndarray

    @property
    def polar(self) -> bool:
        """Whether the point group allows a polarization."""
        return bool(np.abs(self.operations.mean(axis=0)).max() > _POLAR)


def crystals(structures: Sequence[LabelledStructure], symprec: float) -> list[Crystal]:
    """Return the crystal of each structure; structures with the same symbols and periodic directions share one.

    Displaced atoms break the symmetry, so spglib gets the mean of the structures.  The only operation of a structure
    that is not periodic in three directions is the identity.

    Parameters
    ----------
    structures : sequence of LabelledStructure
    symprec : float, in Å
        Largest distance between symmetry-equivalent atoms in the mean.

    Raises
    ------
    DataFileError
        If spglib finds no symmetry.
    MissingComponentError
        If spglib is not installed.
    """
    kinds: dict[tuple, list[LabelledStructure]] = {}
    for s in structures:
        kinds.setdefault((s.symbols, s.pbc.tobytes()), []).append(s)
    found = {key: _crystal(alike, symprec) for key, alike in kinds.items()}
    return [found[s.symbols, s.pbc.tobytes()] for s in structures]


def _crystal(alike: Sequence[LabelledStructure], symprec: float) -> Crystal:
    if not alike[0].pbc.all():
        return Crystal(np.eye(3)[None], np.zeros((len(alike[0]), 3)))
    first = alike[0].positions @ np.linalg.inv(alike[0].cell)
    reduced = first + _between(first, alike).mean(axis=0)
    cell = np.mean([s.cell for s in alike], axis=0)
    numbers = [atomic_numbers[symbol] for symbol in alike[0].symbols]
    spglib = _spglib()
    found = spglib.get_symmetry((cell, reduced, numbers), symprec=symprec)
    if found is None:
        raise DataFileError(
            f"{alike[0].source}: spglib finds no symmetry in the mean of the {len(alike)} structures of this kind: use "
            "data.augmentation = 'rotations' or 'none', or another data.symprec"
        )
    mean = np.zeros_like(reduced)
    for rotation, translation in zip(found["rotations"], found["translations"], strict=True):
        image = reduced @ rotation.T + translation
        for k, position in enumerate(reduced):
            change = image - position
            change -= np.rint(change)
            same = np.array(numbers) == numbers[k]
            nearest = np.argmin(np.where(same, np.linalg.norm(change @ cell, axis=1), np.inf))
            mean[k] += position + change[nearest]
    rotations = np.unique(found["rotations"], axis=0)
    cartesian = np.linalg.solve(cell, np.swapaxes(rotations, 1, 2) @ cell)  # of row vectors
    u, _, v = np.linalg.svd(np.swapaxes(cartesian, 1, 2))  # the mean cell is symmetric up to symprec only
    return Crystal(u @ v, mean / len(found["rotations"]))


def _spglib():
    try:
        import spglib
    except ImportError as error:
        raise MissingComponentError(
            "a radnet training of crystals needs spglib, which is not installed: pip install 'tnep_calc[radnet]'"
        ) from error
    return spglib


def _between(reduced: np.ndarray, structures: Sequence[LabelledStructure]) -> np.ndarray:
    """Return displacements from `reduced` positions, in reduced coordinates, minus their mean over the atoms."""
    moved = np.array([s.positions @ np.linalg.inv(s.cell) - reduced for s in structures])
    moved -= moved[:, :1]  # so that atoms moved by the same lattice vectors and translation stay together
    moved -= np.rint(moved)
    return moved - moved.mean(axis=1, keepdims=True)


def without_formal_polarization(
    structures: Sequence[LabelledStructure], of: Sequence[Crystal]
) -> tuple[list[LabelledStructure], dict[str, list[float]]]:
    """Return the structures of nonpolar crystals with dipoles relative to that of the symmetric crystal.

    The dipole of a symmetric crystal without a polar direction need not be zero modulo e times a lattice vector: that
    of the two-atom cell of zinc blende is a quarter of the cell's diagonal.  Such a constant, in reduced coordinates,
    is not a function of the environments of the atoms.  It is estimated as the mean of the dipoles minus the products
    of Born charges and displacements.

    Parameters
    ----------
    structures : sequence of LabelledStructure
    of : sequence of Crystal
        Crystal of each structure.

    Returns
    -------
    structures : list of LabelledStructure
    removed : dict of str to list of float
        Constant that was subtracted, by formula, in units of e times the lattice vectors.
    """
    kinds: dict[int, list[int]] = {}
    for k, (s, crystal) in enumerate(zip(structures, of, strict=True)):
        if s.pbc.all() and s.dipole is not None and not crystal.polar:
            kinds.setdefault(id(crystal), []).append(k)
    out, removed = list(structures), {}
    for members in kinds.values():
        alike = [structures[k] for k in members]
        moved = _between(of[members[0]].reduced, alike)
        known = [s.born_charges - s.born_charges.mean(axis=0) for s in alike if s.born_charges is not None]
        rest = np.array([s.dipole @ np.linalg.inv(s.cell) for s in alike])  # type: ignore[operator]
        if known:
            charges = np.mean(known, axis=0)
            induced = [np.einsum("iab,ib->a", charges, x @ s.cell) for x, s in zip(moved, alike, strict=True)]
            rest -= np.array([p @ np.linalg.inv(s.cell) for p, s in zip(induced, alike, strict=True)])
        phase = np.angle(np.exp(2j * np.pi * rest).mean(axis=0)) / (2 * np.pi)
        for k in members:
            s = structures[k]
            out[k] = replace(s, dipole=s.dipole - phase @ s.cell)  # type: ignore[operator]
        formula = "".join(f"{x}{alike[0].symbols.count(x)}" for x in dict.fromkeys(alike[0].symbols))
        removed[formula] = [float(x) for x in phase]
        log.info(
            "%s: the formal polarization of the symmetric crystal, %s quanta, is not part of the model",
            formula,
            " ".join(f"{x:.4f}" for x in phase),
        )
    return out, removed


def random_operations(of: Sequence[Crystal], augmentation: str, rng: np.random.Generator) -> np.ndarray:
    """Draw an orthogonal matrix for each structure of a batch, shape (n_structures, 3, 3).

    Parameters
    ----------
    of : sequence of Crystal
        Crystal of each structure.
    augmentation : {"point_group", "rotations", "none"}
    rng : numpy.random.Generator
    """
    if augmentation == "point_group":
        return np.array([crystal.operations[rng.integers(len(crystal.operations))] for crystal in of])
    if augmentation == "rotations":
        proper = Rotation.random(len(of), random_state=rng).as_matrix()
        return proper * rng.choice([-1.0, 1.0], size=(len(of), 1, 1))
    return np.broadcast_to(np.eye(3), (len(of), 3, 3)).copy()
