"""Figures of what an instrument measures: absorbance of a powder or with ATR, and the response of a thin film."""

from __future__ import annotations

from itertools import cycle

from ..spectra.record import Spectrum
from .labels import legend_above, write_title
from .spectra import COLOURS, caption, curve, finish_axes, mark_peaks, require_kind
from .style import axes_or_new, styled

TITLES = {"powder": "powder in a matrix", "film": "thin film", "atr": "ATR"}


def plot_instrument(spectrum: Spectrum, ax=None, peaks: bool = True):
    """Draw all columns of a spectrum of :mod:`tnep_calc.spectra.measured` with their standard errors as bands.

    Parameters
    ----------
    spectrum : Spectrum
        Of kind ``"instrument"``.
    ax : matplotlib Axes, optional
        Axes to draw on. Default: those of a new figure.
    peaks : bool
        Whether to write the positions of the strongest peaks of an absorbance, or of the absorptivity, above them.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        If the spectrum is of another kind.
    """
    require_kind(spectrum, "instrument")
    names = list(spectrum.values)
    main = names[-1]  # the absorptivity of a film, or the only column
    with styled():
        ax = axes_or_new(ax)
        for name, colour in zip(names, cycle(COLOURS), strict=False):
            curve(ax, spectrum, name, colour, name)
        highest = max(float(column.max()) for column in spectrum.values.values())
        finish_axes(ax, spectrum, min(float(column.min()) for column in spectrum.values.values()), highest)
        if len(names) == 1:
            ax.set_ylabel(f"{main} (base 10)")
        else:
            ax.set_ylabel("fraction of the incident power")
            ax.set_ylim(0.0, 1.05 * highest)
        parts = [TITLES[spectrum.parameters["instrument"]]]
        if spectrum.parameters.get("polarization"):
            parts.append(f"{spectrum.parameters['polarization']}, {spectrum.parameters['angle_of_incidence_deg']:g}°")
        title = ", ".join([*parts, caption(spectrum)]).rstrip(", ")
        legend_above(ax, title) if len(names) > 1 else write_title(ax, title)
        if peaks:
            mark_peaks(ax, spectrum, main, clear=names[:-1])
    return ax
