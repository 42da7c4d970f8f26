"""Collect the output files of a simulation into one time series in the package's units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase.cell import Cell

from ...conventions import GPUMD_ORDER, LAMMPS_ORDER, from_six
from ...errors import DataFileError, InputError
from ...units import DIPOLE_UNITS, EPSILON_0, POLARIZABILITY_UNITS
from ..files import reading, sha256
from .dft_logs import kind_of_log, read_cp2k, read_vasp
from .dpdt import is_dpdt, read_dpdt
from .gpumd import is_gpumd, read_gpumd_output
from .ipi import is_ipi, read_ipi
from .jumps import note_of_change
from .lammps import Rows, is_ave_time, read_ave_time, select_columns
from .plain import read_plain
from .timeseries import Sampled, TimeSeries

FORMATS = ("lammps", "gpumd", "dpdt", "ipi", "cp2k", "vasp", "columns")
SUSCEPTIBILITY = "N*chi"
"""Unit of GPUMD's output for a model of the susceptibility: the sum over N atoms, ``N chi``; ``alpha = eps0 V chi``."""

CURRENT_UNITS = {
    f"{dipole}/{time}": DIPOLE_UNITS[dipole] / factor
    for dipole in DIPOLE_UNITS
    for time, factor in (("fs", 1.0), ("ps", 1000.0))
}
"""Units of a current, with their values in e·Å/fs."""

UNIT_NAMES = {
    "dipole": tuple(DIPOLE_UNITS),
    "polarizability": (*POLARIZABILITY_UNITS, SUSCEPTIBILITY),
    "current": tuple(CURRENT_UNITS),
}
_LAMMPS_UNITS = {"dipole": "e*A", "polarizability": "e*A^2/V", "current": "e*A/fs"}
_KIND_BY_COLUMNS = {3: "dipole", 6: "polarizability", 9: "polarizability"}
_INTERVAL_TOLERANCE = 1e-6


def cell_from_numbers(numbers) -> np.ndarray:
    """Return lattice vectors, in rows, shape (3, 3), in Å.

    Parameters
    ----------
    numbers : sequence of float
        1 (cube), 3 (box), 6 (a b c alpha beta gamma) or 9 (lattice vectors) numbers, in Å and degrees.

    Raises
    ------
    InputError
        If there is no such cell, or it has no volume.

    Examples
    --------
    >>> cell_from_numbers([10.0]).tolist()
    [[10.0, 0.0, 0.0], [0.0, 10.0, 0.0], [0.0, 0.0, 10.0]]
    """
    numbers = [float(number) for number in numbers]
    if len(numbers) not in (1, 3, 6, 9):
        raise InputError(f"a cell is given by 1, 3, 6 or 9 numbers, got {len(numbers)}")
    shape = {1: numbers * 3, 9: np.reshape(numbers, (3, 3)) if len(numbers) == 9 else None}.get(len(numbers), numbers)
    try:
        with np.errstate(invalid="ignore"):
            cell = np.array(Cell.new(shape))
    except (AssertionError, ValueError) as error:
        raise InputError(f"there is no cell with lengths and angles {numbers}") from error
    if not abs(np.linalg.det(cell)) > 0:
        raise InputError(f"the cell {numbers} has no volume")
    return cell


def _format_of(path, wanted):
    if wanted is not None:
        return wanted
    if is_ave_time(path):
        return "lammps"
    if is_dpdt(path):
        return "dpdt"
    if is_gpumd(path):
        return "gpumd"
    if is_ipi(path):
        return "ipi"
    if (log := kind_of_log(path)) is not None:
        return log
    raise InputError(
        f"{path} has neither the title lines of LAMMPS's fix ave/time nor the header of GPUMD or i-PI, and is not "
        "output of CP2K or VASP: give --format lammps (steps continue after restarts; xx yy zz xy xz yz), --format "
        "gpumd (steps begin at 0 in each run; xx yy zz xy yz zx) or --format columns (a time and values, with "
        "--time-unit)"
    )


