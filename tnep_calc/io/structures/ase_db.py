"""ASE databases (``ase.db``, SQLite or JSON): labels from the calculator, the key-value pairs, and ``row.data``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import DataFileError
from ...structures import LabelledStructure
from ..content import check_nesting
from ..files import check_readable, read_text, reading
from .extxyz import from_atoms
from .left_out import UnconvergedError, warn_of_unconverged, warn_of_unused


def read_ase_db(
    path: str | Path, keys: Mapping[str, str] | None = None, require: Sequence[str] = ()
) -> list[LabelledStructure]:
    """Read all rows of a database, in the order of their ids.

    Parameters
    ----------
    path : path
    keys, require
        As in :func:`tnep_calc.io.structures.extxyz.read_dataset`. Both ``row.data`` and the key-value pairs are
        searched for keys.

    Raises
    ------
    DataFileError
        If the file is not a database, is empty, or a label is invalid; the message names the row by its id.
    """
    from ase.db import connect

    path = Path(path)
    check_readable(path)
    structures, unconverged, unused = [], [], set[str]()
    try:
        if path.suffix.lower() == ".json":
            check_nesting(read_text(path))
        rows = list(connect(path).select(sort="id"))
    except Exception as error:  # ASE and sqlite3 raise exceptions of many types
        words = (str(error).splitlines() or [""])[0]
        raise DataFileError(f"{path}: cannot be read as a database of ASE ({words})") from error
    with reading(path, "a database of ASE"):
        for row in rows:
            atoms = row.toatoms()
            atoms.info.update({**row.key_value_pairs, **row.data})
            try:
                structures.append(from_atoms(atoms, f"{path}, row {row.id}", keys, require, unused))
            except UnconvergedError:
                unconverged.append(row.id)
    warn_of_unconverged(path, unconverged, len(structures))
    if not structures:
        raise DataFileError(f"{path}: no row in the database")
    warn_of_unused(path, structures, unused)
    return structures
