"""Normal coordinates of a run in the HDF5 file of a time series.

Layout::

    /modes               attributes: dt_fs, starts, source, labels (JSON), sets (JSON)
    /modes/coordinates   (n, modes) float64, sqrt(amu)·Å
    /modes/velocities    (n, modes) float64, sqrt(amu)·Å/fs                                         [optional]
    /modes/wavenumbers   (modes,) float64, cm^-1, of lattice dynamics
    /modes/charges       (modes, 3) float64, e/sqrt(amu), dipole of the cell per normal coordinate   [optional]
    /modes/raman         (modes, 3, 3) float64, e·Å/V/sqrt(amu), polarizability per coordinate       [optional]
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ..content import parse_json
from ..hdf5 import read_dataset

GROUP = "modes"
UNITS = {
    "coordinates": "sqrt(amu)*A",
    "velocities": "sqrt(amu)*A/fs",
    "wavenumbers": "cm^-1",
    "charges": "e/sqrt(amu)",
    "raman": "e*A/V/sqrt(amu)",
}
OPTIONAL = ("velocities", "charges", "raman")


@dataclass(frozen=True, eq=False)
class ModeSeries:
    """Normal coordinates of the optical modes at Gamma along a run.

    Attributes
    ----------
    coordinates : ndarray, shape (n, modes), in sqrt(amu)·Å
        ``Q_m = sum_j sqrt(m_j) e_m[j] . u_j`` of the simulation cell.
    wavenumbers : ndarray, shape (modes,), in cm^-1
        From lattice dynamics.
    sets : tuple of tuple of int
        Modes of each degenerate set.
    labels : tuple of str
        Name of each set.
    dt : float, in fs
        Sampling interval.
    starts : tuple of int
        Rows where uninterrupted pieces begin.
    velocities : ndarray, shape (n, modes), in sqrt(amu)·Å/fs, or None
    charges : ndarray, shape (modes, 3), in e/sqrt(amu), or None
        Derivative of the dipole of the simulation cell.
    raman : ndarray, shape (modes, 3, 3), in e·Å/V/sqrt(amu), or None
        Derivative of the polarizability of the simulation cell.
    source : str
        Name and checksum of the file that the modes are from.

    Raises
    ------
    InputError
        If the shapes do not fit.
    """

    coordinates: np.ndarray
    wavenumbers: np.ndarray
    sets: tuple[tuple[int, ...], ...]
    labels: tuple[str, ...]
    dt: float
    starts: tuple[int, ...] = (0,)
    velocities: np.ndarray | None = None
    charges: np.ndarray | None = None
    raman: np.ndarray | None = None
    source: str = ""

    def __post_init__(self):
        n = len(self.wavenumbers)
        shapes = {
            "coordinates": (len(self.coordinates), n),
            "velocities": (len(self.coordinates), n),
            "charges": (n, 3),
            "raman": (n, 3, 3),
        }
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array is not None and np.shape(array) != shape:
                raise InputError(f"the {name} of the modes must have shape {shape}, got {np.shape(array)}")
        if sorted(mode for group in self.sets for mode in group) != list(range(n)) or len(self.sets) != len(
            self.labels
        ):
            raise InputError("every mode must be in one degenerate set, and every set needs a label")

    def rows(self, skip: float = 0.0) -> list[slice]:
        """Return the rows of the uninterrupted pieces, without the first `skip` ps of each."""
        first = int(np.ceil(skip * 1000 / self.dt - np.finfo(float).eps))
        ends = [*self.starts[1:], len(self.coordinates)]
        return [slice(a + first, b) for a, b in zip(self.starts, ends, strict=True) if b - a > first]


def write_mode_series(file, modes: ModeSeries) -> None:
    """Write the modes to an open HDF5 file."""
    group = file.create_group(GROUP)
    group.attrs["dt_fs"] = float(modes.dt)
    group.attrs["starts"] = np.asarray(modes.starts, dtype=np.int64)
    group.attrs["source"] = modes.source
    group.attrs["labels"] = json.dumps(modes.labels)
    group.attrs["sets"] = json.dumps(modes.sets)
    for name, unit in UNITS.items():
        array = getattr(modes, name)
        if array is not None:
            group.create_dataset(name, data=array, dtype="f8").attrs["unit"] = unit


def read_mode_series(file, path) -> ModeSeries | None:
    """Return the modes in an open HDF5 file, or None if it has none; KeyError or InputError if they are damaged."""
    if GROUP not in file:
        return None
    group = file[GROUP]
    arrays = {name: read_dataset(group[name], path) for name in UNITS if name in group or name not in OPTIONAL}
    return ModeSeries(
        sets=tuple(tuple(int(mode) for mode in one) for one in parse_json(group.attrs["sets"])),
        labels=tuple(parse_json(group.attrs["labels"])),
        dt=float(group.attrs["dt_fs"]),
        starts=tuple(int(row) for row in group.attrs["starts"]),
        source=str(group.attrs["source"]),
        **arrays,
    )
