"""``tnep instrument``: what an instrument measures of a material of known dielectric function."""

from __future__ import annotations

import argparse

from ..errors import InputError
from ..spectra.measured import AXES, LIGHTS
from .spectrum_output import add_output_arguments, check_outputs, write_results

EPILOG = """\
The input is a spectrum with the dielectric function: of 'tnep dielectric', 'tnep ir --eps-inf', or infrared_*.txt of
'tnep phonons'. It should be written with eps_inf. An HDF5 or JSON file also has the blocks of the run, which give the
result its standard errors.

powder: absorbance (base 10) of a pellet, of small spheres in a transparent matrix. With the tensor ('tnep dielectric
  --tensor') the particles are anisotropic, with random orientations. Peaks are between the TO and LO frequencies.
film: reflectivity, transmissivity and absorptivity of a film between vacuum and a substrate. For p polarization at an
  angle, a thin film also absorbs at the LO frequencies.
atr: absorbance -log10(R) of a thick sample on an ATR crystal. Strong peaks are below the TO frequencies.

example:
  tnep instrument powder eps.h5 -o powder.txt --thickness 0.5 --fraction 0.01 --matrix 2.33 --plot powder.png
  tnep instrument film eps.h5 -o film.txt --thickness 0.3 --substrate 11.7 --angle 60 --polarization p
  tnep instrument atr eps.h5 -o atr.txt --crystal 5.66 --angle 45 --reference measured.csv
"""

OPTIONS = {
    "powder": ("thickness", "fraction", "matrix", "model"),
    "film": ("thickness", "substrate", "angle", "polarization", "component"),
    "atr": ("crystal", "angle", "polarization", "reflections", "component"),
}
"""Options of each instrument."""

TRANSPARENT = 0.02
"""Ratio of eps'' to eps' below which a sample hardly absorbs."""

REQUIRED = {"powder": ("thickness", "fraction"), "film": ("thickness",), "atr": ()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``tnep instrument``."""
    parser.epilog = EPILOG
    parser.add_argument("instrument", choices=tuple(OPTIONS), help="kind of measurement")
    parser.add_argument("spectrum", metavar="FILE", help="spectrum with eps_real and eps_imag (.txt, .h5, .json)")
    add_output_arguments(parser)
    group = parser.add_argument_group("sample")
    group.add_argument(
        "--thickness", type=float, metavar="D", help="thickness: of the pellet in mm (powder), of the film in um (film)"
    )
    group.add_argument("--fraction", type=float, metavar="F", help="powder: volume fraction of the material")
    group.add_argument(
        "--matrix", type=float, metavar="EPS", help="powder: dielectric constant of the matrix (default: 2.33, KBr)"
    )
    group.add_argument(
        "--model",
        choices=("maxwell-garnett", "bruggeman"),
        help="powder: effective medium; bruggeman uses the mean of the tensor (default: maxwell-garnett)",
    )
    group.add_argument(
        "--substrate",
        type=complex,
        metavar="EPS",
        help="film: dielectric constant of the substrate, e.g. 11.7 (silicon), or of a metal 5000j (default: 2.33)",
    )
    group.add_argument(
        "--component",
        choices=("mean", *AXES),
        help="film, atr: component of the tensor to use, or the mean over directions (default: mean)",
    )
    group = parser.add_argument_group("light")
    group.add_argument(
        "--angle", type=float, metavar="DEG", help="film, atr: angle of incidence (default: film 0, atr 45)"
    )
    group.add_argument(
        "--polarization", choices=LIGHTS, help="film, atr: polarization of the light (default: unpolarised)"
    )
    group.add_argument(
        "--crystal",
        type=float,
        metavar="EPS",
        help="atr: dielectric constant of the crystal, e.g. 5.66 (diamond), 5.76 (ZnSe), 16 (Ge) (default: 5.66)",
    )
    group.add_argument("--reflections", type=int, metavar="N", help="atr: number of reflections (default: 1)")


def options_of(args: argparse.Namespace) -> dict:
    """Return the given options of the instrument; InputError for a missing one, or one of another instrument."""
    own = OPTIONS[args.instrument]
    for name in dict.fromkeys(option for options in OPTIONS.values() for option in options):
        if name not in own and getattr(args, name) is not None:
            others = " and ".join(kind for kind, options in OPTIONS.items() if name in options)
            raise InputError(f"--{name} is an option of {others}, not of {args.instrument}: leave it out")
    for name in REQUIRED[args.instrument]:
        if getattr(args, name) is None:
            raise InputError(f"tnep instrument {args.instrument} needs --{name}")
    return {name: getattr(args, name) for name in own if getattr(args, name) is not None}


def note_on_total_reflection(source, found) -> None:
    """Print where the sample lets light in without total reflection, although it hardly absorbs there.

    Total reflection needs ``eps' < eps_c sin^2(angle)``.  Elsewhere ``-log10(R)`` contains transmitted light.
    """
    import numpy as np

    from ..spectra.measured import dielectric_columns

    parameters = found.parameters
    limit = parameters["crystal_eps"] * np.sin(np.radians(parameters["angle_of_incidence_deg"])) ** 2
    eps = dielectric_columns(source.values, parameters["component"])
    open_at = source.wavenumber[(eps.real > limit) & (eps.imag < TRANSPARENT * eps.real)]
    if open_at.size:
        print(
            f"note: no total reflection where eps' exceeds {limit:.3g} (crystal times sin^2 of the angle), e.g. "
            f"at {open_at[0]:.0f} cm^-1: the absorbance there contains transmitted light; use a crystal of larger eps, "
            "such as germanium (16), or a larger angle"
        )


def run(args: argparse.Namespace) -> None:
    """Compute and write what the instrument measures."""
    from ..io.series.spectrum_store import load_spectrum
    from ..plotting.instruments import plot_instrument
    from ..spectra.measured import measured_atr, measured_film, measured_powder
    from .series_shared import command_line

    options = options_of(args)
    check_outputs(args, [args.spectrum])
    source = load_spectrum(args.spectrum)
    measures: dict = {"powder": measured_powder, "film": measured_film, "atr": measured_atr}
    found = measures[args.instrument](source, **options)
    found.parameters.update(spectrum=args.spectrum, command=command_line(args))
    if args.instrument == "powder":
        tensor = found.parameters["component"] == "tensor"
        print("particles: " + ("anisotropic, of random orientation" if tensor else "with the mean of eps"))
    if args.instrument == "atr":
        note_on_total_reflection(source, found)
    if not found.errors:
        print(
            "note: no error bars, because the file has no blocks: the run is too short, or the file is text (.h5 and "
            ".json have them)"
        )
    write_results(args, found, list(found.values)[-1], plot_instrument, list(found.values))
