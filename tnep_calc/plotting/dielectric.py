"""Figures of a dielectric response: dielectric function, optical constants, loss, and the static constant."""

from __future__ import annotations

import numpy as np

from ..spectra.record import Spectrum
from ..spectra.static import StaticDielectric
from .labels import legend_above, write_title
from .spectra import WAVENUMBER, caption, curve, finish_axes, mark_peaks, require_kind
from .style import BAND_ALPHA, BLUE, GREEN, GREY, HEIGHT, RED, WIDTH, axes_or_new, styled

DIRECTIONS = (("xx", BLUE), ("yy", RED), ("zz", GREEN))


def plot_dielectric(spectrum: Spectrum, peaks: bool = True):
    """Draw dielectric function, optical constants, reflectivity and loss in panels below each other.

    If the spectrum has the components of the tensor, the first two panels show its diagonal.

    Parameters
    ----------
    spectrum : Spectrum
        Of kind ``"dielectric"``.
    peaks : bool
        Whether to write the frequencies above the peaks of ``eps''`` (transverse) and of the loss (longitudinal).

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    InputError
        If the spectrum is of another kind.
    """
    require_kind(spectrum, "dielectric")
    from matplotlib import pyplot

    parts = [(f"_{name}", colour, name) for name, colour in DIRECTIONS if f"eps_imag_{name}" in spectrum.values]
    parts = parts or [("", BLUE, "")]
    with styled():
        figure, axes = pyplot.subplots(5, 1, sharex=True, figsize=(WIDTH, 2.6 * HEIGHT))
        for ax, part, label in ((axes[0], "real", r"$\epsilon'$"), (axes[1], "imag", r"$\epsilon''$")):
            for suffix, colour, name in parts:
                curve(ax, spectrum, f"eps_{part}{suffix}", colour, name)
            ax.set_ylabel(label)
        axes[0].axhline(0.0, color=GREY, linewidth=0.5)
        curve(axes[2], spectrum, "refractive_index", BLUE, "$n$")
        curve(axes[2], spectrum, "extinction", RED, "$k$")
        axes[2].set_ylabel("$n$, $k$")
        curve(axes[3], spectrum, "reflectivity", BLUE, "normal incidence")
        angle = spectrum.parameters.get("angle_of_incidence_deg")
        for light, colour in (("s", RED), ("p", GREEN)):
            if f"reflectivity_{light}" in spectrum.values:
                curve(axes[3], spectrum, f"reflectivity_{light}", colour, f"{light}, {angle:g}°")
        axes[3].set_ylabel("reflectivity")
        axes[3].set_ylim(0, 1)
        curve(axes[4], spectrum, "loss", BLUE)
        axes[4].set_ylabel(r"$-\mathrm{Im}(1/\epsilon)$")
        for ax, name in ((axes[1], "eps_imag"), (axes[2], "extinction"), (axes[4], "loss")):
            values = spectrum.column(name)
            finish_axes(ax, spectrum, values.min(), values.max())
            ax.set_ylim(bottom=0.0)
        for ax in axes[:-1]:
            ax.set_xlabel("")
        axes[4].set_xlabel(WAVENUMBER)
        figure.align_ylabels(axes)
        if parts[0][2]:
            legend_above(axes[0], caption(spectrum))
            legend_above(axes[2], "below: mean over directions")
        else:
            write_title(axes[0], caption(spectrum))
            legend_above(axes[2])
        legend_above(axes[3])
        if peaks:
            mark_peaks(axes[1], spectrum, "eps_imag", clear=[f"eps_imag{suffix}" for suffix, _, _ in parts])
            mark_peaks(axes[4], spectrum, "loss")
    return figure


def plot_static(found: StaticDielectric, ax=None):
    """Draw the static dielectric constant from the run up to each time, with its standard error as a band.

    Parameters
    ----------
    found : StaticDielectric
    ax : matplotlib Axes, optional
        Axes to draw on. Default: those of a new figure.

    Returns
    -------
    matplotlib Axes
    """
    with styled():
        ax = axes_or_new(ax)
        low, high = found.running - found.running_error, found.running + found.running_error
        ax.fill_between(found.running_time, low, high, color=BLUE, alpha=BAND_ALPHA, linewidth=0)
        ax.plot(found.running_time, found.running, color=BLUE)
        ax.axhline(found.mean, color=GREY, linewidth=0.6, linestyle="--")
        floor = float(np.trace(found.eps_inf) / 3)
        ax.axhline(floor, color=RED, linewidth=0.8)
        ax.set_xlim(0, found.running_time[-1])
        ax.set_ylim(min(floor, low.min()) - 0.05 * np.ptp(high), high.max() + 0.1 * np.ptp(high) + 1e-9)
        ax.annotate(
            r"$\epsilon_\infty$" if floor > 1 else "vacuum",
            (found.running_time[-1], floor),
            xytext=(-2, 2),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=8,
            color=RED,
        )
        ax.set_xlabel("length of the run (ps)")
        ax.set_ylabel(r"static dielectric constant $\epsilon_0$")
        blocks = f"{found.blocks} blocks of {found.block_length:.3g} ps"
        error = rf" \pm {found.error:.2g}" if np.isfinite(found.error) else ""
        title = rf"$\epsilon_0 = {found.mean:.4g}{error}$, {blocks}"
        write_title(ax, title)
    return ax
