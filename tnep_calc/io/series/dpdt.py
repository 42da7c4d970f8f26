"""GPUMD's ``dpdt.out``: the current of the polarization and its integral (models with charges)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import DataFileError
from .columns import head_comments, read_table
from .lammps import Rows
from .timed import rows_at_times

NAMES = ["dPx", "dPy", "dPz", "Px", "Py", "Pz"]
_SAME = 1e-4  # relative difference of two sampling intervals that is rounding of the printed times


def is_dpdt(path) -> bool:
    """Return whether a file is named ``dpdt.out`` or mentions ``dpdt`` in its comments."""
    return Path(path).name == "dpdt.out" or any("dpdt" in line for line in head_comments(path))


def read_dpdt(path, allow_gaps: bool = False) -> Rows:
    """Read ``time (fs), dP/dt (e·Å/fs, 3 columns), P (e·Å, 3 columns)``.

    GPUMD appends every run to the same file.  A time that does not increase therefore begins a new run, which is a
    separate piece; all rows are kept.  P is integrated from zero in every run, so it is known up to a constant vector,
    and has no branches.  P of later runs is shifted to the mean of the first run, because spectra subtract the mean of
    all runs.

    Parameters
    ----------
    path : str or path
    allow_gaps : bool
        Whether missing samples may split a run into pieces; if not, they are an error.

    Returns
    -------
    Rows
        ``header["quantities"]`` gives the columns and units of ``current`` and ``dipole``.

    Raises
    ------
    DataFileError
        If the file does not have 4 or 7 columns, the times of a run are not equally spaced, or runs have different
        sampling intervals.
    """
    table = read_table(path)
    count = table.values.shape[1]
    if count not in (4, 7):
        raise DataFileError(
            f"{path}: expected 7 columns (time in fs, dP/dt x y z, P x y z) or the first 4, found {count}"
        )
    times, values, notes = table.values[:, 0], table.values[:, 1:], table.notes
    runs = np.split(np.arange(len(times)), np.flatnonzero(np.diff(times) <= 0) + 1)
    single = [rows for rows in runs if len(rows) < 2]
    if single and len(single) < len(runs):
        notes.append(f"{len(single)} runs of a single sample are left out: they are not time series")
        runs = [rows for rows in runs if len(rows) > 1]
    parts = [
        rows_at_times(path, times[rows], values[rows], NAMES[: count - 1], allow_gaps, notes, None) for rows in runs
    ]
    interval = parts[0].header["dt_output"]
    for part in parts[1:]:
        if abs(part.header["dt_output"] - interval) > _SAME * interval:
            raise DataFileError(
                f"{path}: its runs have different sampling intervals ({interval:g} and {part.header['dt_output']:g} "
                "fs); split the file and read the runs separately"
            )
    if len(parts) > 1:
        notes.append(f"{len(parts)} runs in one file, whose times begin again: separate pieces")
    if count == 7:
        for part in parts[1:]:
            part.values[:, 3:] += parts[0].values[:, 3:].mean(axis=0) - part.values[:, 3:].mean(axis=0)
    quantities = {"current": (slice(0, 3), "e*A/fs"), "dipole": (slice(3, 6), "e*A")}
    ends = np.cumsum([len(part.steps) for part in parts])
    return Rows(
        np.concatenate([part.steps for part in parts]),
        np.concatenate([part.values for part in parts]),
        parts[0].names,
        [int(end - len(part.steps)) + row for end, part in zip(ends, parts, strict=True) for row in part.starts],
        notes,
        {
            "dt_output": interval,
            "quantities": {name: quantities[name] for name in list(quantities)[: 2 if count == 7 else 1]},
        },
    )
