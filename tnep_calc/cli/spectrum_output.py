"""Options and output shared by all commands that write a spectrum: file, figures, peaks, and a reference."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..spectra.comparison import ALIGNMENTS
from ..spectra.fits import SHAPES

PEAKS_SHOWN = 12
"""Largest number of peaks that are printed."""


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the names of the output files, ``--fit``, and the options of the reference."""
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="spectrum to write (.txt: table; .h5, .json: also the blocks behind the error bars)",
    )
    parser.add_argument("--plot", metavar="FILE", help="figure to write (.png, .pdf or .svg)")
    parser.add_argument(
        "--fit", choices=SHAPES, help="fit lines of this shape to the peaks, and print position, width and area"
    )
    parser.add_argument(
        "--reference",
        metavar="FILE",
        help="spectrum to draw and to score against: two columns (cm^-1, intensity), or a spectrum of this program",
    )
    parser.add_argument(
        "--align",
        choices=ALIGNMENTS,
        default="none",
        help="shift or scale the wavenumbers to the best overlap before scoring (default: %(default)s)",
    )
    parser.add_argument("--html", metavar="FILE.html", help="interactive figure to write (works without a network)")
    parser.add_argument("--force", action="store_true", help="overwrite output files")


def check_outputs(args: argparse.Namespace, sources: Sequence[str]) -> None:
    """Raise InputError if an output has a wrong name, exists (without ``--force``), or is used twice."""
    from ..io.files import check_output
    from ..plotting.interactive import check_html_name
    from ..plotting.style import check_figure_name

    names = ("output", "plot", "html", "static", "parts", "modes")
    paths = {name: getattr(args, name) for name in names if getattr(args, name, None)}
    for name in ("plot", "static"):
        if name in paths:
            check_figure_name(paths[name])
    if args.html:
        check_html_name(args.html)
    seen: dict[Path, str] = {}
    for name, path in paths.items():
        resolved = check_output(path, args.force, sources).resolve()
        if resolved in seen:
            raise InputError(f"{path} is the file of both --{seen[resolved]} and --{name}: give two names")
        seen[resolved] = name


def print_peaks(spectrum, name: str, shape: str | None, title: str = "peaks") -> list[dict[str, float]]:
    """Print the significant peaks of a column; with a line shape, fit them and store the fits with the spectrum.

    Returns
    -------
    list of dict
        ``position`` (cm^-1) and ``height`` of each peak, or the parameters of its fit and their errors.
    """
    from ..spectra.fits import fit_peaks
    from ..spectra.peaks import has_blocks, visible_peaks

    unit = spectrum.units[name]
    tested = has_blocks(spectrum, name)
    peaks = visible_peaks(spectrum, name)[:PEAKS_SHOWN]
    which = "significant against the noise" if tested else "not tested against noise: no error bars"
    if not peaks:
        print(f"no {title} of {name} are {which}")
        return []
    if shape is None:
        print(f"{title} of {name} ({unit}), {which}:")
        for peak in peaks:
            at = abs(spectrum.wavenumber - peak.position).argmin()
            error = f" +- {spectrum.errors[name][at]:.2g}" if name in spectrum.errors else ""
            error += f" +- {spectrum.spreads[name][at]:.2g} (models)" if name in spectrum.spreads else ""
            print(f"  {peak.position:9.2f} cm^-1  {peak.height:.4g}{error}")
        return [{"position": peak.position, "height": peak.height} for peak in peaks]
    fitted = fit_peaks(spectrum, name, shape, [peak.position for peak in peaks])
    print(f"{title} of {name} fitted with {shape} lines (position, width, area{'' if tested else '; no error bars'}):")
    for fit in fitted:
        errors = (fit.position_error, fit.width_error, fit.area_error)
        position, width, area = (f" +- {error:.2g}" if tested else "" for error in errors)
        print(f"  {fit.position:9.2f}{position} cm^-1   {fit.width:8.2f}{width} cm^-1   {fit.area:.4g}{area}")
    keys = ("position", "width", "area", "position_error", "width_error", "area_error")
    found = [{key: getattr(fit, key) for key in keys} for fit in fitted]
    spectrum.parameters[f"fit_{name}"] = {"shape": shape, "peaks": found}
    return found


def write_results(
    args: argparse.Namespace,
    spectrum,
    main_column: str,
    plot,
    shown: list[str] | None = None,
    more_peaks: dict[str, str] | None = None,
) -> None:
    """Print the peaks and the score of a spectrum, and write it with its figures.

    Parameters
    ----------
    args : Namespace
        With the options of :func:`add_output_arguments`.
    spectrum : Spectrum
    main_column : str
        Column whose peaks are printed and that is compared with the reference.
    plot : callable
        ``plot(spectrum) -> Axes or Figure``.
    shown : list of str, optional
        Columns of the interactive figure (default: the main column).
    more_peaks : dict of str to str, optional
        Other columns whose peaks are printed, and the name of those peaks in the output.
    """
    from ..io.series.spectrum_store import save_spectrum

    for name, title in {main_column: "peaks", **(more_peaks or {})}.items():
        peaks = print_peaks(spectrum, name, args.fit, title)
        args.numbers.setdefault("peaks", {})[name] = {"unit": spectrum.units[name], "peaks": peaks}
    comparison = None
    if args.reference:
        from ..io.series.reference import read_reference
        from ..spectra.comparison import compare

        comparison = compare(spectrum, main_column, read_reference(args.reference), align=args.align)
        print(comparison.describe())
        for own, other in comparison.pairs:
            print(f"  {own:9.2f} cm^-1   reference {other:9.2f}   difference {own - other:+.2f}")
        spectrum.parameters["reference"] = {
            "file": args.reference,
            "overlap": comparison.overlap,
            "factor": comparison.factor,
            "shift_cm-1": comparison.shift,
            "scale": comparison.scale,
        }
    args.numbers["parameters"] = spectrum.parameters
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