def _columns(contents: dict[Path, Rows], columns: dict[str, str]) -> dict[str, tuple[Path, np.ndarray]]:
    """Return the file and the values (n, n_columns), in its units, of each quantity."""
    found: dict[str, tuple[Path, np.ndarray]] = {}
    for name, wanted in columns.items():
        matches, reasons = {}, []
        for path, rows in contents.items():
            try:
                matches[path] = select_columns(rows, wanted, path)
            except InputError as error:
                reasons.append(str(error))
        if not matches:
            raise InputError("; ".join(reasons))
        if len(matches) > 1:
            raise InputError(f"columns '{wanted}' are in {' and in '.join(map(str, matches))}: give a name of one file")
        found[name] = matches.popitem()
    used = {path for path, _ in found.values()}
    for path, rows in contents.items():
        if path in used:
            continue
        if "quantities" in rows.header:
            for name, (where, _) in rows.header["quantities"].items():
                if name in found:
                    raise InputError(f"both {found[name][0]} and {path} have a {name}; give one file per quantity")
                found[name] = (path, rows.values[:, where])
            continue
        count = rows.values.shape[1]
        if count not in _KIND_BY_COLUMNS:
            raise InputError(
                f"{path} has {count} columns besides the step ({', '.join(rows.names[:12])}); expected 3 (dipole), or "
                "6 or 9 (polarizability); choose with --dipole-columns, --current-columns and --polarizability-columns"
            )
        name = _KIND_BY_COLUMNS[count]
        if name in found:
            raise InputError(
                f"both {found[name][0]} and {path} have a {name}; give one file per quantity (join parts of one run "
                "with cat, in order)"
            )
        found[name] = (path, rows.values)
    return found


def _factor(name, unit, volume, atoms):
    if unit not in UNIT_NAMES[name]:
        raise InputError(f"the unit of the {name} must be one of {', '.join(UNIT_NAMES[name])}, got '{unit}'")
    if unit != SUSCEPTIBILITY:
        return {"dipole": DIPOLE_UNITS, "polarizability": POLARIZABILITY_UNITS, "current": CURRENT_UNITS}[name][unit]
    if volume is None or atoms is None:
        raise InputError(f"{SUSCEPTIBILITY} needs the volume (or cell) and the number of atoms of the simulation")
    return EPSILON_0 * volume / atoms


def _in_package_units(name, values, order, factor):
    count = values.shape[1]
    allowed = (6, 9) if name == "polarizability" else (3,)
    if count not in allowed:
        raise InputError(f"a {name} needs {' or '.join(map(str, allowed))} columns, got {count}")
    if name == "polarizability":
        values = from_six(values, order) if count == 6 else values.reshape(-1, 3, 3)
    return values * factor


def _interval(path, rows, timestep):
    """Return the sampling interval in fs."""
    ends = [*rows.starts[1:], len(rows.steps)]  # a piece may have a single sample
    spacing = np.concatenate([np.diff(rows.steps[a:b]) for a, b in zip(rows.starts, ends, strict=True)])
    if not len(spacing):
        raise DataFileError(f"{path}: no piece of it has two samples, so it is not a time series")
    steps = int(np.median(spacing))
    stated = rows.header.get("dt_output")
    timestep = rows.header.get("timestep") if timestep is None else timestep
    if timestep is None:
        if stated is None:
            raise InputError(f"{path} does not say how long a step is: give the time step of the simulation (fs)")
        return stated
    dt = steps * timestep
    if stated is not None and abs(dt - stated) > _INTERVAL_TOLERANCE * stated:
        raise InputError(
            f"{path} says that samples are {stated:g} fs apart, but {steps} steps of {timestep:g} fs are {dt:g} fs: "
            "leave the time step out, or correct it"
        )
    return dt


