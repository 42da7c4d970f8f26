"""``tnep ltc``: lattice thermal conductivity and linewidths from force constants."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from ..errors import InputError

EPILOG = """\
DIR has phono3py.yaml, fc2.hdf5 and fc3.hdf5, as written by 'tnep fc' or phono3py. The results are written to the same
folder, or to that of -o: kappa.txt (all components), phono3py's own kappa-m*.hdf5, the figures kappa.png (cumulative
over frequency) and linewidths.png, and widths-*K.txt with the modes at Gamma:

  # mode  frequency/cm^-1  FWHM/cm^-1
       4       165.103421     3.812345

These widths are full widths at half maximum, 2 Gamma. 'tnep phonons --widths' reads them for its infrared and Raman
spectra. The non-analytic term is used if phono3py.yaml or --born has Born charges. A run that was killed resumes when
the same command is given again.

examples:
  tnep ltc nacl --mesh 15 15 15
  tnep ltc nacl --length 60 --temperatures 100 200 300 --isotopes
  tnep ltc nacl --mesh 11 11 11 --method direct -o nacl-direct
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``tnep ltc``."""
    parser.epilog = EPILOG
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder with the force constants")
    grid = parser.add_mutually_exclusive_group(required=True)
    grid.add_argument("--mesh", type=int, nargs=3, metavar="N", help="numbers of grid points")
    grid.add_argument("--length", type=float, metavar="A", help="mesh given as a length in A: a larger one is denser")
    parser.add_argument(
        "--temperatures", type=float, nargs="+", default=[300.0], metavar="K", help="temperatures (default: 300)"
    )
    parser.add_argument(
        "--method",
        choices=("rta", "direct"),
        default="rta",
        help="relaxation-time approximation, or direct solution of the linearized Boltzmann equation "
        "(default: %(default)s)",
    )
    parser.add_argument("--isotopes", action="store_true", help="scattering by the natural distribution of isotopes")
    parser.add_argument(
        "--boundary", type=float, metavar="UM", help="add boundary scattering with this mean free path in um"
    )
    nac = parser.add_mutually_exclusive_group()
    nac.add_argument("--born", type=Path, metavar="FILE", help="file BORN for the non-analytic term")
    nac.add_argument("--no-nac", action="store_true", help="do not use the non-analytic term")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, help="folder for the results (default: DIR)")
    parser.add_argument("--force", action="store_true", help="overwrite results of a previous run")


def run(args: argparse.Namespace) -> None:
    """Compute and write the conductivity."""
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.INFO)
    import matplotlib

    matplotlib.use("Agg")
    from ..io.files import check_output
    from ..io.linewidths import write_linewidths
    from ..io.supercells import set_nac
    from ..phonons.anharmonic.conductivity import COMPONENTS, thermal_conductivity
    from ..phonons.anharmonic.force_constants import read_force_constants
    from ..plotting.conductivity import plot_cumulative, plot_linewidths
    from ..plotting.style import save_figure

    output = args.folder if args.output is None else args.output
    if args.length is not None and not args.length > 0:
        raise InputError(f"--length must be positive, got {args.length:g}")
    phono3py = read_force_constants(args.folder)
    if args.born is not None:
        set_nac(phono3py, args.born)
    if args.no_nac:
        phono3py.nac_params = None
    output.mkdir(parents=True, exist_ok=True)
    table = check_output(output / "kappa.txt", args.force)
    shown = max(args.temperatures) if 300.0 not in args.temperatures else 300.0
    conductivity = thermal_conductivity(
        phono3py, args.mesh or args.length, args.temperatures, args.method, args.isotopes, args.boundary, output
    )
    lines = _lines(conductivity, phono3py.nac_params is not None, args)
    _write(table, "\n".join(lines) + "\n")
    print("\n".join(lines))
    args.numbers.update(
        method=conductivity.method,
        mesh=conductivity.mesh,
        temperatures_K=conductivity.temperatures,
        components=COMPONENTS,
        kappa_W_per_mK=conductivity.kappa,
    )
    figures = {"kappa.png": plot_cumulative, "linewidths.png": plot_linewidths}
    for name, plot in figures.items():
        save_figure(plot(conductivity, shown).figure, output / name, force=True)
    written = [table, *(output / name for name in figures)]
    for temperature in conductivity.temperatures:
        path = output / f"widths-{temperature:g}K.txt"
        parameters = {
            "temperature_K": f"{temperature:g}",
            "mesh": " ".join(map(str, conductivity.mesh)),
            "isotopes": args.isotopes,
        }
        write_linewidths(path, *conductivity.at_gamma(temperature), parameters)
        written.append(path)
    print("wrote " + ", ".join(map(str, written)))


def _lines(conductivity, nac, args) -> list[str]:
    """Return the table of the conductivity."""
    from ..phonons.anharmonic.conductivity import COMPONENTS

    mesh = " x ".join(map(str, conductivity.mesh))
    name = "direct solution" if conductivity.method == "direct" else "relaxation-time approximation"
    extras = [
        word
        for word, there in (
            ("non-analytic term", nac),
            ("isotopes", args.isotopes),
            (f"boundary {args.boundary} um", args.boundary),
        )
        if there
    ]
    head = f"# lattice thermal conductivity in W/(m K): {name}, mesh {mesh}" + "".join(f", {e}" for e in extras)
    lines = [head, f"# {'T/K':>6}" + "".join(f"{component:>12}" for component in COMPONENTS)]
    for temperature, row in zip(conductivity.temperatures, conductivity.kappa, strict=True):
        lines.append(f"{temperature:8.2f}" + "".join(f"{value + 0.0:12.4f}" for value in row.round(4)))
    return lines


def _write(path, text) -> None:
    from ..io.files import atomic_output

    with atomic_output(path, force=True) as temporary:
        temporary.write_text(text)
