"""The option ``--porto``, shared by all commands: scattering geometries of an oriented crystal."""

from __future__ import annotations

import argparse

HELP = """scattering geometry of an oriented crystal in Porto notation (repeatable): A and D are the directions of the
incident and the scattered light, B and C the incident and the detected polarization, e.g. "z(xy)-z"; x, y and z are
Cartesian axes, and brackets give any other direction, [1,1,0]; if the first character is a minus, write
--porto="-z(xx)z\""""


def add_porto_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--porto`` and ``--lattice-directions``."""
    parser.add_argument("--porto", action="append", default=[], metavar='"A(BC)D"', help=HELP)
    parser.add_argument(
        "--lattice-directions",
        action="store_true",
        help="directions in brackets of --porto are in lattice vectors instead of Cartesian axes",
    )


def porto_geometries(args: argparse.Namespace, cell=None) -> list:
    """Return the :class:`tnep_calc.spectra.porto.Geometry` of every ``--porto``.

    Parameters
    ----------
    args : Namespace
        With the options of :func:`add_porto_argument`.
    cell : ndarray, shape (3, 3), optional, in Å
        Lattice vectors in rows. ``--lattice-directions`` needs it. The cells of a run at constant pressure, shape
        (frames, 3, 3), count as unknown.

    Raises
    ------
    InputError
        If ``--lattice-directions`` is used without ``--porto`` or without a cell, or a geometry cannot be read.
    """
    from ..errors import InputError
    from ..spectra.porto import parse_porto

    if args.lattice_directions and not args.porto:
        raise InputError("--lattice-directions is for the directions of --porto, which is missing")
    if args.lattice_directions and (cell is None or cell.ndim != 2):
        raise InputError("--lattice-directions needs the cell, which is not known here: use Cartesian directions")
    return [parse_porto(text, cell if args.lattice_directions else None) for text in args.porto]
