"""Lag windows, by which correlation functions are multiplied, and the resolution that follows from them.

Multiplication by a window ``g(t)`` with ``g(0) = 1`` convolves the spectrum with the transform of the window.  The
resolution is the full width at half maximum of that transform:

* Gaussian, ``exp(-t^2 / 2 s^2)``: ``FWHM = sqrt(8 ln 2) / (2 pi c s)``.  Its transform is positive, without negative
  side lobes.  It is cut at 5 s, where it is 4e-6.
* Hann, ``cos^2(pi t / 2 T)``, zero beyond T: ``FWHM = 1 / (c T)`` exactly.  It has side lobes of -2.7 % of the maximum.
"""

from __future__ import annotations

from math import ceil, log, pi, sqrt

import numpy as np

from ..errors import InputError
from ..units import INV_CM_TO_RAD_PER_FS

WINDOWS = ("gaussian", "hann")

GAUSSIAN_CUT = 5.0
"""Length of the Gaussian window, in units of its standard deviation."""


def window_time(kind: str, resolution: float) -> float:
    """Return the time scale of a window: standard deviation (Gaussian) or end (Hann).

    Parameters
    ----------
    kind : {"gaussian", "hann"}
    resolution : float, in cm^-1
        Full width at half maximum of the transform of the window.

    Returns
    -------
    float, in fs

    Examples
    --------
    >>> round(window_time("gaussian", 12.5), 1)
    1000.1
    >>> round(window_time("hann", 10.0), 1)
    3335.6
    """
    if kind not in WINDOWS:
        raise InputError(f"window must be one of {', '.join(WINDOWS)}, got '{kind}'")
    if not (np.isfinite(resolution) and resolution > 0):
        raise InputError(f"resolution must be a positive number of cm^-1, got {resolution}")
    width = resolution * INV_CM_TO_RAD_PER_FS
    return sqrt(8 * log(2)) / width if kind == "gaussian" else 2 * pi / width


def lag_window(kind: str, resolution: float, dt: float) -> np.ndarray:
    """Return the values of a window at the lags 0, dt, 2 dt, ...

    Parameters
    ----------
    kind : {"gaussian", "hann"}
    resolution : float, in cm^-1
        Full width at half maximum that an infinitely sharp mode gets.
    dt : float, in fs
        Sampling interval.

    Returns
    -------
    ndarray, shape (n_lags,)
        1 at lag 0. The length is that of the window (5 standard deviations of a Gaussian), at least two lags.

    Raises
    ------
    InputError
        If the window is unknown, or the resolution or interval is not positive.
    """
    scale = window_time(kind, resolution)
    if not (np.isfinite(dt) and dt > 0):
        raise InputError(f"the sampling interval must be a positive number of fs, got {dt}")
    end = GAUSSIAN_CUT * scale if kind == "gaussian" else scale
    t = dt * np.arange(max(2, ceil(end / dt)))
    if kind == "gaussian":
        return np.exp(-0.5 * (t / scale) ** 2)
    return np.where(t < scale, np.cos(0.5 * pi * t / scale) ** 2, 0.0)
