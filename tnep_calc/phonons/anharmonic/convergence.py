"""Convergence of force constants and conductivity with the number of supercells that a potential is trained on."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...io.files import atomic_output
from ...io.supercells import SupercellData
from .accuracy import potential_errors
from .conductivity import thermal_conductivity
from .force_constants import force_constants, relative_difference
from .potential import Potential

if TYPE_CHECKING:
    from phono3py import Phono3py

log = logging.getLogger(__name__)

Fit = Callable[[Sequence[int], Sequence[int], Path], Potential]
"""Trains on some supercells, with others as the test set, in a folder; returns the potential."""


@dataclass(frozen=True)
class ConvergenceRow:
    """Results with one training set.

    Attributes
    ----------
    supercells : int
        Size of the training set.
    subset : int
        0: the first supercells of the data, others are drawn at random.
    kappa : float, in W/(m K)
        Mean of xx, yy and zz.
    fc2_error, fc3_error : float
        Root mean square of the difference from the force constants of all DFT forces, relative to those.
    energy_rmse : float, in meV/atom
    force_rmse : float, in meV/Å
        Errors of the potential on the test set.
    """

    supercells: int
    subset: int
    kappa: float
    fc2_error: float
    fc3_error: float
    energy_rmse: float
    force_rmse: float


def training_sets(total: int, sizes: Sequence[int], subsets: int, ntest: int, seed: int):
    """Return (size, subset, training indices) of all training sets, and the indices of the test set.

    The test set is the last `ntest` supercells.  Subset 0 are the first supercells, as phono3py takes them; others are
    drawn from all that are not tested.

    Raises
    ------
    InputError
        If there are too few supercells.

    Examples
    --------
    >>> sets, test = training_sets(10, [2, 8], 1, 2, 0)
    >>> [(size, subset, train.tolist()) for size, subset, train in sets], test.tolist()
    ([(2, 0, [0, 1]), (8, 0, [0, 1, 2, 3, 4, 5, 6, 7])], [8, 9])
    """
    left = total - ntest
    if ntest < 1 or not sizes or min(sizes) < 1 or subsets < 1:
        raise InputError("sizes, subsets and the test set must be at least 1")
    if max(sizes) > left:
        raise InputError(
            f"{max(sizes)} supercells for training and {ntest} for the test are too many: there are {total}"
        )
    sets = []
    for size in sorted(set(sizes)):
        for subset in range(subsets if size < left else 1):
            rng = np.random.default_rng((seed, size, subset))
            train = np.arange(size) if subset == 0 else np.sort(rng.choice(left, size, replace=False))
            sets.append((size, subset, train))
    return sets, np.arange(left, total)


def convergence(
    phono3py: Phono3py,
    data: SupercellData,
    fit: Fit,
    sizes: Sequence[int],
    folder,
    *,
    mesh,
    temperature: float = 300.0,
    subsets: int = 3,
    ntest: int = 10,
    seed: int = 0,
    executor: Executor | None = None,
    **options: Any,
) -> tuple[list[ConvergenceRow], float]:
    """Return results for several sizes of the training set, and kappa from all DFT forces without any potential.

    Parameters
    ----------
    phono3py : Phono3py
        With displacements and forces.
    data : SupercellData
        The same for the training.
    fit : callable
        Trains a potential, ``fit(train, test, folder)``.
    sizes : sequence of int
        Sizes of the training sets.
    folder : path
        Every training set gets a folder in it; finished ones are not computed again.
    mesh, temperature
        Of the conductivity (relaxation-time approximation).
    subsets : int, default 3
        Training sets of each size.
    ntest : int, default 10
        Size of the test set, the same for all.
    seed : int, default 0
        Of the random subsets and of random displacements.
    executor, **options
        Passed to :func:`tnep_calc.phonons.anharmonic.force_constants.force_constants`.

    Returns
    -------
    rows : list of ConvergenceRow
    kappa : float, in W/(m K)
        From the force constants of all DFT forces.
    """
    sets, test = training_sets(len(data), sizes, subsets, ntest, seed)
    folder = Path(folder)
    log.info("force constants of all %d supercells, without a potential", len(data))
    reference = force_constants(phono3py)
    kappa = _mean_kappa(reference, mesh, temperature)
    rows = []
    for size, subset, train in sets:
        own = folder / f"n{size}-{subset}"
        own.mkdir(parents=True, exist_ok=True)
        done = own / "row.json"
        if done.exists():
            rows.append(ConvergenceRow(**json.loads(done.read_text())))
            log.info("%d supercells, subset %d: there from a previous run", size, subset)
            continue
        log.info("%d supercells, subset %d", size, subset)
        potential = fit(train, test, own)
        result = force_constants(
            phono3py,
            potential,
            executor=executor,
            checkpoint=own / "forces.npz",
            identity=potential.identity,
            seed=seed,
            **options,
        )
        errors = potential_errors(data, potential, test, executor)
        row = ConvergenceRow(
            size,
            subset,
            _mean_kappa(result, mesh, temperature),
            float(relative_difference(result.fc2, reference.fc2)),
            float(relative_difference(result.fc3, reference.fc3)),
            errors.energy_rmse,
            errors.force_rmse,
        )
        with atomic_output(done, force=True) as temporary:
            temporary.write_text(json.dumps(asdict(row)))
        rows.append(row)
    return rows, kappa


def _mean_kappa(result, mesh, temperature) -> float:
    return float(thermal_conductivity(result, mesh, (temperature,)).kappa[0, :3].mean())


def convergence_csv(rows: Sequence[ConvergenceRow]) -> str:
    """Return the rows as a table of comma-separated values, with the names of the fields as its head."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([field.name for field in fields(ConvergenceRow)])
    writer.writerows([f"{value:.6g}" for value in asdict(row).values()] for row in rows)
    return stream.getvalue()


def by_size(rows: Sequence[ConvergenceRow], name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sizes, and mean and standard deviation of a field over the subsets (0 for a single one)."""
    sizes = np.array(sorted({row.supercells for row in rows}))
    values = [[getattr(row, name) for row in rows if row.supercells == size] for size in sizes]
    spread = [np.std(v, ddof=1) if len(v) > 1 else 0.0 for v in values]
    return sizes, np.array([np.mean(v) for v in values]), np.array(spread)
