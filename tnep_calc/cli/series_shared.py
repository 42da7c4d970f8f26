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
    import ase.io
    import numpy as np

    from ..errors import DataFileError

    try:
        atoms = ase.io.read(path, format="lammps-data" if str(path).endswith(".data") else None)
    except Exception as error:
        raise DataFileError(f"{path} cannot be read as a structure ({error})") from error
    if isinstance(atoms, list) or atoms.cell.rank < 3:
        raise DataFileError(f"{path} has no three-dimensional cell")
    return np.array(atoms.cell)
