"""A sudden change of the values of a table, which may have runs of two systems."""

from __future__ import annotations

import numpy as np

FEWEST = 10
"""Smallest number of rows on each side of a change."""
STEP = 4.0
"""Smallest ratio of the change to the largest other difference of neighbouring rows."""
SHIFT = 6.0
"""Smallest distance of the means on both sides, in standard deviations."""

ROUNDING = 1e-5
"""Smallest spread of a column relative to its largest value; smaller ones may be due to the digits of the file."""


def sudden_change(values: np.ndarray) -> int | None:
    """Return the row before which the values change suddenly and for good, or None.

    The row is the one with the largest difference to the row before, in any column.  The difference must be `STEP`
    times as large as all others of this column, and the means on both sides `SHIFT` standard deviations (of the noisier
    side) apart.  Joined runs of one system, or two systems whose samples overlap, are not noticed.

    Parameters
    ----------
    values : ndarray, shape (n, n_columns)

    Examples
    --------
    >>> run = np.sin(np.arange(40.0))[:, None]
    >>> sudden_change(run), sudden_change(np.concatenate([run, run + 20]))
    (None, 40)
    """
    if len(values) < 2 * FEWEST:
        return None
    found = None
    largest = SHIFT
    for column in np.asarray(values, dtype=float).T:
        changes = np.abs(np.diff(column))
        row = int(changes.argmax()) + 1
        before, after = column[:row], column[row:]
        if min(len(before), len(after)) < FEWEST:
            continue
        change, changes[row - 1] = changes[row - 1], 0.0
        spread = max(before.std(), after.std(), ROUNDING * np.abs(column).max())
        shift = abs(after.mean() - before.mean()) / spread if change > STEP * changes.max() else 0.0
        if shift > largest:
            found, largest = row, shift
    return found


def note_of_change(values: np.ndarray) -> list[str]:
    """Return a message about a sudden change, or nothing."""
    row = sudden_change(values)
    if row is None:
        return []
    return [
        f"the values change suddenly from sample {row} to {row + 1} and do not come back: if these are runs of "
        "two systems or models, split the file and read them separately"
    ]
