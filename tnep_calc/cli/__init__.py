"""The program ``tnep``: one thin module per sub-command, imported only when it is used."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from importlib import import_module

from .. import __version__
from ..errors import TnepError

COMMANDS = {
    "info": "report what is installed and where, and how to install what is missing",
    "data": "convert, merge, check and describe DFT data",
    "train": "train a model from DFT data (TOML configuration)",
    "export": "turn a nep.txt into an artifact for ASE and LAMMPS",
    "predict": "evaluate models on the structures of a file and compare with its labels",
    "bench": "time per atom of a model by size, device and precision, with advice on how to make it faster",
    "report": "write an HTML page about a training run, an ensemble, or GPUMD training folders",
    "select": "choose the structures of a trajectory that an ensemble of models is least sure of",
    "lammps": "print a complete LAMMPS input for a model",
    "series": "write a time series file (HDF5) from LAMMPS or GPUMD output, or by evaluating models on a trajectory",
    "ir": "infrared spectrum from a dipole time series",
    "raman": "Raman spectrum from a polarizability time series",
    "dielectric": "complete dielectric response (eps, n, k, reflectivity, loss, static constant) from a time series",
    "instrument": "what an instrument measures (powder, thin film, ATR) from a dielectric function",
    "compare": "draw several spectra and a reference in one figure, and score them",
    "phonons": "phonons of a crystal with LO-TO splitting, infrared, Raman and dielectric spectra",
    "loto": "LO-TO splitting of a crystal by direction",
    "fc": "second- and third-order force constants from a machine-learned potential or any calculator",
    "ltc": "lattice thermal conductivity and linewidths from force constants",
    "socket": "compute energies, forces, dipoles and polarizabilities for i-PI over a socket",
    "completion": "print the script that completes commands and options in a shell",
}
"""Sub-commands and their one-line help; ``cli/NAME.py`` has ``add_arguments(parser)`` and ``run(args)``."""

WITHOUT_NUMBERS = ("report", "lammps", "socket", "completion")
"""Commands without ``--json``; the ``run`` of all others adds its results to the dictionary ``args.numbers``."""


_EPILOG = """\
'tnep COMMAND --help' explains a command, with an example.

exit status: 0 success; 1 an error, described in one line on stderr; 2 wrong usage; 128 + N stopped by signal N (130
after Ctrl-C; 'tnep train' saves a checkpoint first). 'tnep data --check' also exits with 1 if it finds errors.
"""


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Return the parser.

    Only the sub-command `command`, if given, gets its arguments, so that the modules of the others are not imported;
    the command ``completion`` needs the arguments of all.
    """
    parser = argparse.ArgumentParser(
        prog="tnep",
        description="Infrared, Raman and dielectric response from machine-learned models.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
        if name not in WITHOUT_NUMBERS:
            sub.add_argument(
                "--json", action="store_true", help="print the results as JSON on stdout, and the usual text on stderr"
            )
        if command in (name, "completion"):
            import_module(f".{name}", __name__).add_arguments(sub)
    return parser


def _run(args: argparse.Namespace) -> int:
    """Run a command; with ``--json``, print its numbers on stdout after it, and its text on stderr."""
    run = import_module(f".{args.command}", __name__).run
    if not getattr(args, "json", False):
        return run(args) or 0
    with redirect_stdout(sys.stderr):
        status = run(args) or 0
    if args.numbers:  # of several MPI ranks, only one has results
        from ..io.numbers import to_json

        print(to_json(args.numbers), end="")
    return status


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit status.

    The status is 0 on success, 1 after an error (one line on stderr), and 128 + N after the signal N (130 after
    Ctrl-C). Wrong usage exits with 2.
    """
    for stream in (sys.stdout, sys.stderr):  # names of files need not be UTF-8
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    argv = sys.argv[1:] if argv is None else argv
    command = next((word for word in argv if not word.startswith("-")), None)
    args = build_parser(command).parse_args(argv)
    args.argv = argv
    args.numbers = {}
    try:
        return _run(args)
    except BrokenPipeError:  # the program that reads our output, e.g. head, has exited
        sys.stdout = None
        return 0
    except (TnepError, OSError) as error:
        if args.debug:
            raise
        print(f"tnep {args.command}: error: {error}", file=sys.stderr)
        return 1
    except UnicodeEncodeError as error:
        if args.debug:
            raise
        print(f"tnep {args.command}: error: the name {error.object!a} is not UTF-8: rename the file", file=sys.stderr)
        return 1
    except MemoryError:
        if args.debug:
            raise
        print(f"tnep {args.command}: error: not enough memory for this input", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"tnep {args.command}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