def collect_series(
    paths,
    timestep: float | None = None,
    temperature: float | None = None,
    volume: float | None = None,
    cell=None,
    file_format: str | None = None,
    units: dict[str, str] | None = None,
    columns: dict[str, str] | None = None,
    allow_gaps: bool = False,
    atoms: int | None = None,
    command: str = "",
    time_unit: str | None = None,
    interval: float | None = None,
) -> tuple[TimeSeries, list[str]]:
    """Read simulation output into a time series.

    Parameters
    ----------
    paths : sequence of str or path
        Files in any of ``FORMATS``, with at most one dipole, one polarizability and one current in all.
    timestep : float, optional, in fs
        Time step of the simulation (not the sampling interval). It may be left out if the files state the interval or
        the time step.
    temperature : float, optional, in K
    volume : float, optional, in Å³
        Default: that of the cell, if it is known.
    cell : array_like, shape (3, 3), optional, in Å
        Lattice vectors in rows. Default: that of a file, if it has one.
    file_format : str, optional
        One of ``FORMATS``, for all files. Default: found from the first lines or the name of each file.
    units : dict, optional
        Units of ``"dipole"``, ``"polarizability"`` and ``"current"`` in the files (``UNIT_NAMES``). By default LAMMPS
        files are in e·Å, e·Å²/V and e·Å/fs, the units of this package's computes. GPUMD's ``dipole.out`` and
        ``polarizability.out`` need them, because they are in the unit that the model was trained on.
    columns : dict, optional
        Columns of a quantity by name or number, for files with more columns.
    allow_gaps : bool
        Whether missing samples split the series into pieces. If not, they are an error.
    atoms : int, optional
        Number of atoms, which only the unit ``N*chi`` needs. Default: that of GPUMD's header.
    command : str
        Command line, which is stored in the series.
    time_unit : str, optional
        Unit of the first column of plain columns (``plain.TIME_NAMES``). Default: that of the file's header.
    interval : float, optional, in fs
        Time between rows of plain columns without a time.

    Returns
    -------
    series : TimeSeries
    notes : list of str
        What was tolerated or assumed, each with the name of the file.

    Raises
    ------
    InputError
        If information is missing or contradictory.
    DataFileError
        If a file cannot be used.
    """
    if file_format is not None and file_format not in FORMATS:
        raise InputError(f"file_format must be one of {', '.join(FORMATS)}, got '{file_format}'")
    for label, value in {"time step": timestep, "temperature": temperature, "volume": volume}.items():
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(f"the {label} must be a positive number, got {value}")
    formats = {Path(path): _format_of(path, file_format) for path in paths}
    readers = {
        "lammps": read_ave_time,
        "gpumd": read_gpumd_output,
        "dpdt": read_dpdt,
        "ipi": read_ipi,
        "cp2k": read_cp2k,
        "vasp": read_vasp,
        "columns": lambda path, gaps: read_plain(path, time_unit, interval, gaps),
    }
    contents: dict[Path, Rows] = {}
    for path, kind in formats.items():
        with reading(path, f"output of the kind '{kind}'"):
            contents[path] = readers[kind](path, allow_gaps)
            contents[path].notes.extend(note_of_change(contents[path].values))
    notes = [f"{path}: {note}" for path, rows in contents.items() for note in rows.notes]
    if cell is None:
        cell = next((rows.header["cell"] for rows in contents.values() if "cell" in rows.header), None)
        if cell is not None and volume is not None:
            notes.append("the cell in the header of the file is not used, because a volume was given")
            cell = None
    if cell is not None and volume is None:
        volume = float(abs(np.linalg.det(cell)))
    quantities: dict[str, Sampled] = {}
    for name, (path, values) in _columns(contents, columns or {}).items():
        rows = contents[path]
        unit = (units or {}).get(name) or (_LAMMPS_UNITS[name] if formats[path] == "lammps" else None)
        stated = rows.header.get("quantities", {}).get(name, (None, None))[1] or rows.header.get("units", {}).get(name)
        if unit and stated and unit != stated:
            raise InputError(f"{path} says that its {name} is in {stated}: leave --{name}-unit {unit} out")
        unit = unit or stated
        if unit is None:
            reason = "GPUMD uses the unit its model was trained on" if formats[path] == "gpumd" else "it states no unit"
            raise InputError(
                f"{path}: {reason}; give it with --{name}-unit "
                f"({', '.join(UNIT_NAMES[name])}; published models differ, see the help)"
            )
        factor = _factor(name, unit, volume, atoms or rows.header.get("num_atoms"))
        order = GPUMD_ORDER if formats[path] == "gpumd" else LAMMPS_ORDER
        quantities[name] = Sampled(
            _in_package_units(name, values, order, factor),
            _interval(path, rows, timestep),
            tuple(rows.starts),
            tuple(int(rows.steps[row]) for row in rows.starts),
            {"source": path.name, "source_sha256": sha256(path), "source_unit": unit, "notes": "; ".join(rows.notes)},
        )
    dipole, polarizability, current = (quantities.get(name) for name in ("dipole", "polarizability", "current"))
    return TimeSeries(dipole, polarizability, temperature, volume, cell, command, current), notes
