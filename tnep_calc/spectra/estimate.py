"""From a signal to a spectrum: what surrounds the formula of each (window, blocks, error bars, record)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np

from ..errors import InputError
from ..units import INV_CM_TO_RAD_PER_FS
from .correlation import autocorrelation, nyquist_load, split_blocks
from .record import Spectrum
from .windows import lag_window

AUTO_BLOCKS = 20
"""Largest number of blocks chosen automatically; each is at least two window lengths long."""

Correlate = Callable[[Sequence[np.ndarray]], np.ndarray]
"""Windowed correlation function of pieces, shape (n_lags,)."""

Evaluate = Callable[[list[np.ndarray], Correlate], tuple[np.ndarray, dict[str, np.ndarray]]]
"""Pieces and the way to correlate them -> wavenumbers and named columns."""


def estimate_spectrum(
    kind: str,
    pieces: list[np.ndarray],
    dt: float,
    evaluate: Evaluate,
    units: Mapping[str, str],
    *,
    resolution: float,
    window: str,
    blocks: int | None,
    parameters: Mapping,
) -> Spectrum:
    """Evaluate a spectrum on the whole series, and on its blocks for the standard errors.

    Parameters
    ----------
    kind : str
        Of the :class:`.record.Spectrum`.
    pieces : list of ndarray, shape (n, components)
        The signal, centred.
    dt : float, in fs
    evaluate : callable
        ``(pieces, correlate) -> wavenumber, {name: values}``, where ``correlate(pieces)`` is the windowed correlation
        function, summed over components.
    units : mapping
        Unit of every column that `evaluate` may give.
    resolution, window, blocks
        As in :func:`.infrared.infrared_spectrum`.
    parameters : mapping
        What else the numbers depend on; goes to the record behind what is known here.

    Returns
    -------
    Spectrum
        Its errors are the standard errors of the mean of the blocks (none where there are no blocks).

    Raises
    ------
    InputError
        If the series is shorter than the window, or the wanted blocks shorter than two windows.
    """
    weights = lag_window(window, resolution, dt)
    longest = max(map(len, pieces))
    if len(weights) > longest:
        raise InputError(
            f"a resolution of {resolution:g} cm^-1 with the {window} window needs "
            f"{len(weights) * dt / 1000:.3g} ps without interruption, the series has {longest * dt / 1000:.3g} ps: "
            "use a coarser resolution or a longer run"
        )
    parts = choose_blocks(pieces, len(weights), blocks, dt)
    correlate = partial(_windowed_correlation, weights)
    wavenumber, values = evaluate(pieces, correlate)
    errors = _standard_errors(evaluate([part], correlate)[1] for part in parts)
    samples = sum(map(len, pieces))
    known = {
        "samples": samples,
        "pieces": len(pieces),
        "sampling_interval_fs": dt,
        "length_ps": samples * dt / 1000,
        "window": window,
        "resolution_fwhm_cm-1": resolution,
        "window_length_ps": len(weights) * dt / 1000,
        "blocks": len(parts),
        "block_length_ps": len(parts[0]) * dt / 1000 if parts else None,
        "nyquist_cm-1": np.pi / (dt * INV_CM_TO_RAD_PER_FS),
        "nyquist_load": nyquist_load(pieces),
    }
    return Spectrum(
        kind, wavenumber, values, {name: units[name] for name in values}, errors, {**known, **parameters}
    )


def _windowed_correlation(weights: np.ndarray, pieces: Sequence[np.ndarray]) -> np.ndarray:
    return autocorrelation(pieces, len(weights)) * weights


def _standard_errors(samples: Iterable[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the standard error of the mean of every column over independent samples (none of fewer than two)."""
    # Welford's sums: one sample in memory at a time
    count = 0
    mean: dict[str, np.ndarray] = {}
    square: dict[str, np.ndarray] = {}
    for sample in samples:
        count += 1
        for name, value in sample.items():
            before = mean.get(name, np.zeros_like(value))
            mean[name] = before + (value - before) / count
            square[name] = square.get(name, np.zeros_like(value)) + (value - before) * (value - mean[name])
    return {name: np.sqrt(s / (count - 1) / count) for name, s in square.items()} if count > 1 else {}


def choose_blocks(pieces: list[np.ndarray], n_lags: int, blocks: int | None, dt: float) -> list[np.ndarray]:
    """Return the blocks for error bars, or an empty list where the series is too short for any.

    Parameters
    ----------
    pieces : list of ndarray
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
