"""``tnep ir``: infrared spectrum from a dipole time series."""

from __future__ import annotations

import argparse

from ..errors import InputError
from .mode_output import add_mode_argument, infrared_modes
from .spectra_options import (
    add_route_argument,
    add_spectrum_arguments,
    chosen_route,
    dipole_pieces,
    finish,
    load_series,
    provenance,
    volume_of,
)

EPILOG = """\
The table has n(w)*alpha(w) in cm^-1 (refractive index times absorption coefficient, base e), eps''(w), and their
standard errors. With --eps-inf it also has eps'(w), the refractive index n, alpha itself and the reflectivity.
The default is the average over directions (a third of the trace).

No quantum correction is applied, because the classical fluctuation-dissipation formula for eps'' and n*alpha is
already exact for harmonic modes.

The spectrum is computed from the dipole, or with --route current from the current sum_j Z_j . v_j in the series. Both
give the same spectrum, but the current has no polarization branches.

A crystal's dipole from DFT, or from a model trained on wrapped polarizations, jumps by e times a lattice vector.
--unwrap undoes these jumps.

example:
  tnep ir run.h5 -o ir.txt --plot ir.png --resolution 10
  tnep ir run.h5 -o ir_z.txt --direction 0 0 1 --eps-inf 4.6 --max 2000
  tnep ir run.h5 -o ir.txt --modes modes.txt            # every phonon mode: spectrum, shift, lifetime
  tnep ir run-member*.h5 -o ir.txt --plot ir.png        # mean and spread of an ensemble of models
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``tnep ir``."""
    parser.epilog = EPILOG
    add_spectrum_arguments(parser)
    add_route_argument(parser)
    add_mode_argument(parser)
    parser.add_argument("--volume", type=float, metavar="A3", help="volume in A^3 (default: that of the series)")
    parser.add_argument(
        "--direction",
        type=float,
        nargs=3,
        metavar=("X", "Y", "Z"),
        help="field direction for one component of an oriented crystal (default: average over directions)",
    )
    parser.add_argument(
        "--eps-inf",
        metavar="EPS",
        help="electronic dielectric constant: a number, or 'series' for 1 + <alpha>/(eps0 V) from the polarizability "
        "in the series (default: not used)",
    )
    parser.add_argument(
        "--unwrap", action="store_true", help="undo jumps between polarization branches (needs the cell in the series)"
    )


def electronic(text: str | None, series, volume, direction) -> float | None:
    """Return the electronic dielectric constant that ``--eps-inf`` stands for, along `direction` if that is given.

    Returns
    -------
    float or None
        None if the option was not given.

    Raises
    ------
    InputError
        If the text is neither a number nor ``series``, or the series has no polarizability.
    """
    import numpy as np

    from ..spectra import electronic_dielectric

    if text is None:
        return None
    if text == "series":
        if series.polarizability is None:
            raise InputError("--eps-inf series needs a polarizability in the series")
        tensor = electronic_dielectric(series.polarizability.pieces(), volume).tensor
        if direction is None:
            return float(np.trace(tensor) / 3)
        axis = np.array(direction) / np.linalg.norm(direction)
        return float(axis @ tensor @ axis)
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--eps-inf must be a number or 'series', got '{text}'") from None


def run(args: argparse.Namespace) -> None:
    """Compute and write the spectrum."""
    import numpy as np

    from ..plotting.spectra import plot_ir
    from ..spectra import infrared_spectrum, static_dielectric
    from ..spectra.static import error_text

    spectra = []
    route, spread = chosen_route(args), ""
    for path, series, sampled, temperature in load_series(args, route):
        volume = volume_of(args, path, series)
        pieces = dipole_pieces(args, path, series, sampled) if route == "dipole" else sampled.pieces(args.skip)
        spectrum = infrared_spectrum(
            pieces if route == "dipole" else None,
            sampled.dt,
            volume,
            temperature,
            resolution=args.resolution,
            window=args.window,
            blocks=args.blocks,
            direction=args.direction,
            eps_inf=electronic(args.eps_inf, series, volume, args.direction),
            max_wavenumber=args.max_wavenumber,
            current=pieces if route == "current" else None,
        )
        spectrum.parameters.update(provenance(path, sampled), unwrapped=args.unwrap, skipped_ps=args.skip)
        spectra.append(spectrum)
        if args.modes:
            infrared_modes(args, path, series, sampled, pieces, route, volume, temperature)
        if route == "dipole" and args.direction is None:
            static = static_dielectric(pieces, volume, temperature, dt=sampled.dt)
            spread = error_text(static.error)
            spread += " or more" if spread and not static.converged else ""
    fluctuations = [spectrum.parameters["static_fluctuation"] for spectrum in spectra]
    if len(spectra) > 1:
        spread = f" +- {np.std(fluctuations, ddof=1):.2g} (models)"
    args.numbers["ionic_static_dielectric"] = np.mean(fluctuations)
    print(f"ionic part of the static dielectric constant, from all frequencies: {np.mean(fluctuations):.4g}{spread}")
    finish(args, spectra, "absorption", plot_ir)
