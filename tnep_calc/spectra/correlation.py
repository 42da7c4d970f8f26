"""Signals, their blocks, correlation functions and transforms."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from scipy import fft

from ..errors import InputError
from ..units import INV_CM_TO_RAD_PER_FS

Signal = np.ndarray | Sequence[np.ndarray]

POINTS_PER_WIDTH = 10
"""Grid points per resolution width (the padding of the transform)."""


def as_pieces(signal: Signal, shape: tuple[int, ...], name: str) -> list[np.ndarray]:
    """Return the pieces of a signal as a list of float arrays of shape (n,) + `shape`, checked.

    Raises
    ------
    InputError
        If a shape is wrong, a value is not finite, or there are fewer than two samples altogether.
    """
    if isinstance(signal, np.ndarray) and signal.ndim == len(shape) + 1:
        signal = [signal]
    pieces = [np.asarray(piece, dtype=float) for piece in signal]
    expected = "(n, " + ", ".join(map(str, shape)) + ")" if shape else "(n,)"
    for piece in pieces:
        if piece.shape[1:] != shape or piece.ndim != len(shape) + 1:
            raise InputError(f"{name} must have shape {expected} (or be a sequence of such), got {piece.shape}")
        if not np.isfinite(piece).all():
            row = int(np.flatnonzero(~np.isfinite(piece.reshape(len(piece), -1)).all(axis=1))[0])
            raise InputError(f"{name} has a value that is not finite at sample {row}; remove or repair the run")
    if sum(map(len, pieces)) < 2:
        raise InputError(f"{name} needs at least 2 samples, got {sum(map(len, pieces))}")
    return pieces


def centre(pieces: list[np.ndarray]) -> list[np.ndarray]:
    """Return the pieces minus their common mean, each of shape (n, components)."""
    flat = [piece.reshape(len(piece), -1) for piece in pieces]
    mean = np.concatenate([piece.sum(axis=0, keepdims=True) for piece in flat]).sum(axis=0)
    mean = mean / sum(map(len, flat))
    return [piece - mean for piece in flat]


def autocorrelation(signal: Signal, n_lags: int) -> np.ndarray:
    r"""Return ``C(k) = <x(0) . x(k)>``, summed over components, without removing a mean.

    The unbiased estimator, ``sum_t x(t) . x(t + k) / number of pairs``, by zero-padded Fourier transforms
    (Wiener-Khinchin); pairs never reach from one piece into the next.

    Parameters
    ----------
    signal : ndarray, shape (n,) or (n, components), or a sequence of such
    n_lags : int
        Number of lags, from 0 on.

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
    pieces = [signal] if isinstance(signal, np.ndarray) else list(signal)
    longest = max(map(len, pieces))
    if n_lags > longest:
        raise InputError(f"{n_lags} lags need a piece of at least {n_lags} samples, the longest has {longest}")
    total = np.zeros(n_lags)
    pairs = np.zeros(n_lags)
    lags = np.arange(n_lags)
    for piece in pieces:
        n = len(piece)
        size = fft.next_fast_len(n + min(n, n_lags) - 1, real=True)
        power = np.zeros(size // 2 + 1)
        for column in piece.reshape(n, -1).T:
            transform = fft.rfft(column, size)
            power += transform.real**2
            power += transform.imag**2
        reach = min(n, n_lags)
        total[:reach] += fft.irfft(power, size)[:reach]
        pairs += np.maximum(n - lags, 0)
    return total / pairs


def one_sided_transform(correlation: np.ndarray, dt: float, resolution: float) -> tuple[np.ndarray, np.ndarray]:
    """Return wavenumbers and ``F(w) = integral from 0 of C(t) exp(i w t)`` (trapezoid rule).

    The real part is half of the two-sided transform and exact for band-limited signals; the imaginary part has the
    discretisation error of the trapezoid rule at t = 0 (see :func:`.dielectric.dielectric_function`).

    Parameters
    ----------
    correlation : ndarray, shape (n_lags,)
        Windowed correlation function.
    dt : float, in fs
    resolution : float, in cm^-1
        The grid has at least ten points per resolution width, up to the Nyquist wavenumber.

    Returns
    -------
    wavenumber : ndarray, shape (m,), in cm^-1
    transform : complex ndarray, shape (m,), in the unit of `correlation` times fs
    """
    per_width = 2 * np.pi * POINTS_PER_WIDTH / (resolution * INV_CM_TO_RAD_PER_FS * dt)
    size = fft.next_fast_len(max(2 * len(correlation), ceil(per_width)), real=True)
    half = np.array(correlation)
    half[0] *= 0.5
    transform = dt * np.conj(fft.rfft(half, size))
    wavenumber = 2 * np.pi * np.arange(len(transform)) / (size * dt * INV_CM_TO_RAD_PER_FS)
    return wavenumber, transform


def nyquist_load(pieces: list[np.ndarray]) -> float:
    """Return how near to the Nyquist wavenumber the motion is: mean ``sin^2(w dt / 2)``, weighted by rate of change.

    Near 0 for a well sampled signal, 0.5 for motion at half of the Nyquist frequency, 0.75 for white noise (such as
    rounding), 1 at the Nyquist frequency; folded bands cannot be told from real ones, but they make it large.

    Examples
    --------
    >>> round(nyquist_load([np.cos(0.1 * np.arange(1000.0))]), 4)
    0.0025
    """
    first = [np.diff(piece, axis=0) for piece in pieces if len(piece) > 2]
    rate = sum(float(np.vdot(d, d)) for d in first)
    change = sum(float(np.vdot(d, d)) for d in (np.diff(d, axis=0) for d in first))
    return change / (4 * rate) if rate > 0 else 0.0


def split_blocks(pieces: list[np.ndarray], n_blocks: int) -> list[np.ndarray]:
    """Return at least `n_blocks` equally long consecutive blocks; none reaches across pieces.

    The block length is the largest that gives `n_blocks` blocks; what is left at the end of a piece is not used.

    Examples
    --------
    >>> [len(b) for b in split_blocks([np.zeros((10, 3)), np.zeros((7, 3))], 3)]
    [5, 5, 5]
    """
    lengths = np.array([len(piece) for piece in pieces])
    low, high = 1, int(lengths.sum()) // n_blocks
    if high < 1:
        raise InputError(f"{lengths.sum()} samples cannot be cut into {n_blocks} blocks")
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if (lengths // middle).sum() >= n_blocks else (low, middle - 1)
    return [piece[k * low : (k + 1) * low] for piece in pieces for k in range(len(piece) // low)]
