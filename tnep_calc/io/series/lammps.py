"""Output of the LAMMPS command ``fix ave/time`` (https://docs.lammps.org/fix_ave_time.html)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import DataFileError, InputError
from .columns import head_comments, read_table

LARGEST_STEP = 1e15
"""Largest step number; tables are read in double precision, in which much larger ones are not exact."""


@dataclass
class Rows:
    """Samples of one output file, in the order and units of the file.

    Attributes
    ----------
    steps : ndarray of int64, shape (n,)
        Time step of every sample, strictly increasing within a piece.
    values : ndarray, shape (n, n_columns)
    names : list of str
        Names of the columns of `values`.
    starts : list of int
        Row where each uninterrupted piece begins; the first is 0.
    notes : list of str
        Messages to the user about what was tolerated.
    header : dict
        Content of the header, e.g. ``dt_output`` (fs), ``cell`` (3x3, Å).
    """

    steps: np.ndarray
    values: np.ndarray
    names: list[str]
    starts: list[int]
    notes: list[str] = field(default_factory=list)
    header: dict = field(default_factory=dict)

    def lengths(self) -> np.ndarray:
        """Return the number of samples of each piece."""
        return np.diff([*self.starts, len(self.steps)])


def is_ave_time(path) -> bool:
    """Return whether the first lines of a file are the titles of ``fix ave/time``."""
    return any(line.startswith(("Time-averaged data", "TimeStep")) for line in head_comments(path))


def read_ave_time(path, allow_gaps: bool = False) -> Rows:
    """Read a file of ``fix ave/time`` in ``mode scalar`` or ``mode vector``.

    In ``mode scalar`` a row is ``step value value ...``.  In ``mode vector`` a sample is a line ``step n`` and n lines
    ``row value``; the n values become the columns.  A restart that appends to the file may repeat steps.  Of repeated
    steps, the rows written later are kept, because the run continued from them.

    Parameters
    ----------
    path : str or path
    allow_gaps : bool
        Whether missing samples may split the series into pieces; if not, they are an error.

    Returns
    -------
    Rows

    Raises
    ------
    DataFileError
        If the file is not such output, has values that are not finite or fewer than two samples, or its steps are
        irregular.
    """
    path = Path(path)
    comments = head_comments(path)
    vector = any("Number-of-rows" in line for line in comments)
    table = read_table(path, rectangular=not vector)
    if vector:
        steps, values, names = _vector_mode(path, table)
    else:
        steps, values = table.values[:, 0], table.values[:, 1:]
        titles = [line.split() for line in comments if line.startswith("TimeStep")]
        names = titles[0][1:] if titles else []
        all_titles = [text.split() for _, text in table.comments if text.startswith("TimeStep")]
        other = next((words for words in all_titles if words != all_titles[0]), None)
        if other is not None:
            raise DataFileError(
                f"{path}: has runs with different columns joined in one file ({' '.join(names)}, then "
                f"{' '.join(other[1:])}): split it, and read the runs separately"
            )
    if values.shape[1] == 0:
        raise DataFileError(f"{path}: has one column only; expected 'step value value ...'")
    if len(names) != values.shape[1]:
        names = [str(k) for k in range(2, values.shape[1] + 2)]
    steps = whole_steps(path, steps)
    steps, values = without_repeats(steps, values, table.notes)
    check_finite(path, steps, values)
    starts = pieces_of(path, steps, allow_gaps, table.notes)
    note_rounding(values, table.notes)
    return Rows(steps, values, names, starts, table.notes)


def _vector_mode(path, table):
    flat = table.values
    count = int(flat[1]) if len(flat) > 1 and flat[1] > 0 else 0
    if count == 0 or len(flat) < 2 + count:
        raise DataFileError(f"{path}: expected 'step number-of-rows' and that many rows")
    # the number of values per row follows from the place of the second block, or from the end of the only block
    width = None
    for candidate in range(2, 1 + max(2, (len(flat) - 2) // count)):
        block = 2 + count * candidate
        rows = flat[2 : 2 + count * candidate].reshape(-1, candidate)
        if len(rows) == count and np.array_equal(rows[:, 0], np.arange(1, count + 1)):
            if len(flat) == block or (len(flat) > block + 1 and flat[block + 1] == count):
                width = candidate
                break
    if width is None:
        raise DataFileError(f"{path}: cannot be read as 'mode vector' output with {count} rows per step")
    if width > 2:
        raise DataFileError(
            f"{path}: has {width - 1} vectors per step; let LAMMPS write one vector per file, or use mode scalar"
        )
    block = 2 + 2 * count
    whole = len(flat) // block
    if len(flat) % block:
        table.notes.append("the last sample is incomplete (the job is running or was killed); it is not used")
    blocks = flat[: whole * block].reshape(whole, block)
    rows = blocks[:, 2:].reshape(whole, count, 2)
    wrong = np.flatnonzero((blocks[:, 1] != count) | (rows[:, :, 0] != np.arange(1, count + 1)).any(axis=1))
    if len(wrong):
        raise DataFileError(f"{path}: sample {wrong[0] + 1} does not have the rows 1 to {count} of the first one")
    return blocks[:, 0], rows[:, :, 1], [str(k) for k in range(1, count + 1)]


def whole_steps(path, steps) -> np.ndarray:
    """Return the step column as integers; raise DataFileError if its numbers are not whole or too large."""
    with np.errstate(invalid="ignore"):
        whole = steps.astype(np.int64)
    wrong = np.flatnonzero((whole != steps) | ~(np.abs(steps) <= LARGEST_STEP))
    if len(wrong):
        raise DataFileError(
            f"{path}: the first column must be the time step, a whole number up to {LARGEST_STEP:g}, found "
            f"{steps[wrong[0]]:g}"
        )
    return whole


def without_repeats(steps, values, notes):
    """Return steps and values without repeated steps: of rows that a restart wrote again, the later ones are kept."""
    later = np.minimum.accumulate(steps[::-1])[::-1]
    keep = np.append(steps[:-1] < later[1:], True)
    dropped = np.flatnonzero(~keep)
    if len(dropped):
        notes.append(
            f"{len(dropped)} samples (steps {steps[dropped].min()} to {steps[dropped].max()}) were written again "
            "after a restart; the rows written later are used"
        )
        steps, values = steps[keep], values[keep]
    return steps, values


def check_finite(path, steps, values):
    """Raise DataFileError, with the step, if a value is not finite."""
    wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(wrong):
        raise DataFileError(
            f"{path}: the value at step {steps[wrong[0]]} is not finite ({len(wrong)} such samples): the simulation or "
            "the model failed there; use the part before it"
        )


def pieces_of(path, steps, allow_gaps, notes) -> list[int]:
    """Return the rows where equally spaced pieces begin; a gap is an error unless `allow_gaps`.

    Parameters
    ----------
    path : path
        File, for messages.
    steps : ndarray of int, shape (n,)
        Increasing steps.
    allow_gaps : bool
    notes : list of str
        A note is added if there are gaps.
    """
    if len(steps) < 2:
        raise DataFileError(f"{path}: has {len(steps)} sample; a time series needs at least 2")
    spacing = np.diff(steps)
    interval = int(np.median(spacing))
    gaps = np.flatnonzero(spacing != interval)
    if len(gaps) and not allow_gaps:
        k = int(gaps[0])
        raise DataFileError(
            f"{path}: samples are {interval} steps apart, but step {steps[k]} is followed by {steps[k + 1]} "
            f"({len(gaps)} such places): samples are missing; --allow-gaps splits the series into pieces there"
        )
    if len(gaps):
        notes.append(f"{len(gaps)} gaps in the steps: {len(gaps) + 1} separate pieces")
    return [0, *(int(k) + 1 for k in gaps)]


SIGNIFICANT_DIGITS = 6
ROUNDING_LIMIT = 1e-3


def note_rounding(values, notes):
    """Add a note if the rounding of LAMMPS's default output format (%g, six digits) is visible in the fluctuations."""
    sample = values[:1000]
    largest = np.abs(sample).max(axis=0)
    varies = values.std(axis=0) > 1e-12 * largest  # not only by rounding in the mean
    if not (varies & (largest > 0)).any():
        return
    with np.errstate(divide="ignore"):
        quantum = np.where(sample == 0, 1.0, 10.0 ** (np.floor(np.log10(np.abs(sample))) - SIGNIFICANT_DIGITS + 1))
    if not np.allclose(sample / quantum, np.round(sample / quantum), rtol=0, atol=1e-3):
        return
    noise = quantum.max(axis=0)[varies] / np.sqrt(12.0) / values.std(axis=0)[varies]
    if noise.max() > ROUNDING_LIMIT:
        notes.append(
            f"values have only {SIGNIFICANT_DIGITS} digits, and the rounding noise is {100 * noise.max():.2g} % of the "
            'fluctuations; add  format " %.12g"  to fix ave/time'
        )


def select_columns(rows: Rows, wanted: str, path) -> np.ndarray:
    """Return columns, shape (n, n_chosen), by name or number.

    The name ``c_dip`` stands for all of ``c_dip[...]``.  Numbers are given like ``3`` or ``2-4``; the step is column 1.

    Raises
    ------
    InputError
        If no column matches; the message lists the columns of the file.
    """
    number = re.fullmatch(r"(\d+)(?:-(\d+))?", wanted)
    if number:
        before = rows.header.get("first_column", 2)  # number of the first column of values
        first = int(number[1])
        last = int(number[2] or first)
        if before <= first <= last < rows.values.shape[1] + before:
            return rows.values[:, first - before : last - before + 1]
    else:
        chosen = [k for k, name in enumerate(rows.names) if name == wanted or name.startswith(wanted + "[")]
        if chosen:
            return rows.values[:, chosen]
    low = rows.header.get("first_column", 2)
    raise InputError(
        f"{path} has no column '{wanted}'; it has {', '.join(rows.names)} (or numbers {low} to "
        f"{rows.values.shape[1] + low - 1})"
    )
