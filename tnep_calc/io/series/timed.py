"""Rows with a time instead of a step: find the sampling interval, repeats of restarts, gaps and uneven steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import DataFileError
from .lammps import Rows, check_finite, pieces_of, without_repeats

UNEVEN = 0.01
"""Largest deviation from equal intervals, relative to the interval, besides the rounding of printed times."""


def rows_at_times(
    path, times, values, names: list[str], allow_gaps: bool, notes: list[str], header: dict | None = None
) -> Rows:
    """Return rows whose steps are multiples of the sampling interval.

    Parameters
    ----------
    path : str or path
        File, for messages.
    times : ndarray, shape (n,), in fs
        Of times that a restart has written again, the later rows are kept.
    values : ndarray, shape (n, n_columns)
    names : list of str
        Names of the columns.
    allow_gaps : bool
        Whether missing samples may split the series into pieces; if not, they are an error.
    notes : list of str
        Messages about what was tolerated are added here.
    header : dict, optional
        Content of the header of the file; ``dt_output`` (fs) is added to it.

    Returns
    -------
    Rows

    Raises
    ------
    DataFileError
        If there are fewer than two rows, the times are not equally spaced, or a value is not finite.
    """
    path = Path(path)
    times, values = np.asarray(times, dtype=float), np.asarray(values, dtype=float)
    if len(times) < 2:
        raise DataFileError(f"{path}: has {len(times)} sample; a time series needs at least 2")
    if not np.isfinite(times).all():
        raise DataFileError(
            f"{path}: the time of sample {int(np.flatnonzero(~np.isfinite(times))[0]) + 1} is not finite"
        )
    spacing = np.diff(times)
    interval = float(np.median(spacing[spacing > 0])) if (spacing > 0).any() else 0.0
    if not interval > 0:
        raise DataFileError(f"{path}: the times of its samples do not increase")
    # the median is rounded like the printed times, so the precise interval is that of the whole run
    counts = np.round(spacing / interval)
    interval = float(spacing[counts > 0].sum() / counts[counts > 0].sum())
    steps = np.round((times - times[0]) / interval)
    off = np.abs((times - times[0]) / interval - steps)
    # neighbours are compared, because rounded times may drift without uneven steps
    wrong = np.flatnonzero(np.abs(spacing / interval - counts) > UNEVEN + 2 * _rounding(times) / interval)
    if len(wrong) or off.max() > 0.5 - UNEVEN:
        k = int(wrong[0]) if len(wrong) else int(off.argmax()) - 1
        raise DataFileError(
            f"{path}: samples are {interval:g} fs apart, but the one at {times[k]:g} fs is followed by one at "
            f"{times[k + 1]:g} fs: the steps are not equal (does the time step change during the run?)"
        )
    steps, values = without_repeats(steps.astype(np.int64), values, notes)
    check_finite(path, steps, values)
    starts = pieces_of(path, steps, allow_gaps, notes)
    return Rows(steps, values, names, starts, notes, {"dt_output": interval, **(header or {})})


def _rounding(times) -> float:
    """Return the largest rounding error of printed times (half of their last digit), estimated from their digits."""
    for digits in range(0, 10):
        if np.allclose(times, np.round(times, digits), rtol=0, atol=1e-9 * max(1.0, np.abs(times).max())):
            return 0.5 * 10.0**-digits
    return 0.0
