"""The steps from a signal to a spectrum that all kinds of spectra share: window, resolution, blocks and error bars.

Error bars are computed by the jackknife over blocks (Efron, The Jackknife (1982), ch. 3): the spectrum is computed
again from the correlation functions with each block left out.  They are therefore also valid for quantities that are
not linear in the correlation function (reflectivity, loss, a ratio).  For linear quantities they equal the standard
error of the mean of the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil

import numpy as np

from ..errors import InputError
from ..units import INV_CM_TO_RAD_PER_FS
from .accumulated import AccumulatedSignal, stored_blocks
from .correlation import Piece, autocorrelation, correlation_tensor, nyquist_load, split_blocks
from .record import Spectrum
from .windows import lag_window

AUTO_BLOCKS = 20
"""Largest number of blocks chosen automatically; each is at least two window lengths long."""

FEWEST_BLOCKS = 4
"""Smallest number of blocks for which the automatic resolution leaves enough length."""

FINEST = 10.0
"""Finest resolution chosen automatically, in cm^-1."""

COARSEST = 100.0
"""Coarsest resolution chosen automatically, in cm^-1."""

Correlate = Callable[..., np.ndarray]
"""``correlate(columns=slice(None), tensor=False)``: windowed correlation function of c columns of the signal.

It is summed over these columns, shape (n_lags,), or with `tensor` a tensor, shape (n_lags, c, c).
"""

Evaluate = Callable[[Correlate, float], tuple[np.ndarray, dict[str, np.ndarray]]]
"""``evaluate(correlate, resolution)``: wavenumbers in cm^-1 and named columns, for a resolution in cm^-1."""


class _Correlations:
    """Windowed correlation functions of a series and of its blocks, each computed once."""

    def __init__(self, pieces: list[Piece], blocks: list[Piece], weights: np.ndarray):
        self.pieces, self.blocks, self.weights = pieces, blocks, weights
        self.known: dict[tuple, tuple[np.ndarray, np.ndarray]] = {}

    def _of(self, pieces: Sequence[Piece], columns: slice, tensor: bool) -> np.ndarray:
        estimator = correlation_tensor if tensor else autocorrelation
        found = estimator([piece[:, columns] for piece in pieces], len(self.weights))
        return found * (self.weights[:, None, None] if tensor else self.weights)

    def left_out(self, block: int | None) -> Correlate:
        """Return the function ``correlate`` of all blocks except one, or of the whole series (None)."""

        def correlate(columns: slice = slice(None), tensor: bool = False) -> np.ndarray:
            key = (columns.start, columns.stop, tensor)
            if key not in self.known:
                whole = self._of(self.pieces, columns, tensor)
                of_blocks = [self._of([part], columns, tensor) for part in self.blocks]
                self.known[key] = (whole, np.array(of_blocks))
            whole, parts = self.known[key]
            if block is None:
                return whole
            return (parts.sum(axis=0) - parts[block]) / (len(parts) - 1)

        return correlate


def jackknife_error(replicas: np.ndarray) -> np.ndarray:
    """Return the standard error, ``sqrt((K - 1) / K * sum (x_k - mean)^2)``, shape (...).

    Parameters
    ----------
    replicas : array_like, shape (K, ...)
        Values with each of K blocks left out.

    Examples
    --------
    >>> blocks = np.array([1.0, 2.0, 6.0])
    >>> replicas = (blocks.sum() - blocks) / 2
    >>> bool(np.isclose(jackknife_error(replicas), np.std(blocks, ddof=1) / np.sqrt(3)))
    True
    """
    replicas = np.asarray(replicas, dtype=float)
    count = len(replicas)
    return np.sqrt((count - 1) / count * ((replicas - replicas.mean(axis=0)) ** 2).sum(axis=0))


def estimate_spectrum(
    kind: str,
    pieces: list[Piece],
    dt: float,
    evaluate: Evaluate,
    units: Mapping[str, str],
    *,
    resolution: float | None,
    window: str,
    blocks: int | None,
    parameters: Mapping,
) -> Spectrum:
    """Compute a spectrum of the whole series, and its standard errors from the series with each block left out.

    Parameters
    ----------
    kind : str
        Kind of the :class:`.record.Spectrum`.
    pieces : list of ndarray, LazySignal or AccumulatedSignal, shape (n, components)
        The signal, with its mean subtracted if that is wanted.
    dt : float, in fs
        Sampling interval.
    evaluate : callable
        ``evaluate(correlate, resolution) -> wavenumber, {name: values}``; see :data:`Correlate`.
    units : mapping of str to str
        Unit of every column that `evaluate` may return.
    resolution : float, in cm^-1, or None
        None: chosen by :func:`choose_resolution`.
    window, blocks
        As in :func:`.infrared.infrared_spectrum`.
    parameters : mapping
        Other parameters of the spectrum, which are stored in it after those of this function.

    Returns
    -------
    Spectrum
        With standard errors and jackknife replicas, if there are blocks.

    Raises
    ------
    InputError
        If the series is shorter than the window, or the requested blocks are shorter than two windows.
    """
    lengths = [len(piece) for piece in pieces]
    chosen = resolution is None
    if resolution is None:
        resolution = choose_resolution(lengths, window, dt, _known_lags(pieces))
    weights = lag_window(window, resolution, dt)
    longest = max(lengths)
    if len(weights) > longest:
        raise InputError(
            f"a resolution of {resolution:g} cm^-1 with the {window} window needs "
            f"{len(weights) * dt / 1000:.3g} ps without interruption, but the series has {longest * dt / 1000:.3g} ps: "
            "use a coarser resolution or a longer run"
        )
    parts = choose_blocks(pieces, len(weights), blocks, dt)
    correlations = _Correlations(pieces, parts, weights)
    wavenumber, values = evaluate(correlations.left_out(None), resolution)
    replicas = [evaluate(correlations.left_out(k), resolution)[1] for k in range(len(parts))]
    left_out = {name: np.array([replica[name] for replica in replicas]) for name in values} if parts else {}
    samples = sum(lengths)
    known = {
        "samples": samples,
        "pieces": len(pieces),
        "sampling_interval_fs": dt,
        "length_ps": samples * dt / 1000,
        "window": window,
        "resolution_fwhm_cm-1": resolution,
        "resolution_chosen": "automatically" if chosen else "by the user",
        "window_length_ps": len(weights) * dt / 1000,
        "blocks": len(parts),
        "block_length_ps": len(parts[0]) * dt / 1000 if parts else None,
        "nyquist_cm-1": np.pi / (dt * INV_CM_TO_RAD_PER_FS),
        "nyquist_load": nyquist_load(pieces),
    }
    return Spectrum(
        kind,
        wavenumber,
        values,
        {name: units[name] for name in values},
        {name: jackknife_error(replica) for name, replica in left_out.items()},
        {**known, **parameters},
        replicas=left_out,
    )


def _known_lags(pieces: list[Piece]) -> int | None:
    """Return the number of lags that are known of every piece, None if the samples are known."""
    return min((piece.lags for piece in pieces if isinstance(piece, AccumulatedSignal)), default=None)


def choose_resolution(lengths: Sequence[int], window: str, dt: float, lags: int | None = None) -> float:
    """Return 10 cm^-1, or for a short series the finest resolution with four blocks of two windows each.

    Parameters
    ----------
    lengths : sequence of int
        Samples of every uninterrupted piece.
    window : {"gaussian", "hann"}
    dt : float, in fs
        Sampling interval.
    lags : int, optional
        Longest window, in samples, that the result may need. Default: no limit.

    Returns
    -------
    float, in cm^-1
        Rounded up to a whole number; at most 100.

    Examples
    --------
    >>> choose_resolution([100_000], "gaussian", 1.0), choose_resolution([20_000], "gaussian", 1.0)
    (10.0, 26.0)
    """

    def fits(resolution):
        n_lags = len(lag_window(window, resolution, dt))
        known = lags is None or n_lags <= lags
        return known and sum(length // (2 * n_lags) for length in lengths) >= FEWEST_BLOCKS

    if fits(FINEST):
        return FINEST
    coarsest = COARSEST
    while lags is not None and len(lag_window(window, coarsest, dt)) > lags:
        coarsest *= 2
    low, high = FINEST, coarsest
    while high - low > 0.01:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if fits(middle) else (middle, high)
    return float(min(ceil(high), coarsest))


def choose_blocks(pieces: list[Piece], n_lags: int, blocks: int | None, dt: float) -> list[Piece]:
    """Return the blocks for error bars, or an empty list if the series is too short for two.

    Parameters
    ----------
    pieces : list of ndarray, LazySignal or AccumulatedSignal
    n_lags : int
        Length of the window; a block must be at least twice as long.
    blocks : int or None
        Number of blocks (0 or 1: no error bars). None: as many as possible, at most 20.
    dt : float, in fs
        Sampling interval, for messages.

    Raises
    ------
    InputError
        If the number is negative, or the requested blocks are shorter than two windows.
    """
    if blocks is not None and blocks < 0:
        raise InputError(f"the number of blocks must not be negative, got {blocks}")
    if blocks is None:
        blocks = min(AUTO_BLOCKS, sum(len(piece) // (2 * n_lags) for piece in pieces))
        accumulated = [piece for piece in pieces if isinstance(piece, AccumulatedSignal)]
        if accumulated:
            blocks = min(blocks, stored_blocks(accumulated))
        return split_blocks(pieces, blocks) if blocks >= 2 else []
    if blocks < 2:
        return []
    parts = split_blocks(pieces, blocks)
    if len(parts[0]) < 2 * n_lags:
        raise InputError(
            f"{blocks} blocks are {len(parts[0]) * dt / 1000:.3g} ps long, but this resolution needs at least "
            f"{2 * n_lags * dt / 1000:.3g} ps (two windows): use fewer blocks, a coarser resolution or a longer run"
        )
    return parts
