"""Figures of the lattice thermal conductivity: cumulative over frequency, linewidths, convergence."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..units import THZ_TO_INV_CM
from .labels import legend_above
from .style import BLUE, GREY, ORANGE, RED, axes_or_new, styled

KAPPA = r"$\kappa$ (W m$^{-1}$ K$^{-1}$)"
FREQUENCY = r"frequency (cm$^{-1}$)"


def plot_cumulative(conductivity, temperature: float, ax=None):
    """Draw the cumulative conductivity against the frequency.

    Parameters
    ----------
    conductivity : Conductivity
    temperature : float, in K
        One of the temperatures of `conductivity`.
    ax : matplotlib Axes, optional
        Axes to draw on. Default: those of a new figure.

    Returns
    -------
    matplotlib Axes
    """
    frequencies, sums = conductivity.cumulative(temperature)
    wavenumbers = frequencies * THZ_TO_INV_CM
    with styled():
        ax = axes_or_new(ax)
        ax.plot(wavenumbers, sums, color=BLUE)
        ax.set_xlabel(FREQUENCY)
        ax.set_ylabel(f"cumulative {KAPPA}")
        ax.set_xlim(0, wavenumbers[-1])
        ax.set_ylim(0, 1.05 * sums[-1])
        mesh = " x ".join(map(str, conductivity.mesh))
        name = "direct solution" if conductivity.method == "direct" else "relaxation-time approximation"
        ax.set_title(f"{temperature:g} K, mesh {mesh}, {name}", loc="left", color=GREY, fontsize=7)
    return ax


def plot_linewidths(conductivity, temperature: float, ax=None):
    """Draw the full widths at half maximum of all modes against their frequencies, with the modes at Gamma marked.

    Parameters
    ----------
    conductivity : Conductivity
    temperature : float, in K
        The nearest temperature of `conductivity` is used.
    ax : matplotlib Axes, optional
        Axes to draw on. Default: those of a new figure.

    Returns
    -------
    matplotlib Axes
    """
    index = int(np.abs(conductivity.temperatures - temperature).argmin())
    frequencies = conductivity.frequencies * THZ_TO_INV_CM
    widths = conductivity.widths[index] * THZ_TO_INV_CM
    with styled():
        ax = axes_or_new(ax)
        ax.plot(frequencies.ravel(), widths.ravel(), ".", color=BLUE, markersize=2.5, alpha=0.6, label="all modes")
        optical = np.argsort(np.abs(frequencies[0]))[3:]
        ax.plot(frequencies[0][optical], widths[0][optical], "o", color=RED, markersize=4, label=r"$\Gamma$")
        ax.set_xlabel(FREQUENCY)
        ax.set_ylabel(r"linewidth, FWHM (cm$^{-1}$)")
        ax.set_xlim(0, None)
        ax.set_ylim(0, None)
        legend_above(ax, f"{temperature:g} K")
    return ax


def plot_convergence(rows, kappa: float, temperature: float):
    """Draw kappa and the errors of force constants and potential against the size of the training set.

    Parameters
    ----------
    rows : sequence of ConvergenceRow
    kappa : float, in W/(m K)
        Conductivity without a potential, drawn as a horizontal line.
    temperature : float, in K
        Temperature of the conductivities, for the label.

    Returns
    -------
    matplotlib Figure
    """
    from matplotlib import pyplot

    from ..phonons.anharmonic.convergence import by_size

    panels: tuple[Any, ...] = (
        ([("kappa", BLUE, None)], f"{KAPPA} at {temperature:g} K", 1.0),
        ([("fc2_error", BLUE, "fc2"), ("fc3_error", ORANGE, "fc3")], "error of force constants (%)", 100.0),
        ([("force_rmse", BLUE, None)], "force error on the test set (meV/Å)", 1.0),
    )
    with styled():
        figure, axes = pyplot.subplots(1, 3, figsize=(8.4, 2.8))
        for ax, (curves, label, scale) in zip(axes, panels, strict=True):
            for name, colour, title in curves:
                size, mean, spread = by_size(rows, name)
                ax.errorbar(
                    size, scale * mean, scale * spread, color=colour, marker="o", markersize=3.5, capsize=2, label=title
                )
            ax.set_xticks(size)
            ax.minorticks_off()
            ax.set_xlabel("supercells in training")
            ax.set_ylabel(label)
            if ax is not axes[0]:
                ax.set_ylim(0, 1.1 * ax.get_ylim()[1])
        axes[0].axhline(kappa, color=GREY, linewidth=0.8, linestyle="--", label="DFT forces")
        axes[0].legend(loc="best")
        axes[1].legend(loc="best")
    return figure
