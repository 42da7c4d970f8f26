"""Plain columns of numbers from any program: optionally a time in a given unit, then a dipole or polarizability."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from ...errors import DataFileError, InputError
from ...units import ATOMIC_TIME
from .columns import read_table
from .lammps import Rows, check_finite
from .timed import rows_at_times

TIME_UNITS = {"fs": 1.0, "ps": 1000.0, "ns": 1e6, "au": ATOMIC_TIME}
NO_TIME = "none"
TIME_NAMES = (*TIME_UNITS, NO_TIME)
_QUANTITIES = {
    "time": "time|t",
    "dipole": "dipoles?|dip|mu|m",
    "polarizability": "polarizability|pol|alpha",
    "current": "current|j",
}
_UNITS = {
    "time": {"fs": "fs", "ps": "ps", "ns": "ns", "au": "au"},
    "dipole": {
        "debye": "debye",
        "d": "debye",
        "ea": "e*A",
        "eå": "e*A",
        "ebohr": "e*bohr",
        "ea0": "e*bohr",
        "au": "e*bohr",
    },
    "polarizability": {
        "ea^2/v": "e*A^2/V",
        "eå^2/v": "e*A^2/V",
        "a^3": "A^3",
        "å^3": "A^3",
        "bohr^3": "bohr^3",
        "au": "bohr^3",
    },
    "current": {"ea/fs": "e*A/fs", "ea/ps": "e*A/ps", "debye/fs": "debye/fs", "debye/ps": "debye/ps"},
}
"""Units in a header, in lower case and without ``*``, dots and spaces, with their names in this package."""


def read_plain(path, time_unit: str | None, interval: float | None = None, allow_gaps: bool = False) -> Rows:
    """Read a table whose first column is the time, or which has no time.

    Parameters
    ----------
    path : str or path
    time_unit : {"fs", "ps", "ns", "au", "none"}
        Unit of the first column; ``none`` if the table has no time. Default: that of the header, as in
        ``# time [fs]``.
    interval : float, optional, in fs
        Time between rows, needed if the table has no time.
    allow_gaps : bool
        Whether missing samples may split the series into pieces.

    Returns
    -------
    Rows
        The names of the columns are their numbers in the file, counted from 1. The units of the header
        (:func:`stated_units`) are ``header["units"]``.

    Raises
    ------
    InputError
        If the unit of the time is not one of these or not that of the header, or the interval is needed and not given.
    DataFileError
        If the file is not a table of numbers, or its times are not equally spaced.
    """
    table = read_table(path)
    units = stated_units(comment for _, comment in table.comments)
    stated = units.pop("time", None)
    if stated is not None and time_unit not in (None, stated):
        raise InputError(f"{path} says that its time is in {stated}, --time-unit says {time_unit}")
    time_unit = time_unit or stated
    if time_unit not in TIME_NAMES:
        raise InputError(f"plain columns need the unit of their first column: --time-unit {', '.join(TIME_NAMES)}")
    if time_unit != NO_TIME:
        if table.values.shape[1] < 2:
            raise DataFileError(f"{path}: has one column only; expected a time and values")
        names = [str(k) for k in range(2, table.values.shape[1] + 1)]
        times = table.values[:, 0] * TIME_UNITS[time_unit]
        rows = rows_at_times(path, times, table.values[:, 1:], names, allow_gaps, table.notes)
        rows.header["units"] = units
        return rows
    if interval is None:
        raise InputError(f"{path}: the time between its rows is needed: add --interval, e.g. --interval 1fs")
    if len(table.values) < 2:
        raise DataFileError(f"{path}: has {len(table.values)} row; a time series needs at least 2")
    steps = np.arange(len(table.values))
    check_finite(path, steps, table.values)
    names = [str(k) for k in range(1, table.values.shape[1] + 1)]
    header = {"dt_output": interval, "first_column": 1, "units": units}
    return Rows(steps, table.values, names, [0], table.notes, header)


def stated_units(comments: Iterable[str]) -> dict[str, str]:
    """Return the units that the comments of a table state, by quantity; units that are not known are left out.

    Examples
    --------
    >>> stated_units(["time [ps]  mu_x mu_y mu_z [Debye]", "polarizability in A^3"])
    {'time': 'ps', 'dipole': 'debye', 'polarizability': 'A^3'}
    """
    found: dict[str, str] = {}
    for comment in comments:
        for name, words in _QUANTITIES.items():
            pattern = rf"\b(?:{words})(?:_?[xyz]{{1,2}})?\s*(?:[\[(]\s*([^\])]+)[\])]|\bin\s+(\S+))"
            for match in re.finditer(pattern, comment, re.IGNORECASE):
                unit = re.sub(r"angstroms?|ang\b", "a", (match[1] or match[2]).lower().rstrip(",;"))
                unit = re.sub(r"[*·.\s]", "", unit).replace("³", "^3").replace("²", "^2")
                if unit in _UNITS[name]:
                    found.setdefault(name, _UNITS[name][unit])
    return found
