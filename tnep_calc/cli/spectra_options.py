"""What ``tnep ir``, ``tnep raman`` and ``tnep dielectric`` have in common."""

from __future__ import annotations

import argparse

from ..errors import InputError
from ..spectra.comparison import ALIGNMENTS
from ..spectra.estimate import FINEST
from ..spectra.fits import SHAPES
from ..spectra.windows import WINDOWS

ROUTES = ("dipole", "current")
"""Quantities of a series that the dielectric response can be computed from."""

PEAKS_SHOWN = 12

LARGEST_SPREAD = 0.05
"""Largest relative standard deviation of the volume of a run at constant pressure."""

CROWDED = 0.6
"""Nyquist load (see :func:`tnep_calc.spectra.correlation.nyquist_load`) from which on the user is told."""


def add_spectrum_arguments(parser: argparse.ArgumentParser) -> None:
    """Add input, output, and the options of the estimator."""
    parser.add_argument(
        "series",
        nargs="+",
        metavar="FILE.h5",
        help="time series written by 'tnep series'; several, one per model of an ensemble, give the mean spectrum with "
        "the spread of the models as a band",
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="spectrum to write (.txt: table; .h5, .json: with what error bars are made of)",
    )
    parser.add_argument("--plot", metavar="FILE", help="figure to write (.png, .pdf or .svg)")
    parser.add_argument("--temperature", type=float, metavar="K", help="temperature in K (default: that of the series)")
    parser.add_argument(
        "--resolution",
        type=float,
        metavar="CM-1",
        help="full width at half maximum, in cm^-1, of an infinitely sharp mode (default: 10, or coarser for a short "
        "run, so that there are four blocks for the error bars)",
    )
    parser.add_argument(
        "--window",
        choices=WINDOWS,
        default="gaussian",
        help="lag window; hann is shorter for the same resolution, but has small negative side lobes "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--blocks",
        type=int,
        metavar="N",
        help="number of blocks for the error bars, 0: none (default: up to 20, each at least two windows long)",
    )
    parser.add_argument("--skip", type=float, default=0.0, metavar="PS", help="leave out the first ps of each piece")
    parser.add_argument(
        "--max",
        type=float,
        default=4500.0,
        metavar="CM-1",
        dest="max_wavenumber",
        help="last wavenumber in cm^-1 (default: %(default)g, at most the Nyquist wavenumber)",
    )
    parser.add_argument(
        "--fit", choices=SHAPES, help="fit this line shape to the peaks: position, width and area with error bars"
    )
    parser.add_argument(
        "--reference",
        metavar="FILE",
        help="spectrum to compare with: two columns (cm^-1, intensity) or one of this program; drawn and scored",
    )
    parser.add_argument(
        "--align",
        choices=ALIGNMENTS,
        default="none",
        help="before the score, shift the wavenumbers, or scale them, to the best overlap (default: %(default)s)",
    )
    parser.add_argument("--html", metavar="FILE.html", help="interactive figure to write (works without a network)")
    parser.add_argument("--force", action="store_true", help="overwrite output files")


