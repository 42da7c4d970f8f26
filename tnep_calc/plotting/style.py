"""One look for all figures: sizes of a journal column, a palette that colour-blind readers can tell apart."""

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

FORMATS = (".png", ".pdf", ".svg")
"""Figure formats, by suffix."""


@contextmanager
def styled():
    """Apply the style while a figure is made, leaving the user's own settings as they are."""
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
    """Save a figure (format by suffix: png, pdf, svg); never overwrite without `force`, never leave half a file."""
    check_figure_name(path)
    with atomic_output(path, force) as temporary, styled():
        figure.savefig(temporary)
