"""``tnep raman``: Raman spectrum from a polarizability time series."""

from __future__ import annotations

import argparse

from .mode_output import add_mode_argument, raman_modes
from .porto_options import add_porto_argument, porto_geometries
from .spectra_options import add_spectrum_arguments, finish, load_series, provenance

EPILOG = """\
The table has the Stokes intensities of a powder, liquid or gas, VV (polarized), VH (depolarized) and unpolarised
(VV + VH, no analyser). They include the factors of laser and temperature,
  ((w_L - w) / w_L)^4 * x / (1 - exp(-x)),   x = h c w / (k T).
The columns 'isotropic' and 'anisotropic' are the classical line shapes S[a] and S[tr(B B)] without these factors.
  VV ~ S[a] + 2/15 S[tr(B B)],   VH ~ 1/10 S[tr(B B)],   polarizability = a * 1 + B
'depolarisation' is VH / VV. Every column has its standard error. For an oriented crystal, each geometry of --porto adds
a column. Intensities times (2 pi w_L)^4 are cross-sections; --molecules N adds those per molecule (cm^2/sr/cm^-1).

example:
  tnep raman run.h5 -o raman.txt --plot raman.png --laser 532
  tnep raman run.h5 -o raman_z.txt --porto "z(xx)-z" --porto "z(xy)-z" --plot raman_z.png
  tnep raman water.h5 -o raman.txt --molecules 216 --anti-stokes --reference measured.txt
  tnep raman run-member*.h5 -o raman.txt --plot raman.png        # mean and spread of an ensemble of models
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``tnep raman``."""
    parser.epilog = EPILOG
    add_spectrum_arguments(parser)
    parser.add_argument(
        "--laser", type=float, default=532.0, metavar="NM", help="vacuum wavelength in nm (default: %(default)g)"
    )
    add_porto_argument(parser)
    add_mode_argument(parser)
    parser.add_argument("--anti-stokes", action="store_true", help="add the anti-Stokes side of every intensity")
    parser.add_argument(
        "--molecules", type=int, metavar="N", help="number of molecules in the cell, to add cross-sections per molecule"
    )


def run(args: argparse.Namespace) -> None:
    """Compute and write the spectrum."""
    from ..plotting.spectra import plot_raman
    from ..spectra import raman_spectrum

    spectra, geometries = [], []
    for path, series, polarizability, temperature in load_series(args, "polarizability"):
        geometries = porto_geometries(args, series.cell)
        spectrum = raman_spectrum(
            polarizability.pieces(args.skip),
            polarizability.dt,
            temperature,
            resolution=args.resolution,
            window=args.window,
            blocks=args.blocks,
            laser=args.laser,
            geometries=geometries,
            anti_stokes=args.anti_stokes,
            molecules=args.molecules,
            max_wavenumber=args.max_wavenumber,
        )
        spectrum.parameters.update(provenance(path, polarizability), skipped_ps=args.skip)
        spectra.append(spectrum)
        if args.modes:
            raman_modes(args, path, series, polarizability)
    labels = [geometry.label for geometry in geometries]
    finish(args, spectra, labels[0] if labels else "VV", plot_raman, labels or ["VV", "VH"])
