"""Static dielectric constant from dipole fluctuations, with its error and its convergence along the run.

``eps_0 = eps_inf + (<M_a M_b> - <M_a><M_b>) / (eps0 V k_B T)`` (Neumann and Steinhauser, Chem. Phys. Lett. 102, 508
(1983); conducting boundary).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..units import EPSILON_0
from .accumulated import AccumulatedSignal
from .correlation import Signal, as_pieces, autocorrelation, centre
from .dielectric import check_volume, fluctuation_factor
from .estimate import jackknife_error
from .streaming import chunks_of, rows_of

FINE = 100
"""Number of parts of the run whose moments are stored; blocks are joined parts, and every other part ends a running
mean."""

BLOCKS = 20
"""Largest number of blocks for the error bar."""

FEWEST = 5
"""Smallest number of blocks for an error bar."""

BLOCK_TIMES = 10
"""Smallest length of a block, in correlation times of the squared dipole."""

LONGEST_LAG = 20_000
"""Longest lag, in samples, for the correlation time."""


@dataclass(frozen=True)
class StaticDielectric:
    """A static dielectric tensor, its errors, and its convergence along the run.

    Attributes
    ----------
    tensor, errors : ndarray, shape (3, 3)
        The tensor, with `eps_inf`, and standard errors of its components (jackknife over the blocks).
    mean, error : float
        A third of the trace, and its standard error.
    eps_inf : ndarray, shape (3, 3)
        Electronic part, which is included in the tensor (the unit matrix: ions and vacuum only).
    blocks : int
        Number of blocks for the errors.
    block_length : float, in ps
    correlation_time : float, in ps
        Correlation time of the squared dipole, ``2 * integral of (C(t) / C(0))^2 dt``.
    converged : bool
        Whether the run is long enough for 5 blocks of 10 correlation times. If not, the error is a lower bound.
    running_time : ndarray, shape (m,), in ps
        Times from the start of the run.
    running : ndarray, shape (m,)
        `mean` from the part of the run up to each time.
    running_error : ndarray, shape (m,)
        Standard errors of `running`.
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


def error_text(error: float) -> str:
    """Return an error bar as text; nothing if there is none (NaN), as from a single block.

    Examples
    --------
    >>> error_text(0.123), error_text(float("nan"))
    (' +- 0.12', '')
    """
    return f" +- {error:.2g}" if np.isfinite(error) else ""


