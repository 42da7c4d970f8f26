"""Modes at Gamma, at q -> 0 and of molecules: wavenumbers, real eigenvectors, irreps, activity, degenerate sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..units import SQRT_EV_PER_A2_AMU_TO_INV_CM, THZ_TO_INV_CM

DEGENERATE = 0.01
"""Largest difference of neighbouring wavenumbers, in cm^-1, of a degenerate set."""


@dataclass(frozen=True, eq=False)
class GammaModes:
    """Modes of a crystal at Gamma, or of a molecule.

    Attributes
    ----------
    wavenumbers : ndarray, shape (n_modes,), in cm^-1
        Ascending; imaginary ones are negative.
    eigenvectors : ndarray, shape (n_modes, n_atoms, 3)
        Real, orthonormal, mass-weighted.  The basis of a degenerate set is that of :func:`fixed_basis`.
    masses : ndarray, shape (n_atoms,), in amu
    volume : float, in Å³
        Volume of the cell; 0 for a molecule.
    sets : tuple of tuple of int
        Indices of the modes of each degenerate set, in ascending order.
    labels : tuple of str or None, one per set
        Irreducible representation (Mulliken symbol); None if unknown.
    infrared_active, raman_active : tuple of bool or None, one per set
        Activity by symmetry; None if unknown.
    external : ndarray of bool, shape (n_modes,)
        Whether a mode is a translation of the crystal, or a translation or rotation of a molecule.
    point_group : str or None
    """

    wavenumbers: np.ndarray
    eigenvectors: np.ndarray
    masses: np.ndarray
    volume: float
    sets: tuple[tuple[int, ...], ...]
    labels: tuple[str | None, ...]
    infrared_active: tuple[bool | None, ...]
    raman_active: tuple[bool | None, ...]
    external: np.ndarray
    point_group: str | None = None

    @property
    def displacements(self) -> np.ndarray:
        """Displacements per normal coordinate, ``e / sqrt(m)``, shape (n_modes, n_atoms, 3), in amu^(-1/2)."""
        return self.eigenvectors / np.sqrt(self.masses)[:, None]

    @property
    def optical_sets(self) -> list[int]:
        """Indices of the sets that are not translations (or rotations of a molecule)."""
        return [k for k, group in enumerate(self.sets) if not self.external[list(group)].any()]

    def imaginary(self) -> list[str]:
        """Return a description of each imaginary optical set, e.g. ``"B1u at 52.3i cm^-1"``."""
        found = []
        for k in self.optical_sets:
            wavenumber = self.wavenumbers[self.sets[k][0]]
            if wavenumber <= 0:
                found.append(f"{self.labels[k] or 'mode'} at {-wavenumber:.1f}i cm^-1")
        return found

    def require_stable(self, purpose: str) -> None:
        """Raise InputError if an optical mode is imaginary; `purpose` is the subject of the message."""
        found = self.imaginary()
        if found:
            raise InputError(
                f"{purpose} needs a stable structure, but these modes are imaginary: {', '.join(found)}. Relax the "
                "structure, or displace it along the mode and relax without symmetry, or check the model"
            )

    def of_sets(self, values: np.ndarray) -> np.ndarray:
        """Return the sums over degenerate sets, shape (n_sets, ...), of values of modes, shape (n_modes, ...)."""
        return np.array([np.asarray(values)[list(group)].sum(axis=0) for group in self.sets])


def gamma_modes(phonon, direction=None, tolerance: float = DEGENERATE) -> GammaModes:
    """Return the modes of a crystal at Gamma, or at q -> 0 with the macroscopic field of a direction.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With force constants; with ``nac_params`` if a direction is given.
    direction : array, shape (3,), optional
        Cartesian direction of q.  Default: no macroscopic field (TO modes).
    tolerance : float, in cm^-1
        Largest difference of neighbouring wavenumbers of a degenerate set.

    Returns
    -------
    GammaModes
        Irreps and activity are known only without a direction, for a primitive cell with symmetry.

    Raises
    ------
    InputError
        If the phonopy object has no force constants, or they are not finite.
    """
    if phonon.force_constants is None:
        raise InputError("the phonopy object has no force constants: call produce_force_constants() first")
    if not np.isfinite(phonon.force_constants).all():
        raise InputError("the force constants are not all finite numbers: check the forces")
    q = None if direction is None else phonon.primitive.cell @ np.asarray(direction, dtype=float)
    found = phonon.run_qpoints([[0.0, 0.0, 0.0]], nac_q_direction=q, with_dynamical_matrices=True)
    matrix = np.array(found.dynamical_matrices[0]).real
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    scale = phonon.unit_conversion_factor * THZ_TO_INV_CM
    wavenumbers = np.sign(values) * np.sqrt(np.abs(values)) * scale
    n = len(phonon.primitive)
    masses = np.array(phonon.primitive.masses, dtype=float)
    sets = degenerate_sets(wavenumbers, tolerance)
    eigenvectors = fixed_basis(vectors.T.reshape(3 * n, n, 3), sets)
    shifts = np.einsum("j,ab->ajb", np.sqrt(masses / masses.sum()), np.eye(3))
    unknown = (None,) * len(sets)
    labels, infrared, raman, group = (unknown, unknown, unknown, None)
    if direction is None:
        labels, infrared, raman, group = _irreps(phonon, sets, tolerance)
    return GammaModes(
        wavenumbers,
        eigenvectors,
        masses,
        float(phonon.primitive.volume),
        sets,
        labels,
        infrared,
        raman,
        _external(eigenvectors, shifts, sets),
        group,
    )


def modes_from(wavenumbers, eigenvectors, masses, volume: float, tolerance: float = DEGENERATE) -> GammaModes:
    """Return modes at Gamma from the results of another program.

    Parameters
    ----------
    wavenumbers : array, shape (3 n_atoms,), in cm^-1
        Imaginary ones negative.
    eigenvectors : array, shape (3 n_atoms, n_atoms, 3)
        Real, orthonormal, mass-weighted.
    masses : array, shape (n_atoms,), in amu
    volume : float, in Å³
        Volume of the cell.
    tolerance : float, in cm^-1
        Largest difference of neighbouring wavenumbers of a degenerate set.

    Returns
    -------
    GammaModes
        Without irreps.

    Raises
    ------
    InputError
        If the shapes do not fit or the eigenvectors are not orthonormal to 1e-3.
    """
    w, e, m = (np.asarray(x, dtype=float) for x in (wavenumbers, eigenvectors, masses))
    if w.shape != (3 * len(m),) or e.shape != (3 * len(m), len(m), 3):
        raise InputError(f"expected {3 * len(m)} modes of {len(m)} atoms, got {w.shape} and {e.shape}")
    flat = e.reshape(len(w), -1)
    if np.abs(flat @ flat.T - np.eye(len(w))).max() > 1e-3:
        raise InputError("the eigenvectors are not orthonormal: they must be those of the mass-weighted matrix")
    order = np.argsort(w, kind="stable")
    sets = degenerate_sets(w[order], tolerance)
    fixed = fixed_basis(e[order], sets)
    shifts = np.einsum("j,ab->ajb", np.sqrt(m / m.sum()), np.eye(3))
    unknown = (None,) * len(sets)
    return GammaModes(
        w[order], fixed, m, float(volume), sets, unknown, unknown, unknown, _external(fixed, shifts, sets)
    )


def molecular_modes(atoms, hessian, tolerance: float = 0.1) -> GammaModes:
    """Return the vibrations of a molecule; translations and rotations have the wavenumber zero.

    Parameters
    ----------
    atoms : ase.Atoms
    hessian : array, shape (3 n_atoms, 3 n_atoms), in eV/Å²
        Second derivatives of the energy, e.g. ``ase.vibrations.VibrationsData.get_hessian_2d()``.
    tolerance : float, in cm^-1
        Largest difference of neighbouring wavenumbers of a degenerate set.

    Returns
    -------
    GammaModes
        Without irreps. Translations and rotations are projected out of the Hessian and form one external set.
    """
    masses, n = atoms.get_masses(), len(atoms)
    root = np.sqrt(masses)
    arms = atoms.positions - atoms.get_center_of_mass()
    rigid = [np.tile(axis, (n, 1)) for axis in np.eye(3)] + [np.cross(axis, arms) for axis in np.eye(3)]
    weighted = np.array([(motion * root[:, None]).ravel() for motion in rigid])
    left, size, _ = np.linalg.svd(weighted.T, full_matrices=False)
    space = left[:, size > 1e-6 * size.max()]  # five columns for a linear molecule
    keep = np.eye(3 * n) - space @ space.T
    matrix = np.asarray(hessian, dtype=float) / np.sqrt(np.outer(np.repeat(masses, 3), np.repeat(masses, 3)))
    squared, vectors = np.linalg.eigh(keep @ (0.5 * (matrix + matrix.T)) @ keep)
    wavenumbers = np.sign(squared) * np.sqrt(np.abs(squared)) * SQRT_EV_PER_A2_AMU_TO_INV_CM
    eigenvectors = vectors.T.reshape(-1, n, 3)
    external = np.einsum("mk,kr->mr", vectors.T, space)
    outside = (external**2).sum(axis=1) > 0.5
    wavenumbers[outside] = 0.0
    order = np.argsort(wavenumbers, kind="stable")
    wavenumbers, eigenvectors, outside = wavenumbers[order], eigenvectors[order], outside[order]
    sets = degenerate_sets(wavenumbers, tolerance)
    unknown = (None,) * len(sets)
    return GammaModes(
        wavenumbers, fixed_basis(eigenvectors, sets), masses, 0.0, sets, unknown, unknown, unknown, outside
    )


def degenerate_sets(wavenumbers, tolerance: float) -> tuple[tuple[int, ...], ...]:
    """Return the indices of the modes of each degenerate set, for ascending wavenumbers, shape (n_modes,), in cm^-1.

    Neighbouring modes of a set differ by at most `tolerance` (cm^-1).
    """
    breaks = np.flatnonzero(np.diff(wavenumbers) > tolerance) + 1
    return tuple(tuple(map(int, part)) for part in np.split(np.arange(len(wavenumbers)), breaks))


def fixed_basis(eigenvectors: np.ndarray, sets: Sequence[Sequence[int]]) -> np.ndarray:
    """Return eigenvectors that depend only on the space of each degenerate set, not on the eigensolver.

    In each set they diagonalise the same diagonal operator, with weights ``1, 2, 3`` of the Cartesian axes and a small
    part that differs between atoms.  Sets of vector-like modes thereby become modes along x, y and z.  The sign is
    chosen such that the largest component is positive.

    Parameters
    ----------
    eigenvectors : ndarray, shape (n_modes, n_atoms, 3)
    sets : sequence of sequence of int

    Returns
    -------
    ndarray, shape (n_modes, n_atoms, 3)
    """
    n_atoms = eigenvectors.shape[1]
    weights = np.arange(1.0, 4.0) + 0.1 * np.sqrt(np.arange(1.0, n_atoms + 1))[:, None] / np.sqrt(n_atoms)
    fixed = np.array(eigenvectors, dtype=float)
    for group in sets:
        rows = list(group)
        if len(rows) > 1:
            flat = fixed[rows].reshape(len(rows), -1)
            rotation = np.linalg.eigh((flat * weights.ravel()) @ flat.T)[1]
            fixed[rows] = (rotation.T @ flat).reshape(len(rows), n_atoms, 3)
        for row in rows:
            size = np.abs(fixed[row]).ravel()
            first = np.flatnonzero(size > (1 - 1e-6) * size.max())[0]
            fixed[row] *= np.sign(fixed[row].ravel()[first])
    return fixed


def _external(eigenvectors, rigid, sets):
    """Return a mask of the modes whose sets lie mostly in the space of the orthonormal `rigid` motions."""
    overlap = (np.einsum("mjb,ajb->ma", eigenvectors, rigid) ** 2).sum(axis=1)
    external = np.zeros(len(eigenvectors), dtype=bool)
    for group in sets:
        rows = list(group)
        external[rows] = overlap[rows].mean() > 0.5
    if external.sum() != len(rigid):  # a set mixes acoustic and optical modes: take the largest overlaps
        external[:] = False
        external[np.argsort(-overlap)[: len(rigid)]] = True
    return external


def _irreps(phonon, sets, tolerance):
    """Return labels, infrared and Raman activity of each set, and the point group; None if phonopy finds none."""
    unknown = (None,) * len(sets)
    try:
        found = phonon.run_irreps([0.0, 0.0, 0.0], degeneracy_tolerance=tolerance / THZ_TO_INV_CM)
    except (RuntimeError, ValueError, AttributeError, NotImplementedError):
        return unknown, unknown, unknown, None  # not a primitive cell, or symmetry was switched off
    if [tuple(group) for group in found.band_indices] != list(sets):
        return unknown, unknown, unknown, None
    rotations = np.array(found.conventional_rotations)
    trace = np.trace(rotations, axis1=1, axis2=2)
    symmetric = (trace**2 + np.trace(rotations @ rotations, axis1=1, axis2=2)) / 2
    characters = np.array(found.characters).real

    def contains(representation):  # by the orthogonality of characters
        return tuple(bool(count > 0.5) for count in characters @ representation / len(rotations))

    names = tuple(getattr(found, "irrep_labels", None) or found._ir_labels or unknown)
    return names, contains(trace), contains(symmetric), str(phonon.primitive_symmetry.pointgroup_symbol).strip()
