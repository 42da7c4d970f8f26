"""Convert the raw results of a model to the properties of the calculator, in its units and index orders.

The functions ``*_properties`` take the raw results (names of the contract in ``tnep_calc.models``) and the atoms, and
return a dictionary of properties.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress

from ..artifact import Metadata
from ..conventions import HYPERPOLARIZABILITY
from ..errors import InputError
from ..units import EPSILON_0

Raw = Mapping[str, np.ndarray]


def energy_properties(out: Raw, atoms: Atoms) -> dict[str, Any]:
    """Return energies (eV), forces (eV/Å) and, if the cell has three vectors, the stress (eV/Å³, ASE's convention)."""
    energy = float(out["energy"])
    properties = {"energy": energy, "free_energy": energy, "energies": out["energies"], "forces": out["forces"]}
    if "virial" in out and atoms.cell.rank == 3:
        properties["stress"] = full_3x3_to_voigt_6_stress(-out["virial"] / atoms.get_volume())
    return properties


def dipole_properties(out: Raw, atoms: Atoms) -> dict[str, Any]:
    """Return the dipole (e·Å) and the properties that depend on the results and the cell.

    These are the Born charges (e, [atom, dipole component, displacement component]) if they were evaluated, the
    polarization (e/Å²) if the cell has three vectors, and the piezoelectric tensor (e/Å², [dipole component, a, b],
    symmetric in ab) if both hold for it.
    """
    properties = {"dipole": out["dipole"]}
    if "born_charges" in out:
        properties["born_effective_charges"] = out["born_charges"]
    if atoms.cell.rank == 3:
        properties["polarization"] = out["dipole"] / atoms.get_volume()
        if "piezoelectric" in out:
            raw = out["piezoelectric"]
            properties["piezoelectric_tensor"] = 0.5 * (raw + raw.transpose(0, 2, 1)) / atoms.get_volume()
    return properties


def response_scale(metadata: Metadata, atoms: Atoms) -> float:
    """Return the factor from the unit of a model's polarizability to e·Å²/V.

    It is 1, or ``eps0 V / N`` for a model of the susceptibility times the number of atoms.
    """
    if metadata.units["polarizability"] != "N*chi":
        return 1.0
    return EPSILON_0 * atoms.get_volume() / len(atoms)


def response_properties(out: Raw, atoms: Atoms, wanted: Collection[str], metadata: Metadata) -> dict[str, Any]:
    """Return the polarizability (e·Å²/V) and its derivatives, and the susceptibility of a crystal.

    Parameters
    ----------
    out : mapping
        Raw results: ``polarizability`` and optionally ``polarizability_gradient``.
    atoms : ase.Atoms
    wanted : collection of str
        Requested properties; used only for the check that they exist for these atoms.
    metadata : Metadata
        Metadata of the model, for its unit.

    Returns
    -------
    dict
        ``polarizability``, shape (3, 3); if evaluated, ``polarizability_gradient`` (e·Å/V, [atom, displacement
        component, i, j]); for atoms that are periodic in three directions ``susceptibility`` and
        ``dielectric_tensor``, shape (3, 3), dimensionless.

    Raises
    ------
    InputError
        If a susceptibility is requested, or the model is one of the susceptibility, and the atoms are not periodic in
        three directions.
    """
    normalised = metadata.units["polarizability"] == "N*chi"
    periodic = atoms.pbc.all() and atoms.cell.rank == 3
    if not periodic and (normalised or set(wanted) & {"susceptibility", "dielectric_tensor"}):
        raise InputError(
            "susceptibility and dielectric tensor need a cell that is periodic in three directions, got pbc = "
            f"{atoms.pbc.tolist()}; ask for 'polarizability' of a model trained on polarizabilities instead"
        )
    factor = response_scale(metadata, atoms)
    alpha = factor * out["polarizability"]
    properties = {"polarizability": alpha}
    if "polarizability_gradient" in out:
        properties["polarizability_gradient"] = factor * out["polarizability_gradient"]
    if periodic:
        chi = alpha / (EPSILON_0 * atoms.get_volume())
        properties |= {"susceptibility": chi, "dielectric_tensor": np.eye(3) + chi}
    return properties


def properties_of(out: Raw, atoms: Atoms, wanted: Collection[str], metadata: Metadata) -> dict[str, Any]:
    """Return all properties that can be computed from the raw results."""
    properties: dict[str, Any] = {}
    if "energy" in out:
        properties |= energy_properties(out, atoms)
    if "dipole" in out:
        properties |= dipole_properties(out, atoms)
    if "polarizability" in out:
        properties |= response_properties(out, atoms, wanted, metadata)
    if HYPERPOLARIZABILITY in out:
        properties[HYPERPOLARIZABILITY] = out[HYPERPOLARIZABILITY]
    return properties
