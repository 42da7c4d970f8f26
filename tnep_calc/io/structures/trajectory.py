"""Trajectories of any kind that ASE reads, with what they say about the time of their frames.

Restarted runs repeat frames, and dumps have gaps.  Both are found here: from the times where a file has them, and else
from positions that occurred before.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ...errors import DataFileError, InputError
from ..files import check_readable, read_text, reading
from .frames import frames_of

_TIMES = ("time", "time_fs", "t_fs")
_TOLERANCE = 1e-4  # relative, of equal intervals
_XYZ = (".xyz", ".extxyz")


def read_frames(path: str | Path) -> Iterator[tuple[Atoms, float | None]]:
    """Yield the frames of a trajectory with their times in fs (None where the file has none).

    Raises
    ------
    DataFileError
        If the file cannot be read.
    """
    path = check_readable(path)
    suffixes = [suffix for suffix in path.suffixes[-2:] if suffix not in (".gz", ".bz2", ".xz")]
    if suffixes[-1:] and suffixes[-1].lower() in _XYZ:
        from ase.io import read

        for index, frame in enumerate(frames_of(path, read_text(path))):
            with reading(f"{path}, frame {index}", "extended xyz"):
                atoms: Any = read(io.StringIO(frame.text), format="extxyz")
            yield atoms, _time(path, index, frame.header)
        return
    from ase.io import iread

    with reading(path, "a trajectory"):
        for index, atoms in enumerate(iread(path, ":")):
            yield atoms, _time(path, index, {str(key).lower(): value for key, value in atoms.info.items()})


def _time(path, index, header):
    value = next((header[name] for name in _TIMES if name in header), None)
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise DataFileError(f"{path}, frame {index}: its time must be a number, found {str(value)[:40]!r}") from error


@dataclass
class Trajectory:
    """The frames of a trajectory, each once, and what was found on the way; iterate over it once.

    Parameters
    ----------
    path : path
    interval : float, in fs, optional
        Time between frames; must not contradict the times in the file.
    cell : ndarray, shape (3, 3), in Å, optional
        Cell of all frames (periodic), for files without one.
    allow_gaps : bool, default False
        Whether frames may be missing; they divide the series into pieces.

    Attributes
    ----------
    dt : float, in fs
        Time between frames, after the iteration.
    repeated : int
        Frames that were left out, as they occurred before.
    starts : list of int
        Frames where uninterrupted pieces begin.
    """

    path: str | Path
    interval: float | None = None
    allow_gaps: bool = False
    cell: np.ndarray | None = None
    repeated: int = 0
    starts: list[int] = field(default_factory=lambda: [0])
    _times: list[float] = field(default_factory=list)

    def __iter__(self) -> Iterator[Atoms]:
        """Yield each frame once, in the order of the file.

        Raises
        ------
        DataFileError
            If the file cannot be read, only some frames have a time, or frames are missing.
        InputError
            If the interval contradicts the file.
        """
        seen: set[bytes] = set()
        for index, (atoms, time) in enumerate(read_frames(self.path)):
            if (time is None) == bool(self._times) and index:
                found = "no" if time is None else "a"
                raise DataFileError(f"{self.path}: frame {index} has {found} time, unlike those before")
            if time is None:
                key = hashlib.blake2b(np.ascontiguousarray(atoms.positions).tobytes(), digest_size=16).digest()
                if key in seen:
                    self.repeated += 1
                    continue
                seen.add(key)
            else:
                if self._times and time <= self._times[-1]:
                    self.repeated += 1
                    continue
                self._times.append(time)
            if self.cell is not None:
                atoms.set_cell(self.cell)
                atoms.set_pbc(True)
            yield atoms
        self._finish()

    def _finish(self):
        steps = np.diff(self._times)
        if not len(steps):
            return
        step = float(np.median(steps))
        if self.interval is not None and abs(self.interval - step) > _TOLERANCE * step:
            raise InputError(
                f"{self.path}: its frames are {step:g} fs apart (Time=), but --interval says {self.interval:g} fs: "
                "leave the option out"
            )
        self.interval = step if self.interval is None else self.interval
        whole = np.rint(steps / step)
        odd = np.flatnonzero(np.abs(steps - whole * step) > _TOLERANCE * step)
        if odd.size:
            k = int(odd[0])
            raise DataFileError(
                f"{self.path}: frames {k} and {k + 1} are {steps[k]:g} fs apart, others {step:g} fs: a series needs "
                "equal steps"
            )
        gaps = np.flatnonzero(whole > 1)
        if gaps.size and not self.allow_gaps:
            k = int(gaps[0])
            raise DataFileError(
                f"{self.path}: {int(whole[gaps].sum()) - len(gaps)} frames are missing, the first after frame {k} "
                f"({self._times[k]:g} fs): use --allow-gaps to go on with the pieces"
            )
        self.starts = [0, *(int(k) + 1 for k in gaps)]

    @property
    def dt(self) -> float:
        """Time between frames in fs.

        Raises
        ------
        InputError
            If neither the file nor the caller has said it.
        """
        if self.interval is None:
            raise InputError(
                "the time between the frames of the trajectory is needed: add --interval, e.g. --interval 2fs"
            )
        return self.interval
