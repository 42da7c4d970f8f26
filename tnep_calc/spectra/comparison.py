"""Comparison of a spectrum with a reference, such as an experiment: alignment and scores.

Experimental intensities are often relative, and frequencies of models are often shifted as a whole.  The reference is
therefore scaled to the spectrum by one factor.  Optionally, the wavenumbers of the spectrum are shifted or scaled.  The
result states these changes, and the score measures the agreement after them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize

from ..errors import InputError
from .peaks import find_peaks, visible_peaks
from .record import Spectrum

ALIGNMENTS = ("none", "shift", "scale")

LARGEST_SHIFT = 100.0
"""Largest shift that is tried, in cm^-1."""

LARGEST_SCALE = 0.1
"""Largest relative change of the wavenumbers that is tried."""

NEAREST = 50.0
"""Largest distance of two peaks that are paired, in cm^-1."""


@dataclass(frozen=True)
class Comparison:
    """Comparison of a column of a spectrum with a reference.

    Attributes
    ----------
    wavenumber : ndarray, shape (n,), in cm^-1
        Points of the spectrum in the common range.
    values : ndarray, shape (n,)
        The spectrum after alignment of its wavenumbers, in its own unit.
    reference : ndarray, shape (n,)
        The reference times `factor`.
    factor : float
        Least-squares factor of the reference.
    shift : float, in cm^-1
        Shift that was added to the wavenumbers of the spectrum (0 without ``align="shift"``).
    scale : float
        Factor that they were multiplied by (1 without ``align="scale"``).
    overlap : float
        ``integral f g / sqrt(integral f^2 integral g^2)``: 1 for equal shapes, 0 for spectra without a common band.
    rms : float
        Root mean square difference after alignment, relative to the root mean square of the scaled reference.
    pairs : list of (float, float)
        Positions, in cm^-1, of paired peaks of the aligned spectrum and of the reference.
    """

    wavenumber: np.ndarray
    values: np.ndarray
    reference: np.ndarray
    factor: float
    shift: float
    scale: float
    overlap: float
    rms: float
    pairs: list[tuple[float, float]]

    @property
    def position_error(self) -> float:
        """Mean absolute difference of the positions of the paired peaks in cm^-1; NaN if there are none."""
        return float(np.mean([abs(a - b) for a, b in self.pairs])) if self.pairs else float("nan")

    def describe(self) -> str:
        """Return a summary of one line."""
        moved = f", wavenumbers shifted by {self.shift:+.1f} cm^-1" if self.shift else ""
        moved += f", wavenumbers multiplied by {self.scale:.4f}" if self.scale != 1 else ""
        peaks = f"; {len(self.pairs)} peaks, mean distance {self.position_error:.1f} cm^-1" if self.pairs else ""
        return f"overlap with the reference {self.overlap:.3f}{moved}{peaks}"


def overlap(f, g) -> float:
    """Return the cosine between two spectra, arrays of shape (n,) on the same grid; 0 if one of them is zero.

    Examples
    --------
    >>> overlap([1.0, 2.0, 0.0], [2.0, 4.0, 0.0]), overlap([1.0, 0.0], [0.0, 1.0])
    (1.0, 0.0)
    """
    f, g = np.asarray(f, dtype=float), np.asarray(g, dtype=float)
    size = np.sqrt(np.dot(f, f) * np.dot(g, g))
    return float(np.dot(f, g) / size) if size > 0 else 0.0


def compare(spectrum: Spectrum, name: str, reference: Spectrum, column: str | None = None, align: str = "none"):
    """Compare a column of a spectrum with a reference.

    Parameters
    ----------
    spectrum : Spectrum
    name : str
        Column of the spectrum.
    reference : Spectrum
        For example from :func:`tnep_calc.io.series.reference.read_reference`.
    column : str, optional
        Column of the reference. Default: `name` if the reference has such a column, else its first one.
    align : {"none", "shift", "scale"}
        Whether the wavenumbers of the spectrum are shifted or scaled to the best overlap.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If the alignment is unknown, the two have fewer than three points in common, or one of them is zero there.

    Examples
    --------
    >>> w = np.arange(0.0, 2000.0, 2.0)
    >>> line = lambda at: 1 / (1 + ((w - at) / 20) ** 2)
    >>> model, measured = (Spectrum("infrared", w, {"a": y}, {"a": "1"}) for y in (line(980.0), 3 * line(1000.0)))
    >>> found = compare(model, "a", measured, align="shift")
    >>> round(found.shift, 1), round(found.factor, 3), round(found.overlap, 4)
    (20.0, 0.333, 1.0)
    """
    if align not in ALIGNMENTS:
        raise InputError(f"the alignment must be one of {', '.join(ALIGNMENTS)}, got '{align}'")
    if column is None:
        column = name if name in reference.values else next(iter(reference.values))
    w, y = spectrum.wavenumber, spectrum.column(name)
    x, r = reference.wavenumber, reference.column(column)
    keep = (w >= x[0]) & (w <= x[-1])
    if keep.sum() < 3:
        raise InputError(
            f"spectrum ({w[0]:g} to {w[-1]:g} cm^-1) and reference ({x[0]:g} to {x[-1]:g} cm^-1) do not overlap"
        )
    grid, target = w[keep], np.interp(w[keep], x, r)
    if not target.any() or not y[keep].any():
        raise InputError("the spectrum or the reference is zero in their common range: nothing to compare")

    def moved(amount):
        new = w + amount if align == "shift" else w * (1 + amount)
        return np.interp(grid, new, y)

    best = 0.0
    if align != "none":
        limit = LARGEST_SHIFT if align == "shift" else LARGEST_SCALE
        trials = np.linspace(-limit, limit, 401)
        start = trials[np.argmax([overlap(moved(t), target) for t in trials])]
        step = trials[1] - trials[0]
        best = float(
            optimize.minimize_scalar(
                lambda t: -overlap(moved(t), target), bounds=(start - step, start + step), method="bounded"
            ).x
        )
    values = moved(best)
    factor = float(np.dot(values, target) / np.dot(target, target))
    scaled = factor * target
    own = visible_peaks(spectrum, name)
    own_positions = [p.position + best if align == "shift" else p.position * (1 + best) for p in own]
    theirs = [p.position for p in find_peaks(grid, np.maximum(target, 0.0))] if target.max() > 0 else []
    return Comparison(
        grid,
        values,
        scaled,
        factor,
        best if align == "shift" else 0.0,
        1 + best if align == "scale" else 1.0,
        overlap(values, target),
        float(np.sqrt(np.mean((values - scaled) ** 2) / np.mean(scaled**2))) if factor else float("inf"),
        pair_peaks(own_positions, theirs),
    )


def pair_peaks(first, second) -> list[tuple[float, float]]:
    """Return pairs of positions that are each other's nearest neighbours, at most 50 cm^-1 apart, in increasing order.

    Examples
    --------
    >>> pair_peaks([500.0, 900.0], [510.0, 520.0, 2000.0])
    [(500.0, 510.0)]
    """
    if not len(first) or not len(second):
        return []
    distance = np.abs(np.subtract.outer(np.asarray(first, dtype=float), np.asarray(second, dtype=float)))
    pairs = []
    for i, row in enumerate(distance):
        j = int(row.argmin())
        if row[j] <= NEAREST and int(distance[:, j].argmin()) == i:
            pairs.append((float(first[i]), float(second[j])))
    return sorted(pairs)
