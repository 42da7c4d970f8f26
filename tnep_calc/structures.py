"""Structures with the labels that models are trained on; one record for every file format."""

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
    "atomic_dipole": ("atomic_dipole", "adipole"),
    "atomic_polarizability": ("atomic_polarizability", "apol"),
    "weight": ("weight",),
    "electric_field": ("electric_field",),
    "charge": ("charge", "total_charge", "net_charge"),
}
"""Fields that a file may have, with the keys under which they are looked for (case does not matter); of two keys of one
field the first listed is used."""
LABELS = (
    "energy",
    "forces",
    "virial",
    "dipole",
    "born_charges",
    "polarizability",
    "atomic_dipole",
    "atomic_polarizability",
)
"""Labels of a :class:`LabelledStructure`; ``stress`` becomes ``virial``, ``epsilon_inf`` and ``susceptibility`` become
``polarizability``."""
MAX_DENSITY = 5.0
"""Largest density in atoms per Å³ (solids have up to 0.2): with more, neighbours would fill the memory."""
_ASYMMETRY = 0.05  # largest antisymmetric part of a symmetric tensor, relative to its largest component


@dataclass(frozen=True, eq=False)
class LabelledStructure:
    """One structure and the labels that its file has; a missing label is None.

    Attributes
    ----------
    source : str
        File and place, e.g. ``"bn8.extxyz, structure 3"`` (counted from 0).
    symbols : tuple of str, length n_atoms
    positions : ndarray, shape (n_atoms, 3), in Å
    cell : ndarray, shape (3, 3), in Å, rows are the lattice vectors; zero rows where there is none
    pbc : ndarray of bool, shape (3,)
    energy : float, in eV
    forces : ndarray, shape (n_atoms, 3), in eV/Å
    virial : ndarray, shape (3, 3), in eV
        ``-V * stress`` with ASE's sign of the stress; symmetric.
    dipole : ndarray, shape (3,), in e·Å
        Of the cell; for crystals defined modulo e times a lattice vector.
    born_charges : ndarray, shape (n_atoms, 3, 3), in e
        ``[atom, dipole component, displacement component]``, as in the file (no sum rule imposed).
    polarizability : ndarray, shape (3, 3), in e·Å²/V
        Of the cell, symmetric; ``eps0 V (eps_inf - 1)`` from ``epsilon_inf``, ``eps0 V chi`` from ``susceptibility``.
    atomic_dipole : ndarray, shape (n_atoms, 3), in e·Å
        Shares of the atoms in the dipole.
    atomic_polarizability : ndarray, shape (n_atoms, 3, 3), in e·Å²/V
        Shares of the atoms in the polarizability, symmetric.
    charge : float, default 0, in e
        Net charge of the cell; the dipole of a charged molecule depends on the origin.
    weight : float, default 1
        Factor on all errors of the structure in training (so its square is on the squared errors, as in GPUMD).
    electric_field : ndarray, shape (3,), in V/Å
        Field in which all labels were computed, None without one.  The energy is then the electric enthalpy
        ``U - E.P`` with the dipole P on the branch of the ``dipole`` label, so a change of that branch by ``e R``
        changes it by ``-e E.R``; forces and dipole are those in the field.
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

    Raises
    ------
    DataFileError
        If the antisymmetric part is too large (5 % of the largest component) to be noise.
    """
    odd = np.abs(tensor - tensor.T) / 2
    if odd.max() > _ASYMMETRY * np.abs(tensor).max():
        a, b = np.unravel_index(odd.argmax(), (3, 3))  # which is which depends on the reader: that of ASE transposes
        first, second = "xyz"[a] + "xyz"[b], "xyz"[b] + "xyz"[a]
        low, high = sorted((tensor[a, b], tensor[b, a]))
        raise DataFileError(
            f"{source}: '{key}' must be symmetric, but of {first} and {second} one is {high:.6g}, the other {low:.6g}"
        )
    return (tensor + tensor.T) / 2
