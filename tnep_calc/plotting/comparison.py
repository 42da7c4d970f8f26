"""Several spectra in one figure: overlaid, as small multiples, as a waterfall, and beside a reference."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np

from ..errors import InputError
from ..spectra.comparison import Comparison
from ..spectra.record import Spectrum
from .spectra import COLOURS, INFRARED_LABELS, WAVENUMBER, curve, mark_peaks
from .style import GREY, HEIGHT, WIDTH, styled

LAYOUTS = ("overlay", "panels", "waterfall")

STEP = 0.45
"""Distance of the curves of a waterfall, as a fraction of the highest value."""


def plot_spectra(
    spectra: Sequence[Spectrum],
    names: Sequence[str],
    labels: Sequence[str],
    layout: str = "overlay",
    reference: Comparison | None = None,
    reference_label: str = "reference",
):
    """Draw a column of each of several spectra on one scale.

    Parameters
    ----------
    spectra : sequence of Spectrum
    names : sequence of str
        The column of each.
    labels : sequence of str
        What each is called.
    layout : {"overlay", "panels", "waterfall"}
        One pair of axes, one below the other with the same scale, or shifted upwards one by one.
    reference : Comparison, optional
        Of the first spectrum; its reference, on the scale of the spectrum, is drawn in grey.
    reference_label : str

    Returns
    -------
    matplotlib Figure
    """
    if layout not in LAYOUTS:
        raise InputError(f"the layout must be one of {', '.join(LAYOUTS)}, got '{layout}'")
    if not spectra:
        raise InputError("there is no spectrum to draw")
    units = {spectrum.units[name] for spectrum, name in zip(spectra, names, strict=True)}
    if len(units) > 1:
        raise InputError(f"spectra in one figure need one unit, got {', '.join(sorted(units))}")
    from matplotlib import pyplot

    highest = max(float(s.column(name).max()) for s, name in zip(spectra, names, strict=True))
    ranges = [(s.wavenumber[0], s.wavenumber[-1]) for s in spectra]
    unit = units.pop()
    label = INFRARED_LABELS.get(names[0], names[0] if unit == "1" else f"{names[0]} ({unit})")
    count = len(spectra)
    with styled():
        if layout == "panels":
            figure, grid = pyplot.subplots(
                count, 1, sharex=True, sharey=True, squeeze=False, figsize=(WIDTH, max(HEIGHT, 1.3 * count + 0.6))
            )
            axes = list(grid[:, 0])
        else:
            tall = HEIGHT * (1.0 if layout == "overlay" else max(1.0, 0.35 * count + 0.5))
            figure, ax = pyplot.subplots(figsize=(WIDTH, tall))
            axes = [ax] * count
        for k, (spectrum, name, text, colour) in enumerate(zip(spectra, names, labels, cycle(COLOURS), strict=False)):
            if layout == "waterfall":
                _shifted(axes[k], spectrum, name, text, colour, k * STEP * highest)
            else:
                curve(axes[k], spectrum, name, colour, text)
        if reference is not None:
            axes[0].plot(
                reference.wavenumber,
                reference.reference,
                color=GREY,
                linewidth=1.0,
                linestyle="--",
                zorder=1,
                label=reference_label,
            )
        for ax in dict.fromkeys(axes):
            ax.set_xlim(min(a for a, _ in ranges), max(b for _, b in ranges))
            ax.margins(y=0.1)
            if min(float(s.column(n).min()) for s, n in zip(spectra, names, strict=True)) > -0.02 * highest:
                ax.set_ylim(bottom=0.0)
            if layout == "panels":
                ax.legend(loc="upper right")
            elif layout == "overlay":
                ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4)
        axes[-1].set_xlabel(WAVENUMBER)
        if layout == "waterfall":
            axes[0].margins(y=0.02)
            axes[0].set_yticks([])
            axes[0].set_ylabel(label + ", shifted")
        elif layout == "overlay":
            axes[0].set_ylabel(label)
        else:
            figure.supylabel(label, fontsize=9)
        if layout == "panels":
            for ax, spectrum, name in zip(axes, spectra, names, strict=True):
                mark_peaks(ax, spectrum, name)
        elif count == 1:
            mark_peaks(axes[0], spectra[0], names[0])
    return figure


def _shifted(ax, spectrum, name, text, colour, shift):
    """Draw a curve of a waterfall: filled down to its own zero line, the label at its right end."""
    values = spectrum.column(name) + shift
    order = 10.0 - len(ax.lines)
    ax.fill_between(spectrum.wavenumber, shift, values, color="white", zorder=order - 0.5, linewidth=0)
    ax.plot(spectrum.wavenumber, values, color=colour, zorder=order)
    ax.annotate(
        text,
        (spectrum.wavenumber[-1], values[-max(1, len(values) // 50) :].max()),
        xytext=(-2, 2),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=7,
        color=colour,
        zorder=50,
    )


def plot_comparison(spectrum: Spectrum, name: str, found: Comparison, reference_label: str = "reference"):
    """Draw a spectrum over a reference, with the scores of their comparison.

    Parameters
    ----------
    spectrum : Spectrum
    name : str
        Column.
    found : Comparison
        As :func:`tnep_calc.spectra.comparison.compare` gave it.
    reference_label : str

    Returns
    -------
    matplotlib Figure
    """
    figure = plot_spectra([spectrum], [name], [name], "overlay", found, reference_label)
    ax = figure.axes[0]
    if found.shift or found.scale != 1:
        ax.plot(found.wavenumber, found.values, color=COLOURS[1], linewidth=0.9, label=f"{name}, aligned")
    top = np.nanmax(found.reference)
    low, high = ax.get_ylim()
    ax.set_ylim(low, max(high, 1.08 * top))
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, fontsize=8, frameon=False)
    words = [f"overlap {found.overlap:.3f}"]
    words += [f"shifted by {found.shift:+.1f} cm$^{{-1}}$"] if found.shift else []
    words += [f"wavenumbers times {found.scale:.4f}"] if found.scale != 1 else []
    words += (
        [f"{len(found.pairs)} peaks within {found.position_error:.1f} cm$^{{-1}}$ on average"] if found.pairs else []
    )
    ax.set_title(", ".join(words), loc="left", color=GREY, fontsize=7, pad=20)
    return figure
