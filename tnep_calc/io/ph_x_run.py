"""Results of ``ph.x`` at Gamma, as its readers return them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..units import POLARIZABILITY_TO_A3


@dataclass(frozen=True, eq=False)
class PhononRun:
    """Results of ``ph.x`` at Gamma; those that the run did not compute are None.

    Attributes
    ----------
    symbols : tuple of str, length n_atoms
    positions : ndarray, shape (n_atoms, 3), in Å
    cell : ndarray, shape (3, 3), in Å
        Lattice vectors in rows.
    masses : ndarray, shape (n_atoms,), in amu
    born_charges : ndarray, shape (n_atoms, 3, 3), in e
        [atom, dipole component, displacement component], without the acoustic sum rule.
    dielectric : ndarray, shape (3, 3)
        Electronic dielectric tensor, relative to vacuum.
    polarizability_gradient : ndarray, shape (n_atoms, 3, 3, 3), in e·Å/V
        Derivative of the polarizability of the cell, [atom, displacement component, i, j].
    force_constants : ndarray, shape (n_atoms, n_atoms, 3, 3), in eV/Å²
        At Gamma, without the non-analytic term.
    """

    symbols: tuple[str, ...]
    positions: np.ndarray
    cell: np.ndarray
    masses: np.ndarray
    born_charges: np.ndarray | None = None
    dielectric: np.ndarray | None = None
    polarizability_gradient: np.ndarray | None = None
    force_constants: np.ndarray | None = None


def polarizability_gradient(tensors: np.ndarray) -> np.ndarray:
    """Return the derivative of the polarizability in e·Å/V from the Raman tensors that ``ph.x`` writes.

    Parameters
    ----------
    tensors : ndarray, 9 numbers for each atom and displacement component, in Å²
        ``(V / 4 pi) d eps / du``.

    Returns
    -------
    ndarray, shape (n_atoms, 3, 3, 3)
        Symmetric in the last two components.
    """
    found = tensors.reshape(-1, 3, 3, 3) / POLARIZABILITY_TO_A3
    return 0.5 * (found + found.swapaxes(2, 3))
