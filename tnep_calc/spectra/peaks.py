"""Peak positions with sub-grid accuracy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import signal

from ..errors import InputError


class Peak(NamedTuple):
    """A local maximum: position (cm^-1), height and prominence (unit of the column)."""

    position: float
    height: float
    prominence: float


def find_peaks(wavenumber, values, prominence: float = 0.05) -> list[Peak]:
    """Return the peaks of a spectrum, highest first.

    Position and height come from the parabola through the three highest points of each peak.

    Parameters
    ----------
    wavenumber : ndarray, shape (n,), in cm^-1, equally spaced
    values : ndarray, shape (n,)
    prominence : float
        Smallest prominence as a fraction of the highest value.

    Returns
    -------
    list of Peak

    Raises
    ------
    InputError
        If the arrays differ in shape, the grid is not equally spaced, or `prominence` is not in (0, 1].

    Examples
    --------
    >>> w = np.arange(900.0, 1100.0)
    >>> [round(p.position, 2) for p in find_peaks(w, 1.0 / ((w - 1003.3) ** 2 + 400.0))]
    [1003.3]
    """
    x, y = np.asarray(wavenumber, dtype=float), np.asarray(values, dtype=float)
    if x.shape != y.shape or x.ndim != 1:
        raise InputError(f"wavenumber and values must be vectors of one length, got {x.shape} and {y.shape}")
    if not 0 < prominence <= 1:
        raise InputError(f"prominence must be in (0, 1], got {prominence}")
    if len(x) < 3 or y.max() <= 0:
        return []
    step = x[1] - x[0]
    if not np.allclose(np.diff(x), step, rtol=1e-3):
        raise InputError("find_peaks needs equally spaced wavenumbers")
    at, properties = signal.find_peaks(y, prominence=prominence * y.max())
    left, middle, right = y[at - 1], y[at], y[at + 1]
    curvature = left - 2 * middle + right
    shift = np.divide(0.5 * (left - right), curvature, out=np.zeros(len(at)), where=curvature < 0)
    height = middle - 0.25 * (left - right) * shift
    peaks = zip(x[at] + shift * step, height, properties["prominences"], strict=True)
    return sorted((Peak(*map(float, peak)) for peak in peaks), key=lambda peak: -peak.height)
