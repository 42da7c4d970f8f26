"""GPUMD's ``dpdt.out``: the current of the polarization and its integral (models with charges)."""

from __future__ import annotations

from pathlib import Path

from ...errors import DataFileError
from .columns import head_comments, read_table
from .lammps import Rows
from .timed import rows_at_times

NAMES = ["dPx", "dPy", "dPz", "Px", "Py", "Pz"]


def is_dpdt(path) -> bool:
    """Return whether a file is called ``dpdt.out`` or says that it is one."""
    return Path(path).name == "dpdt.out" or any("dpdt" in line for line in head_comments(path))


def read_dpdt(path, allow_gaps: bool = False) -> Rows:
    """Read ``time (fs), dP/dt (e·Å/fs, 3 columns), P (e·Å, 3 columns)``.

    P begins at zero in every run and has no branches.  A run that was appended (the time begins again) becomes a piece
    of its own only where the times do not go on; repeated times are those of a restart.

    Returns
    -------
    Rows
        ``header["quantities"]`` gives the columns and units of ``current`` and ``dipole``.

    Raises
    ------
    DataFileError
        If the file does not have 4 or 7 columns, or its times are not equally spaced.
    """
    table = read_table(path)
    count = table.values.shape[1]
    if count not in (4, 7):
        raise DataFileError(
            f"{path}: expected 7 columns (time in fs, dP/dt x y z, P x y z) or the first 4, found {count}"
        )
    quantities = {"current": (slice(0, 3), "e*A/fs")}
    if count == 7:
        quantities["dipole"] = (slice(3, 6), "e*A")
    return rows_at_times(
        path,
        table.values[:, 0],
        table.values[:, 1:],
        NAMES[: count - 1],
        allow_gaps,
        table.notes,
        {"quantities": quantities},
    )
