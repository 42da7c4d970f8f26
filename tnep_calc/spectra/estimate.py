"""From a signal to a spectrum: what surrounds the formula of each (window, resolution, blocks, error bars, record).

Error bars are those of the jackknife over blocks (Efron, The Jackknife (1982), ch. 3): everything is computed again
from the correlation functions with one block left out, so that they hold for quantities that are not linear in the
correlation function (reflectivity, loss, a ratio) too.  For linear ones they equal the standard error of the mean of
the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil

import numpy as np

from ..errors import InputError
from ..units import INV_CM_TO_RAD_PER_FS
from .correlation import Piece, autocorrelation, correlation_tensor, nyquist_load, split_blocks
from .record import Spectrum
from .windows import lag_window

AUTO_BLOCKS = 20
"""Largest number of blocks chosen automatically; each is at least two window lengths long."""

FEWEST_BLOCKS = 4
"""Number of blocks that a resolution chosen automatically leaves room for."""

FINEST = 10.0
"""Finest resolution chosen automatically, in cm^-1."""

COARSEST = 100.0
"""Coarsest resolution chosen automatically, in cm^-1."""

Correlate = Callable[..., np.ndarray]
"""``correlate(columns=slice(None), tensor=False)``: windowed correlation function of some columns of the signal,
summed over them, shape (n_lags,), or as a tensor, shape (n_lags, c, c)."""

Evaluate = Callable[[Correlate, float], tuple[np.ndarray, dict[str, np.ndarray]]]
"""The way to correlate, and the resolution in cm^-1 -> wavenumbers and named columns."""


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
        """Return ``correlate`` for the mean over all blocks but one, or for the whole series (None)."""

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
    """Return the standard error from values with one of K blocks left out, shape (K, ...).

    ``sqrt((K - 1) / K * sum (x_k - mean)^2)``.

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
    """Evaluate a spectrum on the whole series, and with each of its blocks left out for the standard errors.

    Parameters
    ----------
    kind : str
        Of the :class:`.record.Spectrum`.
    pieces : list of ndarray or LazySignal, shape (n, components)
        The signal, centred.
    dt : float, in fs
    evaluate : callable
        ``evaluate(correlate, resolution) -> wavenumber, {name: values}``; see :data:`Correlate`.
    units : mapping
        Unit of every column that `evaluate` may give.
    resolution : float, in cm^-1, or None
        None: see :func:`choose_resolution`.
    window, blocks
        As in :func:`.infrared.infrared_spectrum`.
    parameters : mapping
        What else the numbers depend on; goes to the record behind what is known here.

    Returns
    -------
    Spectrum
        With standard errors and jackknife replicas (none where there are no blocks).

    Raises
    ------
    InputError
        If the series is shorter than the window, or the wanted blocks shorter than two windows.
    """
    lengths = [len(piece) for piece in pieces]
    chosen = resolution is None
    if resolution is None:
        resolution = choose_resolution(lengths, window, dt)
    weights = lag_window(window, resolution, dt)
    longest = max(lengths)
    if len(weights) > longest:
        raise InputError(
            f"a resolution of {resolution:g} cm^-1 with the {window} window needs "
            f"{len(weights) * dt / 1000:.3g} ps without interruption, the series has {longest * dt / 1000:.3g} ps: "
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


def choose_resolution(lengths: Sequence[int], window: str, dt: float) -> float:
    """Return 10 cm^-1, or for a short series the finest resolution that leaves room for four blocks of two windows.

    Parameters
    ----------
    lengths : sequence of int
        Samples of every uninterrupted piece.
    window : {"gaussian", "hann"}
    dt : float, in fs

    Returns
    -------
    float, in cm^-1
        Rounded up to whole numbers; at most 100.

    Examples
    --------
    >>> choose_resolution([100_000], "gaussian", 1.0), choose_resolution([20_000], "gaussian", 1.0)
    (10.0, 26.0)
    """

    def room(resolution):
        n_lags = len(lag_window(window, resolution, dt))
        return sum(length // (2 * n_lags) for length in lengths) >= FEWEST_BLOCKS

    if room(FINEST):
        return FINEST
    low, high = FINEST, COARSEST
    while high - low > 0.01:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if room(middle) else (middle, high)
    return float(min(ceil(high), COARSEST))


def choose_blocks(pieces: list[Piece], n_lags: int, blocks: int | None, dt: float) -> list[Piece]:
    """Return the blocks for error bars, or an empty list where the series is too short for any.

    Parameters
    ----------
    pieces : list of ndarray or LazySignal
    n_lags : int
        Length of the window; a block must be at least twice as long.
    blocks : int or None
        Wanted number (0 or 1: no error bars); None: as many as possible, at most 20.
    dt : float, in fs
        Only for messages.

    Raises
    ------
    InputError
        If the wanted blocks are shorter than two windows.
    """
    if blocks is not None and blocks < 0:
        raise InputError(f"the number of blocks must not be negative, got {blocks}")
    if blocks is None:
        blocks = min(AUTO_BLOCKS, sum(len(piece) // (2 * n_lags) for piece in pieces))
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
