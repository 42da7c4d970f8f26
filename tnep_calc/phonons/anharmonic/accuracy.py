"""Training and test supercells of a potential, and its errors on them."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...errors import InputError
from ...io.displaced_supercells import SupercellData
from .evaluation import evaluate_supercells


def train_and_test(
    total: int, ntrain: int | None, ntest: int | None, source="the data"
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first `ntrain` and the last `ntest` indices, which is how phono3py splits its data.

    Parameters
    ----------
    total : int
        Number of supercells.
    ntrain, ntest : int or None
        Sizes of the training and the test set. None: a tenth (at least one) is tested on, and all others are trained
        on.
    source : path, default "the data"
        Where the supercells are from, for the message.

    Raises
    ------
    InputError
        If there are too few supercells.

    Examples
    --------
    >>> [part.tolist() for part in train_and_test(5, 3, 1)]
    [[0, 1, 2], [4]]
    """
    ntest = max(1, total // 10) if ntest is None else ntest
    ntrain = total - ntest if ntrain is None else ntrain
    check_sizes(total, ntrain, ntest, source)
    return np.arange(ntrain), np.arange(total - ntest, total)


def check_sizes(total: int, ntrain: int, ntest: int, source) -> None:
    """Raise InputError, which names the source, unless it has supercells for a training and a test set."""
    if ntrain < 1 or ntest < 1:
        raise InputError(
            f"{source}: training and test need at least one supercell each, got {ntrain} and {ntest} of {total}"
        )
    if ntrain + ntest > total:
        raise InputError(
            f"{source}: has {total} supercells, but {ntrain} for training and {ntest} for the test were asked for: "
            "take fewer, or add displaced supercells"
        )


@dataclass(frozen=True)
class PotentialErrors:
    """Errors of a potential on some supercells.

    Attributes
    ----------
    supercells : int
        Number of supercells.
    energy_rmse, energy_mae : float, in meV/atom
        Root mean square and mean absolute error of the energies.
    force_rmse, force_mae : float, in meV/Å
        Root mean square and mean absolute error of the force components.
    force_spread : float, in meV/Å
        Root mean square of the reference force components.
    """

    supercells: int
    energy_rmse: float
    energy_mae: float
    force_rmse: float
    force_mae: float
    force_spread: float

    def row(self, name: str) -> str:
        """Return a row of the table with the heading ``ERROR_TABLE``."""
        return (
            f"{name:<8}{self.supercells:>11}{self.energy_rmse:>12.4g}{self.energy_mae:>12.4g}"
            f"{self.force_rmse:>12.4g}{self.force_mae:>12.4g}{self.force_spread:>12.4g}"
        )

    def content(self) -> dict[str, Any]:
        """Return the values by the names of the attributes."""
        return asdict(self)


ERROR_TABLE = (
    f"{'':<8}{'supercells':>11}{'E RMSE':>12}{'E MAE':>12}{'F RMSE':>12}{'F MAE':>12}{'F spread':>12}\n"
    f"{'':<19}{'meV/atom':>12}{'meV/atom':>12}{'meV/Å':>12}{'meV/Å':>12}{'meV/Å':>12}"
)


def potential_errors(data: SupercellData, calculator, which, executor: Executor | None = None) -> PotentialErrors:
    """Return the errors of a potential on some displaced supercells.

    Parameters
    ----------
    data : SupercellData
        Displaced supercells with reference energies and forces.
    calculator, executor
        As in :func:`.evaluation.evaluate_supercells`.
    which : sequence of int
        Indices of the supercells.
    """
    which = list(which)
    cells = []
    for index in which:
        cell = data.supercell.copy()
        cell.positions = data.supercell.positions + data.displacements[index]
        cells.append(cell)
    e, f = evaluate_supercells(cells, calculator, executor)
    of_atom = 1e3 * (e - data.energies[which]) / len(data.supercell)
    of_force = 1e3 * (f - data.forces[which])
    return PotentialErrors(
        len(which),
        _rms(of_atom),
        float(np.mean(np.abs(of_atom))),
        _rms(of_force),
        float(np.mean(np.abs(of_force))),
        1e3 * _rms(data.forces[which]),
    )


def _rms(values) -> float:
    return float(np.sqrt(np.mean(values**2)))
