"""Figures of infrared and Raman spectra with error bands."""

from __future__ import annotations

from itertools import cycle

import numpy as np

from ..errors import InputError
from ..spectra.peaks import visible_peaks
from ..spectra.record import Spectrum
from .labels import label_points
from .style import BAND_ALPHA, BLUE, GREEN, GREY, ORANGE, RED, axes_or_new, styled

COLOURS = (BLUE, RED, GREEN, ORANGE, "#CC79A7", "#56B4E9", GREY)

INFRARED_LABELS = {
    "absorption": r"$n(\omega)\,\alpha(\omega)$ (cm$^{-1}$)",
    "eps_imag": r"$\epsilon''(\omega)$",
    "eps_real": r"$\epsilon'(\omega)$",
    "refractive_index": r"refractive index $n$",
    "absorption_coefficient": r"$\alpha(\omega)$ (cm$^{-1}$)",
    "reflectivity": r"reflectivity $R$",
}
WAVENUMBER = r"wavenumber (cm$^{-1}$)"

LABEL_REACH = 0.01
"""Half width of a peak's label as a fraction of the axis."""

NEGLIGIBLE = 0.02
"""Negative excursions (noise) smaller than this fraction of the maximum do not extend the axis."""

NEAR_ZERO = 0.3
"""A curve that comes this near to zero, as a fraction of its maximum, is drawn from zero on."""


def curve(ax, spectrum, name, colour, label=None, scale=1.0):
    """Draw a column with its error bands."""
    values = spectrum.column(name) * scale
    ax.plot(spectrum.wavenumber, values, color=colour, label=label)
    for band in _bands(spectrum, name):
        ax.fill_between(
            spectrum.wavenumber,
            values - band * scale,
            values + band * scale,
            color=colour,
            alpha=BAND_ALPHA,
            linewidth=0,
        )


def _bands(spectrum, name):
    """Half widths of the bands, wide ones first: whole error, and that of the models alone."""
    error, spread = spectrum.errors.get(name), spectrum.spreads.get(name)
    if error is not None and spread is not None:
        return [np.hypot(error, spread), spread]
    return [band for band in (error, spread) if band is not None]


def mark_peaks(ax, spectrum, name, scale=1.0, prominence=0.08, most=6, clear=()):
    """Write positions above the strongest peaks that are more than noise, clear of error bands and columns `clear`."""
    values = spectrum.column(name)
    peaks = [p for p in visible_peaks(spectrum, name, prominence) if p.prominence > prominence * values.max()]
    drawn = (name, *clear)
    roof = np.max([spectrum.column(other) + next(iter(_bands(spectrum, other)), 0.0) for other in drawn], axis=0)
    tops = []
    for peak in peaks[:most]:
        near = np.abs(spectrum.wavenumber - peak.position) <= LABEL_REACH * np.ptp(spectrum.wavenumber)
        tops.append(scale * max(peak.height, roof[near].max()))
    peaks = peaks[:most]
    label_points(ax, [peak.position for peak in peaks], tops, [f"{peak.position:.0f}" for peak in peaks], GREY)


def finish_axes(ax, spectrum, lowest, highest):
    """Set limits and the label of the wavenumbers."""
    step = spectrum.wavenumber[1] - spectrum.wavenumber[0]
    ax.set_xlim(spectrum.wavenumber[0], spectrum.wavenumber[-1] + step)
    ax.set_xlabel(WAVENUMBER)
    ax.margins(y=0.1)
    if -NEGLIGIBLE * highest <= lowest < NEAR_ZERO * highest:
        ax.set_ylim(bottom=0.0)


def _require(spectrum, kind):
    if spectrum.kind != kind:
        raise InputError(f"expected a spectrum of kind '{kind}', got '{spectrum.kind}'")


def caption(spectrum):
    """Return what a figure says about its spectrum: temperature, direction, resolution, error bands."""
    parameters = spectrum.parameters
    parts = [f"{parameters['temperature_K']:g} K"] if parameters.get("temperature_K") else []
    if parameters.get("direction"):
        parts.append("field along [" + " ".join(f"{x:.3g}" for x in parameters["direction"]) + "]")
    if parameters.get("laser_nm"):
        parts.append(f"{parameters['laser_nm']:g} nm")
    if parameters.get("resolution_fwhm_cm-1"):
        parts.append(f"resolution {parameters['resolution_fwhm_cm-1']:g} cm$^{{-1}}$")
    words = []
    if spectrum.spreads:
        words.append(f"spread of {parameters['models']} models")
    if parameters.get("blocks"):
        words.append(f"standard error, {parameters['blocks']} blocks")
    if words:
        parts.append(("bands: " if len(words) > 1 else "band: ") + ", with ".join(words))
    return ", ".join(parts)


def plot_ir(spectrum: Spectrum, ax=None, quantity: str = "absorption", peaks: bool = True):
    """Draw a column of an infrared spectrum with its standard error as a band.

    Parameters
    ----------
    spectrum : Spectrum
        Of kind ``"infrared"``.
    ax : matplotlib Axes, optional
        Where to draw; None: a new figure.
    quantity : str
        Column, e.g. ``"absorption"`` or ``"eps_imag"``.
    peaks : bool
        Whether the positions of the strongest peaks are written above them.

    Returns
    -------
    matplotlib Axes
    """
    _require(spectrum, "infrared")
    values = spectrum.column(quantity)
    with styled():
        ax = axes_or_new(ax)
        curve(ax, spectrum, quantity, BLUE)
        finish_axes(ax, spectrum, values.min(), values.max())
        ax.set_ylabel(INFRARED_LABELS.get(quantity, quantity))
        ax.set_title(caption(spectrum), loc="left", color=GREY, fontsize=7)
        if peaks:
            mark_peaks(ax, spectrum, quantity)
    return ax


def plot_raman(spectrum: Spectrum, ax=None, peaks: bool = True):
    """Draw VV and VH of a Raman spectrum, or its oriented geometries, on one scale with standard errors as bands.

    Intensities are divided by the highest value, as Raman intensities are relative.

    Parameters
    ----------
    spectrum : Spectrum
        Of kind ``"raman"``.
    ax : matplotlib Axes, optional
        Where to draw; None: a new figure.
    peaks : bool
        Whether the positions of the strongest peaks are written above them.

    Returns
    -------
    matplotlib Axes
    """
    _require(spectrum, "raman")
    names = [label for label in spectrum.parameters.get("geometries") or () if label in spectrum.values]
    names = names or ["VV", "VH"]
    highest = max(float(spectrum.column(name).max()) for name in names)
    if not highest > 0:
        raise InputError("the spectrum is zero everywhere: nothing to draw")
    with styled():
        ax = axes_or_new(ax)
        for name, colour in zip(names, cycle(COLOURS), strict=False):
            curve(ax, spectrum, name, colour, name, 1.0 / highest)
        finish_axes(ax, spectrum, min(spectrum.column(name).min() for name in names) / highest, 1.0)
        ax.set_ylabel("Raman intensity (arb. units)")
        ax.set_title(caption(spectrum), loc="left", color=GREY, fontsize=7)
        ax.legend(loc="upper right")
        if peaks:
            mark_peaks(ax, spectrum, names[0], 1.0 / highest)
    return ax
