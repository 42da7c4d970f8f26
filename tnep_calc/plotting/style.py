"""Common style of all figures: the size of a journal column, and a palette for colour-blind readers."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..io.files import atomic_output

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#595959"
"""Okabe and Ito's palette (https://jfly.uni-koeln.de/color/)."""

WIDTH, HEIGHT = 5.2, 3.2
"""Size of a figure in inches."""

STYLE: Any = {
    "figure.figsize": (WIDTH, HEIGHT),
    "figure.dpi": 150,
    "savefig.dpi": 300,
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.limits": (-3, 4),
    "axes.formatter.use_mathtext": True,
    "lines.linewidth": 1.2,
    "xtick.direction": "out",
    "ytick.direction": "out",
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.minor.visible": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
}

BAND_ALPHA = 0.3
"""Opacity of error bands."""

FORMATS = (".png", ".pdf", ".svg")
"""Suffixes of the figure formats."""


@contextmanager
def styled():
    """Apply the style within a block, without changing the user's settings."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def axes_or_new(ax=None):
    """Return `ax`, or the axes of a new figure if it is None."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots()[1]


def check_figure_name(path) -> None:
    """Raise InputError if the suffix of a file is not one of the figure formats."""
    if Path(path).suffix.lower() not in FORMATS:
        raise InputError(f"{path}: give the figure a name that ends in {', '.join(FORMATS)}")


def save_figure(figure, path, force: bool = False) -> None:
    """Save a figure in the format of the suffix (png, pdf, svg); the file appears complete or not at all.

    Raises
    ------
    InputError
        If the suffix is unknown, or the file exists and `force` is not set.
    """
    check_figure_name(path)
    with atomic_output(path, force) as temporary, styled():
        figure.savefig(temporary)
