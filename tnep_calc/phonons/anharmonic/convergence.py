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
from ...io.content import parse_json
from ...io.displaced_supercells import SupercellData
from ...io.files import atomic_output, read_text, reading
from .accuracy import check_sizes, potential_errors
from .conductivity import checked_mesh, checked_temperatures, thermal_conductivity
from .force_constants import force_constants, relative_difference
from .potential import Potential

if TYPE_CHECKING:
    from phono3py import Phono3py

log = logging.getLogger(__name__)

Fit = Callable[[Sequence[int], Sequence[int], Path], Potential]
"""``fit(train, test, folder)``: train a potential on supercells (indices), with a test set, in a folder."""


@dataclass(frozen=True)
class ConvergenceRow:
    """Results with one training set.

    Attributes
    ----------
    supercells : int
        Size of the training set.
    subset : int
        0: the first supercells of the data; larger numbers: drawn at random.
    kappa : float, in W/(m K)
        Mean of xx, yy and zz.
    fc2_error, fc3_error : float
        Root mean square difference from the force constants of all DFT forces, relative to their root mean square.
    energy_rmse : float, in meV/atom
        Error of the energies of the test set.
    force_rmse : float, in meV/Å
        Error of the forces of the test set.
    """

    supercells: int
    subset: int
    kappa: float
    fc2_error: float
    fc3_error: float
    energy_rmse: float
    force_rmse: float


def training_sets(total: int, sizes: Sequence[int], subsets: int, ntest: int, seed: int, source="the data"):
    """Return (size, subset, training indices) of all training sets, and the indices of the test set.

    The test set consists of the last `ntest` supercells.  Subset 0 consists of the first supercells, as in phono3py.
    The other subsets are drawn from all supercells that are not in the test set.

    Parameters
    ----------
    total : int
        Number of supercells.
    sizes : sequence of int
        Sizes of the training sets.
    subsets : int
        Number of training sets of each size.
    ntest : int
        Size of the test set.
    seed : int
        Seed of the random subsets.
    source : path, default "the data"
        Where the supercells are from, for the message.

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
    if not sizes or min(sizes) < 1 or subsets < 1:
        raise InputError("the sizes of the training set and the number of subsets must be at least 1")
    check_sizes(total, max(sizes), ntest, source)
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
    source="the data",
    executor: Executor | None = None,
    **options: Any,
) -> tuple[list[ConvergenceRow], float]:
    """Return results for several sizes of the training set, and kappa from all DFT forces without a potential.

    Parameters
    ----------
    phono3py : Phono3py
        With displacements and forces.
    data : SupercellData
        The same displacements and forces, with energies, for the training.
    fit : callable
        Function ``fit(train, test, folder)`` that trains a potential.
    sizes : sequence of int
        Sizes of the training sets.
    folder : path
        Folder with one subfolder for each training set. Finished ones are not computed again.
    mesh, temperature
        As in :func:`.conductivity.thermal_conductivity` (relaxation-time approximation); the temperature in K.
    subsets : int, default 3
        Number of training sets of each size.
    ntest : int, default 10
        Size of the test set, which is the same for all.
    seed : int, default 0
        Seed of the random subsets and of random displacements.
    source : path, default "the data"
        Where the supercells are from, for messages.
    executor, **options
        Passed to :func:`.force_constants.force_constants`.

    Returns
    -------
    rows : list of ConvergenceRow
    kappa : float, in W/(m K)
        Mean of xx, yy and zz from the force constants of all DFT forces.

    Raises
    ------
    InputError
        If there are too few supercells, or mesh or temperature are not valid.
    """
    sets, test = training_sets(len(data), sizes, subsets, ntest, seed, source)
    checked_mesh(mesh), checked_temperatures(temperature)
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
            with reading(done, "results of a previous run; delete it to compute them again"):
                rows.append(ConvergenceRow(**parse_json(read_text(done))))
            log.info("%d supercells, subset %d: done in a previous run", size, subset)
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
    """Return the rows as comma-separated values, with the names of the fields in the first line."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([field.name for field in fields(ConvergenceRow)])
    writer.writerows([f"{value:.6g}" for value in asdict(row).values()] for row in rows)
    return stream.getvalue()


def by_size(rows: Sequence[ConvergenceRow], name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sizes, and the mean and standard deviation of a field over the subsets of each size.

    The arrays have the shape (n_sizes,).  The standard deviation of a single subset is 0.
    """
    sizes = np.array(sorted({row.supercells for row in rows}))
    values = [[getattr(row, name) for row in rows if row.supercells == size] for size in sizes]
    spread = [np.std(v, ddof=1) if len(v) > 1 else 0.0 for v in values]
    return sizes, np.array([np.mean(v) for v in values]), np.array(spread)
