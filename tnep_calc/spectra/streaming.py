"""Signals that are longer than memory: read piece by piece, when they are needed.

A :class:`LazySignal` stands where an array may stand in every spectrum function.  It knows where its samples lie (an
HDF5 dataset, a memory map, anything with a length and slices) and what is done to them; only the chunks that are being
worked on are in memory, 65,536 samples or four windows at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import InputError

CHUNK = 1 << 16
"""Number of samples that are worked on at once."""

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
        What is done to each chunk of rows; keeps the first axis.

    Attributes
    ----------
    shape : tuple of int
        Of the whole signal, after `transform`.

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
        """Return the rows from `start` to `stop` (the end) as an array of floats; what is not finite is an error."""
        stop = len(self) if stop is None else min(stop, len(self))
        rows = np.asarray(self.source[self.start + start : self.start + stop], dtype=float)
        if not np.isfinite(rows).all():
            row = int(np.flatnonzero(~np.isfinite(rows.reshape(len(rows), -1)).all(axis=1))[0])
            raise InputError(f"the series has a value that is not finite at sample {self.start + start + row}")
        return rows if self.transform is None else self.transform(rows)

    def map(self, function: Transform) -> LazySignal:
        """Return the signal with one transformation more, applied chunk by chunk."""
        before = self.transform
        after = function if before is None else lambda rows: function(before(rows))
        return LazySignal(self.source, self.start, self.stop, after)

    def __getitem__(self, key) -> LazySignal:
        """Return some rows (a slice with step 1), or some columns of all rows (``[:, columns]``)."""
        if isinstance(key, tuple):
            rows, columns = key
            return self[rows].map(lambda chunk: chunk[:, columns])
        first, last, step = key.indices(len(self))
        if step != 1:
            raise InputError("a signal that is read in chunks has no slices with a step")
        return LazySignal(self.source, self.start + first, self.start + max(first, last), self.transform)


def apply(piece, function: Transform):
    """Return ``function(piece)`` for an array, and the mapped signal for a lazy one."""
    return piece.map(function) if isinstance(piece, LazySignal) else function(piece)


def rows_of(piece, start: int, stop: int) -> np.ndarray:
    """Return some rows of an array or a lazy signal as an array."""
    return piece.read(start, stop) if isinstance(piece, LazySignal) else piece[start:stop]


def chunks_of(piece, overlap: int = 0, size: int = CHUNK) -> Iterator[np.ndarray]:
    """Yield a piece in chunks of `size` rows, each with up to `overlap` rows of the next one at its end.

    Examples
    --------
    >>> [chunk.tolist() for chunk in chunks_of(np.arange(5), overlap=1, size=2)]
    [[0, 1, 2], [2, 3, 4], [4]]
    """
    for start in range(0, len(piece), size):
        yield rows_of(piece, start, min(start + size + overlap, len(piece)))
