"""Ensembles of enthalpy models: one configuration trained with several seeds, on all or parts of the structures."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from tnep_calc.io.dataset import LabelledStructure
from tnep_calc.mean import export_mean
from tnep_calc.plotting.training import plot_enthalpy_histories

from ..device import resolve
from ..former import check_former, discard
from ..members import MemberValues, mean_and_deviation, member_config, member_indices, split_hash, write_summary
from ..run_files import ARTIFACT, provenance, write_figure
from ..splits import SPLITS
from .config import EnthalpyConfig
from .frames import Frame
from .outputs import SHOWN, Predictions, compare, predictions, train_in, write_results
from .preparation import read_structures
from .trainer import EnthalpyTrainer

log = logging.getLogger(__name__)


def run_enthalpy_ensemble(config: EnthalpyConfig, restart: bool = False) -> dict[str, Any]:
    """Train the members of an ensemble and write everything to ``config.directory``; go on where a killed run stopped.

    Every member has a directory ``member1``, ``member2``, ... with what a single run writes.  Beside them are
    ``model.pt``, the mean of the members as one model, ``ensemble.json``, ``history.png`` of all members, and
    ``parity.png`` and ``parity.npz`` of their mean.  The structures are precomputed once for all members.

    With ``train_fraction = 1`` and without ``data.validation_fraction``, member k is the single run with
    ``model.seed + k``: the directory of one takes its place.

    Arguments, result and errors as :func:`tnep_calc.training.ensemble.run_ensemble`.
    """
    resolve(config.optimizer.device)  # before any work
    check_former(config, restart)
    structures = read_structures(config)
    indices = member_indices(structures, config)
    pool: Sequence[Frame] | None = None
    collected = _Predictions(structures)
    results, histories = [], []
    for k, own in enumerate(indices):
        log.info("member %d of %d", k + 1, len(indices))
        member = member_config(config, k)
        trainer = EnthalpyTrainer(member, structures, own, pool)
        pool = trainer.pool
        trainer.fingerprint.update(split_hash(member, own))
        if restart and k == 0:
            discard(config.directory)
        train_in(member.directory, trainer)
        found = predictions(trainer)
        results.append(write_results(trainer, member.directory, found))
        histories.append(trainer.history)
        collected.add(trainer, found)
    compared = compare(*collected.mean())
    write_figure(config.directory / "history.png", plot_enthalpy_histories(histories, SHOWN))
    models = [member_config(config, k).directory / ARTIFACT for k in range(len(indices))]
    export_mean(models, config.directory / ARTIFACT, provenance(config))
    return write_summary(config, indices, results, compared)


class _Predictions:
    """Labels, errors and groups of all members, see :meth:`EnthalpyTrainer.compare`.

    The dipole of a member, and in a field its energy, is compared on the branch of the polarization that is nearest to
    the label.  So the mean of the members is the label, on the branch of the first member, plus the mean error.
    """

    def __init__(self, structures: Sequence[LabelledStructure]):
        self.values = MemberValues(structures)

    def add(self, trainer: EnthalpyTrainer, found: Predictions) -> None:
        """Add what a member predicts."""
        for split, labels in found.items():
            for name, (target, prediction, group) in labels.items():
                known = [k for k in trainer.indices[split].tolist() if name in trainer.pool[k].labels]
                group = np.broadcast_to(group[:, None], target.shape)
                self.values.add(split, name, known, np.stack([target, prediction - target, group], axis=-1))

    def mean(self) -> tuple[Predictions, dict[str, dict[str, np.ndarray]]]:
        """Return labels, means and groups, and the standard deviations, by split and label."""
        found: dict[str, dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
        deviations: dict[str, dict[str, np.ndarray]] = {}
        for split in SPLITS:
            for name, members in self.values.stacked(split).items():
                members = members[:, ~np.isnan(members).all(axis=(0, 2, 3))]  # structures that have the label
                first = np.isnan(members).argmin(axis=0, keepdims=True)
                target, _, group = np.moveaxis(np.take_along_axis(members, first, axis=0)[0], -1, 0)
                error, deviation = mean_and_deviation(members[..., 1])
                found.setdefault(split, {})[name] = target, target + error, group[:, 0]
                deviations.setdefault(split, {})[name] = deviation
        return found, deviations
