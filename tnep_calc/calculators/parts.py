"""Arrays of every frame of a trajectory, computed in parts that MPI ranks share and that a killed run finds again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from ase import Atoms

from ..errors import DataFileError, InputError
from ..io.content import read_arrays
from ..io.files import atomic_output
from ..io.state import check_state
from ..parallel import Communicator, in_agreement

PART = 32
"""Number of frames of a part, which one rank evaluates and stores."""

RESULTS = ("part-*.npz",)
"""Names of the stored parts."""

REPORT_INTERVAL = 5.0
"""Time between two lines of progress in seconds."""


class Measure(Protocol):
    """Named arrays of a frame, whose shapes are the same for all frames."""

    def check(self, index: int, atoms: Atoms) -> None:
        """Raise an error if a frame cannot be used; it is called for all frames on every rank."""

    def __call__(self, index: int, atoms: Atoms) -> dict[str, np.ndarray]:
        """Return the arrays of a frame."""


class _Parts:
    """The parts of a trajectory: in memory, or stored in a folder as ``part-NNNNN.npz``."""

    def __init__(self, folder: Path | None):
        self.folder = folder
        self.known: dict[int, dict[str, np.ndarray]] = {}

    def name(self, part: int) -> Path:
        assert self.folder is not None
        return self.folder / f"part-{part:05d}.npz"

    def stored(self) -> set[int]:
        """Return the numbers of the parts in the folder."""
        if self.folder is None:
            return set()
        return {int(path.stem.split("-")[1]) for path in self.folder.glob(RESULTS[0])}

    def add(self, part: int, rows: list[dict[str, np.ndarray]]) -> None:
        arrays = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        if self.folder is None:
            self.known[part] = arrays
            return
        with atomic_output(self.name(part), force=True) as temporary:
            np.savez(temporary, **arrays)  # type: ignore[arg-type]

    def load(self, part: int) -> dict[str, np.ndarray]:
        if self.folder is None:
            return self.known[part]
        return read_arrays(self.name(part))


def measure_frames(
    frames: Iterable[Atoms],
    measure: Measure,
    folder: Path | None = None,
    key: str = "",
    restart: bool = False,
    comm: Any = None,
    log: Callable[[str], None] = print,
) -> dict[str, np.ndarray]:
    """Return arrays of all frames, of which each rank computes its share.

    Every rank reads all frames and computes every ``size``-th missing part of ``PART`` frames.

    Parameters
    ----------
    frames : iterable of ase.Atoms
        The same on every rank.
    measure : Measure
    folder : path, optional
        Folder for the finished parts, which all ranks can read; required with several ranks. Parts of a previous run
        with the same `key` are used.
    key : str
        Fingerprint of frames, models and settings.
    restart : bool
        Delete the parts of a previous run.
    comm : mpi4py communicator, optional
    log : callable
        Function that is called with lines of progress, on rank 0.

    Returns
    -------
    dict of str to ndarray, shape (n_frames, ...)
        On every rank.

    Raises
    ------
    InputError
        If there are several ranks but no folder, the folder has parts of another calculation, or there are no frames.
    DataFileError
        If a stored part is damaged.
    """
    comm = Communicator() if comm is None else comm
    if comm.size > 1 and folder is None:
        raise InputError("several MPI ranks need a folder for the finished parts")
    parts = _Parts(folder)

    def prepare():
        if comm.rank == 0 and folder is not None:
            check_state(folder, key, RESULTS, restart)

    in_agreement(comm, prepare)
    done = comm.bcast(parts.stored())
    if done and comm.rank == 0:
        log(f"using {len(done)} parts of {PART} frames of a previous run: {folder}")

    def compute() -> int:
        start = last = time.monotonic()
        rows: list[dict[str, np.ndarray]] = []
        count = computed = missing = 0
        own = False
        for index, atoms in enumerate(frames):
            part, first = divmod(index, PART)
            if first == 0:
                if rows:
                    parts.add(part - 1, rows)
                    rows = []
                own = part not in done and missing % comm.size == comm.rank
                missing += part not in done
            count += 1
            measure.check(index, atoms)
            if own:
                rows.append(measure(index, atoms))
                computed += 1
            now = time.monotonic()
            if comm.rank == 0 and now - last > REPORT_INTERVAL:
                log(f"  {count} frames, {comm.size * computed / (now - start):.3g} evaluations/s")
                last = now
        if rows:
            parts.add((count - 1) // PART, rows)
        return count

    count = in_agreement(comm, compute)
    if not count:
        raise InputError("the trajectory has no frames")

    def join() -> dict[str, np.ndarray]:
        found = [parts.load(part) for part in range(-(-count // PART))]
        joined = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
        for name, array in joined.items():
            if len(array) != count:
                raise DataFileError(f"{folder}: the parts have {len(array)} values of {name}, expected {count}")
        return joined

    return in_agreement(comm, join)
