"""Figures of infrared and Raman spectra with error bands."""

from __future__ import annotations

from itertools import cycle

import numpy as np

from ..errors import InputError
from ..spectra.peaks import visible_peaks
from ..spectra.record import Spectrum
from .labels import label_points, legend_above, write_title
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
"""Half width of the label of a peak, relative to the axis."""

NEGLIGIBLE = 0.02
"""Largest negative value (noise), relative to the maximum, for which the axis still begins at zero."""

NEAR_ZERO = 0.3
"""If the minimum of a curve, relative to its maximum, is smaller than this, the axis begins at zero."""


def curve(ax, spectrum, name, colour, label=None, scale=1.0):
    """Draw a column, times `scale`, with its error bands."""
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
    """Return the half widths of the error bands, the widest first: total error, and spread of the models."""
    error, spread = spectrum.errors.get(name), spectrum.spreads.get(name)
    if error is not None and spread is not None:
        return [np.hypot(error, spread), spread]
    return [band for band in (error, spread) if band is not None]


def mark_peaks(ax, spectrum, name, scale=1.0, prominence=0.08, most=6, clear=()):
    """Write the positions of the strongest significant peaks above them.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes with the curve and its limits.
    spectrum : Spectrum
    name : str
        Column.
    scale : float
        Factor by which the drawn curve is multiplied.
    prominence : float
        Smallest prominence, relative to the highest value.
    most : int
        Largest number of peaks.
    clear : sequence of str
        Other drawn columns, which the labels must not cover.
    """
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
    """Set the limits of both axes and the label of the wavenumbers; `lowest` and `highest` are values of the curve."""
    step = spectrum.wavenumber[1] - spectrum.wavenumber[0]
    ax.set_xlim(spectrum.wavenumber[0], spectrum.wavenumber[-1] + step)
    ax.set_xlabel(WAVENUMBER)
    ax.margins(y=0.1)
    if -NEGLIGIBLE * highest <= lowest < NEAR_ZERO * highest:
        ax.set_ylim(bottom=0.0)


def require_kind(spectrum: Spectrum, kind: str) -> None:
    """Raise ``InputError`` if a spectrum is of another kind."""
    if spectrum.kind != kind:
        raise InputError(f"expected a spectrum of kind '{kind}', got '{spectrum.kind}'")


def direction_name(direction) -> str:
    """Return a direction in brackets, with the smallest whole numbers if there are such up to 9.

    Examples
    --------
    >>> direction_name([0.4472, 0.0, -0.8944]), direction_name([0.3, 0.21, 0.93])
    ('[1 0 -2]', '[0.3 0.21 0.93]')
    """
    numbers = np.asarray(direction, dtype=float)
    for factor in range(1, 10):
        multiple = factor * numbers / np.abs(numbers).max()
        if np.abs(multiple - np.round(multiple)).max() < 1e-3:
            return "[" + " ".join(f"{x:.0f}" for x in np.round(multiple) + 0.0) + "]"
    return "[" + " ".join(f"{x:.3g}" for x in numbers) + "]"


def caption(spectrum):
    """Return the caption of a spectrum: temperature, direction, laser, resolution and error bands."""
    return ", ".join(conditions(spectrum) + bands_in_words(spectrum))


def conditions(spectrum) -> list[str]:
    """Return temperature, direction, laser and resolution of a spectrum as words."""
    parameters = spectrum.parameters
    parts = [f"{parameters['temperature_K']:.4g} K"] if parameters.get("temperature_K") else []
    if parameters.get("direction"):
        parts.append(f"field along {direction_name(parameters['direction'])}")
    if parameters.get("laser_nm"):
        parts.append(f"{parameters['laser_nm']:g} nm")
    if parameters.get("resolution_fwhm_cm-1"):
        parts.append(f"resolution {parameters['resolution_fwhm_cm-1']:g} cm$^{{-1}}$")
    return parts


def bands_in_words(spectrum) -> list[str]:
    """Return what the error bands of a spectrum are, as a list of one text, or of none without bands."""
    parameters = spectrum.parameters
    words = []
    if spectrum.spreads:
        words.append(f"spread of {parameters['models']} models")
    if parameters.get("blocks"):
        words.append(f"standard error, {parameters['blocks']} blocks")
    return [("bands: " if len(words) > 1 else "band: ") + ", with ".join(words)] if words else []


def plot_ir(spectrum: Spectrum, ax=None, quantity: str = "absorption", peaks: bool = True):
    """Draw a column of an infrared spectrum with its standard error as a band.

    Parameters
    ----------
    spectrum : Spectrum
        Of kind ``"infrared"``.
    ax : matplotlib Axes, optional
        Axes to draw on. Default: those of a new figure.
    quantity : str
        Column, e.g. ``"absorption"`` or ``"eps_imag"``.
    peaks : bool
        Whether to write the positions of the strongest peaks above them.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        If the spectrum is of another kind or has no such column.
    """
    require_kind(spectrum, "infrared")
    values = spectrum.column(quantity)
    with styled():
        ax = axes_or_new(ax)
        curve(ax, spectrum, quantity, BLUE)
        finish_axes(ax, spectrum, values.min(), values.max())
        ax.set_ylabel(INFRARED_LABELS.get(quantity, quantity))
        write_title(ax, caption(spectrum))
        if peaks:
            mark_peaks(ax, spectrum, quantity)
    return ax


def plot_raman(spectrum: Spectrum, ax=None, peaks: bool = True):
    """Draw the geometries of a Raman spectrum, or else VV and VH, on one scale with standard errors as bands.

    Intensities are divided by the highest value, because Raman intensities are usually relative.

    Parameters
    ----------
    spectrum : Spectrum
        Of kind ``"raman"``.
    ax : matplotlib Axes, optional
        Axes to draw on. Default: those of a new figure.
    peaks : bool
        Whether to write the positions of the strongest peaks above them.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        If the spectrum is of another kind, or zero everywhere.
    """
    require_kind(spectrum, "raman")
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
        legend_above(ax, caption(spectrum))
        if peaks:
            mark_peaks(ax, spectrum, names[0], 1.0 / highest)
    return ax
