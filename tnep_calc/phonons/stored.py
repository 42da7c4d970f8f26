"""Modes at Gamma and the primitive cell from the results of ``tnep phonons``, and the same modes in a supercell."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataFileError
from ..io.content import parse_json
from ..io.files import read_text, reading
from ..io.images import periodic_images
from .modes import GammaModes


class StoredModes(NamedTuple):
    """Modes at Gamma of a crystal.

    Attributes
    ----------
    primitive : ase.Atoms
        Primitive cell at equilibrium.
    modes : GammaModes
        Modes without the macroscopic field (TO); eigenvectors in the order of the atoms of `primitive`.
    """

    primitive: Any
    modes: GammaModes


def read_modes(path) -> StoredModes:
    """Return the primitive cell and its modes at Gamma from a folder of ``tnep phonons``, or its ``phonons.json``.

    Raises
    ------
    DataFileError
        If the file is missing or damaged, or has the vibrations of a molecule.
    """
    from ase import Atoms

    path = Path(path)
    if path.is_dir():
        path = path / "phonons.json"
    with reading(path, "phonons.json of 'tnep phonons'"):
        data = parse_json(read_text(path))
        if "primitive_cell" not in data:
            raise DataFileError(f"{path}: has no 'primitive_cell': it is not of a crystal, or not of 'tnep phonons'")
        cell, stored = data["primitive_cell"], data["modes"]
        primitive = Atoms(
            cell["symbols"],
            scaled_positions=cell["scaled_positions"],
            cell=cell["lattice_A"],
            pbc=True,
            masses=cell["masses_amu"],
        )
        n = len(primitive)
        modes = GammaModes(
            np.array(stored["wavenumbers_cm-1"], dtype=float).reshape(3 * n),
            np.array(stored["eigenvectors"], dtype=float).reshape(3 * n, n, 3),
            np.array(cell["masses_amu"], dtype=float).reshape(n),
            float(cell["volume_A3"]),
            tuple(tuple(group) for group in stored["degenerate_sets"]),
            tuple(stored["irreps"]),
            tuple(stored["infrared_active"]),
            tuple(stored["raman_active"]),
            np.array(stored["acoustic"], dtype=bool).reshape(3 * n),
            stored["point_group"],
        )
    return StoredModes(primitive, modes)


def modes_in_supercell(stored: StoredModes, atoms, tolerance: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvectors of the modes at Gamma, and the equilibrium positions, for the atoms of a supercell.

    With displacements ``u`` from the equilibrium positions, ``Q_m = sum_i sqrt(m_i) e_m[i] . u_i`` are the normal
    coordinates of the supercell at Gamma.  They include a uniform translation.

    Parameters
    ----------
    stored : StoredModes
        From :func:`read_modes`.
    atoms : ase.Atoms
        Any supercell of the crystal in the same orientation, e.g. a frame of a trajectory. A strain of the cell is
        allowed.
    tolerance : float, in Å
        Largest displacement of an atom from its site.

    Returns
    -------
    eigenvectors : ndarray, shape (n_modes, n_atoms, 3)
        Orthonormal, in the order of `atoms`.
    positions : ndarray, shape (n_atoms, 3), in Å
        Equilibrium positions in the (strained) cell, next to the positions of `atoms`.

    Raises
    ------
    DataFileError
        If the cell is not a multiple of the primitive cell, or an atom is not near its site.
    """
    images = periodic_images(
        stored.primitive, atoms.cell.array, atoms.positions, atoms.get_chemical_symbols(), "the structure", tolerance
    )
    cells = len(atoms) / len(stored.primitive)
    lattice = stored.primitive.cell.array
    repeats = np.rint(atoms.cell.array @ np.linalg.inv(lattice))
    strained = np.linalg.solve(repeats, atoms.cell.array)  # primitive vectors of the strained cell
    moved = images.displacements @ np.linalg.inv(lattice) @ strained
    return stored.modes.eigenvectors[:, images.atoms] / np.sqrt(cells), atoms.positions - moved
