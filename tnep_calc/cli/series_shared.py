"""Functions of the commands that write or read a time series: command line, lengths, cell of a structure."""

from __future__ import annotations

import argparse
import shlex


def command_line(args: argparse.Namespace) -> str:
    """Return the command line of these arguments, for the provenance."""
    return shlex.join(["tnep", *args.argv])


def lengths(sampled) -> dict:
    """Return the length of a sampled quantity."""
    return {"samples": len(sampled.values), "interval_fs": sampled.dt, "pieces": len(sampled.starts)}


def cell_of(path):
    """Return the lattice vectors of a structure file, shape (3, 3), in Å; DataFileError if it has none."""
    import numpy as np

    from ..errors import DataFileError
    from ..io.structures.single import read_structure

    atoms = read_structure(path)
    if atoms.cell.rank < 3:
        raise DataFileError(f"{path} has no three-dimensional cell")
    return np.array(atoms.cell)
