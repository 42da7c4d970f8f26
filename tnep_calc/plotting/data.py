"""Figures of a data set: histograms of its labels, and differences of labels against their derivatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .style import BLUE, GREEN, GREY, ORANGE, RED, styled

COLOURS = (BLUE, ORANGE, GREEN, RED, GREY, "#CC79A7", "#56B4E9", "#F0E442")
COLUMNS = 3
"""Panels in a row."""
SIZE = (2.7, 2.1)
"""Size of a panel in inches."""


def plot_histograms(panels: Sequence[Mapping[str, Any]], bins: int = 50):
    """Plot one histogram per panel.

    Parameters
    ----------
    panels : sequence of mappings
        Each with ``name``, ``unit``, ``groups`` (label -> array of values, drawn on common bins) and optionally
        ``log`` (logarithmic values; only positive ones are shown).
    bins : int, default 50

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
            if together.size:
                low, high = together.min(), together.max()
                if low == high:
                    low, high = (low / 2, high * 2) if panel.get("log") else (low - 0.5, high + 0.5)
                edges = np.geomspace(low, high, bins + 1) if panel.get("log") else np.linspace(low, high, bins + 1)
                for k, (label, values) in enumerate(groups.items()):
                    ax.hist(values, edges, histtype="step", color=COLOURS[k % len(COLOURS)], label=label or None)
            if panel.get("log"):
                ax.set_xscale("log")
            ax.set_xlabel(f"{panel['name']} ({panel['unit']})" if panel["unit"] else panel["name"])
            ax.set_ylabel("count")
            if any(groups):
                ax.legend(fontsize=7, handlelength=1)
    return figure


def plot_consistency(panels: Sequence[Mapping[str, Any]]):
    """Plot differences of labels between similar structures against what their derivatives give.

    Parameters
    ----------
    panels : sequence of mappings
        Each with ``name``, ``unit``, ``expected`` (from the derivatives) and ``change`` (of the labels), arrays of
        the same shape, and ``x``, ``y``: what they are.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = _grid(len(panels), 1.25)
    with styled():
        for ax, panel in zip(axes, panels, strict=True):
            x, y = np.ravel(panel["expected"]), np.ravel(panel["change"])
            ends = np.array([min(x.min(), y.min()), max(x.max(), y.max())])
            ax.plot(ends, ends, color=GREY, linewidth=0.7)
            ax.plot(x, y, ".", markersize=4, color=BLUE)
            ax.set_title(panel["name"], fontsize=8)
            ax.set_xlabel(f"{panel['x']} ({panel['unit']})")
            ax.set_ylabel(f"{panel['y']} ({panel['unit']})")
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
