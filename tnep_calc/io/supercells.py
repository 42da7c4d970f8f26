"""Displaced supercells of all kinds of data, read into phono3py objects and checked.

Three kinds of data are read: files of phono3py and phonopy (``*.yaml``, compressed or not), outputs of electronic
structure codes for the supercells of such a file, and structures with a reference unit cell without displacements.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataFileError, InputError
from .born import check_response
from .displaced_supercells import check_forces, of_file, require_displacements, require_phono3py
from .files import check_readable, reading
from .phonopy_files import is_phonopy_yaml
from .structures.read import read_structures
from .structures.single import read_structure

if TYPE_CHECKING:
    from ase import Atoms
    from phono3py import Phono3py

LARGEST_DISPLACEMENT = 1.0
"""Largest distance (Å) of an atom from its site; a larger one means that the atoms are in another order."""
SAME_POSITION = 1e-3
"""Tolerance (Å) for positions, cells and displacements that have been written and read again."""


def read_supercells(
    path, outputs: Sequence[str | Path] = (), reference=None, supercell=None, born=None, symprec: float = 1e-5
) -> Phono3py:
    """Return displaced supercells with their forces, and energies if known, as a phono3py object.

    Parameters
    ----------
    path : path
        ``phono3py_params.yaml``, ``phono3py_disp.yaml``, ``phonopy_params.yaml``, each possibly compressed, or
        structures with labels (extended xyz, ASE database, outputs of VASP, Quantum ESPRESSO, ABINIT).
    outputs : sequence of path, optional
        Outputs for the supercells of ``phono3py_disp.yaml``, in the order of the supercells, or more structures, of the
        kinds above.
    reference : path, optional
        Unit cell without displacements, for structures. Their atoms must be in phonopy's order of its supercell.
    supercell : sequence of 1, 3 or 9 int, optional
        Supercell matrix of `reference`, as in :func:`supercell_matrix`.
    born : path, optional
        File ``BORN`` with dielectric tensor and Born charges, which replace those of `path`.
    symprec : float, default 1e-5, in Å
        Tolerance of the symmetry search.

    Returns
    -------
    Phono3py
        Its ``dataset`` has the displacements (Å), forces (eV/Å) and energies (eV).

    Raises
    ------
    DataFileError
        If a file cannot be read, forces are missing or not finite, or a supercell does not fit the reference; the
        message names file and supercell (counted from 1, as in phono3py).
    InputError
        If `reference` and `supercell` are missing for structures, or given for a file of phono3py.
    MissingComponentError
        If phono3py is not installed.
    """
    require_phono3py()
    path = Path(path)
    if is_phonopy_yaml(path):
        if reference is not None or supercell is not None:
            raise InputError(f"{path} has its own reference structure: leave out the reference and the supercell")
        found = of_file(path, symprec)
        if outputs:
            _add_outputs(found, path, outputs)
        require_displacements(found, path)
    else:
        if reference is None or supercell is None:
            raise InputError(f"{path} is not a file of phono3py: give the reference unit cell and the supercell matrix")
        found = _from_structures([path, *map(Path, outputs)], reference, supercell, symprec)
    if born is not None:
        set_nac(found, born)
    check_forces(found, path)
    return found


def bare_structure(atoms: Atoms, supercell, symprec: float = 1e-5, fc2_supercell=None) -> Phono3py:
    """Return a phono3py object of a unit cell without displacements.

    Parameters
    ----------
    atoms : ase.Atoms
        Unit cell.
    supercell : sequence of 1, 3 or 9 int
        As in :func:`supercell_matrix`.
    symprec : float, default 1e-5, in Å
        Tolerance of the symmetry search.
    fc2_supercell : sequence of 1, 3 or 9 int, optional
        Supercell of the second-order force constants, if it is another one.

    Raises
    ------
    InputError
        If the structure has no three-dimensional cell, or a supercell is not valid.
    MissingComponentError
        If phono3py is not installed.
    """
    require_phono3py()
    from phono3py import Phono3py
    from phonopy.structure.atoms import PhonopyAtoms

    if atoms.cell.rank < 3:
        raise InputError("force constants need a crystal: the structure has no three-dimensional cell")
    unitcell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # phono3py warns when "auto" finds a primitive cell
        return Phono3py(
            unitcell,
            supercell_matrix(supercell),
            primitive_matrix="auto",
            symprec=symprec,
            phonon_supercell_matrix=None if fc2_supercell is None else supercell_matrix(fc2_supercell),
        )


def supercell_matrix(numbers) -> np.ndarray:
    """Return the supercell matrix, shape (3, 3), of 1 (multiple), 3 (diagonal) or 9 (row by row) integers.

    Raises
    ------
    InputError
        If there are other numbers, or the determinant is not positive.

    Examples
    --------
    >>> supercell_matrix([2]).tolist()
    [[2, 0, 0], [0, 2, 0], [0, 0, 2]]
    """
    flat = np.asarray(numbers).ravel()
    if flat.size not in (1, 3, 9) or not np.all(flat == np.round(flat)):
        raise InputError(f"a supercell is given by 1, 3 or 9 integers, got {flat.tolist()}")
    matrix = flat.reshape(3, 3) if flat.size == 9 else np.diag(np.broadcast_to(flat, 3))
    if round(float(np.linalg.det(matrix))) < 1:
        raise InputError(f"the supercell matrix {flat.tolist()} must have a positive determinant")
    return matrix.astype("int64")


def set_nac(phono3py: Phono3py, born) -> None:
    """Set dielectric tensor and Born charges from a file ``BORN`` of phonopy.

    Raises
    ------
    DataFileError
        If the file cannot be read or does not fit the crystal.
    InputError
        As in :func:`tnep_calc.io.born.check_response`.
    """
    from phonopy.file_IO import parse_BORN

    check_readable(born)
    with reading(born, "a BORN file for this crystal", caught=(Exception,)):
        found: Any = parse_BORN(phono3py.primitive, filename=str(born))
    check_response(found["born"], found["dielectric"], len(phono3py.primitive))
    phono3py.nac_params = found


def _add_outputs(found: Phono3py, path: Path, outputs) -> None:
    """Set forces and energies from output files with one structure per supercell, in the order of the supercells."""
    if found.dataset is None:
        raise DataFileError(f"{path}: has no displacements, to which the outputs must belong")
    cells = [cell for cell in found.supercells_with_displacements if cell is not None]
    structures = read_structures([Path(name) for name in outputs])[0]
    if len(structures) != len(cells):
        raise DataFileError(f"{path} has {len(cells)} displaced supercells, but the outputs have {len(structures)}")
    for number, (cell, structure) in enumerate(zip(cells, structures, strict=True), 1):
        where = f"{structure.source} (supercell {number} of {path})"
        shift = displacements_of(structure, cell, where)
        if np.abs(shift).max() > SAME_POSITION:
            atom = int(np.abs(shift).max(axis=1).argmax())
            raise DataFileError(
                f"{where}: atom {atom + 1} is {np.linalg.norm(shift[atom]):.3g} Å away from its site in the supercell"
            )
        _require_forces(structure, where)
    found.forces = [structure.forces for structure in structures]
    if all(structure.energy is not None for structure in structures):
        found.supercell_energies = [float(structure.energy or 0.0) for structure in structures]


def _from_structures(paths, reference, supercell, symprec) -> Phono3py:
    found = bare_structure(read_structure(reference), supercell, symprec)
    structures = read_structures(paths)[0]
    moved = []
    for structure in structures:
        moved.append(displacements_of(structure, found.supercell, structure.source))
        _require_forces(structure, structure.source)
    found.dataset = {
        "displacements": np.array(moved),
        "forces": np.array([structure.forces for structure in structures]),
    }
    if all(structure.energy is not None for structure in structures):
        found.dataset["supercell_energies"] = np.array([structure.energy for structure in structures])
    return found


def _require_forces(structure, where) -> None:
    if structure.forces is None:
        raise DataFileError(f"{where}: has no forces")


def displacements_of(structure, cell, where: str) -> np.ndarray:
    """Return the displacement of each atom from its site (nearest image).

    Parameters
    ----------
    structure : LabelledStructure
    cell : PhonopyAtoms
        The supercell without displacements.
    where : str
        File and supercell, for messages.

    Returns
    -------
    ndarray, shape (n_atoms, 3), in Å

    Raises
    ------
    DataFileError
        If numbers of atoms, cells, or the order of the atoms differ.
    """
    if len(structure) != len(cell):
        raise DataFileError(f"{where}: {len(structure)} atoms, but the supercell has {len(cell)}")
    if np.abs(structure.cell - cell.cell).max() > SAME_POSITION:
        raise DataFileError(
            f"{where}: its cell differs from that of the supercell by {np.abs(structure.cell - cell.cell).max():.3g} Å"
        )
    for atom, (symbol, expected) in enumerate(zip(structure.symbols, cell.symbols, strict=True), 1):
        if symbol != expected:
            raise DataFileError(f"{where}: atom {atom} is {symbol}, but {expected} in the supercell: {_ORDER}")
    shift = (structure.positions - cell.positions) @ np.linalg.inv(cell.cell)
    moved = (shift - np.round(shift)) @ cell.cell
    furthest = int(np.linalg.norm(moved, axis=1).argmax())
    if (distance := float(np.linalg.norm(moved[furthest]))) > LARGEST_DISPLACEMENT:
        raise DataFileError(f"{where}: atom {furthest + 1} is {distance:.2f} Å away from its site: {_ORDER}")
    return moved


_ORDER = (
    "the atoms must be in phonopy's order; or give the supercell without displacements as the reference, with "
    "supercell 1"
)
