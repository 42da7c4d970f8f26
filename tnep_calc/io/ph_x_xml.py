"""Dynamical-matrix files of ``ph.x`` in XML (``fildyn`` ending in ``.xml``).

Matrices are in the order of Fortran, the first index fastest.  Lattice vectors and positions are in units of the first
cell dimension (bohr), masses in amu, the dynamical matrix in Ry/bohr² as in the text format.  The module
``io_dyn_mat`` of Quantum ESPRESSO defines the format.
"""

from __future__ import annotations

import numpy as np

from ..errors import DataFileError
from ..units import BOHR, HARTREE
from .ph_x_run import PhononRun, polarizability_gradient
from .structures.espresso import chemical_symbol
from .xml_tree import parse_xml


def is_matrix_xml(head: str) -> bool:
    """Return whether a file that starts with `head` is XML of ``ph.x`` or ``q2r.x``."""
    return head.lstrip().startswith("<") and "<GEOMETRY_INFO>" in head


def read_matrix_xml(path, text: str) -> PhononRun:
    """Read a dynamical-matrix file of Gamma in XML.

    Parameters
    ----------
    path : path
        For messages.
    text : str
        Content of the file.

    Raises
    ------
    DataFileError
        If the file is not complete, has no dynamical matrix, or that of another q.
    """
    root = parse_xml(path, text)
    if root.find("INTERATOMIC_FORCE_CONSTANTS") is not None:
        raise DataFileError(
            f"{path}: is XML of q2r.x, which is not read: run ph.x with a fildyn that does not end in .xml, and q2r.x "
            "on its files"
        )
    matrix = root.find("DYNAMICAL_MAT_.1")
    if matrix is None:
        raise DataFileError(f"{path}: has no dynamical matrix (<DYNAMICAL_MAT_.1>): did ph.x finish?")
    if np.abs(_numbers(path, matrix, "Q_POINT", 3)).max() > 1e-8:
        raise DataFileError(
            f"{path}: is not the dynamical matrix of Gamma: give that file (usually the one ending in 1.xml)"
        )
    symbols, positions, cell, masses = _structure(path, root)
    n = len(symbols)
    constants = np.empty((n, n, 3, 3))
    for i, j in np.ndindex(n, n):
        constants[i, j] = _numbers(path, matrix, f"PHI.{i + 1}.{j + 1}", 18)[::2].reshape(3, 3).T
    charges = eps = raman = None
    if root.find("DIELECTRIC_PROPERTIES/EPSILON") is not None:
        eps = _numbers(path, root, "DIELECTRIC_PROPERTIES/EPSILON", 9).reshape(3, 3).T
    if root.find("DIELECTRIC_PROPERTIES/ZSTAR") is not None:
        names = [f"DIELECTRIC_PROPERTIES/ZSTAR/Z_AT_.{k + 1}" for k in range(n)]
        charges = np.array([_numbers(path, root, name, 9).reshape(3, 3).T for name in names])
    if root.find("DIELECTRIC_PROPERTIES/RAMAN_TENSOR_A2") is not None:
        start = "DIELECTRIC_PROPERTIES/RAMAN_TENSOR_A2/RAMAN_S_ALPHA"
        tensors = [_numbers(path, root, f"{start}.{k + 1}.{axis + 1}", 9) for k, axis in np.ndindex(n, 3)]
        raman = polarizability_gradient(np.array(tensors))
    return PhononRun(symbols, positions, cell, masses, charges, eps, raman, constants * (HARTREE / 2 / BOHR**2))


def _structure(path, root):
    """Return symbols, positions (Å), cell (Å) and masses (amu)."""
    n_types, n_atoms = (int(_numbers(path, root, f"GEOMETRY_INFO/NUMBER_OF_{x}", 1)[0]) for x in ("TYPES", "ATOMS"))
    alat = _numbers(path, root, "GEOMETRY_INFO/CELL_DIMENSIONS", 6)[0] * BOHR
    cell = alat * _numbers(path, root, "GEOMETRY_INFO/AT", 9).reshape(3, 3)
    species = []
    for k in range(1, n_types + 1):
        name = (root.findtext(f"GEOMETRY_INFO/TYPE_NAME.{k}") or "").strip()
        species.append((chemical_symbol(path, name), float(_numbers(path, root, f"GEOMETRY_INFO/MASS.{k}", 1)[0])))
    atoms = [root.find(f"GEOMETRY_INFO/ATOM.{k}") for k in range(1, n_atoms + 1)]
    kinds, positions = [], np.empty((n_atoms, 3))
    for k, atom in enumerate(atoms):
        if atom is None:
            raise DataFileError(f"{path}: has no <ATOM.{k + 1}>, but {n_atoms} atoms were announced")
        kinds.append(species[int(atom.get("INDEX", "0").strip()) - 1])
        words = atom.get("TAU") or " ".join(atom.get(f"TAU{x}", "") for x in "XYZ")  # older and newer versions
        positions[k] = _finite(path, words, 3, f"ATOM.{k + 1}")
    return tuple(name for name, _ in kinds), alat * positions, cell, np.array([mass for _, mass in kinds])


def _numbers(path, root, name: str, count: int) -> np.ndarray:
    text = root.findtext(name)
    if text is None:
        raise DataFileError(f"{path}: has no <{name.split('/')[-1]}>: it is not complete")
    return _finite(path, text, count, name.split("/")[-1])


def _finite(path, text: str, count: int, name: str) -> np.ndarray:
    """Return `count` finite numbers; complex numbers are pairs with a comma (older versions) or without."""
    try:
        values = np.array(text.replace(",", " ").split(), dtype=float)
    except ValueError:
        values = np.empty(0)
    if values.size != count or not np.isfinite(values).all():
        raise DataFileError(f"{path}: <{name}> must be {count} finite numbers, found '{text.strip()[:40]}'")
    return values