def add_route_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--route``."""
    parser.add_argument(
        "--route", choices=ROUTES, help="what to compute from (default: the dipole, or the current if there is none)"
    )


def chosen_route(args: argparse.Namespace) -> str:
    """Return the route: that of the user, else the dipole, else the current where the series has no dipole."""
    from ..io.series.timeseries import read_timeseries

    if args.route:
        return args.route
    series = read_timeseries(args.series[0])
    return "current" if series.dipole is None and series.current is not None else "dipole"


def load_series(args: argparse.Namespace, quantity: str):
    """Yield the path, the series, the wanted quantity, and the temperature of every member of an ensemble.

    The output names are checked before any work.
    """
    from pathlib import Path

    from ..io.files import check_output
    from ..io.series.timeseries import read_timeseries
    from ..plotting.interactive import check_html_name
    from ..plotting.style import check_figure_name

    if args.plot:
        check_figure_name(args.plot)
    if args.html:
        check_html_name(args.html)
    more = (getattr(args, option, None) for option in ("static", "parts"))
    for path in filter(None, (args.output, args.plot, args.html, *more)):
        check_output(path, args.force)
        for source in args.series:
            if Path(path).resolve() == Path(source).resolve():
                raise InputError(f"{path} is the series that is read; give another name for the output")
    if not args.skip >= 0:
        raise InputError(f"--skip must not be negative, got {args.skip:g} ps")
    for path in args.series:
        series = read_timeseries(path)
        sampled = getattr(series, quantity)
        if sampled is None:
            raise InputError(f"{path} holds no {quantity}; add its file to 'tnep series'")
        temperature = series.temperature if args.temperature is None else args.temperature
        if temperature is None:
            raise InputError(f"{path} does not say the temperature of the simulation: add --temperature K")
        if series.temperature is not None and temperature != series.temperature:
            print(f"note: {temperature:g} K is used, {path} says {series.temperature:g} K")
        yield path, series, sampled, temperature


def volume_of(args: argparse.Namespace, path: str, series) -> float:
    """Return the volume (Å³) of a series, or that of ``--volume``; a cell that changes much is refused.

    Raises
    ------
    InputError
        If the volume is not known, or changes by more than 5 % along the run.
    """
    if args.volume is not None:
        return args.volume
    if series.volume is None:
        raise InputError(f"{path} does not say the volume of the cell: add --volume A3")
    if series.volume_spread > LARGEST_SPREAD:
        raise InputError(
            f"{path}: the volume changes by {100 * series.volume_spread:.2g} % (standard deviation) along this run at "
            "constant pressure; the fluctuation formulas are those of a nearly fixed cell (at most 5 %): run at the "
            "average cell, or give --volume"
        )
    if series.volume_spread:
        print(
            f"note: constant pressure: the mean volume, {series.volume:.6g} A^3, is used; it changes by "
            f"{100 * series.volume_spread:.2g} % (standard deviation)"
        )
    return series.volume


def dipole_pieces(args: argparse.Namespace, path: str, series, sampled) -> list:
    """Return the pieces of a dipole, on one branch of the polarization if ``--unwrap`` asks for it.

    In a run at constant pressure each frame has its own cell, and so its own quantum of polarization.
    """
    from ..spectra import align_branches, unwrap_dipole

    pieces = sampled.pieces(args.skip)
    if not args.unwrap:
        return pieces
    if series.cell is None:
        raise InputError(f"{path} does not know the cell: make it again with 'tnep series --cell'")
    if series.cell.ndim == 2:
        return align_branches([unwrap_dipole(piece, series.cell) for piece in pieces], series.cell)
    if len(pieces) > 1 or len(series.cell) != len(sampled.values):
        raise InputError(f"{path}: --unwrap of a run at constant pressure needs one uninterrupted piece")
    return [unwrap_dipole(pieces[0], series.cell[-len(pieces[0]) :])]


def provenance(path: str, sampled) -> dict[str, str]:
    """Return what a spectrum says about its series."""
    from ..io.files import sha256

    said = sampled.provenance
    return {
        "series": path,
        "series_sha256": sha256(path),
        "source": said.get("source", ""),
        "source_sha256": said.get("source_sha256", ""),
    }


def describe(spectrum, args: argparse.Namespace, members: int) -> None:
    """Print what a spectrum rests on: samples, resolution, blocks, and what to be careful about."""
    parameters = spectrum.parameters
    pieces = parameters["pieces"]
    print(
        f"{parameters['samples']} samples every {parameters['sampling_interval_fs']:g} fs "
        f"({parameters['length_ps']:g} ps, {pieces} piece{'s' * (pieces > 1)}), {parameters['temperature_K']:g} K"
    )
    short = args.resolution is None and parameters["resolution_fwhm_cm-1"] > FINEST
    print(
        f"resolution {parameters['resolution_fwhm_cm-1']:g} cm^-1: {parameters['window']} window, "
        f"{parameters['window_length_ps']:.3g} ps long" + " (chosen for this short run; --resolution sets it)" * short
    )
    if parameters["blocks"]:
        print(f"standard errors from {parameters['blocks']} blocks of {parameters['block_length_ps']:.3g} ps")
    elif args.blocks is None:
        print("note: no error bars, as the series is shorter than two blocks of two windows each")
    if members > 1:
        print(f"mean over {members} models, with their standard deviation in the columns '*_spread'")
    if parameters["nyquist_load"] > CROWDED:
        print(
            f"note: much of the motion is close to the Nyquist wavenumber, {parameters['nyquist_cm-1']:.0f} cm^-1; "
            "faster vibrations would be folded into the spectrum (rounded values look alike): sample more often"
        )


def print_peaks(spectrum, name: str, shape: str | None, title: str = "peaks") -> None:
    """Print the peaks of a column that are more than noise, fitted if a line shape is given."""
    from ..spectra.fits import fit_peaks
    from ..spectra.peaks import has_blocks, visible_peaks

    unit = spectrum.units[name]
    tested = has_blocks(spectrum, name)
    peaks = visible_peaks(spectrum, name)[:PEAKS_SHOWN]
    which = "significant against the noise" if tested else "not tested against noise: no error bars"
    if not peaks:
        print(f"no {title} of {name} are {which}")
        return
    if shape is None:
        print(f"{title} of {name} ({unit}), {which}:")
        for peak in peaks:
            at = abs(spectrum.wavenumber - peak.position).argmin()
            error = f" +- {spectrum.errors[name][at]:.2g}" if name in spectrum.errors else ""
            error += f" +- {spectrum.spreads[name][at]:.2g} (models)" if name in spectrum.spreads else ""
            print(f"  {peak.position:9.2f} cm^-1  {peak.height:.4g}{error}")
        return
    fitted = fit_peaks(spectrum, name, shape, [peak.position for peak in peaks])
    print(f"{title} of {name} fitted with {shape} lines (position, width, area):")
    for fit in fitted:
        print(
            f"  {fit.position:9.2f} +- {fit.position_error:.2g} cm^-1   {fit.width:8.2f} +- {fit.width_error:.2g} cm^-1"
            f"   {fit.area:.4g} +- {fit.area_error:.2g}"
        )
    keys = ("position", "width", "area", "position_error", "width_error", "area_error")
    spectrum.parameters[f"fit_{name}"] = {
        "shape": shape,
        "peaks": [{key: getattr(fit, key) for key in keys} for fit in fitted],
    }


def finish(
    args: argparse.Namespace,
    spectra: list,
    main_column: str,
    plot,
    shown: list[str] | None = None,
    more_peaks: dict[str, str] | None = None,
) -> None:
    """Combine the spectra of the members, write table and figures, and print what was found.

    Parameters
    ----------
    args : Namespace
    spectra : list of Spectrum
        One per member of an ensemble.
    main_column : str
        Column whose peaks are printed and which is compared with the reference.
    plot : callable
        ``plot(spectrum) -> Axes or Figure``.
    shown : list of str, optional
        Columns of the interactive figure; None: the main column.
    more_peaks : dict, optional
        Other columns whose peaks are printed, and what these are called.
    """
    from pathlib import Path

    from ..io.series.spectrum_store import save_spectrum
    from ..spectra import combine_members
    from .series import command_line

    spectrum = combine_members(spectra)
    parameters = spectrum.parameters
    parameters["command"] = command_line(args)
    if len(spectra) > 1:
        for key in ("series", "series_sha256", "source", "source_sha256"):
            parameters[key] = [member.parameters[key] for member in spectra]
    describe(spectrum, args, len(spectra))
    for name, title in {main_column: "peaks", **(more_peaks or {})}.items():
        print_peaks(spectrum, name, args.fit, title)
    comparison = None
    if args.reference:
        from ..io.series.reference import read_reference
        from ..spectra.comparison import compare

        comparison = compare(spectrum, main_column, read_reference(args.reference), align=args.align)
        print(comparison.describe())
        for own, other in comparison.pairs:
            print(f"  {own:9.2f} cm^-1   reference {other:9.2f}   difference {own - other:+.2f}")
        parameters["reference"] = {
            "file": args.reference,
            "overlap": comparison.overlap,
            "factor": comparison.factor,
            "shift_cm-1": comparison.shift,
            "scale": comparison.scale,
        }
    save_spectrum(args.output, spectrum, args.force)
    if args.plot:
        import matplotlib

        matplotlib.use("Agg")
        from ..plotting.comparison import plot_comparison
        from ..plotting.style import save_figure

        if comparison is None:
            drawn = plot(spectrum)
        else:
            drawn = plot_comparison(spectrum, main_column, comparison, Path(args.reference).name)
        save_figure(drawn.get_figure(root=True) if hasattr(drawn, "get_xlim") else drawn, args.plot, args.force)
    if args.html:
        from ..plotting.interactive import save_interactive

        columns = shown or [main_column]
        label = Path(args.reference or "").name
        save_interactive(args.html, [spectrum], [columns], [""], comparison, label, args.force)
    print("wrote " + " and ".join(filter(None, (args.output, args.plot, args.html))))
