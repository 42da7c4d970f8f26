"""Peaks of a spectrum: their positions with sub-grid accuracy, and a test of their significance against noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage, signal, stats

from ..errors import InputError
from .record import Spectrum

FALSE_ALARM = 0.05
"""Probability that a spectrum without any peak has a significant one."""

LOWEST = 1e-5
"""Smallest value of the minimum next to a peak, relative to the peak; it may be zero, or negative because of noise."""

POOL = 2.0
"""Range, in resolution widths on either side, over which errors are averaged."""


class Peak(NamedTuple):
    """A local maximum: position (cm^-1), height and prominence (unit of the column)."""

    position: float
    height: float
    prominence: float


def find_peaks(wavenumber, values, prominence: float = 0.05) -> list[Peak]:
    """Return the peaks of a spectrum, highest first, without a test of their significance.

    Position and height are those of the parabola through the three highest points of each peak.

    Parameters
    ----------
    wavenumber : ndarray, shape (n,), in cm^-1, equally spaced
    values : ndarray, shape (n,)
    prominence : float
        Smallest prominence, relative to the highest value.

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
    peaks, _ = _with_saddles(wavenumber, values, prominence)
    return peaks


def _with_saddles(wavenumber, values, prominence):
    """Return peaks, highest first, and for each the indices of its top and of the higher of the minima next to it."""
    x, y = np.asarray(wavenumber, dtype=float), np.asarray(values, dtype=float)
    if x.shape != y.shape or x.ndim != 1:
        raise InputError(f"wavenumber and values must be vectors of one length, got {x.shape} and {y.shape}")
    if not 0 < prominence <= 1:
        raise InputError(f"prominence must be in (0, 1], got {prominence}")
    if len(x) < 3 or y.max() <= 0:
        return [], []
    step = x[1] - x[0]
    if not np.allclose(np.diff(x), step, rtol=1e-3):
        raise InputError("find_peaks needs equally spaced wavenumbers")
    at, properties = signal.find_peaks(y, prominence=prominence * y.max())
    left, middle, right = y[at - 1], y[at], y[at + 1]
    curvature = left - 2 * middle + right
    shift = np.divide(0.5 * (left - right), curvature, out=np.zeros(len(at)), where=curvature < 0)
    height = middle - 0.25 * (left - right) * shift
    bases = np.array([properties["left_bases"], properties["right_bases"]])
    saddles = np.where(y[bases[0]] > y[bases[1]], bases[0], bases[1])
    columns = (x[at] + shift * step, height, properties["prominences"])
    peaks = [Peak(*map(float, row)) for row in zip(*columns, strict=True)]
    order = np.argsort([-peak.height for peak in peaks], kind="stable")
    return [peaks[k] for k in order], [(int(at[k]), int(saddles[k])) for k in order]


def has_blocks(spectrum: Spectrum, name: str) -> bool:
    """Return whether a column has errors from blocks of a run, so that peaks can be distinguished from noise."""
    return name in spectrum.errors and bool(spectrum.parameters.get("blocks"))


def visible_peaks(spectrum: Spectrum, name: str, prominence: float = 0.05) -> list[Peak]:
    """Return the significant peaks of a column, or all peaks of a spectrum without error bars from blocks."""
    if has_blocks(spectrum, name):
        return significant_peaks(spectrum, name)
    return find_peaks(spectrum.wavenumber, spectrum.column(name), prominence)


def significant_peaks(spectrum: Spectrum, name: str, prominence: float = 0.02) -> list[Peak]:
    """Return the peaks of a column that are significant against noise, highest first.

    A peak is significant if ``log(top / minimum next to it)`` exceeds `z` times the sum of the relative errors of the
    two.  The logarithm is used because the errors of a spectrum are relative, so that its distribution is closer to
    normal.  `z` is the quantile of Student's t-distribution for a probability of 5 % of a false alarm anywhere in the
    spectrum (Bonferroni correction, with one independent point per resolution width).  Relative errors are those of the
    blocks of the run, averaged over neighbouring points.

    Parameters
    ----------
    spectrum : Spectrum
    name : str
        Column.
    prominence : float
        Smallest prominence, relative to the highest value.

    Returns
    -------
    list of Peak

    Raises
    ------
    InputError
        If the spectrum has no error bars.
    """
    values = spectrum.column(name)
    if not has_blocks(spectrum, name):
        raise InputError(f"peaks of '{name}' cannot be tested against noise: this spectrum has no error bars")
    resolution = float(spectrum.parameters["resolution_fwhm_cm-1"])
    step = spectrum.wavenumber[1] - spectrum.wavenumber[0]
    reach = 2 * max(1, round(POOL * resolution / step)) + 1

    def pool(column):
        return np.sqrt(np.maximum(ndimage.uniform_filter1d(column**2, reach, mode="nearest"), 0.0))

    # The relative variance of the spectrum of a Gaussian process is the same everywhere if equally many directions
    # contribute. Use the average of the local variance and the median over all points.
    size = pool(values)
    relative = np.divide(pool(spectrum.errors[name]), size, out=np.zeros_like(size), where=size > 0)
    relative = np.sqrt(0.5 * (relative**2 + np.median(relative) ** 2))
    independent = max(1.0, np.ptp(spectrum.wavenumber) / resolution)
    freedom = (int(spectrum.parameters["blocks"]) - 1) * (2 * POOL + 1)
    z = stats.t.isf(FALSE_ALARM / independent, freedom)
    peaks, indices = _with_saddles(spectrum.wavenumber, values, prominence)
    found = []
    for peak, (top, saddle) in zip(peaks, indices, strict=True):
        low = max(values[saddle], LOWEST * values[top])
        if np.log(values[top] / low) > z * (relative[top] + relative[saddle]):
            found.append(peak)
    return found