def electronic_tensor(eps_inf) -> np.ndarray:
    """Return ``eps_inf`` (None, a number, or a tensor) as a tensor, shape (3, 3); None is the vacuum (unit matrix).

    Raises
    ------
    InputError
        If it has another shape, is not finite, or is below 1 in some direction.
    """
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
        Total dipole of the cell on one branch.
    volume : float, in Å³
    temperature : float, in K
    eps_inf : float or ndarray, shape (3, 3), optional
        Electronic dielectric constant. Default: 1, so that the result is the ionic part plus the vacuum.
    dt : float, in fs
        Sampling interval, on which only the times of the result depend.

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
    converged = min(blocks, len(fine[0])) >= FEWEST
    blocks = min(max(blocks, FEWEST), len(fine[0]))

    def tensor(count, total, square):
        mean = total / count[..., None]
        outer = mean[..., :, None] * mean[..., None, :]
        return electronic + factor * (square / count[..., None, None] - outer)

    def with_errors(moments, wanted):
        edges = np.linspace(0, len(moments[0]), min(wanted, len(moments[0])) + 1).astype(int)
        blocked = [np.add.reduceat(part, edges[:-1], axis=0) for part in moments]
        whole = [part.sum(axis=0) for part in blocked]
        if len(edges) == 2:  # a single block of an accumulated signal
            return tensor(*whole), np.full((3, 3), np.nan), np.nan
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
    """Return the moments of equal consecutive parts (of an accumulated signal, those of its blocks).

    These are number of samples, sum, and sum of products of components, shape (parts,), (parts, 3), (parts, 3, 3).
    """
    samples = sum(map(len, pieces))
    if isinstance(pieces[0], AccumulatedSignal):
        return tuple(np.concatenate(part) for part in zip(*(piece.moments() for piece in pieces), strict=True))
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
    """Return ``sum over all lags of (C(k) / C(0))^2``, in samples, at least 1; the sum is cut before noise adds up."""
    n_lags = min(LONGEST_LAG, max(max(map(len, pieces)) // FEWEST, 2))
    n_lags = min([n_lags, *(piece.lags for piece in pieces if isinstance(piece, AccumulatedSignal))])
    correlation = autocorrelation(pieces, n_lags)
    if correlation[0] <= 0:
        return 1.0
    squares = (correlation / correlation[0]) ** 2
    total = 2 * np.cumsum(squares) - 1
    # automatic window of Sokal: sum up to the first lag that is at least five times the sum up to it
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
        Standard deviation of ``eps_inf`` along the run, which is caused by the motion of the nuclei.
    """

    tensor: np.ndarray
    errors: np.ndarray
    dynamic: np.ndarray


def electronic_dielectric(polarizability: Signal, volume: float) -> ElectronicDielectric:
    """Return ``eps_inf`` from polarizabilities along a run.

    Parameters
    ----------
    polarizability : ndarray, shape (n, 3, 3), or sequence of such, in e·Å²/V
        Total polarizability of the cell.
    volume : float, in Å³

    Raises
    ------
    InputError
        If an input has the wrong shape, is missing, not finite or not positive.

    Examples
    --------
    >>> alpha = np.full((50, 3, 3), 0.5 * EPSILON_0 * 1000.0) * np.eye(3)
    >>> electronic_dielectric(alpha, 1000.0).tensor.round(12).diagonal().tolist()
    [1.5, 1.5, 1.5]
    """
    pieces = as_pieces(polarizability, (3, 3), "polarizability")
    scale = 1.0 / (EPSILON_0 * check_volume(volume))
    samples = sum(map(len, pieces))
    accumulated = [piece for piece in pieces if isinstance(piece, AccumulatedSignal)]
    if accumulated:
        shift = np.sum([piece.total() for piece in accumulated], axis=0) / samples
        known = _moments([piece.map(lambda rows: (rows - shift).reshape(len(rows), -1)) for piece in accumulated], 0)
        counts, sums = known[0][:, None, None], known[1].reshape(-1, 3, 3)
        square = np.diagonal(known[2].sum(axis=0)).reshape(3, 3)
    else:
        shift, counts, sums, square = _tensor_sums(pieces, samples)
    mean = sums.sum(axis=0) / samples
    replicas = (sums.sum(axis=0) - sums) / (samples - counts) if len(counts) > 1 else np.zeros((2, 3, 3))
    deviation = np.sqrt(np.maximum(square / samples - mean**2, 0.0))
    return ElectronicDielectric(
        np.eye(3) + scale * (mean + shift), scale * jackknife_error(replicas), scale * deviation
    )


def _tensor_sums(pieces, samples):
    """Return a shift (3, 3), and of up to 20 consecutive parts of the run the counts, the sums and the square sums.

    Sums and squares, shapes (parts, 3, 3) and (3, 3), are those of the tensors minus the shift.
    """
    edges = np.linspace(0, samples, min(BLOCKS, samples) + 1).astype(int)
    sums, square, row = np.zeros((len(edges) - 1, 3, 3)), np.zeros((3, 3)), 0
    shift = rows_of(pieces[0], 0, 1)[0].copy()
    for piece in pieces:
        for chunk in chunks_of(piece):
            which = np.searchsorted(edges, np.arange(row, row + len(chunk)), side="right") - 1
            np.add.at(sums, which, chunk - shift)
            square += ((chunk - shift) ** 2).sum(axis=0)
            row += len(chunk)
    return shift, np.diff(edges)[:, None, None], sums, square
