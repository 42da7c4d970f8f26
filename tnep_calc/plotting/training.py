"""Figures of a training run: loss curve and parity plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .style import BLUE, GREEN, GREY, ORANGE, RED, styled

COLOURS = {"train": BLUE, "validation": ORANGE, "test": RED}
"""Colour of each split; others are blue."""

MEMBER = "#bbbbbb"
"""Colour of single members of an ensemble."""

PANEL = 2.6
"""Side of a parity panel in inches."""


def plot_loss(history: Sequence[Mapping[str, Any]]):
    """Plot the loss against the step.

    Parameters
    ----------
    history : sequence of mappings
        Rows with ``step`` and ``loss_train`` (and ``loss_validation``), and ``stage`` (e.g. ``lbfgs``).

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
        One history, as `plot_loss` takes it, for each member.

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
    """Plot curves on a logarithmic axis: those of single models in grey and their mean in colour, if there are several.

    Parameters
    ----------
    members : sequence of mappings
        For each model: name of a curve (``"train"``, ``"test"``, ...) -> steps and values, of equal length.
    xlabel, ylabel : str

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
    """Plot the mean absolute error of every label against the epoch; of several models in grey, and their mean.

    Parameters
    ----------
    histories : sequence of sequences of mappings
        Of each model, rows with ``epoch`` and ``mae_{label}_train`` (and ``mae_{label}_validation``).
    labels : mapping of str to (str, float)
        Label -> unit to show it in, and the factor to that unit.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    shown = [name for name in labels if f"mae_{name}_train" in histories[0][0]]
    with styled():
        figure = Figure(figsize=(PANEL * 3, PANEL * 0.8 * ((len(shown) + 2) // 3)))
        for ax, name in zip(figure.subplots((len(shown) + 2) // 3, 3, squeeze=False).flat, shown, strict=False):
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
    """Plot predictions against labels, one panel per quantity, the held-back data on top.

    Parameters
    ----------
    panels : sequence of mappings
        Each with ``name``, ``unit`` and ``splits``: split -> mapping with ``target`` and ``prediction`` (arrays of
        the same shape, in `unit`) and the numbers ``rmse``, ``mae`` and ``r2``; with ``deviation`` (an array of the
        same shape, NaN where there is none) the predictions get error bars.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    with styled():
        lines = max(len(panel["splits"]) for panel in panels)
        figure = Figure(figsize=(PANEL * len(panels) + 0.4, PANEL + 0.4 + 0.15 * lines))
        for ax, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
            draw_parity(ax, panel)
        figure.axes[0].legend(loc="lower right", markerscale=2)
    return figure


def draw_parity(ax, panel: Mapping[str, Any]) -> None:
    """Draw one panel of `plot_parity` on the given axes."""
    both = [(np.ravel(s["target"]), np.ravel(s["prediction"])) for s in panel["splits"].values()]
    values = np.concatenate([values for pair in both for values in pair])
    low, high = values.min(), values.max()
    margin = 0.04 * (high - low) or 1.0
    ends = low - margin, high + margin
    ax.plot(ends, ends, color=GREY, linewidth=0.7)
    lines = []
    for split, data in panel["splits"].items():
        if "deviation" in data:
            ax.errorbar(
                np.ravel(data["target"]),
                np.ravel(data["prediction"]),
                np.ravel(data["deviation"]),
                fmt="none",
                elinewidth=0.6,
                color=COLOURS.get(split, BLUE),
                alpha=0.5,
            )
        ax.plot(
            np.ravel(data["target"]),
            np.ravel(data["prediction"]),
            ".",
            markersize=3,
            color=COLOURS.get(split, BLUE),
            label=split,
        )
        lines.append(f"{split}: RMSE {data['rmse']:.3g}, MAE {data['mae']:.3g}, R$^2$ {data['r2']:.4f}")
    ax.set(xlim=ends, ylim=ends, aspect="equal")
    ax.set_title("\n".join([panel["name"], *lines]), fontsize=6)
    ax.set_xlabel(f"label ({panel['unit']})")
    ax.set_ylabel(f"prediction ({panel['unit']})")
