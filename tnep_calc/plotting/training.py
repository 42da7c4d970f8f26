"""Figures of a training run: loss curve and parity plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .labels import readable
from .style import BLUE, GREEN, GREY, ORANGE, RED, styled

COLOURS = {"train": BLUE, "validation": ORANGE, "test": RED}
"""Colour of each split."""

MEMBER = "#bbbbbb"
"""Colour of the curves of single members of an ensemble."""

PANEL = 2.6
"""Side of a parity panel in inches."""

COLUMNS = 3
"""Most panels in a row: a wider figure could not be read on a page of 1,200 pixels."""

ABOUT_MEAN = (
    "born_charges",
    "polarizability",
    "epsilon_inf",
    "atomic_dipole",
    "atomic_polarizability",
    "polarizability_gradient",
)
"""Quantities that are drawn relative to the mean of each component (and species)."""


def plot_loss(history: Sequence[Mapping[str, Any]]):
    """Plot the loss against the step.

    Parameters
    ----------
    history : sequence of mappings
        Rows with ``step``, ``loss_train``, optionally ``loss_validation``, and ``stage`` (e.g. ``lbfgs``).

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    with styled():
        figure = Figure()
        ax = figure.subplots()
        for split in ("train", "validation"):
            rows = [(row["step"], row[f"loss_{split}"]) for row in history if f"loss_{split}" in row]
            if rows:
                ax.semilogy(*zip(*rows, strict=True), color=COLOURS[split], label=split)
        later = [row["step"] for row in history if row["stage"] == "lbfgs"]
        if later and later[0] > 0:
            ax.axvline(later[0], color=GREY, linewidth=0.7, linestyle=":")
            ax.annotate(
                "L-BFGS",
                (later[0], 1),
                xycoords=("data", "axes fraction"),
                xytext=(3, -8),
                textcoords="offset points",
                fontsize=7,
                color=GREY,
            )
        ax.set_xlabel("step")
        ax.set_ylabel("loss (mean squared errors / spread$^2$)")
        ax.legend()
    return figure


def plot_losses(histories: Sequence[Sequence[Mapping[str, Any]]]):
    """Plot the losses of the members of an ensemble in grey and their means in colour.

    Parameters
    ----------
    histories : sequence of sequences of mappings
        For each member a history as in :func:`plot_loss`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    curves = [
        {
            split: tuple(np.array([(row["step"], row[f"loss_{split}"]) for row in history]).T)
            for split in ("train", "validation")
            if f"loss_{split}" in history[0]
        }
        for history in histories
    ]
    return plot_curves(curves, "step", "loss (mean squared errors / spread$^2$)")


def plot_curves(members: Sequence[Mapping[str, tuple[np.ndarray, np.ndarray]]], xlabel: str, ylabel: str):
    """Plot curves on a logarithmic axis; for several models, single curves in grey and their means in colour.

    Parameters
    ----------
    members : sequence of mappings
        For each model, steps and values (of equal length) by name of the curve (``"train"``, ``"test"``, ...).
    xlabel, ylabel : str
        Labels of the axes.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    with styled():
        figure = Figure()
        ax = figure.subplots()
        names = list(dict.fromkeys(name for member in members for name in member))
        spare = iter((GREEN, GREY, BLUE, ORANGE, RED) * len(names))
        for name in names:
            curves = [member[name] for member in members if name in member]
            colour = COLOURS.get(name) or next(spare)
            _draw_curves(ax, curves, name, colour, "-" if "train" in name or name == "loss" else "--")
        ax.set(xlabel=xlabel, ylabel=ylabel, yscale="log")
        ax.legend()
    return figure


def _draw_curves(ax, curves, name, colour, style):
    """Draw one curve in colour, or several in grey and their mean in colour."""
    if len(curves) == 1:
        ax.plot(*curves[0], color=colour, label=name)
        return
    for curve in curves:
        ax.plot(*curve, color=MEMBER, linewidth=0.7, linestyle=style)
    steps = np.unique(np.concatenate([x for x, _ in curves]))
    mean = np.mean([np.interp(steps, *curve) for curve in curves], axis=0)
    ax.plot(steps, mean, color=colour, label=f"{name}, mean of {len(curves)}", zorder=3)


