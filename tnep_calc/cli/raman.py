"""``tnep raman``: Raman spectrum from a polarizability time series."""

from __future__ import annotations

import argparse

from .spectra_options import add_spectrum_arguments, finish, load_series, provenance

EPILOG = """\
The table has the Stokes intensities of a powder, liquid or gas, VV (polarized), VH (depolarized) and unpolarised
(VV + VH, no analyser), with the factors of laser and temperature,
  ((w_L - w) / w_L)^4 * x / (1 - exp(-x)),   x = h c w / (k T),
the classical line shapes S[a] ('isotropic') and S[tr(B B)] ('anisotropic') without them, and standard errors.
  VV ~ S[a] + 2/15 S[tr(B B)],   VH ~ 1/10 S[tr(B B)],   polarizability = a * 1 + B
For an oriented crystal, --polarizations gives the directions of incident and scattered field.

example:
  tnep raman run.h5 -o raman.txt --plot raman.png --laser 532
  tnep raman run.h5 -o raman_xy.txt --polarizations 1 0 0  0 1 0
  tnep raman run-member*.h5 -o raman.txt --plot raman.png        # mean and spread of an ensemble of models
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``tnep raman``."""
    parser.epilog = EPILOG
    add_spectrum_arguments(parser)
    parser.add_argument(
        "--laser", type=float, default=532.0, metavar="NM", help="vacuum wavelength in nm (default: %(default)g)"
    )
    parser.add_argument(
        "--polarizations", type=float, nargs=6, metavar="E",
        help="incident x y z and scattered x y z field of an oriented crystal; adds the column 'oriented'",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Compute and write the spectrum."""
    from ..plotting.spectra import plot_raman
    from ..spectra import raman_spectrum

    fields = args.polarizations
    spectra = []
    for path, _, polarizability, temperature in load_series(args, "polarizability"):
        spectrum = raman_spectrum(
            polarizability.pieces(args.skip),
            polarizability.dt,
            temperature,
            resolution=args.resolution,
            window=args.window,
            blocks=args.blocks,
            laser=args.laser,
            polarizations=(fields[:3], fields[3:]) if fields else None,
            max_wavenumber=args.max_wavenumber,
        )
        spectrum.parameters.update(provenance(path, polarizability), skipped_ps=args.skip)
        spectra.append(spectrum)
    finish(args, spectra, "oriented" if fields else "VV", plot_raman)
