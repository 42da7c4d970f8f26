"""Time series of dipole, polarizability and current in HDF5: one file per simulation, in the package's units.

Layout (format version 1)::

    /                    attributes: format, format_version, program_version, command, [temperature_K], [volume_A3]
    /cell                (3, 3) float64, Å, rows are lattice vectors                              [optional]
    /dipole              (n, 3) float64, e·Å                                                       [optional]
    /polarizability      (n, 3, 3) float64, e·Å²/V                                                 [optional]
    /current             (n, 3) float64, e·Å/fs, time derivative of the dipole                     [optional]
    /modes               normal coordinates, see :mod:`.mode_series`                               [optional]
    /current_parts/NAME  (n, 3) float64, e·Å/fs, the current of a part (species); parts add up     [optional]

Dipole, polarizability and current have the attributes ``unit``, ``dt_fs`` (sampling interval), ``starts`` (rows where
uninterrupted pieces begin), ``first_steps`` (MD step of these rows), ``source``, ``source_sha256``, ``source_unit`` and
``notes``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import h5py
import numpy as np

from ... import __version__
from ...errors import DataFileError, InputError
from ...spectra.streaming import LazySignal
from ..files import check_readable, reading
from ..hdf5 import check_rows, hdf5_output, read_dataset
from ..trial import tried
from .mode_series import ModeSeries, read_mode_series, write_mode_series

FORMAT = "tnep_calc time series"
FORMAT_VERSION = 1
QUANTITIES = {"dipole": ((3,), "e*A"), "polarizability": ((3, 3), "e*A^2/V"), "current": ((3,), "e*A/fs")}
STREAMED = 1 << 29
"""Size in bytes (512 MiB) above which a dataset is not read into memory, but in chunks when they are needed."""

_PROVENANCE = ("source", "source_sha256", "source_unit", "notes")


@dataclass(frozen=True)
class Sampled:
    """A quantity sampled at equal intervals, in one or several uninterrupted pieces.

    Attributes
    ----------
    values : ndarray or h5py.Dataset, shape (n, 3) in e·Å or e·Å/fs, or (n, 3, 3) in e·Å²/V
        A dataset of an open file if the series is larger than ``STREAMED`` bytes.
    dt : float, in fs
        Sampling interval.
    starts : tuple of int
        Rows where pieces begin; the first is 0.
    first_steps : tuple of int
        MD step of these rows (empty if unknown).
    provenance : dict of str to str
        ``source`` file name, ``source_sha256``, ``source_unit``, ``notes``.
    """

    values: np.ndarray
    dt: float
    starts: tuple[int, ...] = (0,)
    first_steps: tuple[int, ...] = ()
    provenance: dict[str, str] = field(default_factory=dict)

    def pieces(self, skip: float = 0.0) -> list:
        """Return the uninterrupted pieces, without the first `skip` ps of each.

        Returns
        -------
        list of ndarray or LazySignal, shape (samples, 3) or (samples, 3, 3)
            Lazy signals if `values` is a dataset.

        Raises
        ------
        InputError
            If fewer than two samples are left.
        """
        rows = int(np.ceil(skip * 1000 / self.dt - np.finfo(float).eps))
        ends = [*self.starts[1:], len(self.values)]
        spans = [(a + rows, b) for a, b in zip(self.starts, ends, strict=True) if b - a > rows]
        if isinstance(self.values, np.ndarray):
            pieces: list = [self.values[a:b] for a, b in spans]
        else:
            pieces = [LazySignal(self.values, a, b) for a, b in spans]
        if not pieces or sum(map(len, pieces)) < 2:
            raise InputError(f"nothing is left after the first {skip:g} ps: the run is shorter than that")
        return pieces


@dataclass(frozen=True)
class TimeSeries:
    """The quantities of a simulation from which spectra are computed.

    Attributes
    ----------
    dipole, polarizability, current : Sampled or None
        They may have different sampling intervals.
    temperature : float or None, in K
    volume : float or None, in Å³
    cell : ndarray, shape (3, 3), or None, in Å
        Lattice vectors in rows.
    command : str
        Command line that wrote the file.
    current_parts : dict of str to ndarray, shape (n, 3), in e·Å/fs
        Currents of parts of the cell, such as species, at the same times as the current, which is their sum.
    volume_spread : float
        Standard deviation of the volume along the run, relative to its mean (0: fixed cell).
    modes : ModeSeries or None
        Normal coordinates of the phonon modes at Gamma.
    """

    dipole: Sampled | None = None
    polarizability: Sampled | None = None
    temperature: float | None = None
    volume: float | None = None
    cell: np.ndarray | None = None
    command: str = ""
    current: Sampled | None = None
    current_parts: dict[str, np.ndarray] = field(default_factory=dict)
    volume_spread: float = 0.0
    modes: ModeSeries | None = None


def _check(name, sampled):
    shape, unit = QUANTITIES[name]
    if sampled.values.shape[1:] != shape or sampled.values.ndim != len(shape) + 1:
        raise InputError(f"{name} must have shape (n, {', '.join(map(str, shape))}), got {sampled.values.shape}")
    if not (np.isfinite(sampled.dt) and sampled.dt > 0):
        raise InputError(f"the sampling interval of {name} must be a positive number of fs, got {sampled.dt}")
    edges = np.array([*sampled.starts, len(sampled.values)])
    if edges[0] != 0 or (np.diff(edges) <= 0).any() or len(edges) < 2:
        raise InputError(f"the pieces of {name} must begin at row 0 and at increasing rows, got {sampled.starts[:10]}")


def write_timeseries(path, series: TimeSeries, force: bool = False) -> None:
    """Write a time series; the file appears complete or not at all.

    Raises
    ------
    InputError
        If there is no quantity, a shape or interval is wrong, or the file exists and `force` is not set.
    """
    quantities = {name: getattr(series, name) for name in QUANTITIES if getattr(series, name) is not None}
    if not quantities:
        raise InputError("a time series needs a dipole, a polarizability or a current")
    for name, sampled in quantities.items():
        _check(name, sampled)
    for name, part in series.current_parts.items():
        if series.current is None or part.shape != series.current.values.shape:
            raise InputError(f"the current of '{name}' must have the shape of the current of the cell")
    size = sum(sampled.values.nbytes for sampled in quantities.values())
    size += sum(part.nbytes for part in series.current_parts.values())
    size += 0 if series.modes is None else series.modes.coordinates.nbytes
    with hdf5_output(path, force, size) as file:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["program_version"] = __version__
        file.attrs["command"] = series.command
        if series.temperature is not None:
            file.attrs["temperature_K"] = float(series.temperature)
        if series.volume is not None:
            file.attrs["volume_A3"] = float(series.volume)
        if series.cell is not None:
            file.create_dataset("cell", data=np.asarray(series.cell, dtype=float)).attrs["unit"] = "A"
        if series.volume_spread:
            file.attrs["volume_relative_spread"] = float(series.volume_spread)
        for name, part in series.current_parts.items():
            group = file.require_group("current_parts")
            group.create_dataset(name, data=part, dtype="f8").attrs["unit"] = QUANTITIES["current"][1]
        if series.modes is not None:
            write_mode_series(file, series.modes)
        for name, sampled in quantities.items():
            data = file.create_dataset(name, data=sampled.values, dtype="f8")
            data.attrs["unit"] = QUANTITIES[name][1]
            data.attrs["dt_fs"] = float(sampled.dt)
            data.attrs["starts"] = np.asarray(sampled.starts, dtype=np.int64)
            data.attrs["first_steps"] = np.asarray(sampled.first_steps, dtype=np.int64)
            for key in _PROVENANCE:
                data.attrs[key] = sampled.provenance.get(key, "")


def read_timeseries(path) -> TimeSeries:
    """Read a time series written by :func:`write_timeseries`.

    Raises
    ------
    DataFileError
        If the file cannot be opened, is not a time series, has a newer format version, or is not complete.
    """
    path = check_readable(path)
    return tried(path, "the HDF5 library", lambda: _open(path))


def _open(path) -> TimeSeries:
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        hint = "" if path.exists() else ": no such file"
        hint = hint or " (is it the text output of a simulation? 'tnep series' turns that into a time series)"
        raise DataFileError(f"{path} cannot be opened as an HDF5 time series{hint}") from error
    try:
        with reading(path, "a time series"):
            series = _read(path, file)
    except BaseException:
        file.close()
        raise
    if all(isinstance(s.values, np.ndarray) for s in (getattr(series, n) for n in QUANTITIES) if s is not None):
        file.close()  # otherwise it stays open while its datasets are used
    return series


def _read(path, file) -> TimeSeries:
    """Return the series in an open file."""
    if file.attrs.get("format") != FORMAT:
        raise DataFileError(f"{path} is HDF5, but not a time series of 'tnep series'")
    version = int(file.attrs.get("format_version", 0))
    if version > FORMAT_VERSION:
        raise DataFileError(
            f"{path} has format version {version}, this program reads up to {FORMAT_VERSION}: update tnep_calc"
        )
    try:
        sampled = {name: _read_sampled(name, file[name], path) for name in QUANTITIES if name in file}
        return TimeSeries(
            temperature=_optional(file.attrs.get("temperature_K")),
            volume=_optional(file.attrs.get("volume_A3")),
            cell=read_dataset(file["cell"], path) if "cell" in file else None,
            command=str(file.attrs["command"]),
            current_parts={str(name): read_dataset(part, path) for name, part in file.get("current_parts", {}).items()},
            volume_spread=float(file.attrs.get("volume_relative_spread", 0.0)),
            modes=read_mode_series(file, path),
            **sampled,
        )
    except (KeyError, InputError) as error:
        raise DataFileError(f"{path} is not a complete time series: {error}") from error


def _optional(value):
    return None if value is None else float(value)


def _read_sampled(name, data, path):
    unit = data.attrs["unit"]
    if unit != QUANTITIES[name][1]:
        raise InputError(f"{name} is in '{unit}', expected '{QUANTITIES[name][1]}'")
    sampled = Sampled(
        values=read_dataset(data, path) if data.size * data.dtype.itemsize <= STREAMED else check_rows(data, path),
        dt=float(data.attrs["dt_fs"]),
        starts=tuple(int(row) for row in data.attrs["starts"]),
        first_steps=tuple(int(step) for step in data.attrs["first_steps"]),
        provenance={key: str(data.attrs[key]) for key in _PROVENANCE},
    )
    _check(name, sampled)
    return sampled
