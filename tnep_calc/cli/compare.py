"""``tnep compare``: draw several spectra and a reference in one figure, and score them."""

from __future__ import annotations

import argparse

from ..errors import InputError
from ..spectra.comparison import ALIGNMENTS

EPILOG = """\
Draws spectra written by 'tnep ir', 'tnep raman' or 'tnep dielectric' (text, HDF5 or JSON) on one scale, to compare
temperatures, isotopes, models or geometries. With --reference, each spectrum is scored against the reference, which
is a file of two columns (cm^-1, intensity) or another spectrum of this program.

example:
  tnep compare ir-100K.txt ir-300K.txt ir-500K.txt --labels 100K 300K 500K --layout waterfall --plot ir.png
  tnep compare model.txt --reference measured.csv --align shift --plot comparison.pdf --html comparison.html
"""

LAYOUTS = ("overlay", "panels", "waterfall")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``tnep compare``."""
    parser.epilog = EPILOG
    parser.add_argument("spectra", nargs="+", metavar="FILE", help="spectra written by this program")
    parser.add_argument(
        "--column", metavar="NAME", help="column to draw (default: the first that all of the spectra have)"
    )
    parser.add_argument(
        "--labels",
        nargs="+",
        metavar="TEXT",
        help="names of the spectra in the figure (default: file names, with directions, temperatures, ... that differ)",
    )
    parser.add_argument(
        "--layout", choices=LAYOUTS, default="overlay", help="layout of the figure (default: %(default)s)"
    )
    parser.add_argument("--reference", metavar="FILE", help="two columns (cm^-1, intensity), or a spectrum")
    parser.add_argument(
        "--align",
        choices=ALIGNMENTS,
        default="none",
        help="shift or scale the wavenumbers to the best overlap before scoring (default: %(default)s)",
    )
    parser.add_argument("--min", type=float, metavar="CM-1", dest="low", help="first wavenumber")
    parser.add_argument("--max", type=float, metavar="CM-1", dest="high", help="last wavenumber")
    parser.add_argument("--plot", metavar="FILE", help="figure to write (.png, .pdf or .svg)")
    parser.add_argument("--html", metavar="FILE.html", help="interactive figure to write (works without a network)")
    parser.add_argument("--force", action="store_true", help="overwrite output files")


def run(args: argparse.Namespace) -> None:
    """Score the spectra and draw the figures."""
    from pathlib import Path

    from ..io.files import check_output
    from ..io.series.reference import read_reference
    from ..io.series.spectrum_store import load_spectrum
    from ..plotting.comparison import names_with_conditions
    from ..plotting.interactive import check_html_name
    from ..plotting.style import check_figure_name
    from ..spectra.comparison import compare

    if not (args.plot or args.html or args.reference):
        raise InputError("nothing to do: give --plot, --html or --reference")
    if args.plot:
        check_figure_name(args.plot)
    if args.html:
        check_html_name(args.html)
    for path in filter(None, (args.plot, args.html)):
        check_output(path, args.force, [*args.spectra, *filter(None, [args.reference])])
    spectra = [load_spectrum(path) for path in args.spectra]
    if args.low is not None or args.high is not None:
        low, high = args.low or 0.0, float("inf") if args.high is None else args.high
        spectra = [spectrum.between(low, high) for spectrum in spectra]
    labels = args.labels or [Path(path).stem for path in args.spectra]
    if len(labels) != len(spectra):
        raise InputError(f"--labels needs one label per spectrum: expected {len(spectra)}, got {len(labels)}")
    column = args.column or next((n for n in spectra[0].values if all(n in s.values for s in spectra)), None)
    if column is None:
        raise InputError("these spectra have no column in common")
    units = {spectrum.units[column] for spectrum in spectra if spectrum.column(column) is not None}
    if len(units) > 1:
        raise InputError(f"column '{column}' has different units: {', '.join(sorted(units))}")
    found = []
    if args.reference:
        reference = read_reference(args.reference)
        for label, spectrum in zip(labels, spectra, strict=True):
            found.append(compare(spectrum, column, reference, align=args.align))
            print(f"{label}: {found[-1].describe()}")
            names = ("overlap", "rms", "factor", "shift", "scale", "pairs")
            args.numbers[label] = {name: getattr(found[-1], name) for name in names}
            for own, other in found[-1].pairs:
                print(f"  {own:9.2f} cm^-1   reference {other:9.2f}   difference {own - other:+.2f}")
    first = found[0] if found else None
    shown = args.labels or names_with_conditions(spectra, labels)
    name = Path(args.reference).name if args.reference else ""
    if args.plot:
        import matplotlib

        matplotlib.use("Agg")
        from ..plotting.comparison import plot_comparison, plot_spectra
        from ..plotting.style import save_figure

        if first is not None and len(spectra) == 1:
            figure = plot_comparison(spectra[0], column, first, name)
        else:
            figure = plot_spectra(spectra, [column] * len(spectra), shown, args.layout, first, name)
        save_figure(figure, args.plot, args.force)
    if args.html:
        from ..plotting.interactive import save_interactive

        save_interactive(args.html, spectra, [[column]] * len(spectra), shown, first, name, args.force)
    written = " and ".join(filter(None, (args.plot, args.html)))
    if written:
        print(f"wrote {written}")
