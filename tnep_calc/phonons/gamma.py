"""Modes at Gamma from forces: their infrared strengths, and the non-analytic term that splits LO from TO."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from ..errors import InputError
from ..units import COULOMB, EPSILON_0, SQRT_EV_PER_A2_AMU_TO_INV_CM


def dynamical_matrix(atoms: Atoms, displacement: float = 0.01) -> np.ndarray:
    """Return the mass-weighted force constants of the cell at Gamma, by central differences of the forces.

    Parameters
    ----------
    atoms : Atoms
        A relaxed cell with a calculator.
    displacement : float, default 0.01
        Displacement in Å; cubic anharmonicity cancels.

    Returns
    -------
    ndarray, shape (3 n_atoms, 3 n_atoms), in eV/Å²/amu
        Symmetrised; translations are projected out (acoustic sum rule).
    """
    n = len(atoms)
    moved = atoms.copy()
    moved.calc = atoms.calc
    constants = np.empty((3 * n, 3 * n))
    for k in range(3 * n):
        atom, axis = divmod(k, 3)
        forces = []
        for sign in (1, -1):
            moved.positions = atoms.positions
            moved.positions[atom, axis] += sign * displacement
            forces.append(moved.get_forces().ravel())
        constants[k] = -(forces[0] - forces[1]) / (2 * displacement)
    constants = 0.5 * (constants + constants.T)
    translations = np.tile(np.eye(3), (n, 1)) / np.sqrt(n)
    keep = np.eye(3 * n) - translations @ translations.T
    weight = 1 / np.sqrt(np.repeat(atoms.get_masses(), 3))
    return weight[:, None] * (keep @ constants @ keep) * weight


def nonanalytic_term(born_charges, dielectric, volume: float, masses, direction) -> np.ndarray:
    """Return the term that the macroscopic field of a longitudinal wave adds to the dynamical matrix at q -> 0.

    ``D_NA[ia, jb] = (4 pi k / V) (q Z_i)_a (q Z_j)_b / (sqrt(m_i m_j) q eps q)`` with ``k = e^2/(4 pi eps0)`` (Gonze
    and Lee, Phys. Rev. B 55, 10355 (1997), eq. 60).

    Parameters
    ----------
    born_charges : array, shape (n_atoms, 3, 3), in e
        [atom, dipole component, displacement component].  The charge sum rule is imposed by subtracting the mean.
    dielectric : array, shape (3, 3)
        High-frequency dielectric tensor.
    volume : float
        Cell volume in Å³.
    masses : array, shape (n_atoms,), in amu
    direction : array, shape (3,)
        Direction of q in Cartesian coordinates; its length does not matter.

    Returns
    -------
    ndarray, shape (3 n_atoms, 3 n_atoms), in eV/Å²/amu

    Raises
    ------
    InputError
        If the direction is zero or the dielectric tensor is not positive along it.
    """
    q = np.asarray(direction, dtype=float)
    born = np.asarray(born_charges, dtype=float)
    screening = q @ np.asarray(dielectric, dtype=float) @ q
    if not screening > 0:
        raise InputError(f"q eps q must be positive, got {screening:g} for direction {q.tolist()}")
    charge = np.einsum("a,iab->ib", q, born - born.mean(axis=0)) / np.sqrt(np.asarray(masses))[:, None]
    flat = charge.ravel()
    return 4 * np.pi * COULOMB / (volume * screening) * np.outer(flat, flat)


def modes(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return wavenumbers and eigenvectors of a dynamical matrix.

    Parameters
    ----------
    matrix : ndarray, shape (3 n_atoms, 3 n_atoms), in eV/Å²/amu

    Returns
    -------
    wavenumbers : ndarray, shape (3 n_atoms,), in cm^-1
        Ascending; imaginary ones are negative.
    eigenvectors : ndarray, shape (3 n_atoms, n_atoms, 3)
        ``eigenvectors[m]`` belongs to mode m; orthonormal, mass-weighted.

    Examples
    --------
    >>> modes(np.diag([1.0, 0.0, 4.0]))[0].round(3).tolist()
    [0.0, 521.471, 1042.942]
    """
    squared, vectors = np.linalg.eigh(matrix)
    wavenumbers = np.sign(squared) * np.sqrt(np.abs(squared)) * SQRT_EV_PER_A2_AMU_TO_INV_CM
    return wavenumbers, vectors.T.reshape(len(squared), -1, 3)


def mode_charges(born_charges, eigenvectors, masses) -> np.ndarray:
    """Return the dipole of a cell per normal coordinate, ``p_m[a] = sum_ib Z[i, a, b] e_m[i, b] / sqrt(m_i)``.

    Its square is the infrared strength of the mode (Gonze and Lee, Phys. Rev. B 55, 10355 (1997), eq. 53).

    Parameters
    ----------
    born_charges : array, shape (n_atoms, 3, 3), in e
        [atom, dipole component, displacement component].  The charge sum rule is imposed by subtracting the mean.
    eigenvectors : array, shape (n_modes, n_atoms, 3)
        As of `modes`.
    masses : array, shape (n_atoms,), in amu

    Returns
    -------
    ndarray, shape (n_modes, 3), in e/sqrt(amu)
    """
    born = np.asarray(born_charges, dtype=float)
    weighted = np.asarray(eigenvectors) / np.sqrt(np.asarray(masses, dtype=float))[:, None]
    return np.einsum("iab,mib->ma", born - born.mean(axis=0), weighted)


def ionic_dielectric(charges, wavenumbers, volume: float) -> np.ndarray:
    """Return what the lattice adds to the dielectric tensor at low frequency, ``sum_m p_m p_m / (eps0 V w_m^2)``.

    The sum is over all modes but the three of lowest wavenumber, the translations (Gonze and Lee, Phys. Rev. B 55,
    10355 (1997), eq. 57).

    Parameters
    ----------
    charges : array, shape (n_modes, 3), in e/sqrt(amu)
        As of `mode_charges`.
    wavenumbers : array, shape (n_modes,), in cm^-1
        Of the transverse modes (no non-analytic term), in any order.
    volume : float, in Å³

    Returns
    -------
    ndarray, shape (3, 3)

    Raises
    ------
    InputError
        If a mode is imaginary: the structure is unstable and the sum has no meaning.
    """
    w, p = np.asarray(wavenumbers, dtype=float), np.asarray(charges, dtype=float)
    optical = np.argsort(np.abs(w))[3:]
    if (w[optical] <= 0).any():
        raise InputError(f"a mode at {w[optical].min():.1f} cm^-1 is imaginary: relax the structure first")
    squared = (w[optical] / SQRT_EV_PER_A2_AMU_TO_INV_CM) ** 2
    return np.einsum("ma,mb,m->ab", p[optical], p[optical], 1 / squared) / (EPSILON_0 * volume)
