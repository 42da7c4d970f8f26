"""Texts of figures that fit and do not overlap: labels of peaks, titles, legends above the axes."""

from __future__ import annotations

import re
import textwrap
from typing import NamedTuple

import numpy as np

from .style import GREY

SIZE = 7.0
"""Font size of a label in points."""

CHARACTER = 0.62
"""Width of a digit in units of the font size."""

GAP = 3.0
"""Distance between a peak and its label, and between labels, in points."""

LETTER = 0.52
"""Mean width of a letter in units of the font size."""

LEGEND_SIZE = 8.0
"""Font size of a legend above the axes in points."""

HANDLE = 36.0
"""Width of the line of a legend entry and the space around it in points."""

POWER_HEIGHT = 11.0
"""Height of the power of ten above an axis in points."""

FAR = 50.0
"""Distance from zero, relative to the range of the values, from which an axis shows differences."""

LONGEST_NAME = 48
"""Most characters of a name in a legend."""


def width_of(ax) -> float:
    """Return the width of axes in points, in the present layout of the figure."""
    return float(ax.figure.get_size_inches()[0] * 72 * ax.get_position().width)


def write_title(ax, text: str, pad: float = 6.0) -> None:
    """Write a small title at the left, in as many lines as it needs."""
    letter = LETTER * SIZE
    if letter * len(_plain(text)) > width_of(ax):
        ax.figure.draw_without_rendering()  # sets the layout, in which the axes are wider
    most = int(width_of(ax) / letter) + len(text) - len(_plain(text))
    lines = textwrap.wrap(text, max(20, most), break_long_words=False)
    ax.set_title("\n".join(lines), loc="left", color=GREY, fontsize=SIZE, pad=pad)


def shortened(name: str, most: int = LONGEST_NAME) -> str:
    """Return a name without its middle part if it is long.

    Examples
    --------
    >>> shortened("a_very_long_name_of_a_file.h5", 15)
    'a_very_…file.h5'
    """
    if len(name) <= most:
        return name
    return name[: (most - 1) // 2] + "…" + name[len(name) - most // 2 :]


def legend_above(ax, title: str = "") -> None:
    """Draw the legend above the axes and a power of ten there, in as many rows as it needs, and a title above it."""
    handles, names = ax.get_legend_handles_labels()
    names = [shortened(name) for name in names]
    rows, raised = 0, 0.0
    if names:
        from matplotlib.transforms import ScaledTranslation

        wide = HANDLE + LETTER * LEGEND_SIZE * max(map(len, names))
        ax.figure.draw_without_rendering()  # sets the layout, in which the axes are wider, and the power of ten
        raised = POWER_HEIGHT if ax.yaxis.get_offset_text().get_text() else 0.0
        columns = min(len(names), max(1, int(width_of(ax) / wide)))
        rows = -(-len(names) // columns)
        ax.legend(
            handles,
            names,
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            bbox_transform=ax.transAxes + ScaledTranslation(0, raised / 72, ax.figure.dpi_scale_trans),
            ncols=columns,
            fontsize=LEGEND_SIZE,
            borderaxespad=0.2,
            handlelength=1.6,
        )
    if title:
        write_title(ax, title, 6.0 + 1.6 * LEGEND_SIZE * rows + raised)


class Readable(NamedTuple):
    """Change of variable that gives the numbers of an axis few digits: ``(value - origin) / 10**power``.

    Attributes
    ----------
    origin : float
        Zero unless the values are far from zero compared with their range.
    power : int
    """

    origin: float
    power: int

    def __call__(self, values):
        """Return the values to draw."""
        return (np.asarray(values) - self.origin) / 10.0**self.power

    def label(self, name: str, unit: str) -> str:
        """Return the label of the axis."""
        if self.origin:
            name += f" {'−' if self.origin > 0 else '+'} {abs(self.origin):.12g}"
        if self.power:
            unit = f"10$^{{{self.power}}}$ {'' if unit == '1' else unit}".strip()
        return f"{name} ({unit})" if unit else name


def readable(values) -> Readable:
    """Return the change of variable for the axis of some values.

    Examples
    --------
    >>> readable([-1234.5001, -1234.4999]), readable([-2e-6, 5e-6]), readable([-3.0, 20.0])
    (Readable(origin=-1234.5, power=-6), Readable(origin=0.0, power=-6), Readable(origin=0.0, power=0))
    """
    low, high = float(np.min(values)), float(np.max(values))
    origin = 0.0
    if high > low and max(abs(low), abs(high)) > FAR * (high - low):
        origin = round((low + high) / 2, -int(np.floor(np.log10(high - low))))
    size = max(abs(low - origin), abs(high - origin))
    power = int(np.floor(np.log10(size))) if size > 0 else 0
    return Readable(origin, 0 if -2 <= power <= 3 else 3 * (power // 3))


def stack_labels(x, y, texts, size: float = SIZE) -> np.ndarray:
    """Return the height of each label above its point such that no two labels overlap.

    Labels are centred above their points.  The labels of the highest points are placed first.  A label that would
    overlap with one that is already placed is moved above it.

    Parameters
    ----------
    x, y : array_like, shape (n,)
        Positions to label, in units of 1/72 inch.
    texts : sequence of str
    size : float
        Font size in points.

    Returns
    -------
    ndarray, shape (n,)
        Height of the bottom of each label above its position, in units of 1/72 inch.

    Examples
    --------
    >>> stack_labels([0, 5, 200], [100, 95, 50], ["500", "510", "900"]).tolist()
    [3.0, 18.0, 3.0]
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    widths = np.array([CHARACTER * size * len(_plain(text)) + GAP for text in texts])
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


def _plain(text: str) -> str:
    """Return a text without the marks of mathematics."""
    return re.sub(r"[${}_^]", "", text)


def staggered(positions, texts, size: float) -> list[str]:
    r"""Return labels of ticks, of which those that would overlap with the one before are one line lower.

    Parameters
    ----------
    positions : array_like, shape (n,), in units of 1/72 inch
        In increasing order.
    texts : sequence of str
    size : float
        Font size in points.

    Examples
    --------
    >>> staggered([0, 50, 55], ["X", "U|K", "L"], 9)
    ['X', 'U|K', '\nL']
    """
    found: list[str] = []
    ends = {0: -np.inf, 1: -np.inf}  # right end of the last label in each line
    for x, text in zip(positions, texts, strict=True):
        half = 0.5 * CHARACTER * size * len(text)
        line = 0 if x - half >= ends[0] + GAP else 1
        ends[line] = x + half
        found.append("\n" * line + text)
    return found


def label_points(ax, x, y, texts, colour) -> None:
    """Write `texts` above the points (x, y), in data coordinates, and raise the upper limit of the axes if needed.

    The limits of the axes must be set before.  A label far above its point is connected to it by a thin line.
    """
    if not len(texts):
        return
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    figure = ax.figure
    figure.draw_without_rendering()  # sets the layout, on which the size of the axes depends
    box = ax.get_position()
    width, height = figure.get_size_inches() * 72 * [box.width, box.height]
    left, right = ax.get_xlim()
    low, high = ax.get_ylim()
    for _ in range(2):  # a higher limit makes distances smaller; two passes are enough
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
