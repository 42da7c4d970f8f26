"""The program ``tnep``: one thin module per sub-command, imported only when it is used."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from .. import __version__
from ..errors import TnepError

COMMANDS = {
    "info": "what is installed, where, and what to do about what is missing",
    "data": "convert, merge, check and describe DFT data",
    "train": "train a model from DFT data (TOML configuration)",
    "export": "turn a nep.txt into an artifact for ASE and LAMMPS",
    "predict": "evaluate models on the structures of a file and compare with its labels",
    "bench": "time per atom of a model by size, device and precision, and what to do when it is slow",
    "report": "write one page about a training run, an ensemble, or GPUMD training folders (HTML)",
    "select": "choose the structures of a trajectory that an ensemble of models is least sure of",
    "lammps": "print a complete input for LAMMPS from a model",
    "series": "collect LAMMPS or GPUMD output, or models on a trajectory, into a time series file (HDF5)",
    "ir": "infrared spectrum from a dipole time series",
    "raman": "Raman spectrum from a polarizability time series",
    "dielectric": "complete dielectric response (eps, n, k, reflectivity, loss, static constant) from a time series",
    "compare": "several spectra, and a reference, in one figure, with scores",
    "phonons": "phonons of a crystal with LO-TO splitting, infrared, Raman and dielectric spectra",
    "loto": "LO-TO splitting of a crystal by direction",
    "fc": "second- and third-order force constants, through a machine-learned potential or any calculator",
    "ltc": "lattice thermal conductivity and linewidths from force constants",
}
"""Sub-commands and their one-line help; ``cli/NAME.py`` has ``add_arguments(parser)`` and ``run(args)``."""


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Return the parser; only `command`, if given, gets its arguments (and its imports)."""
    parser = argparse.ArgumentParser(
        prog="tnep",
        description="Infrared, Raman and dielectric response from machine-learned models.",
        epilog="'tnep COMMAND --help' explains a command, with an example.",
    )
    parser.add_argument("--version", action="version", version=f"tnep_calc {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        sub = subparsers.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        if name == command:
            import_module(f".{name}", __name__).add_arguments(sub)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the program; return 0 when done, 1 for an error (one line on stderr), 2 for wrong usage."""
    argv = sys.argv[1:] if argv is None else argv
    command = next((word for word in argv if not word.startswith("-")), None)
    args = build_parser(command).parse_args(argv)
    args.argv = argv
    try:
        return import_module(f".{args.command}", __name__).run(args) or 0
    except BrokenPipeError:  # the reader of our output, e.g. head, has left
        sys.stdout = None
        return 0
    except (TnepError, OSError) as error:
        if args.debug:
            raise
        print(f"tnep {args.command}: error: {error}", file=sys.stderr)
        return 1
    except MemoryError:
        if args.debug:
            raise
        print(f"tnep {args.command}: error: there is too little memory for this input", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"tnep {args.command}: interrupted", file=sys.stderr)
        return 130
