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
    parser.add_argument(
        "series", nargs="+", metavar="FILE.h5",
        help="time series written by 'tnep series'; several, one per model of an ensemble, give the mean spectrum with "
        "the spread of the models as a band",
    )  # fmt: skip
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
    """Yield the path, the series, the wanted quantity, and the temperature of every member of an ensemble.

    The output names are checked before any work.
    """
    from ..io.files import check_output
    from ..io.series.timeseries import read_timeseries
    from ..plotting.style import check_figure_name

    if args.plot:
        check_figure_name(args.plot)
    for path in filter(None, (args.output, args.plot)):
        check_output(path, args.force)
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


def finish(args: argparse.Namespace, spectra: list, main_column: str, plot) -> None:
    """Combine the spectra of the members, write table and figure, and print what was found."""
    from ..io.series.spectrum_text import write_spectrum
    from ..spectra import combine_members
    from ..spectra.peaks import find_peaks
    from .series import command_line

    spectrum = combine_members(spectra)
    parameters = spectrum.parameters
    parameters["command"] = command_line(args)
    if len(spectra) > 1:
        for key in ("series", "series_sha256", "source", "source_sha256"):
            parameters[key] = [member.parameters[key] for member in spectra]
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
    if len(spectra) > 1:
        print(f"mean over {len(spectra)} models, with their standard deviation in the columns '*_spread'")
    if parameters["nyquist_load"] > CROWDED:
        print(
            f"note: much of the motion is close to the Nyquist wavenumber, {parameters['nyquist_cm-1']:.0f} cm^-1; "
            "faster vibrations would be folded into the spectrum (rounded values look alike): sample more often"
        )
    peaks = find_peaks(spectrum.wavenumber, spectrum.values[main_column])[:PEAKS_SHOWN]
    print(f"strongest peaks of {main_column} ({spectrum.units[main_column]}):")
    for peak in peaks:
        at = abs(spectrum.wavenumber - peak.position).argmin()
        spread = f" +- {spectrum.spreads[main_column][at]:.2g} (models)" if spectrum.spreads else ""
        print(f"  {peak.position:9.2f} cm^-1  {peak.height:.4g}{spread}")
    if args.plot:
        import matplotlib

        matplotlib.use("Agg")
        from ..plotting.style import save_figure

        save_figure(plot(spectrum).figure, args.plot, args.force)
    print("wrote " + " and ".join(filter(None, (args.output, args.plot))))
