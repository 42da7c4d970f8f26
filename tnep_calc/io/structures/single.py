"""One structure without labels, from a file in any format of ASE."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ...errors import DataFileError
from ...neighbors import MAX_COORDINATE
from ..files import UTF_8_MARK, check_expansion, check_readable, read_bytes, read_text
from ..trial import tried
from .frames import frames_of
from .trajectory import check_elements, is_xyz

SECONDS, BYTES_PER_SECOND = 10.0, 2e5
"""Time in s that ASE may take for a small file, and the smallest rate of reading of a large one, in bytes per s."""


def read_structure(path: str | Path) -> Atoms:
    """Return the last structure of a file.

    Parameters
    ----------
    path : path
        In any format of ASE. ``NAME.data`` and ``data.NAME`` are data files of LAMMPS.

    Returns
    -------
    ase.Atoms
        Positions and cell are finite.

    Raises
    ------
    DataFileError
        If the file is missing, is not a regular file, or is damaged, or if reading it takes too much time or memory.
    """
    path = check_readable(path)
    check_expansion(path)
    if is_xyz(path):
        atoms = _last_of_xyz(path)
    else:
        check_elements(path)
        atoms = tried(path, "ASE", lambda: _by_ase(path), SECONDS, BYTES_PER_SECOND)
    for name, values in (("positions", atoms.positions), ("cell", atoms.cell.array)):
        if not (np.abs(values) <= MAX_COORDINATE).all():
            raise DataFileError(f"{path}: its {name} have a number above {MAX_COORDINATE:g} Å, or not a number")
    return atoms


def _last_of_xyz(path):
    from ase.io import read

    frames = list(frames_of(path, read_text(path)))
    if not frames:
        raise DataFileError(f"{path}: no structure in the file")
    return _one(path, lambda: read(io.StringIO(frames[-1].text), format="extxyz"))


def _by_ase(path):
    from ase.io import read

    is_data = path.suffix == ".data" or path.name.startswith("data.")
    with _without_mark(path) as readable:
        return _one(path, lambda: read(readable, format="lammps-data" if is_data else None))


@contextmanager
def _without_mark(path: Path) -> Iterator[Path]:
    """Give the path, or that of a temporary copy without the byte order mark, which ASE would take for text."""
    with open(path, "rb") as stream:
        start = stream.read(len(UTF_8_MARK))
    if start != UTF_8_MARK:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, path.name)
        copy.write_bytes(read_bytes(path))
        yield copy


def _one(path, read) -> Atoms:
    """Return the structure that ASE reads; DataFileError, with the first line of its words, if it raises anything."""
    try:
        atoms: Any = read()
    except MemoryError:
        raise
    except Exception as error:  # ASE raises exceptions of many types
        words = (str(error).strip().splitlines() or [""])[0][:200]
        raise DataFileError(
            f"{path}: cannot be read as a structure ({type(error).__name__}{': ' * bool(words)}{words})"
        ) from error
    if not isinstance(atoms, Atoms) or not len(atoms):
        raise DataFileError(f"{path}: no structure in the file")
    return atoms
