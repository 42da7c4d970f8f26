"""Several spectra in one figure: overlaid, in separate panels or as a waterfall, optionally with a reference."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import cycle

import numpy as np

from ..errors import InputError
from ..spectra.comparison import Comparison
from ..spectra.record import Spectrum
from .labels import legend_above, shortened, write_title
from .spectra import COLOURS, INFRARED_LABELS, WAVENUMBER, bands_in_words, conditions, curve, mark_peaks
from .style import GREY, HEIGHT, WIDTH, styled

LAYOUTS = ("overlay", "panels", "waterfall")

STEP = 0.45
"""Vertical distance of the curves of a waterfall, relative to the highest value."""

LABEL_WIDTH = 18
"""Most characters in a line of the label of a curve of a waterfall."""


def names_with_conditions(spectra: Sequence[Spectrum], names: Sequence[str]) -> list[str]:
    """Return names with the conditions of each spectrum (temperature, direction, ...) that the others do not have.

    Parameters
    ----------
    spectra : sequence of Spectrum
    names : sequence of str
        Name of each spectrum.

    Returns
    -------
    list of str
        E.g. ``["a, field along [1 0 0]", "b, field along [0 0 1]"]``.
    """
    own = [conditions(spectrum) for spectrum in spectra]
    common = _common(own)
    return [
        ", ".join([name, *(words for words in mine if words not in common)])
        for name, mine in zip(names, own, strict=True)
    ]


def _common(parts: Sequence[Sequence[str]]) -> list[str]:
    return [words for words in parts[0] if all(words in other for other in parts)]


def plot_spectra(
    spectra: Sequence[Spectrum],
    names: Sequence[str],
    labels: Sequence[str],
    layout: str = "overlay",
    reference: Comparison | None = None,
    reference_label: str = "reference",
):
    """Draw one column of each of several spectra on one scale, with the conditions that they share as the title.

    Parameters
    ----------
    spectra : sequence of Spectrum
    names : sequence of str
        Column to draw of each spectrum.
    labels : sequence of str
        Label of each spectrum.
    layout : {"overlay", "panels", "waterfall"}
        All curves in one panel, one panel for each with the same scale, or one panel with curves shifted upwards.
    reference : Comparison, optional
        Comparison with the first spectrum. Its reference, on the scale of the spectrum, is drawn in grey.
    reference_label : str
        Label of the reference.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    InputError
        If the layout is unknown, there is no spectrum, or the columns have different units.
    """
    if layout not in LAYOUTS:
        raise InputError(f"the layout must be one of {', '.join(LAYOUTS)}, got '{layout}'")
    if not spectra:
        raise InputError("there is no spectrum to draw")
    units = {spectrum.units[name] for spectrum, name in zip(spectra, names, strict=True)}
    if len(units) > 1:
        raise InputError(f"spectra in one figure must have the same unit, got {', '.join(sorted(units))}")
    from matplotlib import pyplot

    highest = max(float(s.column(name).max()) for s, name in zip(spectra, names, strict=True))
    ranges = [(s.wavenumber[0], s.wavenumber[-1]) for s in spectra]
    unit = units.pop()
    superscript = re.sub(r"\^(-?\d+)", r"$^{\1}$", unit)
    label = INFRARED_LABELS.get(names[0], names[0] if unit == "1" else f"{names[0]} ({superscript})")
    count = len(spectra)
    shared = _common([conditions(spectrum) for spectrum in spectra])
    if layout != "waterfall":
        shared += _common([bands_in_words(spectrum) for spectrum in spectra])
    title = ", ".join(shared)
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
            if layout != "waterfall":
                legend_above(ax, title if ax is axes[0] else "")
        axes[-1].set_xlabel(WAVENUMBER)
        if layout == "waterfall":
            axes[0].margins(y=0.02)
            write_title(axes[0], title)
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
    """Draw a curve of a waterfall, filled with white down to its zero line, with its label at the right of the axes."""
    values = spectrum.column(name) + shift
    order = 10.0 - len(ax.lines)
    ax.fill_between(spectrum.wavenumber, shift, values, color="white", zorder=order - 0.5, linewidth=0)
    ax.plot(spectrum.wavenumber, values, color=colour, zorder=order)
    ax.annotate(
        "\n".join(textwrap.wrap(shortened(text), LABEL_WIDTH)),
        (1.0, shift),
        xycoords=("axes fraction", "data"),
        xytext=(3, 0),
        textcoords="offset points",
        va="bottom",
        fontsize=7,
        color=colour,
    )


def plot_comparison(spectrum: Spectrum, name: str, found: Comparison, reference_label: str = "reference"):
    """Draw a spectrum and a reference, with the scores of their comparison.

    Parameters
    ----------
    spectrum : Spectrum
    name : str
        Column to draw.
    found : Comparison
        Result of :func:`tnep_calc.spectra.comparison.compare`.
    reference_label : str
        Label of the reference.

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
    words = [f"overlap {found.overlap:.3f}"]
    words += [f"shifted by {found.shift:+.1f} cm$^{{-1}}$"] if found.shift else []
    words += [f"wavenumbers times {found.scale:.4f}"] if found.scale != 1 else []
    words += (
        [f"{len(found.pairs)} peaks within {found.position_error:.1f} cm$^{{-1}}$ on average"] if found.pairs else []
    )
    with styled():
        legend_above(ax, ", ".join(words))
    return figure
