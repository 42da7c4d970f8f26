"""What ``tnep ir`` and ``tnep raman`` have in common."""

from __future__ import annotations

import argparse

from ..errors import InputError
from ..spectra.windows import WINDOWS

PEAKS_SHOWN = 8

CROWDED = 0.6
"""Nyquist load (see :func:`tnep_calc.spectra.correlation.nyquist_load`) from which on the user is told."""


def add_spectrum_arguments(parser: argparse.ArgumentParser) -> None:
    """Add input, output, and the options of the estimator."""
    parser.add_argument("series", metavar="FILE.h5", help="time series written by 'tnep series'")
    parser.add_argument("-o", "--output", required=True, metavar="FILE.txt", help="spectrum to write (text table)")
    parser.add_argument("--plot", metavar="FILE", help="figure to write (.png, .pdf or .svg)")
    parser.add_argument("--temperature", type=float, metavar="K", help="temperature in K (default: that of the series)")
    parser.add_argument(
        "--resolution", type=float, default=10.0, metavar="CM-1",
        help="full width at half maximum, in cm^-1, of an infinitely sharp mode (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--window", choices=WINDOWS, default="gaussian",
        help="lag window; hann is shorter for the same resolution, but has small negative side lobes "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--blocks", type=int, metavar="N",
        help="number of blocks for the error bars, 0: none (default: up to 20, each at least two windows long)",
    )  # fmt: skip
    parser.add_argument("--skip", type=float, default=0.0, metavar="PS", help="leave out the first ps of each piece")
    parser.add_argument(
        "--max", type=float, default=4500.0, metavar="CM-1", dest="max_wavenumber",
        help="last wavenumber in cm^-1 (default: %(default)g, at most the Nyquist wavenumber)",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="overwrite output files")


def load_series(args: argparse.Namespace, quantity: str):
    """Return the series, the wanted quantity, and the temperature; check the output names before any work."""
    from ..io.files import check_output
    from ..io.timeseries import read_timeseries
    from ..plotting.style import check_figure_name

    if args.plot:
        check_figure_name(args.plot)
    for path in filter(None, (args.output, args.plot)):
        check_output(path, args.force)
    series = read_timeseries(args.series)
    sampled = getattr(series, quantity)
    if sampled is None:
        raise InputError(f"{args.series} holds no {quantity}; add its file to 'tnep series'")
    if not args.skip >= 0:
        raise InputError(f"--skip must not be negative, got {args.skip:g} ps")
    temperature = series.temperature if args.temperature is None else args.temperature
    if temperature is None:
        raise InputError(f"{args.series} does not say the temperature of the simulation: add --temperature K")
    if series.temperature is not None and temperature != series.temperature:
        print(f"note: {temperature:g} K is used, the series says {series.temperature:g} K")
    return series, sampled, temperature


def finish(args: argparse.Namespace, spectrum, sampled, main_column: str, plot) -> None:
    """Write table and figure and print what was found."""
    from ..io.files import sha256
    from ..io.spectrum_file import write_spectrum
    from ..spectra.peaks import find_peaks
    from .series import command_line

    spectrum.parameters.update(
        {
            "command": command_line(args),
            "series": args.series,
            "series_sha256": sha256(args.series),
            "source": sampled.provenance.get("source", ""),
            "source_sha256": sampled.provenance.get("source_sha256", ""),
        }
    )
    parameters = spectrum.parameters
    write_spectrum(args.output, spectrum, args.force)
    pieces = parameters["pieces"]
    print(
        f"{parameters['samples']} samples every {parameters['sampling_interval_fs']:g} fs "
        f"({parameters['length_ps']:g} ps, {pieces} piece{'s' * (pieces > 1)}), {parameters['temperature_K']:g} K"
    )
    print(
        f"resolution {parameters['resolution_fwhm_cm-1']:g} cm^-1: {parameters['window']} window, "
        f"{parameters['window_length_ps']:.3g} ps long"
    )
    if parameters["blocks"]:
        print(f"standard errors from {parameters['blocks']} blocks of {parameters['block_length_ps']:.3g} ps")
    elif args.blocks is None:
        print("note: no error bars, as the series is shorter than two blocks of two windows each")
    if parameters["nyquist_load"] > CROWDED:
        print(
            f"note: much of the motion is close to the Nyquist wavenumber, {parameters['nyquist_cm-1']:.0f} cm^-1; "
            "faster vibrations would be folded into the spectrum (rounded values look alike): sample more often"
        )
    peaks = find_peaks(spectrum.wavenumber, spectrum.values[main_column])[:PEAKS_SHOWN]
    print(f"strongest peaks of {main_column} ({spectrum.units[main_column]}):")
    for peak in peaks:
        print(f"  {peak.position:9.2f} cm^-1  {peak.height:.4g}")
    if args.plot:
        import matplotlib

        matplotlib.use("Agg")
        from ..plotting.style import save_figure

        save_figure(plot(spectrum).figure, args.plot, args.force)
    print("wrote " + " and ".join(filter(None, (args.output, args.plot))))
