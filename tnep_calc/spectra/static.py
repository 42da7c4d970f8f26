"""Static dielectric constant from dipole fluctuations, with its error bar and its convergence along the run.

``eps_0 = eps_inf + (<M_a M_b> - <M_a><M_b>) / (eps0 V k_B T)`` (Neumann and Steinhauser, Chem. Phys. Lett. 102, 508
(1983); conducting boundary).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..units import EPSILON_0
from .correlation import Signal, as_pieces, autocorrelation, centre
from .dielectric import check_volume, fluctuation_factor
from .estimate import jackknife_error
from .streaming import chunks_of

FINE = 100
"""Number of parts whose moments are kept: blocks are made of them, and half of them are points of the running mean."""

BLOCKS = 20
"""Largest number of blocks for the error bar."""

FEWEST = 5
"""Smallest number of blocks for an error bar."""

BLOCK_TIMES = 10
"""A block is at least this many correlation times of the squared dipole long."""

LONGEST_LAG = 20_000
"""Longest lag, in samples, at which the correlation time is looked for."""


@dataclass(frozen=True)
class StaticDielectric:
    """A static dielectric tensor and how well it is known.

    Attributes
    ----------
    tensor, errors : ndarray, shape (3, 3)
        The tensor, with `eps_inf`, and standard errors of its components (jackknife over the blocks).
    mean, error : float
        A third of the trace, and its standard error.
    eps_inf : ndarray, shape (3, 3)
        What was added (the unit matrix: ionic part and vacuum only).
    blocks : int
    block_length : float, in ps
    correlation_time : float, in ps
        ``2 * integral of (C(t) / C(0))^2 dt``: the time in which the squared dipole forgets.
    converged : bool
        Whether there is room for at least 5 blocks of 10 correlation times; if not, the error is a lower bound.
    running_time : ndarray, shape (m,), in ps
    running : ndarray, shape (m,)
        The mean from the part of the run up to each time.
    running_error : ndarray, shape (m,)
    """

    tensor: np.ndarray
    errors: np.ndarray
    mean: float
    error: float
    eps_inf: np.ndarray
    blocks: int
    block_length: float
    correlation_time: float
    converged: bool
    running_time: np.ndarray
    running: np.ndarray
    running_error: np.ndarray


def electronic_tensor(eps_inf) -> np.ndarray:
    """Return ``eps_inf`` (None, a number, or a tensor) as a tensor; None is the vacuum, the unit matrix."""
    if eps_inf is None:
        return np.eye(3)
    array = np.asarray(eps_inf, dtype=float)
    if array.shape not in ((), (3, 3)) or not np.isfinite(array).all():
        raise InputError(f"eps_inf must be a number or a tensor of shape (3, 3), got shape {array.shape}")
    tensor = array * np.eye(3) if array.ndim == 0 else array
    if np.linalg.eigvalsh(0.5 * (tensor + tensor.T)).min() < 1:
        raise InputError("eps_inf must be at least 1 in every direction")
    return tensor


def static_dielectric(
    dipole: Signal, volume: float, temperature: float, eps_inf=None, dt: float = 1.0
) -> StaticDielectric:
    """Return the static dielectric tensor from the fluctuations of the dipole.

    Parameters
    ----------
    dipole : ndarray, shape (n, 3), or sequence of such, in e·Å
        Total dipole of the cell, on one branch.
    volume : float, in Å³
    temperature : float, in K
    eps_inf : float or ndarray, shape (3, 3), optional
        Electronic contribution; None: 1, that is, the answer is the ionic part plus the vacuum.
    dt : float, in fs
        Sampling interval; only the times of the result depend on it.

    Returns
    -------
    StaticDielectric

    Raises
    ------
    InputError
        If an input has the wrong shape, is missing, not finite or not positive.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = static_dielectric(rng.normal(size=(4000, 3)), 1000.0, 300.0, eps_inf=2.0)
    >>> expected = 2.0 + fluctuation_factor(1000.0, 300.0)
    >>> bool(abs(found.mean - expected) < 4 * found.error), found.blocks, found.converged
    (True, 20, True)
    """
    pieces = centre(as_pieces(dipole, (3,), "dipole"))
    factor = fluctuation_factor(volume, temperature)
    electronic = electronic_tensor(eps_inf)
    samples = sum(map(len, pieces))
    memory = _correlation_length(pieces)
    fine = _moments(pieces, min(FINE, samples // 2))
    length = fine[0][0]
    blocks = int(min(BLOCKS, samples // (BLOCK_TIMES * memory)))
    converged = blocks >= FEWEST
    blocks = min(max(blocks, FEWEST), len(fine[0]))

    def tensor(count, total, square):
        mean = total / count[..., None]
        outer = mean[..., :, None] * mean[..., None, :]
        return electronic + factor * (square / count[..., None, None] - outer)

    def with_errors(moments, wanted):
        edges = np.linspace(0, len(moments[0]), min(wanted, len(moments[0])) + 1).astype(int)
        blocked = [np.add.reduceat(part, edges[:-1], axis=0) for part in moments]
        whole = [part.sum(axis=0) for part in blocked]
        replicas = tensor(*(total - part for total, part in zip(whole, blocked, strict=True)))
        traces = np.trace(replicas, axis1=1, axis2=2) / 3
        return tensor(*whole), jackknife_error(replicas), float(jackknife_error(traces))

    value, errors, error = with_errors(fine, blocks)
    points = range(len(fine[0]), max(1, len(fine[0]) // BLOCKS), -2)[::-1]
    running = [with_errors([part[:k] for part in fine], blocks) for k in points]
    return StaticDielectric(
        value,
        errors,
        float(np.trace(value) / 3),
        error,
        electronic,
        blocks,
        samples / blocks * dt / 1000,
        memory * dt / 1000,
        converged,
        np.array(points) * length * dt / 1000,
        np.array([np.trace(found[0]) / 3 for found in running]),
        np.array([found[2] for found in running]),
    )


def _moments(pieces, parts: int):
    """Return number, sum and sum of squares, shape (parts,), (parts, 3), (parts, 3, 3), of equal consecutive parts."""
    samples = sum(map(len, pieces))
    edges = np.linspace(0, samples, parts + 1).astype(int)
    count, total, square = np.zeros(parts), np.zeros((parts, 3)), np.zeros((parts, 3, 3))
    row = 0
    for piece in pieces:
        for chunk in chunks_of(piece):
            which = np.searchsorted(edges, np.arange(row, row + len(chunk)), side="right") - 1
            for part in np.unique(which):
                rows = chunk[which == part]
                count[part] += len(rows)
                total[part] += rows.sum(axis=0)
                square[part] += rows.T @ rows
            row += len(chunk)
    return count, total, square


def _correlation_length(pieces) -> float:
    """Return ``sum over all lags of (C(k) / C(0))^2``, in samples, at least 1 (cut where noise begins to add up)."""
    n_lags = min(LONGEST_LAG, max(max(map(len, pieces)) // FEWEST, 2))
    correlation = autocorrelation(pieces, n_lags)
    if correlation[0] <= 0:
        return 1.0
    squares = (correlation / correlation[0]) ** 2
    total = 2 * np.cumsum(squares) - 1
    # the automatic window of Sokal: the sum up to the first lag that is five times the sum
    beyond = np.flatnonzero(np.arange(n_lags) >= FEWEST * total)
    return float(max(1.0, total[beyond[0]] if len(beyond) else total[-1]))


@dataclass(frozen=True)
class ElectronicDielectric:
    """``eps_inf`` from polarizabilities along a run.

    Attributes
    ----------
    tensor, errors : ndarray, shape (3, 3)
        ``1 + <alpha> / (eps0 V)`` and the standard errors of its components (jackknife over 20 blocks).
    dynamic : ndarray, shape (3, 3)
        Standard deviation along the run: how far the motion of the nuclei moves ``eps_inf`` at any moment.
    """

    tensor: np.ndarray
    errors: np.ndarray
    dynamic: np.ndarray


def electronic_dielectric(polarizability: Signal, volume: float) -> ElectronicDielectric:
    """Return ``eps_inf`` from polarizabilities, shape (n, 3, 3), in e·Å²/V of a cell of `volume` (Å³).

    Examples
    --------
    >>> alpha = np.full((50, 3, 3), 0.5 * EPSILON_0 * 1000.0) * np.eye(3)
    >>> electronic_dielectric(alpha, 1000.0).tensor.round(12).diagonal().tolist()
    [1.5, 1.5, 1.5]
    """
    pieces = as_pieces(polarizability, (3, 3), "polarizability")
    scale = 1.0 / (EPSILON_0 * check_volume(volume))
    samples = sum(map(len, pieces))
    edges = np.linspace(0, samples, min(BLOCKS, samples) + 1).astype(int)
    sums, square, row = np.zeros((len(edges) - 1, 3, 3)), np.zeros((3, 3)), 0
    shift = None
    for piece in pieces:
        for chunk in chunks_of(piece):
            shift = chunk[0].copy() if shift is None else shift
            which = np.searchsorted(edges, np.arange(row, row + len(chunk)), side="right") - 1
            np.add.at(sums, which, chunk - shift)
            square += ((chunk - shift) ** 2).sum(axis=0)
            row += len(chunk)
    counts = np.diff(edges)[:, None, None]
    mean = sums.sum(axis=0) / samples
    replicas = (sums.sum(axis=0) - sums) / (samples - counts) if len(counts) > 1 else np.zeros((2, 3, 3))
    deviation = np.sqrt(np.maximum(square / samples - mean**2, 0.0))
    return ElectronicDielectric(
        np.eye(3) + scale * (mean + shift), scale * jackknife_error(replicas), scale * deviation
    )
