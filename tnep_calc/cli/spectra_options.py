"""Options and output shared by ``tnep ir``, ``tnep raman`` and ``tnep dielectric``."""

from __future__ import annotations

import argparse

from ..errors import InputError
from ..spectra.estimate import FINEST
from ..spectra.windows import WINDOWS
from .spectrum_output import add_output_arguments, check_outputs, write_results

ROUTES = ("dipole", "current")
"""Quantities of a series that the dielectric response can be computed from."""

LARGEST_SPREAD = 0.05
"""Largest accepted standard deviation of the volume of a run at constant pressure, relative to its mean."""

CROWDED = 0.6
"""Nyquist load (see :func:`tnep_calc.spectra.correlation.nyquist_load`) above which a warning is printed."""


def add_spectrum_arguments(parser: argparse.ArgumentParser) -> None:
    """Add input, output, and the options of the estimator."""
    parser.add_argument(
        "series",
        nargs="+",
        metavar="FILE",
        help="time series written by 'tnep series', or correlations written by LAMMPS (fix tnep/spectrum); give one "
        "per model of an ensemble for the mean spectrum, with the spread of the models as a band",
    )
    add_output_arguments(parser)
    parser.add_argument("--temperature", type=float, metavar="K", help="temperature in K (default: that of the series)")
    parser.add_argument(
        "--resolution",
        type=float,
        metavar="CM-1",
        help="full width at half maximum, in cm^-1, that an infinitely sharp mode gets (default: 10, or more for a "
        "short run, so that the error bars have four blocks)",
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
    parser.add_argument(
        "--skip", type=float, default=0.0, metavar="PS", help="drop this time at the start of each piece"
    )
    parser.add_argument(
        "--max",
        type=float,
        default=4500.0,
        metavar="CM-1",
        dest="max_wavenumber",
        help="last wavenumber in cm^-1 (default: %(default)g, at most the Nyquist wavenumber)",
    )


def add_route_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--route``."""
    parser.add_argument(
        "--route", choices=ROUTES, help="quantity to compute from (default: dipole, or current if there is no dipole)"
    )


def chosen_route(args: argparse.Namespace) -> str:
    """Return ``--route``, by default ``current`` if the first series has a current but no dipole, else ``dipole``."""
    from ..io.series.accumulated import read_signals

    if args.route:
        return args.route
    series = read_signals(args.series[0])
    return "current" if series.dipole is None and series.current is not None else "dipole"


def load_series(args: argparse.Namespace, quantity: str):
    """Yield the path, the series, the wanted quantity, and the temperature (K) of every member of an ensemble.

    The names of the output files are checked first.

    Raises
    ------
    InputError
        If an output exists (without ``--force``) or is one of the inputs, or if a series has no such quantity or no
        temperature.
    """
    from ..io.series.accumulated import read_signals

    check_outputs(args, args.series)
    if not args.skip >= 0:
        raise InputError(f"--skip must not be negative, got {args.skip:g} ps")
    for path in args.series:
        series = read_signals(path)
        sampled = getattr(series, quantity)
        if sampled is None:
            raise InputError(f"{path} has no {quantity}: write the series again with a file of the {quantity}")
        temperature = series.temperature if args.temperature is None else args.temperature
        if temperature is None:
            raise InputError(f"{path} does not say the temperature of the simulation: add --temperature K")
        if series.temperature is not None and temperature != series.temperature:
            print(f"note: {temperature:g} K is used, {path} says {series.temperature:g} K")
        yield path, series, sampled, temperature


def volume_of(args: argparse.Namespace, path: str, series) -> float:
    """Return the volume (Å³) of ``--volume``, or else that of the series.

    Raises
    ------
    InputError
        If the volume is not known, or if its standard deviation along the run is more than 5 %.
    """
    if args.volume is not None:
        return args.volume
    if series.volume is None:
        raise InputError(f"{path} does not say the volume of the cell: add --volume A3")
    if series.volume_spread > LARGEST_SPREAD:
        raise InputError(
            f"{path}: the volume changes by {100 * series.volume_spread:.2g} % (standard deviation) along this run at "
            "constant pressure; the fluctuation formulas need a nearly fixed cell (at most 5 %): run at the average "
            "cell, or give --volume"
        )
    if series.volume_spread:
        print(
            f"note: constant pressure: the mean volume, {series.volume:.6g} A^3, is used; its standard deviation is "
            f"{100 * series.volume_spread:.2g} %"
        )
    return series.volume


def dipole_pieces(args: argparse.Namespace, path: str, series, sampled) -> list:
    """Return the pieces of a dipole, each of shape (samples, 3), on one branch of the polarization with ``--unwrap``.

    In a run at constant pressure each frame has its own cell, and therefore its own polarization quantum.

    Raises
    ------
    InputError
        If the cell is not known, or if a run at constant pressure has several pieces.
    """
    from ..spectra import AccumulatedSignal, align_branches, unwrap_dipole

    pieces = sampled.pieces(args.skip)
    if not args.unwrap:
        return pieces
    if isinstance(pieces[0], AccumulatedSignal):
        raise InputError(f"{path} has no samples, which --unwrap needs; accumulate the current instead of the dipole")
    if series.cell is None:
        raise InputError(f"{path} has no cell, which --unwrap needs: write it again with 'tnep series --cell'")
    if series.cell.ndim == 2:
        return align_branches([unwrap_dipole(piece, series.cell) for piece in pieces], series.cell)
    if len(pieces) > 1 or len(series.cell) != len(sampled.values):
        raise InputError(f"{path}: --unwrap of a run at constant pressure needs one uninterrupted piece")
    return [unwrap_dipole(pieces[0], series.cell[-len(pieces[0]) :])]


def provenance(path: str, sampled) -> dict[str, str]:
    """Return the provenance of a series that is stored with a spectrum."""
    from ..io.files import sha256

    known = sampled.provenance
    return {
        "series": path,
        "series_sha256": sha256(path),
        "source": known.get("source", ""),
        "source_sha256": known.get("source_sha256", ""),
    }


def describe(spectrum, args: argparse.Namespace, members: int) -> None:
    """Print the samples, the resolution and the blocks of a spectrum, with notes on what limits its accuracy."""
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
        print("note: no error bars, because the series is shorter than two blocks of two windows each")
    if members > 1:
        print(f"mean over {members} models, with their standard deviation in the columns '*_spread'")
    if parameters["nyquist_load"] > CROWDED:
        print(
            f"note: much of the motion is close to the Nyquist wavenumber, {parameters['nyquist_cm-1']:.0f} cm^-1; "
            "faster vibrations would be aliased into the spectrum: sample more often (or write more digits: rounding "
            "has the same effect)"
        )


def finish(
    args: argparse.Namespace,
    spectra: list,
    main_column: str,
    plot,
    shown: list[str] | None = None,
    more_peaks: dict[str, str] | None = None,
) -> None:
    """Combine the spectra of an ensemble, describe them, and write the results.

    Parameters
    ----------
    args : Namespace
        With the options of :func:`add_spectrum_arguments`.
    spectra : list of Spectrum
        One per member of an ensemble.
    main_column, plot, shown, more_peaks
        As in :func:`.spectrum_output.write_results`.
    """
    from ..spectra import combine_members
    from .series_shared import command_line

    spectrum = combine_members(spectra)
    parameters = spectrum.parameters
    parameters["command"] = command_line(args)
    if len(spectra) > 1:
        for key in ("series", "series_sha256", "source", "source_sha256"):
            parameters[key] = [member.parameters[key] for member in spectra]
    describe(spectrum, args, len(spectra))
    write_results(args, spectrum, main_column, plot, shown, more_peaks)
