"""Phonon bands along the path of seekpath, and the density of states, with the non-analytic term."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..errors import InputError, MissingComponentError
from ..units import THZ_TO_INV_CM


class Bands(NamedTuple):
    """Phonon bands of a crystal; each list has one item per segment of the path.

    Attributes
    ----------
    distances : list of ndarray, shape (n_points,), in 1/Å (without 2 pi)
        Distances along the path; a segment begins at the distance where the previous one ends.
    wavenumbers : list of ndarray, shape (n_points, 3 n_atoms), in cm^-1
        Imaginary ones are negative.
    qpoints : list of ndarray, shape (n_points, 3)
        Coordinates of q in the reciprocal primitive vectors.
    ends : list of tuple of two str
        Labels of both ends.
    """

    distances: list[np.ndarray]
    wavenumbers: list[np.ndarray]
    qpoints: list[np.ndarray]
    ends: list[tuple[str, str]]


class DensityOfStates(NamedTuple):
    """Density of states per primitive cell.

    Attributes
    ----------
    wavenumbers : ndarray, shape (n,), in cm^-1
    total : ndarray, shape (n,), per cm^-1
        Its integral over wavenumbers is 3 n_atoms.
    elements : dict of str to ndarray, shape (n,), per cm^-1
        Contributions of the elements.
    """

    wavenumbers: np.ndarray
    total: np.ndarray
    elements: dict[str, np.ndarray]


def band_structure(phonon, spacing: float = 0.01) -> Bands:
    """Return the bands along the path that seekpath recommends for the crystal.

    At Gamma the non-analytic term of each segment is that of its direction, so that LO and TO modes are split there.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With force constants.
    spacing : float, in 1/Å (without 2 pi)
        Largest distance of neighbouring q along the path.

    Returns
    -------
    Bands

    Raises
    ------
    InputError
        If the spacing is not positive.
    MissingComponentError
        If seekpath is not installed.
    """
    try:
        import seekpath
    except ImportError as error:
        raise MissingComponentError("bands need seekpath: pip install 'tnep_calc[phonons]'") from error
    if not spacing > 0:
        raise InputError(f"the spacing of q must be positive, got {spacing}")
    primitive = phonon.primitive
    # the points are in coordinates of this cell, not of seekpath's standard cell
    found = seekpath.get_path_orig_cell((primitive.cell, primitive.scaled_positions, primitive.numbers))
    points = found["point_coords"]
    reciprocal = np.linalg.inv(primitive.cell).T
    paths, ends = [], []
    for start, end in found["path"]:
        a, b = np.array(points[start]), np.array(points[end])
        n = max(2, int(np.ceil(np.linalg.norm((b - a) @ reciprocal) / spacing)) + 1)
        paths.append(a + np.linspace(0, 1, n)[:, None] * (b - a))
        ends.append((start, end))
    bands = phonon.run_band_structure(paths)
    return Bands(
        [np.array(d) for d in bands.distances],
        [np.array(f) * THZ_TO_INV_CM for f in bands.frequencies],
        [np.array(q) for q in paths],
        ends,
    )


def density_of_states(phonon, length: float = 50.0, width: float | None = None) -> DensityOfStates:
    """Return the density of states on a mesh, total and for each element, broadened by Gaussians.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With force constants.
    length : float, in Å
        The mesh has about ``length / |a|`` points along each axis.
    width : float, in cm^-1, optional
        Standard deviation of the Gaussians. Default: 0.8 % of the highest frequency.

    Returns
    -------
    DensityOfStates

    Raises
    ------
    InputError
        If the length or the width is not positive.
    """
    if not (length > 0 and (width is None or width > 0)):
        raise InputError(f"mesh length and width must be positive, got {length} and {width}")
    phonon.run_mesh(length, with_eigenvectors=True, is_mesh_symmetry=False)
    frequencies = phonon.mesh.frequencies
    sigma = 0.008 * float(frequencies.max()) if width is None else width / THZ_TO_INV_CM
    dos = phonon.run_projected_dos(
        sigma=sigma,
        use_tetrahedron_method=False,
        freq_pitch=sigma / 3,
        freq_min=float(frequencies.min()) - 5 * sigma,
        freq_max=float(frequencies.max()) + 5 * sigma,
    )
    wavenumbers = np.array(dos.frequency_points) * THZ_TO_INV_CM
    parts = np.array(dos.projected_dos) / THZ_TO_INV_CM
    symbols = np.array(phonon.primitive.symbols)
    elements = {symbol: parts[symbols == symbol].sum(axis=0) for symbol in dict.fromkeys(symbols.tolist())}
    return DensityOfStates(wavenumbers, parts.sum(axis=0), elements)
