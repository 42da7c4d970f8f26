"""The option ``--porto``: scattering geometries of an oriented crystal, the same words in every command."""

from __future__ import annotations

import argparse

HELP = """geometry of an oriented crystal in Porto notation, may be repeated: direction of the incident light, (its
polarization and the detected one), direction of the scattered light, e.g. "z(xy)-z"; axes x, y, z are Cartesian; any
direction in brackets, [1,1,0]; write --porto="-z(xx)z" where the first sign is a minus"""


def add_porto_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--porto`` and ``--lattice-directions``."""
    parser.add_argument("--porto", action="append", default=[], metavar='"A(BC)D"', help=HELP)
    parser.add_argument(
        "--lattice-directions",
        action="store_true",
        help="brackets in --porto are in lattice vectors instead of Cartesian axes",
    )


def porto_geometries(args: argparse.Namespace, cell=None) -> list:
    """Return the :class:`tnep_calc.spectra.porto.Geometry` of every ``--porto``.

    Parameters
    ----------
    args : Namespace
        With what :func:`add_porto_argument` added.
    cell : array_like, shape (3, 3), optional, in Å
        Lattice vectors in rows, of a cell that does not change; needed for ``--lattice-directions``.
    """
    from ..errors import InputError
    from ..spectra.porto import parse_porto

    if args.lattice_directions and (cell is None or cell.ndim != 2):
        raise InputError("--lattice-directions needs the cell, which is not known here: use Cartesian directions")
    return [parse_porto(text, cell if args.lattice_directions else None) for text in args.porto]
