"""Plain columns of numbers from any program: optionally a time in a given unit, then a dipole or polarizability."""

from __future__ import annotations

import numpy as np

from ...errors import DataFileError, InputError
from ...units import ATOMIC_TIME
from .columns import read_table
from .lammps import Rows, check_finite
from .timed import rows_at_times

TIME_UNITS = {"fs": 1.0, "ps": 1000.0, "ns": 1e6, "au": ATOMIC_TIME}
NO_TIME = "none"
TIME_NAMES = (*TIME_UNITS, NO_TIME)


def read_plain(path, time_unit: str | None, interval: float | None = None, allow_gaps: bool = False) -> Rows:
    """Read a table whose first column is the time, or which has no time.

    Parameters
    ----------
    path : str or path
    time_unit : {"fs", "ps", "ns", "au", "none"}
        Unit of the first column; ``none`` if the table has no time.
    interval : float, optional, in fs
        Time between rows, needed if the table has no time.
    allow_gaps : bool
        Whether missing samples may split the series into pieces.

    Returns
    -------
    Rows
        The names of the columns are their numbers in the file, counted from 1.

    Raises
    ------
    InputError
        If the unit of the time is not one of these, or the interval is needed and not given.
    DataFileError
        If the file is not a table of numbers, or its times are not equally spaced.
    """
    if time_unit not in TIME_NAMES:
        raise InputError(f"plain columns need the unit of their first column: --time-unit {', '.join(TIME_NAMES)}")
    table = read_table(path)
    if time_unit != NO_TIME:
        if table.values.shape[1] < 2:
            raise DataFileError(f"{path}: has one column only; expected a time and values")
        names = [str(k) for k in range(2, table.values.shape[1] + 1)]
        times = table.values[:, 0] * TIME_UNITS[time_unit]
        return rows_at_times(path, times, table.values[:, 1:], names, allow_gaps, table.notes)
    if interval is None:
        raise InputError(f"{path}: the time between its rows is needed: add --interval, e.g. --interval 1fs")
    if len(table.values) < 2:
        raise DataFileError(f"{path}: has {len(table.values)} row; a time series needs at least 2")
    steps = np.arange(len(table.values))
    check_finite(path, steps, table.values)
    names = [str(k) for k in range(1, table.values.shape[1] + 1)]
    return Rows(steps, table.values, names, [0], table.notes, {"dt_output": interval, "first_column": 1})
