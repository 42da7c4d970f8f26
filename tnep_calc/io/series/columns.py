"""Large text tables of numbers with ``#`` comments, as written by simulation programs.

Files are read in chunks of a few MB with vectorised checks, so that counting the numbers of every line costs little.
The memory needed is twice that of the numbers, and one chunk.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import DataFileError
from ..files import EXPANSION, most_bytes, open_stream

CHUNK = 1 << 22  # bytes
_COMMENT = re.compile(rb"#[^\n]*")
_BLANK = 32
_NEWLINE = 10


@dataclass
class Table:
    """Numbers and comments of a file.

    Attributes
    ----------
    values : ndarray, shape (n_rows, n_columns), or (n,) if the rows may differ in length
    comments : list of (int, str)
        Comments without ``#``, each with the number of rows before it (or of numbers, if rows may differ in length).
    notes : list of str
        Messages to the user about what was tolerated.
    """

    values: np.ndarray
    comments: list[tuple[int, str]]
    notes: list[str] = field(default_factory=list)


class _Reader:
    def __init__(self, path: Path, rectangular: bool):
        self.path, self.rectangular = path, rectangular
        self.columns = 0
        self.line = 1
        self.rows = 0
        self.arrays: list[np.ndarray] = []
        self.comments: list[tuple[int, str]] = []
        self.notes: list[str] = []

    def fail(self, line, reason):
        raise DataFileError(f"{self.path}, line {line}: {reason}")

    def diagnose(self, text: bytes):
        """Raise DataFileError for the first line of `text` that is not a row of numbers."""
        for number, line in enumerate(text.split(b"\n"), start=self.line):
            for word in line.split():
                try:
                    float(word)
                except ValueError:
                    self.fail(number, f"expected numbers, found {word[:40].decode(errors='replace')!r}")
        self.fail(self.line, "expected numbers")

    def numbers(self, text: bytes):
        """Add the rows of `text`, which consists of complete lines without comments."""
        codes = np.frombuffer(text, dtype=np.uint8)
        visible = codes > _BLANK
        starts = np.flatnonzero(visible[1:] > visible[:-1]) + 1
        ends = np.flatnonzero(codes == _NEWLINE)
        per_line = np.diff(np.searchsorted(starts, ends) + bool(visible[0]), prepend=0)
        total = int(per_line.sum())
        if total:
            with warnings.catch_warnings():
                warnings.simplefilter("error", DeprecationWarning)
                try:
                    values = np.fromstring(text, sep=" ")
                except (DeprecationWarning, ValueError):
                    self.diagnose(text)
            if len(values) != total:
                self.diagnose(text)
            if self.rectangular:
                full = per_line > 0
                self.columns = self.columns or int(per_line[full][0])
                wrong = np.flatnonzero(full & (per_line != self.columns))
                if len(wrong):
                    found = int(per_line[wrong[0]])
                    self.fail(self.line + int(wrong[0]), f"expected {self.columns} numbers, found {found}")
                values = values.reshape(-1, self.columns)
            self.arrays.append(values)
            self.rows += len(values)
        self.line += len(ends)

    def whole_lines(self, text: bytes):
        """Add the rows and comments of `text`, which ends with a newline."""
        at = 0
        for comment in _COMMENT.finditer(text):
            start = text.rfind(b"\n", at, comment.start()) + 1 or at
            self.numbers(text[at:start]) if start > at else None
            if text[start : comment.start()].strip():
                self.notes.append(
                    f"line {self.line} is incomplete (a job was killed while writing, and another one appended to the "
                    "same file); it is not used"
                )
            self.comments.append((self.rows, comment.group()[1:].decode(errors="replace").strip()))
            at = comment.end() + 1
            self.line += 1
        if at < len(text):
            self.numbers(text[at:])


def read_table(path, rectangular: bool = True) -> Table:
    """Read numbers and comments of a text file (plain, ``.gz``, ``.bz2`` or ``.xz``).

    A last line without a newline is dropped with a note, because a job that is running or was killed may have written
    only part of it.

    Parameters
    ----------
    path : str or path
    rectangular : bool
        Whether every row must have the same number of columns.

    Raises
    ------
    DataFileError
        If the file cannot be read, or a line has other content than numbers or another number of columns. The message
        names the line.
    """
    path = Path(path)
    reader = _Reader(path, rectangular)
    tail = b""
    with open_stream(path) as stream:
        left = most_bytes(path)
        while block := stream.read(CHUNK):
            left -= len(block)
            if left < 0:
                raise DataFileError(f"{path}: unpacks to more than {EXPANSION} times its size, so it is not read")
            block = tail + block
            cut = block.rfind(b"\n") + 1
            tail = block[cut:]
            reader.whole_lines(block[:cut])
    if tail.strip() and not tail.lstrip().startswith(b"#"):
        reader.notes.append("the last line is incomplete (the job is running or was killed); it is not used")
    if not reader.arrays:
        raise DataFileError(f"{path}: has no complete line of numbers")
    return Table(np.concatenate(reader.arrays), reader.comments, reader.notes)


def head_comments(path, count: int = 20) -> list[str]:
    """Return the comments, without ``#``, among the first `count` lines of a file.

    Raises
    ------
    DataFileError
        If the file cannot be read, or is YAML output of LAMMPS.
    """
    path = Path(path)
    with open_stream(path) as stream:
        lines = [stream.readline(1000).decode(errors="replace").strip() for _ in range(count)]
    if any(line.startswith(("---", "keywords:")) for line in lines):
        raise DataFileError(f"{path}: is YAML output; use a file name in LAMMPS that does not end in .yaml or .yml")
    return [line[1:].strip() for line in lines if line.startswith("#")]
