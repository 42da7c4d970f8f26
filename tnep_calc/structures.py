"""Structures with the labels that models are trained on, in one form for all file formats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import DataFileError

FIELDS = {
    "energy": ("energy", "total_energy"),
    "forces": ("forces", "force"),
    "virial": ("virial", "virials"),
    "stress": ("stress",),
    "dipole": ("dipole", "polarization"),
    "born_charges": ("born_charges", "born_charge", "born_effective_charges", "bec", "becs"),
    "polarizability": ("polarizability", "pol"),
    "epsilon_inf": ("epsilon_inf", "dielectric_tensor", "dielectric"),
    "susceptibility": ("susceptibility", "chi"),
    "polarizability_gradient": ("polarizability_gradient",),
    "epsilon_gradient": ("epsilon_gradient", "dielectric_gradient"),
    "atomic_dipole": ("atomic_dipole", "adipole"),
    "atomic_polarizability": ("atomic_polarizability", "apol"),
    "weight": ("weight",),
    "electric_field": ("electric_field",),
    "charge": ("charge", "total_charge", "net_charge"),
}
"""Fields that a file may have, each with its possible keys (upper or lower case).  If a file has several keys of one
field, the first in this list is used."""
LABELS = (
    "energy",
    "forces",
    "virial",
    "dipole",
    "born_charges",
    "polarizability",
    "atomic_dipole",
    "atomic_polarizability",
    "polarizability_gradient",
)
"""Labels of a :class:`LabelledStructure`; ``stress`` becomes ``virial``, ``epsilon_inf`` and ``susceptibility`` become
``polarizability``, and ``epsilon_gradient`` becomes ``polarizability_gradient``."""
MAX_DENSITY = 5.0
"""Largest accepted density in atoms per Å³ (solids have up to 0.2); beyond it, neighbours would fill the memory."""
_ASYMMETRY = 0.05  # largest antisymmetric part of a symmetric tensor, relative to its largest component


@dataclass(frozen=True, eq=False)
class LabelledStructure:
    """One structure and its labels; a label that its file lacks is None.

    Attributes
    ----------
    source : str
        File and place, e.g. ``"bn8.extxyz, structure 3"`` (counted from 0).
    symbols : tuple of str, length n_atoms
    positions : ndarray, shape (n_atoms, 3), in Å
    cell : ndarray, shape (3, 3), in Å
        Lattice vectors in rows; the row of a missing vector is zero.
    pbc : ndarray of bool, shape (3,)
    energy : float, in eV
    forces : ndarray, shape (n_atoms, 3), in eV/Å
    virial : ndarray, shape (3, 3), in eV
        ``-V * stress`` with ASE's sign of the stress; symmetric.
    dipole : ndarray, shape (3,), in e·Å
        Dipole of the cell; for crystals it is defined modulo e times a lattice vector.
    born_charges : ndarray, shape (n_atoms, 3, 3), in e
        ``[atom, dipole component, displacement component]``, as in the file, without imposing a sum rule.
    polarizability : ndarray, shape (3, 3), in e·Å²/V
        Polarizability of the cell, symmetric; ``eps0 V (eps_inf - 1)`` from ``epsilon_inf``, ``eps0 V chi`` from
        ``susceptibility``.
    atomic_dipole : ndarray, shape (n_atoms, 3), in e·Å
        Contributions of the atoms to the dipole.
    atomic_polarizability : ndarray, shape (n_atoms, 3, 3), in e·Å²/V
        Contributions of the atoms to the polarizability, symmetric.
    polarizability_gradient : ndarray, shape (n_atoms, 3, 3, 3), in e·Å/V
        Derivative of the polarizability of the cell, [atom, displacement component, i, j], symmetric in i and j;
        ``eps0 V d eps_inf / du`` from ``epsilon_gradient`` (1/Å).
    charge : float, default 0, in e
        Net charge of the cell; the dipole of a charged molecule depends on the origin.
    weight : float, default 1
        Factor that multiplies all errors of the structure in training; squared errors are multiplied by its square,
        as in GPUMD.
    electric_field : ndarray, shape (3,), in V/Å
        Field in which all labels were computed, or None.  In a field, the energy is the electric enthalpy ``U - E.P``
        with the dipole P on the branch of the ``dipole`` label.  Moving that branch by ``e R`` changes the energy by
        ``-e E.R``.  Forces and dipole are also those in the field.
    """

    source: str
    symbols: tuple[str, ...]
    positions: np.ndarray
    cell: np.ndarray
    pbc: np.ndarray
    energy: float | None = None
    forces: np.ndarray | None = None
    virial: np.ndarray | None = None
    dipole: np.ndarray | None = None
    born_charges: np.ndarray | None = None
    polarizability: np.ndarray | None = None
    atomic_dipole: np.ndarray | None = None
    atomic_polarizability: np.ndarray | None = None
    polarizability_gradient: np.ndarray | None = None
    weight: float = 1.0
    electric_field: np.ndarray | None = None
    charge: float = 0.0

    def __len__(self):
        return len(self.symbols)

    @property
    def volume(self) -> float:
        """Volume of the cell in Å³ (0 without a cell)."""
        return abs(float(np.linalg.det(self.cell)))


def symmetric_part(tensor: np.ndarray, source: str, key: str) -> np.ndarray:
    """Return the symmetric part of a 3x3 tensor.

    Parameters
    ----------
    tensor : ndarray, shape (3, 3)
    source, key : str
        Place and name of the tensor for the message.

    Raises
    ------
    DataFileError
        If the antisymmetric part exceeds 5 % of the largest component, which is too large for noise.
    """
    odd = np.abs(tensor - tensor.T) / 2
    if odd.max() > _ASYMMETRY * np.abs(tensor).max():
        # Sorted, because ASE's reader transposes: which value is which component is not known here.
        a, b = np.unravel_index(odd.argmax(), (3, 3))
        first, second = "xyz"[a] + "xyz"[b], "xyz"[b] + "xyz"[a]
        low, high = sorted((tensor[a, b], tensor[b, a]))
        raise DataFileError(
            f"{source}: '{key}' must be symmetric, but its components {first} and {second} differ "
            f"({low:.6g}, {high:.6g}): symmetrise it if that is noise"
        )
    return (tensor + tensor.T) / 2
