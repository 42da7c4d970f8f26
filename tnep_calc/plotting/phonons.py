"""Figures of lattice dynamics: bands, LO-TO against angle, infrared, dielectric function, reflectivity, Raman."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..phonons.analysis import Analysis
from ..phonons.bands import Bands, DensityOfStates
from ..phonons.infrared import intensities
from ..phonons.loto import AngleScan
from ..phonons.modes import GammaModes
from ..phonons.raman import activity, invariants
from ..phonons.raman_crystal import PolarizationScan
from ..spectra.record import Spectrum
from .labels import label_points, staggered, width_of
from .style import BLUE, GREEN, GREY, ORANGE, RED, WIDTH, axes_or_new, styled

WAVENUMBER = r"wavenumber (cm$^{-1}$)"
_AXES = {"x": BLUE, "y": GREEN, "z": RED, "average": GREY}
LABEL_REACH = 0.012
"""Half width of the label of a mode, relative to the axis; it stands above all sticks within it."""
_ELEMENTS = (BLUE, RED, GREEN, ORANGE)


def _pretty(label: str) -> str:
    return label.replace("GAMMA", "Γ").replace("DELTA", "Δ").replace("SIGMA", "Σ").replace("LAMBDA", "Λ")


def plot_bands(bands: Bands, dos: DensityOfStates | None = None):
    """Return a figure of the bands and, if given, of the density of states; imaginary frequencies are negative."""
    from matplotlib import pyplot

    with styled():
        if dos is None:
            figure, left = pyplot.subplots(figsize=(WIDTH, 3.4))
        else:
            figure, (left, right) = pyplot.subplots(
                1, 2, figsize=(WIDTH + 1.2, 3.4), sharey=True, gridspec_kw={"width_ratios": (3.6, 1)}
            )
        ticks: list[float] = []
        labels: list[str] = []
        for distance, values, (start, end) in zip(bands.distances, bands.wavenumbers, bands.ends, strict=True):
            left.plot(distance, values, color=BLUE, linewidth=0.9)
            if ticks and abs(ticks[-1] - distance[0]) < 1e-9:
                if labels[-1] != _pretty(start):
                    labels[-1] += "|" + _pretty(start)
            else:
                ticks.append(float(distance[0]))
                labels.append(_pretty(start))
            ticks.append(float(distance[-1]))
            labels.append(_pretty(end))
        for x in ticks[1:-1]:
            left.axvline(x, color=GREY, linewidth=0.5)
        left.axhline(0, color=GREY, linewidth=0.5)
        left.set(xlim=(ticks[0], ticks[-1]), ylabel=WAVENUMBER)
        figure.draw_without_rendering()  # sets the width of the axes
        scale = width_of(left) / (ticks[-1] - ticks[0])
        left.set_xticks(ticks, staggered(scale * np.array(ticks), labels, 9.0))
        left.tick_params(axis="x", length=0, which="both")
        low = min(0.0, min(float(values.min()) for values in bands.wavenumbers))
        high = max(float(values.max()) for values in bands.wavenumbers)
        left.set_ylim(low - (0.05 * high if low < -1 else 0), 1.05 * high)
        if dos is not None:
            right.fill_betweenx(dos.wavenumbers, 0, dos.total, color=GREY, alpha=0.15, linewidth=0)
            right.plot(dos.total, dos.wavenumbers, color=GREY, linewidth=0.8, label="total")
            for (name, part), colour in zip(dos.elements.items(), _ELEMENTS * 4, strict=False):
                right.plot(part, dos.wavenumbers, color=colour, linewidth=0.9, label=name)
            right.set(xlim=(0, None), xlabel="DOS (1/cm$^{-1}$)")
            right.set_xticks([])
            right.legend(loc="best", fontsize=7, handlelength=1.2)
    return figure


def plot_angle_scan(scan: AngleScan, start: str = "", end: str = ""):
    """Return a figure of the modes at q -> 0 against the angle of q, with the longitudinal share as colour.

    Imaginary modes are negative.

    Parameters
    ----------
    scan : AngleScan
    start, end : str
        Names of the first and the last direction, for the axis label.
    """
    from matplotlib import pyplot

    with styled():
        figure, ax = pyplot.subplots()
        for k in range(scan.wavenumbers.shape[1]):
            if np.abs(scan.wavenumbers[:, k]).max() < 1:
                continue
            ax.plot(scan.angles, scan.wavenumbers[:, k], color=GREY, linewidth=0.6, zorder=1)
        optical = np.abs(scan.wavenumbers) > 1
        x = np.broadcast_to(scan.angles[:, None], scan.wavenumbers.shape)
        points = ax.scatter(
            x[optical],
            scan.wavenumbers[optical],
            c=scan.longitudinal[optical],
            cmap="viridis_r",
            vmin=0,
            vmax=1,
            s=9,
            linewidths=0,
            zorder=2,
        )
        figure.colorbar(points, ax=ax, label="longitudinal share", pad=0.02)
        ax.set(
            xlim=(scan.angles[0], scan.angles[-1]),
            ylabel=WAVENUMBER,
            xlabel=f"angle of q{f', from {start} to {end}' if start else ''} (degrees)",
        )
    return figure


def _label_modes(ax, modes: GammaModes, strengths: np.ndarray, threshold: float = 0.02, most: int = 12):
    """Write irreps above the sticks of the strongest degenerate sets."""
    order = [k for k in np.argsort(-strengths) if strengths[k] > threshold * strengths.max()][:most]
    order = [k for k in order if modes.labels[k]]
    places = np.array([modes.wavenumbers[group[0]] for group in modes.sets])
    reach = LABEL_REACH * np.ptp(ax.get_xlim())
    roofs = [strengths[np.abs(places - places[k]) <= reach].max() for k in order]
    label_points(ax, places[order], roofs, [_mulliken(modes.labels[k]) for k in order], GREY)


def _mulliken(label: str) -> str:
    return f"${label[0]}_{{{label[1:]}}}$" if len(label) > 1 else f"${label}$"


def _with_sticks():
    """Return a figure and its two axes: the upper for curves, the lower for sticks of modes."""
    from matplotlib import pyplot

    return pyplot.subplots(2, 1, sharex=True, figsize=(WIDTH, 3.8), gridspec_kw={"height_ratios": (2.2, 1)})


def _draw_sticks(ax, modes: GammaModes, strengths: np.ndarray, label: str):
    """Draw a stick for each degenerate set, with irreps above the strongest ones."""
    use = [k for k in modes.optical_sets if strengths[k] > 1e-6 * strengths.max()]
    ax.vlines([modes.wavenumbers[modes.sets[k][0]] for k in use], 0, strengths[use], color=RED, linewidth=1.5)
    ax.set(xlabel=WAVENUMBER, ylabel=label, ylim=(0, 1.05 * strengths.max()))
    _label_modes(ax, modes, np.where(np.isin(np.arange(len(strengths)), use), strengths, 0.0))


def plot_infrared_modes(analysis: Analysis, modes: GammaModes, dynamics: Spectrum | None = None):
    """Return a figure of the absorption n·alpha, averaged over directions, and the intensities of the modes in km/mol.

    `dynamics`, an infrared spectrum from molecular dynamics, is drawn too if given.
    """
    with styled():
        figure, (ax, sticks) = _with_sticks()
        spectrum = analysis.infrared["average"]
        ax.fill_between(spectrum.wavenumber, spectrum.values["absorption"], color=BLUE, alpha=0.15, linewidth=0)
        ax.plot(spectrum.wavenumber, spectrum.values["absorption"], color=BLUE, label="harmonic modes")
        if dynamics is not None:
            ax.plot(dynamics.wavenumber, dynamics.column("absorption"), color=ORANGE, label="molecular dynamics")
            ax.legend(loc="upper left")
        ax.set(ylabel=r"$n\alpha$ (cm$^{-1}$)", ylim=(0, None), xlim=(0, spectrum.wavenumber[-1]))
        _draw_sticks(sticks, modes, modes.of_sets(intensities(analysis.charges, "km/mol")), "km/mol")
    return figure


def plot_modes_dielectric(analysis: Analysis):
    """Return a figure of the real and the imaginary part of eps(w) and of the loss function for each principal axis."""
    from matplotlib import pyplot

    with styled():
        figure, axes = pyplot.subplots(3, 1, sharex=True, figsize=(WIDTH, 4.6))
        for name, spectrum in _by_axis(analysis):
            for ax, column in zip(axes, ("eps_real", "eps_imag", "loss"), strict=True):
                ax.plot(spectrum.wavenumber, spectrum.values[column], color=_AXES.get(name, BLUE), label=_name(name))
        axes[0].axhline(0, color=GREY, linewidth=0.5)
        labels = (r"$\epsilon'$", r"$\epsilon''$", r"$-\mathrm{Im}(1/\epsilon)$")
        for ax, label in zip(axes, labels, strict=True):
            ax.set(ylabel=label)
        for ax in axes[1:]:
            ax.set(ylim=(0, None))
        axes[-1].set(xlabel=WAVENUMBER, xlim=(0, spectrum.wavenumber[-1]))
        if len(_by_axis(analysis)) > 1:
            axes[0].legend(ncols=3)
    return figure


def _by_axis(analysis):
    found = [(name, spectrum) for name, spectrum in analysis.infrared.items() if name != "average"]
    return found or list(analysis.infrared.items())


def _name(name: str) -> str:
    return f"E ∥ {name}" if name != "average" else name


def plot_reflectivity(analysis: Analysis, ax=None):
    """Draw the reflectivity at normal incidence for each principal axis, and return the figure."""
    with styled():
        ax = axes_or_new(ax)
        curves = _by_axis(analysis)
        for name, spectrum in curves:
            ax.plot(
                spectrum.wavenumber, spectrum.values["reflectivity"], color=_AXES.get(name, BLUE), label=_name(name)
            )
        ax.set(xlabel=WAVENUMBER, ylabel="reflectivity", ylim=(0, 1), xlim=(0, curves[0][1].wavenumber[-1]))
        if len(curves) > 1:
            ax.legend()
    return ax.figure


def plot_raman_modes(analysis: Analysis, modes: GammaModes, dynamics: Spectrum | None = None):
    """Return a figure of the Raman spectrum of a powder (VV, VH) and the activities of the TO modes.

    `dynamics`, a Raman spectrum from molecular dynamics, is drawn too if given, scaled to the same maximum.
    """
    raman = analysis.raman
    if raman is None:
        raise InputError("there is no Raman spectrum, because the calculation has no polarizability derivatives")
    with styled():
        figure, (ax, sticks) = _with_sticks()
        scale = 1 / max(raman.values["VV"].max(), raman.values["VH"].max(), 1e-30)
        for name, colour in (("VV", BLUE), ("VH", ORANGE)):
            ax.plot(raman.wavenumber, scale * raman.values[name], color=colour, label=name)
        if dynamics is not None:
            values = dynamics.column("VV")
            inside = dynamics.wavenumber <= raman.wavenumber[-1]
            ax.plot(
                dynamics.wavenumber,
                values / values[inside].max() * scale * raman.values["VV"].max(),
                color=GREEN,
                linestyle="--",
                label="VV, molecular dynamics (scaled)",
            )
        ax.set(ylabel="Raman intensity (relative)", ylim=(0, 1.08), xlim=(0, raman.wavenumber[-1]))
        ax.legend(loc="upper left")
        _draw_sticks(sticks, modes, modes.of_sets(activity(invariants(analysis.tensors))), "activity (Å$^4$/amu)")
    return figure


def plot_polarization_scan(scan: PolarizationScan):
    """Return a figure with a polar plot for each mode: intensity against the angle of the polarization.

    HH and HV have the same scale in a panel; its outer circle is the larger maximum, which the title gives.
    """
    from matplotlib import pyplot

    sets = scan.scattering_sets
    if not sets:
        raise InputError("no mode scatters in this geometry")
    with styled():
        columns = min(len(sets), 4)
        rows = -(-len(sets) // columns)
        figure, axes = pyplot.subplots(
            rows, columns, figsize=(1.9 * columns, 2.2 * rows), subplot_kw={"projection": "polar"}, squeeze=False
        )
        for ax in axes.ravel()[len(sets) :]:
            ax.set_axis_off()
        for k, ax in zip(sets, axes.ravel(), strict=False):
            top = max(scan.parallel[:, k].max(), scan.crossed[:, k].max())
            for values, colour, label, style in ((scan.parallel, BLUE, "HH", "-"), (scan.crossed, ORANGE, "HV", "--")):
                ax.plot(np.radians(scan.angles), values[:, k] / top, color=colour, label=label, linestyle=style)
            wavenumber = scan.modes.wavenumbers[list(scan.modes.sets[k])].mean()
            ax.set_title(f"{wavenumber:.1f} cm$^{{-1}}$\nmax. {top:.3g}", fontsize=7)
            ax.set(ylim=(0, 1.05), yticks=(0.5, 1.0), xticks=np.radians(np.arange(0, 360, 45)))
            ax.set_yticklabels([])
            ax.tick_params(labelsize=6, pad=-3)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=7)
    return figure
