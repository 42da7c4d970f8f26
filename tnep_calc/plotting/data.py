"""Figures of a data set: histograms of labels, and differences of labels compared with their derivatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .labels import Readable, readable
from .style import BLUE, GREEN, GREY, ORANGE, RED, styled

COLOURS = (BLUE, ORANGE, GREEN, RED, GREY, "#CC79A7", "#56B4E9", "#F0E442")
COLUMNS = 3
"""Number of panels in a row."""
SIZE = (2.7, 2.1)
"""Size of a panel in inches."""


def plot_histograms(panels: Sequence[Mapping[str, Any]], bins: int = 50):
    """Plot one histogram per panel.

    Parameters
    ----------
    panels : sequence of mappings
        Each with ``name``, ``unit``, ``groups`` (label -> array of values, drawn with common bins) and optionally
        ``log`` (logarithmic axis; only positive values are shown).
    bins : int, default 50
        Number of bins.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = _grid(len(panels))
    with styled():
        for ax, panel in zip(axes, panels, strict=True):
            groups = {label: np.ravel(values) for label, values in panel["groups"].items()}
            if panel.get("log"):
                groups = {label: values[values > 0] for label, values in groups.items()}
            together = np.concatenate(list(groups.values()))
            axis = readable(together) if together.size and not panel.get("log") else Readable(0.0, 0)
            if together.size:
                groups, together = {label: axis(values) for label, values in groups.items()}, axis(together)
                low, high = together.min(), together.max()
                if low == high:
                    low, high = (low / 2, high * 2) if panel.get("log") else (low - 0.5, high + 0.5)
                edges = np.geomspace(low, high, bins + 1) if panel.get("log") else np.linspace(low, high, bins + 1)
                for k, (label, values) in enumerate(groups.items()):
                    ax.hist(values, edges, histtype="step", color=COLOURS[k % len(COLOURS)], label=label or None)
            if panel.get("log"):
                ax.set_xscale("log")
            ax.set_xlabel(axis.label(panel["name"], panel["unit"]))
            ax.set_ylabel("count")
            if any(groups):
                ax.legend(fontsize=7, handlelength=1)
    return figure


def plot_consistency(panels: Sequence[Mapping[str, Any]]):
    """Plot differences of labels between similar structures against the differences expected from their derivatives.

    Parameters
    ----------
    panels : sequence of mappings
        Each with ``name``, ``unit``, the arrays of the same shape ``expected`` (from the derivatives) and ``change``
        (of the labels), and the axis labels ``x`` and ``y``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = _grid(len(panels), 1.25)
    with styled():
        for ax, panel in zip(axes, panels, strict=True):
            x, y = np.ravel(panel["expected"]), np.ravel(panel["change"])
            axis = readable(np.concatenate([x, y]))
            x, y = axis(x), axis(y)
            ends = np.array([min(x.min(), y.min()), max(x.max(), y.max())])
            ax.plot(ends, ends, color=GREY, linewidth=0.7)
            ax.plot(x, y, ".", markersize=4, color=BLUE)
            ax.set_title(panel["name"], fontsize=8)
            ax.set_xlabel(axis.label(panel["x"], panel["unit"]))
            ax.set_ylabel(axis.label(panel["y"], panel["unit"]))
    return figure


def _grid(count, scale=1.0):
    from matplotlib.figure import Figure

    columns = min(count, COLUMNS)
    rows = -(-count // columns)
    with styled():
        figure = Figure(figsize=(SIZE[0] * scale * columns, SIZE[1] * scale * rows))
        axes = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for ax in axes[count:]:
        ax.set_axis_off()
    return figure, axes[:count]
