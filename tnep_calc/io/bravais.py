"""Lattice vectors of Quantum ESPRESSO's Bravais-lattice index ``ibrav``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import DataFileError
from ..units import BOHR


def bravais_lattice(ibrav: int, celldm: Sequence[float]) -> np.ndarray:
    """Return the lattice vectors, as the input description of ``pw.x`` defines them.

    Parameters
    ----------
    ibrav : int
        Index of the lattice, not 0.
    celldm : sequence of six float
        Lattice constant a in bohr, b/a, c/a, and cosines of angles, as in the input of ``pw.x``.

    Returns
    -------
    ndarray, shape (3, 3), in Å
        Lattice vectors in rows.

    Raises
    ------
    DataFileError
        If the index is unknown or its constants give no cell.
    """
    a, x, y, c4, c5, c6 = (float(value) for value in celldm)
    b, c = x, y  # b/a and c/a
    h = 0.5
    with np.errstate(invalid="ignore", divide="ignore"):
        sine = np.sqrt(1 - c4**2)
        rows = {
            1: lambda: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
            2: lambda: [[-h, 0, h], [0, h, h], [-h, h, 0]],
            3: lambda: [[h, h, h], [-h, h, h], [-h, -h, h]],
            -3: lambda: [[-h, h, h], [h, -h, h], [h, h, -h]],
            4: lambda: [[1, 0, 0], [-h, np.sqrt(3) / 2, 0], [0, 0, c]],
            5: lambda: _trigonal(c4),
            -5: lambda: _trigonal(c4, along_111=True),
            6: lambda: [[1, 0, 0], [0, 1, 0], [0, 0, c]],
            7: lambda: [[h, -h, c / 2], [h, h, c / 2], [-h, -h, c / 2]],
            8: lambda: [[1, 0, 0], [0, b, 0], [0, 0, c]],
            9: lambda: [[h, b / 2, 0], [-h, b / 2, 0], [0, 0, c]],
            -9: lambda: [[h, -b / 2, 0], [h, b / 2, 0], [0, 0, c]],
            91: lambda: [[1, 0, 0], [0, b / 2, -c / 2], [0, b / 2, c / 2]],
            10: lambda: [[h, 0, c / 2], [h, b / 2, 0], [0, b / 2, c / 2]],
            11: lambda: [[h, b / 2, c / 2], [-h, b / 2, c / 2], [-h, -b / 2, c / 2]],
            12: lambda: [[1, 0, 0], [b * c4, b * sine, 0], [0, 0, c]],
            -12: lambda: [[1, 0, 0], [0, b, 0], [c * c5, 0, c * np.sqrt(1 - c5**2)]],
            13: lambda: [[h, 0, -c / 2], [b * c4, b * sine, 0], [h, 0, c / 2]],
            -13: lambda: [[h, b / 2, 0], [-h, b / 2, 0], [c * c5, 0, c * np.sqrt(1 - c5**2)]],
            14: lambda: _triclinic(b, c, c4, c5, c6),
        }
        if ibrav not in rows:
            raise DataFileError(f"the Bravais-lattice index ibrav = {ibrav} is unknown: use ibrav = 0")
        lattice = a * BOHR * np.array(rows[ibrav](), dtype=float)
    if not np.isfinite(lattice).all() or abs(np.linalg.det(lattice)) < 1e-3:
        raise DataFileError(f"ibrav = {ibrav} with celldm = {' '.join(f'{v:g}' for v in celldm)} gives no cell")
    return lattice


def _trigonal(cosine: float, along_111: bool = False):
    """Return the vectors of the trigonal lattice with the threefold axis along z, or along the cube diagonal."""
    tx, ty, tz = np.sqrt((1 - cosine) / 2), np.sqrt((1 - cosine) / 6), np.sqrt((1 + 2 * cosine) / 3)
    if along_111:
        u, v = (tz - 2 * np.sqrt(2) * ty) / np.sqrt(3), (tz + np.sqrt(2) * ty) / np.sqrt(3)
        return [[u, v, v], [v, u, v], [v, v, u]]
    return [[tx, -ty, tz], [0, 2 * ty, tz], [-tx, -ty, tz]]


def _triclinic(b, c, cos_bc, cos_ac, cos_ab):
    sine = np.sqrt(1 - cos_ab**2)
    height = 1 + 2 * cos_bc * cos_ac * cos_ab - cos_bc**2 - cos_ac**2 - cos_ab**2
    third = [c * cos_ac, c * (cos_bc - cos_ac * cos_ab) / sine, c * np.sqrt(height) / sine]
    return [[1, 0, 0], [b * cos_ab, b * sine, 0], third]