def plot_enthalpy_histories(histories: Sequence[Sequence[Mapping[str, Any]]], labels: Mapping[str, tuple[str, float]]):
    """Plot the mean absolute error of every label against the epoch; for several models, in grey with their mean.

    Parameters
    ----------
    histories : sequence of sequences of mappings
        For each model, rows with ``epoch``, ``mae_{label}_train`` and optionally ``mae_{label}_validation``.
    labels : mapping of str to (str, float)
        For each label, the unit in the figure and the factor to that unit.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    shown = [name for name in labels if f"mae_{name}_train" in histories[0][0]]
    with styled():
        figure = Figure(figsize=(PANEL * 3, PANEL * 0.8 * ((len(shown) + 2) // 3)))
        grid = figure.subplots((len(shown) + 2) // 3, 3, squeeze=False).ravel()
        for ax in grid[len(shown) :]:
            ax.remove()
        for ax, name in zip(grid, shown, strict=False):
            unit, factor = labels[name]
            for split in ("train", "validation"):
                key = f"mae_{name}_{split}"
                curves = [
                    tuple(np.array([(row["epoch"], factor * row[key]) for row in history]).T)
                    for history in histories
                    if key in history[0]
                ]
                if curves:
                    _draw_curves(ax, curves, split, COLOURS[split], "-" if split == "train" else "--")
            ax.set_title(name.replace("_", " "), fontsize=8)
            ax.set_ylabel(f"MAE ({unit})")
            ax.set(xlabel="epoch", xscale="log", yscale="log")
        figure.axes[0].legend()
    return figure


def plot_parity(panels: Sequence[Mapping[str, Any]]):
    """Plot predictions against labels, with one panel per quantity.

    Parameters
    ----------
    panels : sequence of mappings
        Each with ``name``, ``unit`` and ``splits``. The latter has a mapping for each split, with the arrays ``target``
        and ``prediction`` (of the same shape, in `unit`), the numbers ``rmse``, ``mae`` and ``r2``, and optionally
        ``deviation``, an array of the same shape that is drawn as error bars (NaN: no error bar). Later splits are
        drawn on top.  Quantities of ``ABOUT_MEAN`` are drawn relative to ``center``, an array of the same shape,
        because the distances between the means of the components would hide the errors.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    with styled():
        lines = max(len(panel["splits"]) for panel in panels)
        columns = min(COLUMNS, len(panels))
        rows = -(-len(panels) // columns)
        figure = Figure(figsize=((PANEL + 0.5) * columns, rows * (PANEL + 0.55 + 0.15 * lines)))
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax, panel in zip(grid, panels, strict=False):
            draw_parity(ax, panel)
        for ax in grid[len(panels) :]:
            ax.remove()
        figure.axes[0].legend(loc="lower right", markerscale=2)
    return figure


def draw_parity(ax, panel: Mapping[str, Any]) -> None:
    """Draw one panel of `plot_parity` on the given axes."""
    relative = panel["name"].split(",")[0] in ABOUT_MEAN and all("center" in s for s in panel["splits"].values())
    shift = {split: np.ravel(s["center"]) if relative else 0.0 for split, s in panel["splits"].items()}
    pairs = {
        split: (np.ravel(s["target"]) - shift[split], np.ravel(s["prediction"]) - shift[split])
        for split, s in panel["splits"].items()
    }
    values = np.concatenate([values for pair in pairs.values() for values in pair])
    axis = readable(values)
    low, high = axis([values.min(), values.max()])
    margin = 0.04 * (high - low) or 1.0
    ends = low - margin, high + margin
    ax.plot(ends, ends, color=GREY, linewidth=0.7)
    lines = []
    for split, data in panel["splits"].items():
        target, prediction = (axis(values) for values in pairs[split])
        colour = COLOURS.get(split, BLUE)
        if "deviation" in data:
            bars = np.ravel(data["deviation"]) / 10.0**axis.power
            ax.errorbar(target, prediction, bars, fmt="none", elinewidth=0.6, color=colour, alpha=0.5)
        ax.plot(target, prediction, ".", markersize=3, color=colour, label=split)
        lines.append(f"{split}: RMSE {data['rmse']:.3g}, MAE {data['mae']:.3g}, R$^2$ {data['r2']:.4f}")
    ax.set(xlim=ends, ylim=ends, aspect="equal")
    ax.locator_params(nbins=4)  # more numbers would overlap
    ax.set_title("\n".join([panel["name"].replace("_", " "), *lines]), fontsize=6.5)
    minus = " − mean" if relative else ""
    ax.set_xlabel(axis.label(f"label{minus}", panel["unit"]))
    ax.set_ylabel(axis.label(f"prediction{minus}", panel["unit"]))
