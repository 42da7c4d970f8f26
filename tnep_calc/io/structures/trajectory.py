"""Trajectories in any format of ASE, with the times of their frames.

Restarted runs repeat frames, and dumps may have gaps.  With times in the file, or the steps of a dump of LAMMPS, both
are detected.  Without them, repeated frames are detected by equal positions.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ...errors import DataFileError, InputError
from ..files import COMPRESSED, check_expansion, check_readable, open_stream, read_text, reading
from .frames import frames_of

_TIMES = ("time", "time_fs", "t_fs")
_TOLERANCE = 1e-4  # relative deviation of equal intervals
_XYZ = (".xyz", ".extxyz")
_STEP = re.compile(rb"^ITEM: TIMESTEP\s*\n\s*(\d{1,18})\s*\n", re.M)


def is_xyz(path: Path) -> bool:
    """Return whether a file, possibly compressed, has a name of (extended) xyz."""
    suffixes = [suffix for suffix in path.suffixes[-2:] if suffix.lower() not in COMPRESSED]
    return bool(suffixes) and suffixes[-1].lower() in _XYZ


def read_frames(path: str | Path) -> Iterator[tuple[Atoms, float | None]]:
    """Yield the frames of a trajectory with their times in fs (None if the file has none).

    Raises
    ------
    DataFileError
        If the file cannot be read, or a time is not a number.
    """
    path = check_readable(path)
    if is_xyz(path):
        from ase.io import read

        for index, frame in enumerate(frames_of(path, read_text(path))):
            with reading(f"{path}, frame {index}", "extended xyz"):
                atoms: Any = read(io.StringIO(frame.text), format="extxyz")
            yield atoms, _time(path, index, frame.header)
        return
    from ase.io import iread

    check_expansion(path)
    check_elements(path)
    frames, index = iread(path, ":"), 0
    while True:
        try:
            atoms = next(frames, None)
        except Exception as error:  # ASE's readers raise exceptions of many types
            words = (str(error).splitlines() or [""])[0][:200]
            raise DataFileError(
                f"{path}, frame {index}: damaged, or not a trajectory that ASE reads ({words})"
            ) from error
        if atoms is None:
            return
        yield atoms, _time(path, index, {str(key).lower(): value for key, value in atoms.info.items()})
        index += 1


def check_elements(path: Path) -> None:
    """Raise ``DataFileError`` for a dump of LAMMPS without chemical symbols: ASE would take its types for elements."""
    with open_stream(path) as stream:
        head = stream.read(4000)
    columns = re.search(rb"^ITEM: ATOMS(.*)$", head, re.M)
    if head.startswith(b"ITEM: ") and columns and not {b"element", b"mass"} & set(columns[1].split()):
        found = columns[1].decode("utf-8", "replace").strip()
        raise DataFileError(
            f"{path}: the dump has no column with the elements (found {found}): write it with 'dump ID all custom N "
            "FILE id element x y z' and 'dump_modify ID element B N', one symbol for each atom type"
        )


def dump_steps(path: str | Path) -> np.ndarray | None:
    """Return the time steps of the frames of a text dump of LAMMPS, or None if the file is no such dump."""
    steps: list[int] = []
    tail = b""
    with open_stream(check_readable(path)) as stream:
        while block := stream.read(1 << 22):
            if not tail and not steps and not block.startswith(b"ITEM: "):
                return None
            block = tail + block
            found = list(_STEP.finditer(block))
            steps += [int(match[1]) for match in found]
            tail = block[found[-1].end() :][-80:] if found else block[-80:]
    return np.array(steps) if steps else None


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
    """Iterable over the frames of a trajectory without repeated frames.  It can be iterated over only once.

    Parameters
    ----------
    path : path
    interval : float, in fs, optional
        Time between frames; must not contradict the times in the file.
    cell : ndarray, shape (3, 3), in Å, optional
        Cell of all frames (periodic), for files without one.
    allow_gaps : bool, default False
        Whether frames may be missing; the gaps split the series into pieces.

    Attributes
    ----------
    dt : float, in fs
        Time between frames, known after the iteration.
    repeated : int
        Number of repeated frames that were left out so far.
    starts : list of int
        Frames where uninterrupted pieces begin, known after the iteration.
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
            If the file cannot be read, only some frames have a time, frames are missing, or the times are uneven.
        InputError
            If `interval` contradicts the times in the file.
        """
        seen: set[bytes] = set()
        steps, unit = self._steps()
        for index, (atoms, time) in enumerate(read_frames(self.path)):
            if time is None and steps is not None and index < len(steps):
                time = unit * float(steps[index])
            if (time is None) == bool(self._times) and index:
                found = "no" if time is None else "a"
                raise DataFileError(f"{self.path}: frame {index} has {found} time, unlike the previous frames")
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

    def _steps(self):
        """Return the steps of a dump of LAMMPS, whose frames have no times, and the time between steps in fs."""
        steps = dump_steps(self.path)
        if steps is None or self.interval is None:
            return None, 0.0
        spacing = np.diff(steps)
        return (steps, self.interval / np.median(spacing[spacing > 0])) if (spacing > 0).any() else (None, 0.0)

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
                f"({self._times[k]:g} fs): --allow-gaps splits the series into pieces there"
            )
        self.starts = [0, *(int(k) + 1 for k in gaps)]

    @property
    def dt(self) -> float:
        """Time between frames in fs.

        Raises
        ------
        InputError
            If it is neither in the file nor given.
        """
        if self.interval is None:
            raise InputError(
                "the time between the frames of the trajectory is needed: add --interval, e.g. --interval 2fs"
            )
        return self.interval
