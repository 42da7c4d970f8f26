"""Signals and their blocks, correlation functions, and Fourier transforms."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from scipy import fft

from ..errors import InputError
from ..units import INV_CM_TO_RAD_PER_FS
from .accumulated import AccumulatedSignal, joined_blocks
from .streaming import CHUNK, LazySignal, apply, chunks_of

Piece = np.ndarray | LazySignal | AccumulatedSignal
Signal = Piece | Sequence[Piece]

POINTS_PER_WIDTH = 10
"""Grid points per resolution width, which determine the zero padding of the transform."""

FULL_WIDTH = 9
"""Largest number of components for which chunks have their full length; with more, chunks are shorter."""

WINDOWS_PER_CHUNK = 4
"""Smallest length of the chunks in which long series are processed, in units of the longest lag."""


def as_pieces(signal: Signal, shape: tuple[int, ...], name: str) -> list[Piece]:
    """Return the checked pieces of a signal as a list of float arrays (or other signals) of shape (n,) + `shape`.

    Parameters
    ----------
    signal : ndarray, LazySignal or AccumulatedSignal, or sequence of such
    shape : tuple of int
        Expected shape of a sample.
    name : str
        Name of the signal, for messages.

    Raises
    ------
    InputError
        If a shape is wrong, a value is not finite, or there are fewer than two samples altogether.
    """
    other = LazySignal | AccumulatedSignal
    if isinstance(signal, other) or (isinstance(signal, np.ndarray) and signal.ndim == len(shape) + 1):
        signal = [signal]
    pieces = [piece if isinstance(piece, other) else np.asarray(piece, dtype=float) for piece in signal]
    expected = "(n, " + ", ".join(map(str, shape)) + ")" if shape else "(n,)"
    for piece in pieces:
        if piece.shape[1:] != shape or piece.ndim != len(shape) + 1:
            raise InputError(f"{name} must have shape {expected} (or be a sequence of such), got {piece.shape}")
        if isinstance(piece, np.ndarray) and not np.isfinite(piece).all():
            row = int(np.flatnonzero(~np.isfinite(piece.reshape(len(piece), -1)).all(axis=1))[0])
            raise InputError(f"{name} has a value that is not finite at sample {row}; remove or repair the run")
    if sum(map(len, pieces)) < 2:
        raise InputError(f"{name} needs at least 2 samples, got {sum(map(len, pieces))}")
    return pieces


def centre(pieces: list[Piece]) -> list[Piece]:
    """Return the pieces minus their common mean over time, each flattened to shape (n, components)."""
    flat = [apply(piece, lambda rows: rows.reshape(len(rows), -1)) for piece in pieces]
    mean = sum(_total(piece) for piece in flat) / sum(map(len, flat))
    return [apply(piece, lambda rows: rows - mean) for piece in flat]


def _total(piece: Piece) -> np.ndarray:
    """Return the sum of the samples."""
    if isinstance(piece, AccumulatedSignal):
        return piece.total()
    return sum(chunk.sum(axis=0) for chunk in chunks_of(piece))


def _pair_sums(piece: Piece, n_lags: int, tensor: bool) -> np.ndarray:
    """Return ``sum over t of x(t) x(t + k)`` of a piece.

    The result is summed over components, shape (n_lags,), or with `tensor` a symmetric tensor, shape (n_lags, c, c).
    """
    if isinstance(piece, AccumulatedSignal):
        total = piece.within_blocks(n_lags, tensor)
        for before, after in piece.seams(n_lags):
            total += _pair_sums(np.concatenate([before, after]), n_lags, tensor)
            total -= _pair_sums(before, n_lags, tensor) + _pair_sums(after, n_lags, tensor)
        return total
    n, reach = len(piece), min(len(piece), n_lags)
    components = 1 if piece.ndim == 1 else piece.shape[1]
    chunk = max(CHUNK * FULL_WIDTH // max(FULL_WIDTH, components), WINDOWS_PER_CHUNK * reach)
    size = fft.next_fast_len(min(n, chunk) + reach - 1, real=True)
    pairs = [(a, b) for a in range(components) for b in range(a, components)] if tensor else []
    power = np.zeros((max(len(pairs), 1), size // 2 + 1), dtype=complex)
    for rows in chunks_of(piece, reach - 1, chunk):
        columns = np.ascontiguousarray(rows.reshape(len(rows), -1).T)
        ahead = fft.rfft(columns, size)
        here = ahead if len(rows) <= chunk else fft.rfft(columns[:, :chunk], size)
        if not tensor:
            power[0] += np.einsum("cf,cf->f", here.conj(), ahead)
        for k, (a, b) in enumerate(pairs):
            power[k] += 0.5 * (here[a].conj() * ahead[b] + here[b].conj() * ahead[a])
    lagged = fft.irfft(power, size)[:, :reach]
    if not tensor:
        return np.pad(lagged[0], (0, n_lags - reach))
    total = np.zeros((n_lags, components, components))
    for k, (a, b) in enumerate(pairs):
        total[:reach, a, b] = total[:reach, b, a] = lagged[k]
    return total


def _correlate(signal: Signal, n_lags: int, tensor: bool) -> np.ndarray:
    pieces = [signal] if isinstance(signal, np.ndarray | LazySignal | AccumulatedSignal) else list(signal)
    longest = max(map(len, pieces))
    if n_lags > longest:
        raise InputError(f"{n_lags} lags need a piece of at least {n_lags} samples, the longest has {longest}")
    lags = np.arange(n_lags)
    pairs = np.sum([np.maximum(len(piece) - lags, 0) for piece in pieces], axis=0)
    total = np.sum([_pair_sums(piece, n_lags, tensor) for piece in pieces], axis=0)
    return total / (pairs[:, None, None] if tensor else pairs)


def autocorrelation(signal: Signal, n_lags: int) -> np.ndarray:
    r"""Return ``C(k) = <x(0) . x(k)>``, summed over components, without subtracting the mean.

    This is the unbiased estimator, ``sum_t x(t) . x(t + k) / number of pairs``, from zero-padded Fourier transforms of
    chunks (Wiener-Khinchin).  Pairs are formed within pieces only.  The cost is linear in the length of the series.

    Parameters
    ----------
    signal : ndarray, shape (n,) or (n, components), or a sequence of such
    n_lags : int
        Number of lags, starting at 0.

    Returns
    -------
    ndarray, shape (n_lags,), in the square of the unit of the signal

    Raises
    ------
    InputError
        If no piece is long enough for the longest lag.

    Examples
    --------
    >>> autocorrelation(np.array([1.0, -1.0, 1.0, -1.0]), 3).round(12).tolist()
    [1.0, -1.0, 1.0]
    """
    return _correlate(signal, n_lags, tensor=False)


def correlation_tensor(signal: Signal, n_lags: int) -> np.ndarray:
    """Return ``C_ab(k) = (<x_a(0) x_b(k)> + <x_b(0) x_a(k)>) / 2``, without subtracting the mean.

    With time-reversal symmetry (no magnetic field), this symmetric part is the whole correlation.  The trace is
    :func:`autocorrelation`.

    Parameters
    ----------
    signal : ndarray, shape (n, components), or a sequence of such
    n_lags : int
        Number of lags, starting at 0.

    Returns
    -------
    ndarray, shape (n_lags, components, components), in the square of the unit of the signal

    Raises
    ------
    InputError
        If no piece is long enough for the longest lag.
    """
    return _correlate(signal, n_lags, tensor=True)


def one_sided_transform(correlation: np.ndarray, dt: float, resolution: float) -> tuple[np.ndarray, np.ndarray]:
    """Return wavenumbers and ``F(w) = integral from 0 of C(t) exp(i w t)`` (trapezoid rule).

    The real part is half of the two-sided transform, and exact for band-limited signals.  The imaginary part has the
    discretisation error of the trapezoid rule at t = 0 (see :func:`.dielectric.dielectric_function`).

    Parameters
    ----------
    correlation : ndarray, shape (n_lags, ...)
        Windowed correlation functions.
    dt : float, in fs
        Interval between lags.
    resolution : float, in cm^-1
        Sets the grid, which has at least ten points per resolution width, up to the Nyquist wavenumber.

    Returns
    -------
    wavenumber : ndarray, shape (m,), in cm^-1
    transform : complex ndarray, shape (m, ...), in the unit of `correlation` times fs
    """
    per_width = 2 * np.pi * POINTS_PER_WIDTH / (resolution * INV_CM_TO_RAD_PER_FS * dt)
    size = fft.next_fast_len(max(2 * len(correlation), ceil(per_width)), real=True)
    half = np.array(correlation)
    half[0] *= 0.5
    transform = dt * np.conj(fft.rfft(half, size, axis=0))
    wavenumber = 2 * np.pi * np.arange(len(transform)) / (size * dt * INV_CM_TO_RAD_PER_FS)
    return wavenumber, transform


def nyquist_load(pieces: list[Piece]) -> float:
    """Return a measure of how close to the Nyquist wavenumber the motion is.

    It is the mean of ``sin^2(w dt / 2)``, weighted by the square of the change per sample.  It is near 0 for a well
    sampled signal, 0.5 for motion at half of the Nyquist frequency, 0.75 for white noise (such as rounding), and 1 at
    the Nyquist frequency.  Aliased bands cannot be distinguished from real ones, but they make it large.

    Examples
    --------
    >>> round(nyquist_load([np.cos(0.1 * np.arange(1000.0))]), 4)
    0.0025
    """
    rate = change = 0.0
    for piece in pieces:
        if isinstance(piece, AccumulatedSignal):
            squares = _squared_changes(piece)
            rate, change = rate + squares[0], change + squares[1]
            continue
        for rows in chunks_of(piece, overlap=2):
            steps = np.diff(rows, axis=0)
            rate += float(np.vdot(steps[:CHUNK], steps[:CHUNK]))
            turns = np.diff(steps, axis=0)
            change += float(np.vdot(turns, turns))
    return change / (4 * rate) if rate > 0 else 0.0


def _squared_changes(piece: AccumulatedSignal) -> tuple[float, float]:
    """Return the sums of the squares of the first and of the second differences of consecutive samples."""
    if len(piece) < 3:
        return 0.0, 0.0
    s0, s1, s2 = (float(value) for value in _pair_sums(piece, 3, tensor=False))
    (first, second), (last_but_one, last) = piece.ends()
    begin, end = first @ first, last @ last
    rate = 2 * s0 - begin - end - 2 * s1
    change = 6 * s0 - 5 * (begin + end) - second @ second - last_but_one @ last_but_one
    return float(rate), float(change - 8 * s1 + 2 * s2 + 4 * (first @ second + last_but_one @ last))


def split_blocks(pieces: list[Piece], n_blocks: int) -> list[Piece]:
    """Return at least `n_blocks` consecutive blocks of equal length, none of which spans two pieces.

    The block length is the largest that gives `n_blocks` blocks.  The remainder at the end of a piece is not used.

    Raises
    ------
    InputError
        If there are fewer samples than blocks.

    Examples
    --------
    >>> [len(b) for b in split_blocks([np.zeros((10, 3)), np.zeros((7, 3))], 3)]
    [5, 5, 5]
    """
    accumulated = [piece for piece in pieces if isinstance(piece, AccumulatedSignal)]
    if accumulated:
        return list(joined_blocks(accumulated, n_blocks))
    lengths = np.array([len(piece) for piece in pieces])
    low, high = 1, int(lengths.sum()) // n_blocks
    if high < 1:
        raise InputError(f"{lengths.sum()} samples cannot be cut into {n_blocks} blocks")
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if (lengths // middle).sum() >= n_blocks else (low, middle - 1)
    return [piece[k * low : (k + 1) * low] for piece in pieces for k in range(len(piece) // low)]
