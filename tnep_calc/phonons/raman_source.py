"""Derivatives of dipole and polarizability: analytic, by finite differences, or fitted to displaced structures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import InputError
from ..io.images import periodic_images
from ..io.ph_x import is_ph_x, read_ph_x
from ..units import EPSILON_0, POLARIZABILITY_TO_A3

PROPERTIES = ("polarizability_gradient", "polarizability", "dielectric_tensor")
"""Properties of a calculator that give the derivative of the polarizability, from the best to the last choice."""


def has_gradient(calculator) -> bool:
    """Return whether a calculator has one of ``PROPERTIES``."""
    return not set(PROPERTIES).isdisjoint(getattr(calculator, "implemented_properties", ()))


def polarizability_gradient(atoms, calculator, progress: Callable | None = None) -> tuple[np.ndarray, str]:
    """Return the derivative of the polarizability with respect to the positions, and the method used.

    Parameters
    ----------
    atoms : ase.Atoms
        Primitive cell or molecule.
    calculator : ase.calculators.calculator.Calculator
        The derivative is analytic if it has ``polarizability_gradient``. Otherwise it must have ``polarizability``
        (e·Å²/V per cell) or ``dielectric_tensor``, which is differentiated numerically.
    progress : callable, optional
        Called with (done, total) during finite differences.

    Returns
    -------
    gradient : ndarray, shape (n_atoms, 3, 3, 3), in e·Å/V
        [atom, displacement component, i, j].
    method : str
        Description of the method.

    Raises
    ------
    InputError
        If the calculator has none of these properties.
    """
    known = list(getattr(calculator, "implemented_properties", ()))
    if "polarizability_gradient" in known:
        return np.array(calculator.get_property("polarizability_gradient", atoms)), "analytic derivative of the model"
    for name in PROPERTIES[1:]:
        if name in known:
            gradient = finite_differences(atoms, calculator, name, progress=progress)
            scale = EPSILON_0 * atoms.get_volume() if name == "dielectric_tensor" else 1.0
            return scale * gradient, f"central differences of '{name}'"
    raise InputError(
        "Raman tensors need a calculator with 'polarizability_gradient', 'polarizability' or 'dielectric_tensor', but "
        f"it has {', '.join(known) or 'nothing'}: add a susceptibility or enthalpy model"
    )


def finite_differences(
    atoms, calculator, name: str, displacement: float = 0.01, progress: Callable | None = None
) -> np.ndarray:
    """Return the derivative of a property with respect to the positions by central differences.

    Parameters
    ----------
    atoms : ase.Atoms
    calculator : ase.calculators.calculator.Calculator
    name : str
        A property of the calculator, e.g. ``"dipole"`` or ``"polarizability"``.
    displacement : float, in Å
        Displacement of an atom to each side.
    progress : callable, optional
        Called with (done, total).

    Returns
    -------
    ndarray, shape (n_atoms, 3) + shape of the property, in the unit of the property per Å
        [atom, displacement component, ...].
    """
    moved = atoms.copy()
    rows = []
    for k in range(3 * len(atoms)):
        atom, axis = divmod(k, 3)
        sides = []
        for sign in (1, -1):
            moved.positions = atoms.positions
            moved.positions[atom, axis] += sign * displacement
            sides.append(np.array(calculator.get_property(name, moved), dtype=float))
        rows.append((sides[0] - sides[1]) / (2 * displacement))
        if progress is not None:
            progress(k + 1, 3 * len(atoms))
    gradient = np.array(rows)
    return gradient.reshape(len(atoms), 3, *gradient.shape[1:])


def gradient_from_structures(primitive, displacements, polarizabilities, symprec: float = 1e-5) -> np.ndarray:
    """Fit the derivative of the polarizability to structures with displaced atoms, using the symmetry of the crystal.

    The unknowns are the components that the space group and the translational sum rule allow, so that for zincblende
    one displaced atom is enough.  The fit is linear in the displacements: use displacements of both signs, or small
    ones.

    Parameters
    ----------
    primitive : phonopy.structure.atoms.PhonopyAtoms
        Cell without displacements, with the atoms in the order of the structures.
    displacements : array, shape (n_structures, n_atoms, 3), in Å
    polarizabilities : array, shape (n_structures, 3, 3), in e·Å²/V
        Polarizabilities of this cell, ``eps0 V (eps - 1)``.
    symprec : float, in Å
        Tolerance of the symmetry search.

    Returns
    -------
    ndarray, shape (n_atoms, 3, 3, 3), in e·Å/V
        [atom, displacement component, i, j].

    Raises
    ------
    InputError
        If shapes do not fit, or the structures do not determine all unknowns.
    """
    n = len(primitive)
    u, alpha = np.asarray(displacements, dtype=float), np.asarray(polarizabilities, dtype=float)
    if u.ndim != 3 or u.shape[1:] != (n, 3) or alpha.shape != (len(u), 3, 3):
        raise InputError(
            f"expected displacements (n, {n}, 3) and polarizabilities (n, 3, 3), got {u.shape} and {alpha.shape}"
        )
    basis = _invariants(primitive, symprec)
    tensors = np.einsum("kjbxy,sjb->sxyk", basis, u)
    # the polarizability without displacements is also unknown
    still = _invariant_tensors(primitive, symprec)
    constant = np.broadcast_to(np.moveaxis(still, 0, -1), (len(u), 3, 3, len(still)))
    design = np.concatenate([tensors, constant], axis=-1).reshape(9 * len(u), -1)
    scale = np.linalg.norm(design, axis=0)
    fit, _, rank, _ = np.linalg.lstsq(design / np.where(scale > 0, scale, 1), alpha.ravel(), rcond=1e-8)
    if rank < design.shape[1]:
        raise InputError(
            f"{len(u)} displaced structures determine {max(rank - len(still), 0)} of {len(basis)} components of the "
            "polarizability gradient: add structures in which other independent atoms are displaced"
        )
    fit = fit / np.where(scale > 0, scale, 1)
    return np.einsum("k,kjbxy->jbxy", fit[: len(basis)], basis)


def gradient_from_files(paths, phonon, strain: float = 1e-3) -> np.ndarray:
    """Return the derivative of the polarizability from outputs of a DFT program.

    It is fitted to dielectric tensors of displaced structures, or is that of ``ph.x`` with ``lraman = .true.``.

    Parameters
    ----------
    paths : sequence of paths
        Files for :func:`tnep_calc.io.structures.read.read_structures` (VASP, ABINIT, extended xyz, ...), with the
        dielectric tensors of the primitive cell in the orientation of `phonon`, with atoms displaced by less than
        0.5 Å; or one output or dynamical-matrix file of ``ph.x`` with Raman tensors.
    phonon : phonopy.Phonopy

    Returns
    -------
    ndarray, shape (n_atoms, 3, 3, 3), in e·Å/V
        [atom, displacement component, i, j].

    Raises
    ------
    DataFileError
        If the atoms of a structure are not those of the primitive cell.
    InputError
        If a structure is not the primitive cell, or the files do not determine the derivative.
    """
    from ..io.structures.read import read_structures

    primitive = phonon.primitive
    if is_ph_x(paths[0]):
        return _gradient_of_ph_x(paths, primitive)
    moved, tensors = [], []
    for s in read_structures(list(paths), require=["polarizability"])[0]:
        if len(s) != len(primitive):
            raise InputError(
                f"{s.source}: its cell is not the primitive cell of {len(primitive)} atoms: tensors of "
                "displaced structures must be those of the primitive cell"
            )
        images = periodic_images(primitive, s.cell, s.positions, s.symbols, s.source, 0.5, strain)
        displacement = np.empty((len(s), 3))
        displacement[images.atoms] = images.displacements
        moved.append(displacement)
        tensors.append(s.polarizability)
    return gradient_from_structures(primitive, np.array(moved), np.array(tensors))


def _gradient_of_ph_x(paths, primitive) -> np.ndarray:
    """Return the Raman tensors of one file of ``ph.x`` for the atoms of the primitive cell."""
    if len(paths) > 1:
        raise InputError(f"Raman tensors of ph.x are in one file, but {len(paths)} were given")
    run = read_ph_x(paths[0])
    if run.polarizability_gradient is None:
        raise InputError(f"{paths[0]} has no Raman tensor: run ph.x with lraman = .true.")
    images = periodic_images(primitive, run.cell, run.positions, run.symbols, str(paths[0]), shift_origin=True)
    return symmetrize_gradient(images.average(run.polarizability_gradient), primitive)


def symmetrize_gradient(gradients, primitive, symprec: float = 1e-5) -> np.ndarray:
    """Return gradients averaged over the space group, symmetric in the field indices, and zero for translations.

    Parameters
    ----------
    gradients : array, shape (..., n_atoms, 3, 3, 3)
        [..., atom, displacement component, i, j].
    primitive : phonopy.structure.atoms.PhonopyAtoms
    symprec : float, in Å

    Returns
    -------
    ndarray, of the same shape
    """
    from phonopy.structure.symmetry import Symmetry
    from phonopy.utils import similarity_transformation

    g = np.asarray(gradients, dtype=float)
    g = 0.5 * (g + np.swapaxes(g, -1, -2))
    symmetry = Symmetry(primitive, symprec=symprec)
    rotations = symmetry.symmetry_operations["rotations"]
    total = np.zeros_like(g)
    for rotation, permutation in zip(rotations, symmetry.atomic_permutations, strict=True):
        r = similarity_transformation(primitive.cell.T, rotation)
        total[..., permutation, :, :, :] += np.einsum("ab,xi,yk,...jbik->...jaxy", r, r, r, g, optimize=True)
    total /= len(rotations)
    return total - total.mean(axis=-4, keepdims=True)


def _invariant_tensors(primitive, symprec):
    """Return an orthonormal basis of the symmetric tensors that the point group allows, shape (k, 3, 3)."""
    from phonopy.structure.symmetry import Symmetry
    from phonopy.utils import similarity_transformation

    operations = Symmetry(primitive, symprec=symprec).symmetry_operations["rotations"]
    rotations = np.array([similarity_transformation(primitive.cell.T, rotation) for rotation in operations])
    units = np.array([np.outer(a, b) + np.outer(b, a) for a, b in zip(np.eye(3), np.eye(3)[[1, 2, 0]], strict=True)])
    units = np.concatenate([np.einsum("ka,kb->kab", np.eye(3), np.eye(3)), units])
    mean = np.einsum("rax,kxy,rby->kab", rotations, units, rotations) / len(rotations)
    _, size, vectors = np.linalg.svd(mean.reshape(6, 9), full_matrices=False)
    return vectors[size > 1e-8].reshape(-1, 3, 3)


def _invariants(primitive, symprec):
    """Return an orthonormal basis of the gradients that the space group allows, shape (k, n_atoms, 3, 3, 3)."""
    n, random = len(primitive), np.random.default_rng(0)
    count = 24
    while True:
        batch = symmetrize_gradient(random.normal(size=(count, n, 3, 3, 3)), primitive, symprec).reshape(count, -1)
        _, size, vectors = np.linalg.svd(batch, full_matrices=False)
        rank = int((size > 1e-8).sum())
        if rank < count:
            return vectors[:rank].reshape(rank, n, 3, 3, 3)
        count *= 2


def from_dielectric(eps, volume: float) -> np.ndarray:
    """Return polarizabilities ``eps0 V (eps - 1)`` of a cell, in e·Å²/V, from dielectric tensors, shape (..., 3, 3).

    The volume is in Å³.
    """
    return EPSILON_0 * volume * (np.asarray(eps, dtype=float) - np.eye(3))


def gradient_from_tensors(tensors, modes) -> np.ndarray:
    """Return the polarizability gradient from the Raman tensors of all modes (inverse of ``raman.raman_tensors``).

    Parameters
    ----------
    tensors : array, shape (3 n_atoms, 3, 3), in Å²/sqrt(amu)
    modes : GammaModes

    Returns
    -------
    ndarray, shape (n_atoms, 3, 3, 3), in e·Å/V
    """
    root = np.sqrt(modes.masses)[:, None, None, None]
    return np.einsum("mjb,mik->jbik", modes.eigenvectors, np.asarray(tensors)) * root / POLARIZABILITY_TO_A3
