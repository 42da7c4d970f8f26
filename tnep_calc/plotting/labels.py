"""Labels of peaks that never lie on one another."""

from __future__ import annotations

import numpy as np

SIZE = 7.0
"""Font size of a label in points."""

CHARACTER = 0.62
"""Width of a digit in units of the font size."""

GAP = 3.0
"""Distance between a peak and its label, and between labels, in points."""


def stack_labels(x, y, texts, size: float = SIZE) -> np.ndarray:
    """Return how far above its point each label must stand so that no two overlap.

    Labels are centred above their points.  Those of the highest points are placed first; a label that would lie on one
    that is placed is moved up over it.

    Parameters
    ----------
    x, y : array_like, shape (n,)
        Points, in points of the figure (1/72 inch).
    texts : sequence of str
    size : float
        Font size in points.

    Returns
    -------
    ndarray, shape (n,)
        Distance of the bottom of each label above its point, in points.

    Examples
    --------
    >>> stack_labels([0, 5, 200], [100, 95, 50], ["500", "510", "900"]).tolist()
    [3.0, 18.0, 3.0]
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    widths = np.array([CHARACTER * size * len(text) + GAP for text in texts])
    bottoms = y + GAP
    placed: list[int] = []
    for k in np.argsort(-y, kind="stable"):
        moved = True
        while moved:
            moved = False
            for other in placed:
                beside = abs(x[k] - x[other]) >= 0.5 * (widths[k] + widths[other])
                above = bottoms[k] >= bottoms[other] + size + GAP or bottoms[k] + size + GAP <= bottoms[other]
                if not (beside or above):
                    bottoms[k] = bottoms[other] + size + GAP
                    moved = True
        placed.append(int(k))
    return bottoms - y


def label_points(ax, x, y, texts, colour) -> None:
    """Write `texts` above the points (x, y) of axes whose limits are set, and make room for them.

    A label that stands far above its point is tied to it by a thin line.
    """
    if not len(texts):
        return
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    figure = ax.figure
    box = ax.get_position()
    width, height = figure.get_size_inches() * 72 * [box.width, box.height]
    left, right = ax.get_xlim()
    low, high = ax.get_ylim()
    for _ in range(2):  # more room makes heights smaller: twice is enough
        scale = height / (high - low)
        shifts = stack_labels((x - left) / (right - left) * width, (y - low) * scale, texts)
        needed = float(np.max(y + (shifts + SIZE + GAP) / scale))
        high = max(high, needed)
    ax.set_ylim(low, high)
    for point, value, shift, text in zip(x, y, shifts, texts, strict=True):
        line = (
            {"arrowstyle": "-", "color": colour, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 1}
            if shift > 2 * GAP
            else None
        )
        ax.annotate(
            text,
            (point, value),
            xytext=(0, shift),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=SIZE,
            color=colour,
            arrowprops=line,
        )
