"""GPUMD's ``dipole.out`` and ``polarizability.out`` (https://gpumd.org), with or without header blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import DataFileError
from .columns import head_comments, read_table
from .lammps import Rows, check_finite, pieces_of, whole_steps

LARGEST_CHANGE = 0.05
"""Largest change of the cell from run to run, relative to its largest component; beyond it, it is another system."""
NAMES = {3: ["x", "y", "z"], 6: ["xx", "yy", "zz", "xy", "yz", "zx"]}


def is_gpumd(path) -> bool:
    """Return whether a file has GPUMD's header or one of GPUMD's file names."""
    first_words = {line.split()[0] for line in head_comments(path) if line}
    header = first_words & {"dump_dipole", "dump_polarizability", "format_version"}
    return bool(header) or Path(path).name in ("dipole.out", "polarizability.out")


def read_gpumd_output(path, allow_gaps: bool = False) -> Rows:
    """Read ``dipole.out`` (``step x y z``) or ``polarizability.out`` (``step xx yy zz xy yz zx``).

    GPUMD appends every run to the same file and counts the steps of each run from the start.  A step that does not
    increase therefore begins a new piece.  Header blocks, if present, state the sampling interval, the number of atoms
    and the cell.  All runs of a file must have the same interval.

    Parameters
    ----------
    path : str or path
    allow_gaps : bool
        Whether missing samples may split a run into pieces; if not, they are an error.

    Returns
    -------
    Rows
        ``header`` may have ``dt_output`` (fs), ``num_atoms`` and ``cell`` (3x3, Å, lattice vectors in rows) of the
        first run.

    Raises
    ------
    DataFileError
        If the file has other columns, values that are not finite, irregular steps, or runs with different intervals,
        numbers of atoms or cells.
    """
    path = Path(path)
    table = read_table(path)
    if table.values.shape[1] - 1 not in NAMES:
        raise DataFileError(
            f"{path}: expected 4 columns (step, dipole) or 7 columns (step, polarizability), found "
            f"{table.values.shape[1]}"
        )
    header, run_rows = _header(path, table.comments)
    steps, values = whole_steps(path, table.values[:, 0]), table.values[:, 1:]
    check_finite(path, steps, values)
    restarts = np.flatnonzero(np.diff(steps) <= 0) + 1
    runs = sorted({0, *restarts.tolist(), *(row for row in run_rows if row < len(steps))})
    starts: list[int] = []
    intervals = set()
    notes = table.notes
    for begin, end in zip(runs, [*runs[1:], len(steps)], strict=True):
        if end - begin < 2:
            notes.append("a run of a single sample is not a time series, but its sample is included in the mean")
            starts.append(begin)
            continue
        intervals.add(int(np.median(np.diff(steps[begin:end]))))
        starts += [begin + row for row in pieces_of(path, steps[begin:end], allow_gaps, notes)]
    if not intervals:
        raise DataFileError(f"{path}: no run in it has two samples, so it is not a time series")
    if len(intervals) > 1:
        raise DataFileError(
            f"{path}: its {len(runs)} runs have different sampling intervals ({', '.join(map(str, sorted(intervals)))} "
            "steps); split the file and read the runs separately"
        )
    if len(runs) > 1:
        notes.append(f"{len(runs)} runs in one file: {len(starts)} separate pieces")
    return Rows(steps, values, NAMES[values.shape[1]], starts, notes, header)


def _other_system(path, what):
    return DataFileError(
        f"{path}: its runs have {what}, so they are of different systems: split the file, and read them separately"
    )


def _header(path, comments):
    """Return the content of the header blocks, and the rows where runs begin."""
    header: dict = {}
    rows = []
    for row, text in comments:
        words = text.split()
        if not words:
            continue
        try:
            if words[0] in ("dump_dipole", "dump_polarizability"):
                rows.append(row)
            elif words[0] == "dt_output":
                interval = float(words[1])
                if header.get("dt_output", interval) != interval:
                    raise DataFileError(
                        f"{path}: its runs have different sampling intervals ({header['dt_output']:g} and "
                        f"{interval:g} fs); split the file and read the runs separately"
                    )
                header["dt_output"] = interval
            elif words[0] == "num_atoms":
                count = int(words[1])
                if header.setdefault("num_atoms", count) != count:
                    raise _other_system(path, f"{header['num_atoms']} and {count} atoms")
            elif words[0] == "cell":
                cell = np.array([float(word) for word in words[1:10]]).reshape(3, 3)
                first = header.setdefault("cell", cell)
                if np.abs(cell - first).max() > LARGEST_CHANGE * np.abs(first).max():
                    raise _other_system(path, f"the cells {first.ravel().tolist()} and {cell.ravel().tolist()}")
        except (ValueError, IndexError) as error:
            raise DataFileError(f"{path}: cannot read the header line '# {text}' ({error})") from error
    return header, rows
