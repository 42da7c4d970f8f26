"""Born charges and electronic dielectric tensor in files: phonopy's BORN, and outputs of DFT programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import DataFileError, InputError
from ..units import COULOMB, EPSILON_0
from .files import atomic_output, read_text


def read_born(path, phonon) -> tuple[np.ndarray, np.ndarray]:
    """Return Born charges and dielectric tensor of the primitive cell of a phonopy object.

    Parameters
    ----------
    path : str or path
        A BORN file of phonopy, for the same primitive cell; or an output of VASP (OUTCAR, vasprun.xml) or ABINIT (main
        output, DDB, ``_DDB.nc``), or an extended xyz file, for any cell of the crystal in the same orientation.
    phonon : phonopy.Phonopy

    Returns
    -------
    charges : ndarray, shape (n_atoms, 3, 3), in e
        [atom, dipole component, displacement component].
    dielectric : ndarray, shape (3, 3)

    Raises
    ------
    DataFileError
        If the file cannot be read, or lacks one of both.
    """
    path = Path(path)
    if _is_born(path):
        return _read_phonopy(path, phonon)
    from .structures.read import read_structures

    structures = [s for s in read_structures([path])[0] if s.born_charges is not None]
    if not structures:
        raise DataFileError(f"{path} is neither a BORN file of phonopy nor an output with Born charges")
    structure = structures[-1]
    if structure.polarizability is None:
        raise DataFileError(f"{path} has Born charges but no dielectric tensor")
    eps = np.eye(3) + structure.polarizability / (EPSILON_0 * structure.volume)
    return _onto(phonon.primitive, structure, path), eps


def _is_born(path: Path) -> bool:
    """Whether the second line of a text has the nine numbers of a dielectric tensor."""
    try:
        lines = read_text(path).splitlines()[:2]
        return len(lines) == 2 and len([float(word) for word in lines[1].split()]) == 9
    except (DataFileError, ValueError):
        return False


def _read_phonopy(path, phonon):
    from phonopy.file_IO import get_born_parameters

    try:
        with open(path) as stream:
            found = get_born_parameters(stream, phonon.primitive, phonon.primitive_symmetry)
    except Exception as error:  # phonopy's own class for it differs between versions
        raise DataFileError(f"{path} is not a BORN file of this primitive cell: {error}") from error
    return np.array(found["born"]), np.array(found["dielectric"])


def _onto(primitive, structure, path):
    """Charges of a structure in the order of the primitive cell; images of one atom are averaged."""
    inverse = np.linalg.inv(primitive.cell)
    symbols = np.array(structure.symbols)
    charges = []
    for symbol, position in zip(primitive.symbols, primitive.positions, strict=True):
        shift = (structure.positions - position) @ inverse
        distance = np.linalg.norm((shift - np.rint(shift)) @ primitive.cell, axis=1)
        same = (distance < 0.2) & (symbols == symbol)
        if not same.any():
            raise DataFileError(
                f"{path}: no {symbol} atom within 0.2 A of {np.round(position, 3).tolist()}: the file is of another "
                "structure, origin or orientation"
            )
        charges.append(structure.born_charges[same].mean(axis=0))
    return np.array(charges)


def write_born(path, phonon, force: bool = False) -> None:
    """Write the charges and the dielectric tensor of a phonopy object as BORN, and read them back.

    The file has the symmetry-independent atoms in phonopy's order, with the digits that phonopy reads.

    Raises
    ------
    InputError
        If the phonopy object has no charges, or what is read back is not the same to 1e-6 e.
    """
    if phonon.nac_params is None:
        raise InputError("there are no Born charges to write as BORN")
    used, eps = np.array(phonon.dynamical_matrix.born), np.array(phonon.dynamical_matrix.dielectric_constant)
    independent = phonon.primitive_symmetry.get_independent_atoms()
    factor = phonon.nac_params.get("factor", COULOMB)
    lines = [
        f"{factor:.10f}  # e^2/(4 pi eps0) in eV A; then eps_inf and Z* of atoms "
        + " ".join(str(k + 1) for k in independent)
    ]
    lines += [" ".join(f"{x:16.10f}" for x in tensor.ravel()) for tensor in (eps, *used[independent])]
    with atomic_output(path, force) as temporary:
        temporary.write_text("\n".join(lines) + "\n")
        charges, dielectric = _read_phonopy(temporary, phonon)
        if np.abs(charges - used).max() > 1e-6 or np.abs(dielectric - eps).max() > 1e-6:
            raise InputError("the Born charges do not have the symmetry of the cell: BORN cannot hold them")
