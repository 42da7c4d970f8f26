"""Signals of which only correlation functions are known, because they were accumulated during the simulation.

Every spectrum function accepts :class:`AccumulatedSignal` instead of arrays of samples.  The correlation functions are
sums over blocks.  The first and last samples of each block, as many as the longest lag, make sums across blocks and
sums of the signal minus its mean exact, so that the results equal those of the stored samples to round-off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError


@dataclass(frozen=True)
class CorrelationBlock:
    """Sums over the samples x of a block, with c components and n samples.

    Attributes
    ----------
    samples : int
    total : ndarray, shape (c,)
        Sum of the samples.
    products : ndarray, shape (lags, c, c)
        ``sum over t of (x_a(t) x_b(t + k) + x_b(t) x_a(t + k)) / 2`` within the block.
    head, tail : ndarray, shape (min(n, lags - 1), c)
        First and last samples.
    """

    samples: int
    total: np.ndarray
    products: np.ndarray
    head: np.ndarray
    tail: np.ndarray


class AccumulatedSignal:
    """An uninterrupted piece of a signal, as sums over consecutive blocks and an affine map of its samples.

    Parameters
    ----------
    blocks : sequence of CorrelationBlock
        Consecutive blocks of samples x with c components.
    matrix : ndarray, shape (c, ...)
    offset : ndarray, shape (...)
        The signal is ``x @ matrix + offset``.

    Attributes
    ----------
    shape : tuple of int
        Shape that the signal would have as an array.
    lags : int
        Number of lags that are known.

    Examples
    --------
    >>> x = np.array([[1.0], [2.0], [4.0]])
    >>> block = CorrelationBlock(3, x.sum(0), np.array([21.0, 10.0])[:, None, None], x[:1], x[2:])
    >>> signal = AccumulatedSignal([block], np.eye(1), np.zeros(1)).map(lambda rows: 2 * rows + 1)
    >>> signal.shape, signal.total().tolist(), signal.within_blocks(2, tensor=False).tolist()
    ((3, 1), [17.0], [115.0, 60.0])
    """

    def __init__(self, blocks: Sequence[CorrelationBlock], matrix: np.ndarray, offset: np.ndarray):
        self.blocks = list(blocks)
        self.matrix, self.offset = matrix, offset
        self.shape = (sum(block.samples for block in self.blocks), *offset.shape)
        self.ndim = len(self.shape)
        self.lags = len(self.blocks[0].products)

    def __len__(self) -> int:
        return self.shape[0]

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> AccumulatedSignal:
        """Return the signal after an affine function of its rows."""
        rows = function(np.concatenate([self.offset[None], self.offset + self.matrix]))
        return AccumulatedSignal(self.blocks, rows[1:] - rows[0], rows[0])

    def __getitem__(self, key) -> AccumulatedSignal:
        """Return some of the columns, ``[:, columns]``."""
        if not (isinstance(key, tuple) and key[0] == slice(None)):
            raise InputError("an accumulated signal has no samples; only its columns can be selected")
        return self.map(lambda rows: rows[key])

    def total(self) -> np.ndarray:
        """Return the sum of all samples, shape (...)."""
        return np.tensordot(sum(block.total for block in self.blocks), self.matrix, 1) + len(self) * self.offset

    def within_blocks(self, n_lags: int, tensor: bool) -> np.ndarray:
        """Return ``sum over t of y(t) y(t + k)`` of the signal y over pairs within one block.

        Parameters
        ----------
        n_lags : int
        tensor : bool
            Whether to return the symmetric tensor, shape (n_lags, d, d), or its trace, shape (n_lags,).

        Raises
        ------
        InputError
            If there are fewer lags.
        """
        if n_lags > self.lags:
            raise InputError(
                f"the correlations were accumulated for {self.lags} lags, but this resolution needs {n_lags}: use a "
                "coarser resolution (or run with a finer one of fix tnep/spectrum)"
            )
        map_, shift = self.matrix.reshape(len(self.matrix), -1), self.offset.reshape(-1)
        lags = np.arange(n_lags)
        result = np.zeros((n_lags, len(shift), len(shift)) if tensor else n_lags)
        for block in self.blocks:
            # sums of the samples that have a partner k samples later, plus of those with one k samples earlier
            partnered = 2 * block.total - _sums_of_first(block.head, n_lags) - _sums_of_first(block.tail[::-1], n_lags)
            partnered = partnered @ map_
            pairs = np.maximum(block.samples - lags, 0)
            if tensor:
                mixed = 0.5 * partnered[:, :, None] * shift
                result += map_.T @ block.products[:n_lags] @ map_ + mixed + mixed.transpose(0, 2, 1)
                result += pairs[:, None, None] * np.outer(shift, shift)
            else:
                result += np.tensordot(block.products[:n_lags], map_ @ map_.T, 2) + partnered @ shift
                result += pairs * (shift @ shift)
        return result

    def seams(self, n_lags: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the `n_lags` - 1 samples before and after each boundary between blocks, shape (rows, d)."""
        map_, shift = self.matrix.reshape(len(self.matrix), -1), self.offset.reshape(-1)
        for before, after in zip(self.blocks, self.blocks[1:], strict=False):
            tail = before.tail[max(0, len(before.tail) - n_lags + 1) :]
            yield tail @ map_ + shift, after.head[: n_lags - 1] @ map_ + shift

    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the first and the last two samples, shape (2, d) each."""
        map_, shift = self.matrix.reshape(len(self.matrix), -1), self.offset.reshape(-1)
        last = np.concatenate([block.tail for block in self.blocks[-2:]])[-2:]
        return self.blocks[0].head[:2] @ map_ + shift, last @ map_ + shift

    def moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return samples (n,), sums (n, d) and sums of products of components (n, d, d) of the n blocks."""
        parts = [AccumulatedSignal([block], self.matrix, self.offset) for block in self.blocks]
        sums = [part.total().reshape(-1) for part in parts]
        return (
            np.array([len(part) for part in parts], dtype=float),
            np.array(sums),
            np.array([part.within_blocks(1, tensor=True)[0] for part in parts]),
        )


