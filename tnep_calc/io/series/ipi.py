"""Output of i-PI: property files (``# column 1 --> step``) and extras (``#EXTRAS(dipole)# Step: ...``)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ...errors import DataFileError
from ...units import ATOMIC_TIME
from ..content import parse_json
from ..files import read_text
from .columns import head_comments, read_table
from .lammps import Rows, check_finite, pieces_of, whole_steps, without_repeats
from .timed import rows_at_times

COLUMN = re.compile(r"(?:column\s+(\d+)|cols\.\s*(\d+)\s*-\s*(\d+))\s*-->\s*(\w+)(?:\(([^)]*)\))?(?:\{(\w+)\})?")
"""A line of the header of a property file: column number or range, name, arguments, unit."""

EXTRAS = re.compile(r"^\s*#\*?EXTRAS\w*\*?(?:\(([^)]*)\))?#\s*Step:\s*(\d+)", re.M)
"""The line before each sample in a file of extras."""

TIME_UNITS = {"femtosecond": 1.0, "picosecond": 1000.0, "atomic_unit": ATOMIC_TIME, None: ATOMIC_TIME}
DIPOLE_UNITS = {"atomic_unit": "e*bohr", "debye": "debye", "eang": "e*A", "ase": "e*A", None: "e*bohr"}


def is_ipi(path) -> bool:
    """Return whether a file begins like a property file or a file of extras of i-PI."""
    comments = head_comments(path)
    return any("-->" in line and COLUMN.search(line) for line in comments) or any(
        line.lstrip("*").startswith("EXTRAS") for line in comments
    )


def read_ipi(path, allow_gaps: bool = False) -> Rows:
    """Read a property file with a dipole, or a file of extras with a dipole or a polarizability.

    In a property file the time is the property ``time``, or else ``step``.  The dipole is the property ``dipole``, in
    the unit of its header (by default atomic units, e·bohr).  Extras have three, six or nine numbers per step, as a
    row, as rows of a matrix, or in JSON under ``dipole`` or ``polarizability``.  They are in the unit of the driver,
    which the user must therefore give.

    Returns
    -------
    Rows
        ``header["quantities"]`` gives the columns, and the unit if the file states it, else None.

    Raises
    ------
    DataFileError
        If there is no dipole or polarizability, or the steps are irregular.
    """
    path = Path(path)
    if any("-->" in line for line in head_comments(path)):
        return _properties(path, allow_gaps)
    return _extras(path, allow_gaps)


def _properties(path, allow_gaps):
    table = read_table(path)
    found: dict[str, tuple[slice, str | None]] = {}
    for _, text in table.comments:
        if match := COLUMN.search(text):
            first, low, high, name, _, unit = match.groups()
            begin, end = (int(first), int(first)) if first else (int(low), int(high))
            column = (slice(begin - 1, end), unit)
            if found.setdefault(name, column) != column:
                raise DataFileError(
                    f"{path}: has runs with different columns of '{name}' joined in one file: split it, and read the "
                    "runs separately"
                )
    if "dipole" not in found:
        raise DataFileError(
            f"{path}: this property file of i-PI has no dipole; found {', '.join(found) or 'no columns'}"
        )
    count = table.values.shape[1]
    if any(where.start < 0 or where.stop > count or where.start >= where.stop for where, _ in found.values()):
        raise DataFileError(f"{path}: its header names other columns than its {count} columns of numbers")
    columns, unit = found["dipole"]
    if unit not in DIPOLE_UNITS:
        raise DataFileError(f"{path}: its dipole is in '{unit}', expected {', '.join(filter(None, DIPOLE_UNITS))}")
    values = table.values[:, columns]
    if values.shape[1] != 3:
        raise DataFileError(f"{path}: its dipole has {values.shape[1]} columns, expected 3")
    header = {"quantities": {"dipole": (slice(0, 3), DIPOLE_UNITS[unit])}}
    if "time" in found:
        where, unit = found["time"]
        if unit not in TIME_UNITS:
            raise DataFileError(f"{path}: its time is in '{unit}', expected {', '.join(filter(None, TIME_UNITS))}")
        times = table.values[:, where][:, 0] * TIME_UNITS[unit]
        return rows_at_times(path, times, values, ["x", "y", "z"], allow_gaps, table.notes, header)
    if "step" not in found:
        raise DataFileError(f"{path}: has neither a time nor a step among its columns ({', '.join(found)})")
    return _stepped(path, table.values[:, found["step"][0]][:, 0], values, allow_gaps, table.notes, header)


def _stepped(path, steps, values, allow_gaps, notes, header):
    steps, values = without_repeats(whole_steps(path, np.asarray(steps, dtype=float)), values, notes)
    check_finite(path, steps, values)
    names = [str(k) for k in range(1, values.shape[1] + 1)]
    return Rows(steps, values, names, pieces_of(path, steps, allow_gaps, notes), notes, header)


def _extras(path, allow_gaps):
    text = read_text(path)
    marks = list(EXTRAS.finditer(text))
    if not marks:
        raise DataFileError(f"{path}: has no line '#EXTRAS(...)# Step: ...' of i-PI")
    notes: list[str] = []
    steps, rows = [], []
    for k, mark in enumerate(marks):
        end = marks[k + 1].start() if k + 1 < len(marks) else len(text)
        body = text[text.index("\n", mark.end()) if "\n" in text[mark.end() :] else len(text) : end].strip()
        numbers = _numbers(path, int(mark[2]), body, last=k + 1 == len(marks))
        if numbers is None:
            notes.append("the last sample is incomplete (the job is running or was killed); it is not used")
            break
        steps.append(int(mark[2]))
        rows.append(numbers)
    counts = {len(row) for row in rows}
    if len(counts) != 1 or not counts <= {3, 6, 9}:
        raise DataFileError(
            f"{path}: expected 3 (dipole) or 9 (polarizability) numbers per step, found {sorted(counts)}"
        )
    name = "dipole" if counts == {3} else "polarizability"
    header = {"quantities": {name: (slice(0, max(counts)), None)}}
    return _stepped(path, steps, np.array(rows), allow_gaps, notes, header)


def _numbers(path, step, body, last):
    """Return the numbers of one sample, or None if it is the last one and incomplete."""
    try:
        if body.startswith("{"):
            content = parse_json(body)
            name = next(key for key in ("dipole", "polarizability") if key in content)
            return np.array(content[name], dtype=float).ravel().tolist()
        numbers = [float(word) for word in body.replace("[", " ").replace("]", " ").replace(",", " ").split()]
        if len(numbers) not in (3, 6, 9):
            raise ValueError(f"{len(numbers)} numbers")
        return numbers
    except (ValueError, StopIteration, TypeError) as error:
        if last:
            return None
        raise DataFileError(f"{path}: step {step} has no dipole or polarizability ({error})") from error
