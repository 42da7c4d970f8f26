"""Cells of a lattice dynamics calculation: conventional cell, supercell, and conversion between ASE and phonopy."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError, MissingComponentError

MINIMUM_LENGTH = 10.0
"""Smallest height (Å) of the supercell if no length is given."""


def conventional_cell(atoms, symprec: float):
    """Return the conventional cell of a crystal, in the orientation of the structure, and its space group.

    Parameters
    ----------
    atoms : ase.Atoms
    symprec : float, in Å
        Tolerance of the symmetry search.

    Returns
    -------
    cell : ase.Atoms
    group : str
        Symbol and number of the space group, e.g. ``"F-43m (216)"``.

    Raises
    ------
    InputError
        If the structure is not periodic in three directions, or spglib finds no space group.
    MissingComponentError
        If spglib is missing.
    """
    from ase import Atoms

    try:
        import spglib
    except ImportError as error:
        raise MissingComponentError(
            "phonons need phonopy, symfc, spglib and seekpath: pip install 'tnep_calc[phonons]'"
        ) from error
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        raise InputError("phonons need a cell that is periodic in three directions; for a molecule set pbc=False")
    known = sorted({(number, mass) for number, mass in zip(atoms.numbers, atoms.get_masses(), strict=True)})
    kinds = [known.index(pair) for pair in zip(atoms.numbers, atoms.get_masses(), strict=True)]
    cell = (atoms.cell.array, atoms.get_scaled_positions(), kinds)
    try:
        data: Any = spglib.get_symmetry_dataset(cell, symprec=symprec)
        found: Any = None if data is None else spglib.standardize_cell(cell, no_idealize=True, symprec=symprec)
    except Exception as error:  # spglib's error classes differ between versions
        raise InputError(_no_space_group(symprec, f" ({error})")) from error
    if found is None:
        raise InputError(_no_space_group(symprec))
    lattice, positions, order = found
    result = Atoms(
        [known[k][0] for k in order],
        scaled_positions=positions,
        cell=lattice,
        pbc=True,
        masses=[known[k][1] for k in order],
    )
    return result, f"{data.international} ({data.number})"


def _no_space_group(symprec: float, reason: str = "") -> str:
    return (
        f"spglib found no space group with a tolerance of {symprec:g} A{reason}: change --symprec, and check that no "
        "two atoms coincide"
    )


def supercell_of(atoms, length: float | None, dim, cutoff: float | None) -> tuple[int, int, int]:
    """Return the repeats of the conventional cell.

    Parameters
    ----------
    atoms : ase.Atoms
        Conventional cell.
    length : float, in Å, optional
        Smallest height of the supercell. Default: twice the cutoff, at least ``MINIMUM_LENGTH``.
    dim : sequence of three int, optional
        Repeats, instead of `length`.
    cutoff : float, in Å, optional
        Cutoff of the model.

    Returns
    -------
    tuple of three int

    Raises
    ------
    InputError
        If the length is not positive, or a height of the supercell is below twice the cutoff, so that an atom would
        interact with its own image.
    """
    heights = 1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
    shortest = 2 * (cutoff or 0.0)
    if dim is None:
        wanted = max(MINIMUM_LENGTH, shortest) if length is None else length
        if not (np.isfinite(wanted) and wanted > 0):
            raise InputError(f"the length of the supercell must be a positive number of A, got {wanted}")
        dim = [int(np.ceil(wanted / height - 1e-6)) for height in heights]
    a, b, c = (int(n) for n in dim)
    smallest = float((heights * (a, b, c)).min())
    if smallest < shortest - 1e-6:
        raise InputError(
            f"the supercell {a} x {b} x {c} is {smallest:.1f} A high, less than twice the cutoff of the model "
            f"({cutoff:.2f} A): give --length {shortest:.1f} or larger --dim"
        )
    return a, b, c


def cutoff_of(calculator) -> float | None:
    """Return the cutoff of a calculator in Å, or None if it is not known."""
    if isinstance(cutoff := getattr(calculator, "cutoff", None), float):
        return cutoff
    models = getattr(calculator, "models", None)
    if isinstance(models, dict):
        lengths = [m.metadata.cutoff for role in ("energy", "enthalpy") for m in models.get(role, ())]
        return max(lengths) if lengths else None
    return None


def to_phonopy(atoms):
    """Return phonopy's ``PhonopyAtoms`` of an ASE ``Atoms``."""
    from phonopy.structure.atoms import PhonopyAtoms

    return PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),
    )


def to_ase(cell):
    """Return the ASE ``Atoms`` of phonopy's ``PhonopyAtoms``, periodic in three directions."""
    from ase import Atoms

    return Atoms(cell.symbols, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=True, masses=cell.masses)
