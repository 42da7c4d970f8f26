"""Born charges and electronic dielectric tensor from files: phonopy's BORN, and outputs of DFT programs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from ..errors import DataFileError, InputError
from ..units import COULOMB, EPSILON_0
from .files import atomic_output, read_text, reading
from .images import periodic_images
from .ph_x import is_ph_x, read_ph_x

METALLIC = 1000.0
"""Smallest electronic dielectric constant that counts as that of a metal (insulators have 2 to 30)."""


def check_response(born_charges, dielectric, n_atoms: int) -> tuple[np.ndarray, np.ndarray]:
    """Return checked Born charges, shape (n_atoms, 3, 3), in e, and dielectric tensor, shape (3, 3), as arrays.

    Raises
    ------
    InputError
        If a shape is wrong, a number is not finite, or the dielectric tensor is not that of an insulator.
    """
    born, eps = np.array(born_charges, dtype=float), np.array(dielectric, dtype=float)
    if born.shape != (n_atoms, 3, 3):
        raise InputError(f"Born charges must have the shape ({n_atoms}, 3, 3) of the primitive cell, got {born.shape}")
    if eps.shape != (3, 3):
        raise InputError(f"the dielectric tensor must have the shape (3, 3), got {eps.shape}")
    if not np.isfinite(born).all():
        raise InputError("the Born charges are not all finite numbers: check the dipole model or the file")
    largest = np.abs(eps).max()
    if not np.isfinite(largest) or largest > METALLIC:
        raise InputError(
            f"eps_inf has a component of {largest:.4g}: a metal has no LO-TO splitting, do not use charges "
            "(--no-nac, or no --born)"
        )
    eigenvalues = np.linalg.eigvalsh(0.5 * (eps + eps.T))
    if eigenvalues[0] < 1:
        raise InputError(
            f"eps_inf has the eigenvalue {eigenvalues[0]:.4g}, but must be at least 1: the model does not cover this "
            "structure, or the values are those of the susceptibility"
        )
    return born, eps


def read_born(path, phonon) -> tuple[np.ndarray, np.ndarray]:
    """Return Born charges and dielectric tensor of the primitive cell of a phonopy object.

    Parameters
    ----------
    path : str or path
        A BORN file of phonopy for the same primitive cell, or an output of VASP (OUTCAR, vasprun.xml), ABINIT (main
        output, DDB, ``_DDB.nc``) or Quantum ESPRESSO (output or dynamical-matrix file of ``ph.x``), or an extended xyz
        file, for any cell of the crystal in the same orientation.
    phonon : phonopy.Phonopy

    Returns
    -------
    charges : ndarray, shape (n_atoms, 3, 3), in e
        [atom, dipole component, displacement component].
    dielectric : ndarray, shape (3, 3)
        Relative to vacuum.

    Raises
    ------
    DataFileError
        If the file cannot be read, lacks Born charges or dielectric tensor, or does not fit the primitive cell.
    """
    path = Path(path)
    if _is_born(path):
        return _read_phonopy(path, phonon)
    if is_ph_x(path):
        run = read_ph_x(path)
        if run.born_charges is None or run.dielectric is None:
            raise DataFileError(f"{path} has no Born charges or dielectric tensor: run ph.x with epsil = .true.")
        images = periodic_images(phonon.primitive, run.cell, run.positions, run.symbols, str(path), shift_origin=True)
        return images.average(run.born_charges), run.dielectric
    from .structures.read import read_structures

    structures = [s for s in read_structures([path])[0] if s.born_charges is not None]
    if not structures:
        raise DataFileError(f"{path} is neither a BORN file of phonopy nor an output with Born charges")
    s = structures[-1]
    if s.polarizability is None:
        raise DataFileError(f"{path} has Born charges but no dielectric tensor")
    images = periodic_images(phonon.primitive, s.cell, s.positions, s.symbols, str(path), shift_origin=True)
    return images.average(np.array(s.born_charges)), np.eye(3) + s.polarizability / (EPSILON_0 * s.volume)


def _is_born(path: Path) -> bool:
    """Return whether the second line of a file has the nine numbers of a dielectric tensor."""
    try:
        lines = read_text(path).splitlines()[:2]
        return len(lines) == 2 and len([float(word) for word in lines[1].split()]) == 9
    except (DataFileError, ValueError):
        return False


def _read_phonopy(path, phonon):
    from phonopy.file_IO import get_born_parameters

    text = io.StringIO(read_text(path))
    with reading(path, "a BORN file of this primitive cell", caught=(Exception,)):
        found = get_born_parameters(text, phonon.primitive, phonon.primitive_symmetry)
    return np.array(found["born"]), np.array(found["dielectric"])


def write_born(path, phonon, force: bool = False) -> None:
    """Write the charges and the dielectric tensor of a phonopy object as BORN.

    The file has the symmetry-independent atoms in phonopy's order.  Phonopy reads it back before it gets its name.

    Parameters
    ----------
    path : path
    phonon : phonopy.Phonopy
        With Born charges.
    force : bool, default False
        Overwrite an existing file.

    Raises
    ------
    InputError
        If the phonopy object has no charges, if they differ by more than 1e-6 e from those that phonopy reads back, or
        if the file exists and `force` is not set.
    """
    if phonon.nac_params is None:
        raise InputError("the phonopy object has no Born charges to write to BORN")
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
            raise InputError("the Born charges do not have the symmetry of the cell, so BORN cannot store them")
