"""Signals that do not fit in memory, which are read in chunks when they are needed.

Every spectrum function accepts a :class:`LazySignal` instead of an array.  It refers to a source of samples (an HDF5
dataset, a memory map, or any object with a length and slices) and to a transformation of them.  Only the current chunk
is in memory, of 65,536 samples or four windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import InputError

CHUNK = 1 << 16
"""Number of samples that are processed at once."""

Transform = Callable[[np.ndarray], np.ndarray]


class LazySignal:
    """Samples that are read when they are needed.

    Parameters
    ----------
    source : object with ``len`` and slices along its first axis
        For example a dataset of an open HDF5 file, or a memory map.
    start, stop : int, optional
        Rows of `source` that belong to the signal.
    transform : callable, optional
        Function of a chunk of rows, which must keep the first axis.

    Attributes
    ----------
    shape : tuple of int
        Shape of the whole signal after `transform`.

    Examples
    --------
    >>> signal = LazySignal(np.arange(12.0).reshape(6, 2), 1, 5).map(lambda rows: 2 * rows)
    >>> signal.shape, signal[1:3].read().tolist()
    ((4, 2), [[8.0, 10.0], [12.0, 14.0]])
    """

    def __init__(self, source: Any, start: int = 0, stop: int | None = None, transform: Transform | None = None):
        self.source = source
        self.start = start
        self.stop = len(source) if stop is None else stop
        self.transform = transform
        if not 0 <= self.start <= self.stop <= len(source):
            raise InputError(f"rows {self.start} to {self.stop} are not in a source of {len(source)} rows")
        first = self.read(0, min(1, len(self)))
        self.shape = (len(self), *first.shape[1:])
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.stop - self.start

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return the rows from `start` to `stop` (default: the end) as an array of floats.

        Raises
        ------
        InputError
            If a value is not finite.
        """
        stop = len(self) if stop is None else min(stop, len(self))
        rows = np.asarray(self.source[self.start + start : self.start + stop], dtype=float)
        if not np.isfinite(rows).all():
            row = int(np.flatnonzero(~np.isfinite(rows.reshape(len(rows), -1)).all(axis=1))[0])
            raise InputError(f"the series has a value that is not finite at sample {self.start + start + row}")
        return rows if self.transform is None else self.transform(rows)

    def map(self, function: Transform) -> LazySignal:
        """Return the signal with an additional transformation, which is applied to each chunk."""
        before = self.transform
        after = function if before is None else lambda rows: function(before(rows))
        return LazySignal(self.source, self.start, self.stop, after)

    def __getitem__(self, key) -> LazySignal:
        """Return a slice of rows with step 1, optionally with some of the columns (``[rows, columns]``)."""
        if isinstance(key, tuple):
            rows, columns = key
            return self[rows].map(lambda chunk: chunk[:, columns])
        first, last, step = key.indices(len(self))
        if step != 1:
            raise InputError("a signal that is read in chunks cannot be sliced with a step")
        return LazySignal(self.source, self.start + first, self.start + max(first, last), self.transform)


def apply(piece, function: Transform):
    """Return ``function(piece)`` for an array, or else the signal with that transformation."""
    return function(piece) if isinstance(piece, np.ndarray) else piece.map(function)


def rows_of(piece, start: int, stop: int) -> np.ndarray:
    """Return the rows from `start` to `stop` of an array or a lazy signal as an array."""
    return piece.read(start, stop) if isinstance(piece, LazySignal) else piece[start:stop]


def chunks_of(piece, overlap: int = 0, size: int = CHUNK) -> Iterator[np.ndarray]:
    """Yield a piece in chunks of `size` rows, each followed by up to `overlap` rows of the next chunk.

    Examples
    --------
    >>> [chunk.tolist() for chunk in chunks_of(np.arange(5), overlap=1, size=2)]
    [[0, 1, 2], [2, 3, 4], [4]]
    """
    for start in range(0, len(piece), size):
        yield rows_of(piece, start, min(start + size + overlap, len(piece)))
