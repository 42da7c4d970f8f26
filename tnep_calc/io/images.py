"""Match the atoms of a cell with the atoms of a primitive cell that they are periodic images of."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..errors import DataFileError


class Images(NamedTuple):
    """Atoms of a cell as periodic images of the atoms of a primitive cell.

    Attributes
    ----------
    atoms : ndarray of int, shape (n_atoms,)
        Index of the primitive atom of each atom.
    displacements : ndarray, shape (n_atoms, 3), in Å
        Position relative to the site of the primitive atom, Cartesian. A strain of the cell does not count.
    """

    atoms: np.ndarray
    displacements: np.ndarray

    def average(self, values: np.ndarray) -> np.ndarray:
        """Return values of atoms, shape (n_atoms, ...), averaged over the images of each primitive atom."""
        return np.array([values[self.atoms == k].mean(axis=0) for k in range(self.atoms.max() + 1)])


def periodic_images(
    primitive: Any,
    cell,
    positions,
    symbols,
    source: str,
    tolerance: float = 0.2,
    strain: float = 0.1,
    shift_origin: bool = False,
) -> Images:
    """Return the primitive atom of each atom of a cell, and the displacement from its site.

    Parameters
    ----------
    primitive : ase.Atoms or phonopy.structure.atoms.PhonopyAtoms
    cell : array, shape (3, 3), in Å
        Lattice vectors in rows. They are multiples of the primitive cell in the same orientation, up to a small strain.
    positions : array, shape (n_atoms, 3), in Å
    symbols : sequence of str, length n_atoms
    source : str
        Name of the structure in error messages.
    tolerance : float, in Å
        Largest distance of an atom from the site of an atom of the same element.
    strain : float
        Largest deviation of the cell from a multiple of the primitive cell, in primitive vectors.
    shift_origin : bool
        Whether the origin of the cell may differ from that of the primitive cell.

    Returns
    -------
    Images

    Raises
    ------
    DataFileError
        If the cell is not a multiple of the primitive cell, or an atom has no site, or the sites of the cell are not
        all occupied by one atom.
    """
    lattice = np.array(primitive.cell, dtype=float)
    names, rest = np.array(list(primitive.symbols)), np.array(primitive.positions, dtype=float)
    multiple = np.asarray(cell, dtype=float) @ np.linalg.inv(lattice)
    repeats = np.rint(multiple)
    count = int(round(abs(np.linalg.det(repeats))))
    if np.abs(multiple - repeats).max() > strain or len(symbols) != count * len(names):
        raise DataFileError(
            f"{source}: its cell of {len(symbols)} atoms is not a multiple of the primitive cell of {len(names)} atoms "
            "in the same orientation: give a file with the orientation of the structure, or start from its structure"
        )
    found = np.asarray(positions, dtype=float) @ np.linalg.inv(cell) @ repeats  # in primitive vectors, without strain
    sites, elements = rest @ np.linalg.inv(lattice), np.array(list(symbols))
    first = int(np.argmin([np.sum(names == name) for name in names]))  # of the rarest element
    shifts = [np.zeros(3)]
    if shift_origin:
        shifts += [sites[first] - x for x in found[elements == names[first]]]
    for shift in shifts:
        apart = (found + shift)[:, None] - sites
        apart = (apart - np.rint(apart)) @ lattice
        distance = np.where(elements[:, None] == names, np.linalg.norm(apart, axis=-1), np.inf)
        atoms = distance.argmin(axis=1)
        if distance.min(axis=1).max() <= tolerance and (np.bincount(atoms, minlength=len(names)) == count).all():
            return Images(atoms, apart[np.arange(len(atoms)), atoms])
    raise DataFileError(
        f"{source}: its atoms are not within {tolerance:g} A of the sites of the primitive cell: another structure"
        + ("" if shift_origin else ", or another origin")
    )
