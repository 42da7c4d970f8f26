"""Large text tables of numbers with ``#`` comments, as simulation programs write them line by line.

Read in pieces of a few MB with vectorised checks: every line's count of numbers is verified at little cost, and no more
memory is used than for the numbers themselves (twice) and one piece.
"""

from __future__ import annotations

import gzip
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import DataFileError

CHUNK = 1 << 22
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
        Comments without ``#``, each with the number of rows before it (of numbers, if rows differ in length).
    notes : list of str
        What was tolerated, in words for the user.
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
        """Name the first line of `text` that is not a row of numbers."""
        for number, line in enumerate(text.split(b"\n"), start=self.line):
            for word in line.split():
                try:
                    float(word)
                except ValueError:
                    self.fail(number, f"expected numbers, found {word[:40].decode(errors='replace')!r}")
        self.fail(self.line, "expected numbers")

    def numbers(self, text: bytes):
        """Add the rows of `text` (whole lines without comments)."""
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
        """Add `text`, which ends with a newline, cutting it at comments."""
        at = 0
        for comment in _COMMENT.finditer(text):
            start = text.rfind(b"\n", at, comment.start()) + 1 or at
            self.numbers(text[at:start]) if start > at else None
            if text[start : comment.start()].strip():
                self.notes.append(
                    f"line {self.line} was cut off (a job was killed while writing, and another one went on in the "
                    "same file); it is not used"
                )
            self.comments.append((self.rows, comment.group()[1:].decode(errors="replace").strip()))
            at = comment.end() + 1
            self.line += 1
        if at < len(text):
            self.numbers(text[at:])


def read_table(path, rectangular: bool = True) -> Table:
    """Read numbers and comments of a text file (plain or ``.gz``).

    A last line without a newline is left out, because a job that is running or was killed may have written only part
    of it; the notes say so.

    Parameters
    ----------
    path : str or path
    rectangular : bool
        Whether every row must have the same number of columns.

    Raises
    ------
    DataFileError
        If the file cannot be read, or a line holds something else than numbers or another number of them; the message
        names the line.
    """
    path = Path(path)
    reader = _Reader(path, rectangular)
    tail = b""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as stream:
            while block := stream.read(CHUNK):
                block = tail + block
                cut = block.rfind(b"\n") + 1
                tail = block[cut:]
                reader.whole_lines(block[:cut])
    except (OSError, EOFError) as error:
        raise DataFileError(f"{path}: cannot be read ({error})") from error
    if tail.strip() and not tail.lstrip().startswith(b"#"):
        reader.notes.append("the last line has no end (the job is running or was killed); it is not used")
    if not reader.arrays:
        raise DataFileError(f"{path}: holds no complete line of numbers")
    return Table(np.concatenate(reader.arrays), reader.comments, reader.notes)


def head_comments(path, count: int = 20) -> list[str]:
    """Return the comments among the first lines of a file, without ``#``, and its first other line if not numbers."""
    path = Path(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as stream:
            lines = [stream.readline(1000).decode(errors="replace").strip() for _ in range(count)]
    except (OSError, EOFError) as error:
        raise DataFileError(f"{path}: cannot be read ({error})") from error
    if any(line.startswith(("---", "keywords:")) for line in lines):
        raise DataFileError(f"{path}: is YAML output; let LAMMPS write a name that does not end in .yaml or .yml")
    return [line[1:].strip() for line in lines if line.startswith("#")]