def _sums_of_first(rows: np.ndarray, n: int) -> np.ndarray:
    """Return the sums of the first 0, 1, ..., n - 1 rows, shape (n, c); rows that are missing count as zero."""
    sums = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])
    return sums[np.minimum(np.arange(n), len(rows))]


def stored_blocks(pieces: Sequence[AccumulatedSignal]) -> int:
    """Return the number of full blocks, which have the length of the longest one."""
    return sum(len(_full(piece, longest_block(pieces))) for piece in pieces)


def longest_block(pieces: Sequence[AccumulatedSignal]) -> int:
    """Return the number of samples of the longest block."""
    return max(block.samples for piece in pieces for block in piece.blocks)


def _full(piece, length):
    return [block for block in piece.blocks if block.samples == length]


def joined_blocks(pieces: Sequence[AccumulatedSignal], n_blocks: int) -> list[AccumulatedSignal]:
    """Return at least `n_blocks` equally long signals, of one or several consecutive full blocks each.

    Raises
    ------
    InputError
        If there are fewer full blocks.
    """
    length = longest_block(pieces)
    full = [(_full(piece, length), piece) for piece in pieces]
    most = sum(len(blocks) for blocks, _ in full)
    if most < n_blocks:
        raise InputError(f"the correlations were accumulated in {most} blocks of {length} samples, not {n_blocks}")
    size = max(g for g in range(1, most + 1) if sum(len(blocks) // g for blocks, _ in full) >= n_blocks)
    return [
        AccumulatedSignal(blocks[k * size : (k + 1) * size], piece.matrix, piece.offset)
        for blocks, piece in full
        for k in range(len(blocks) // size)
    ]
