"""Figures of one material of the study: parity on the test structures, learning curves, Raman spectra."""

from __future__ import annotations

import numpy as np
from matplotlib import pyplot
from measures import QUANTITIES, mean_errors, raman_spectrum
from study import FAMILIES, MATERIALS

from tnep_calc.plotting.style import BLUE, GREEN, RED

COLOURS = dict(zip(FAMILIES, (RED, BLUE, GREEN), strict=True))
MARKERS = dict(zip(FAMILIES, "os^", strict=True))
WIDTHS = {"bn": 10.0, "bn2": 10.0, "gaas": 5.0}  # half width of the lines in cm^-1, as in the published figure
SHOWN = {"P": ("P (10⁻³ e/a₀²)", 1e3), "Z*": ("change of Z* (e)", 1.0), "eps_inf": ("change of eps_inf", 1.0)}
"""Axis label of each quantity in parity plots, and the factor to its unit."""


def _panels(columns: int, height: float):
    figure, axes = pyplot.subplots(1, columns, figsize=(2.7 * columns, height), squeeze=False)
    return figure, axes[0]


def parity(key: str, result):
    """Draw the differences to the ideal crystal of DFPT: all components of the test structures, models against DFPT."""
    figure, axes = _panels(len(SHOWN), 2.6)
    for ax, (name, (label, factor)) in zip(axes, SHOWN.items(), strict=True):
        for family, own in result["curves"].get(1.0, {}).items():
            x, y, perfect = factor * own["pairs"][name]
            ax.plot(
                x - perfect,
                y - perfect,
                MARKERS[family],
                color=COLOURS[family],
                markersize=3,
                alpha=0.6,
                mew=0,
                label=family,
            )
        ends = ax.get_xlim()
        ax.plot(ends, ends, color="0.6", linewidth=0.8, zorder=0)
        ax.set(xlabel=f"DFPT, {label}", ylabel="model", title=MATERIALS[key].name)
    axes[0].legend(markerscale=1.5)
    return figure


def learning_curves(key: str, result):
    """Draw the root mean square error on the test structures against the number of training structures."""
    figure, axes = _panels(len(QUANTITIES), 2.4)
    for ax, (name, (unit, factor)) in zip(axes, QUANTITIES.items(), strict=True):
        for family in FAMILIES:
            points = [
                (own[family]["structures"], factor * mean_errors(own[family]["pairs"][name])[1])
                for own in result["curves"].values()
                if family in own
            ]
            if points:
                counts, errors = zip(*sorted(points), strict=True)
                ax.loglog(counts, errors, MARKERS[family] + "-", color=COLOURS[family], markersize=4, label=family)
        counts = sorted({e["structures"] for own in result["curves"].values() for e in own.values()})
        ax.set_xticks(counts, [str(n) for n in counts])
        ax.minorticks_off()
        ax.set(xlabel="training structures", ylabel=f"RMSE of {name} ({unit})", title=MATERIALS[key].name)
        ax.yaxis.set_major_formatter("{x:g}")
        low, high = ax.get_ylim()
        steps = (1, 1.5, 2, 3, 5, 7) if high < 30 * low else (1, 2, 5)
        ticks = [m * 10.0**k for k in range(-1, 5) for m in steps if low <= m * 10.0**k <= high]
        ax.set_yticks(ticks)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(FAMILIES))
    return figure


def raman(key: str, result):
    """Draw the Raman spectrum with that of DFPT, relative to its maximum."""
    figure, ax = pyplot.subplots(figsize=(3.9, 2.8))
    material, dft = MATERIALS[key], result["DFT"]
    w = np.linspace(material.to - 80, dft["LO"] + 80, 2000)
    height = raman_spectrum(material, dft, WIDTHS[key], w).max()
    ax.plot(w, raman_spectrum(material, dft, WIDTHS[key], w) / height, color="k", linewidth=2, label="DFPT")
    for (family, own), dashes in zip(result["curves"].get(1.0, {}).items(), ("--", "-.", ":"), strict=False):
        spectrum = raman_spectrum(material, own["equilibrium"], WIDTHS[key], w) / height
        ax.plot(w, spectrum, dashes, color=COLOURS[family], label=family)
    ax.set(xlabel="wavenumber (cm⁻¹)", ylabel="Raman intensity", title=f"{material.name}, 532 nm, 300 K")
    ax.legend()
    return figure
