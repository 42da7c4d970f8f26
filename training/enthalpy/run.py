"""A whole enthalpy training, of one model or an ensemble: progress, model, figures and numbers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tnep_calc.artifact import export_enthalpy
from tnep_calc.artifact.enthalpy import export_mean
from tnep_calc.device import describe, resolve
from tnep_calc.plotting.training import plot_enthalpy_histories
from tnep_calc.structures import LabelledStructure

from ..common import directory
from ..common.directory import ARTIFACT, check_previous, discard, provenance, write_figure
from ..common.ensemble import MemberValues, mean_and_deviation, member_config, member_indices, split_hash, write_summary
from ..common.lock import locked
from ..common.loop import time_left
from ..common.parity import numbers_of
from ..common.splits import SPLITS
from .config import EnthalpyConfig, load_enthalpy_config
from .data import read_structures
from .frames import Frame
from .trainer import EnthalpyTrainer

log = logging.getLogger(__name__)

SHOWN = {
    "energy": ("eV/atom", 1.0),
    "forces": ("meV/Å", 1e3),
    "virial": ("meV/Å³", 1e3),
    "dipole": ("me·Å", 1e3),
    "born_charges": ("me", 1e3),
    "polarizability": ("me·Å²/V", 1e3),
}
"""Unit in which people read the error of a label, and its factor; the virial is shown as stress."""
Predictions = Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]]
"""By split and label: what :meth:`tnep_calc.training.enthalpy.trainer.EnthalpyTrainer.compare` gives."""


def train(path: str | Path, output: str | None = None, restart: bool = False) -> Path:
    """Train the model or the ensemble of a configuration file; see :func:`tnep_calc.training.run.train`."""
    config = load_enthalpy_config(path, output)
    if config.ensemble.n_splits:
        run_enthalpy_ensemble(config, restart)
    else:
        run_enthalpy_training(config, restart)
    return config.directory


def run_enthalpy_training(config: EnthalpyConfig, restart: bool = False) -> dict[str, Any]:
    """Train a model and write everything to ``config.directory``; go on where a killed run stopped.

    Arguments, result and errors as :func:`tnep_calc.training.nep.run.run_training`.
    """
    check_previous(config, restart)
    with locked(config.directory):
        trainer = EnthalpyTrainer(config)
        if restart:
            discard(config.directory)
        train_in(config.directory, trainer)
        return write_results(trainer, config.directory, predictions(trainer))


def train_in(folder: Path, trainer: EnthalpyTrainer) -> None:
    """Train to the end with checkpoint and table in a directory, from its checkpoint if there is one."""
    checkpoint = directory.resume(folder, trainer)
    sizes = ", ".join(f"{len(frames)} {name}" for name, frames in trainer.frames.items())
    gigabytes = sum(frame.nbytes for frames in trainer.frames.values() for frame in frames) / 1e9
    log.info(
        "enthalpy model: %d parameters; structures: %s; precomputed: %.2f GB; %d steps per epoch on %s",
        sum(p.numel() for p in trainer.sites.parameters()),
        sizes,
        gigabytes,
        trainer.steps_per_epoch,
        describe(trainer.device),
    )
    trainer.run(lambda t: _report(t, folder), checkpoint)


def _report(trainer: EnthalpyTrainer, folder: Path) -> None:
    """Log one line, mean absolute errors train/validation, and rewrite the table."""
    row, words = trainer.history[-1], []
    for name, (unit, factor) in SHOWN.items():
        values = [row.get(f"mae_{name}_{split}") for split in ("train", "validation")]
        if values[0] is not None:
            shown = "stress" if name == "virial" else name
            words.append(f"{shown} {'/'.join(f'{v * factor:.3g}' for v in values if v is not None)} {unit}")
    left = time_left(trainer.seconds, trainer.step, trainer.total_steps)
    log.info(
        "%7.1f s  epoch %d/%d  %s%s",
        trainer.seconds,
        trainer.epoch,
        trainer.config.optimizer.epochs,
        ", ".join(words),
        left,
    )
    directory.write_log(folder, trainer.history)


def predictions(trainer: EnthalpyTrainer) -> Predictions:
    """Return labels, predictions of the averaged model and groups of all splits."""
    return {split: trainer.compare(split) for split in trainer.frames}


def compare(
    found: Predictions, deviations: Mapping[str, Mapping[str, np.ndarray]] | None = None
) -> list[dict[str, Any]]:
    """Return panels as :func:`tnep_calc.plotting.training.plot_parity` takes them.

    The spread of Born charges is taken about the mean of each species and component, of all others about the mean of
    each component.

    Parameters
    ----------
    found : mapping
        By split what :meth:`EnthalpyTrainer.compare` gives.
    deviations : mapping, optional
        By split and label, standard deviations over the members of an ensemble.
    """
    panels = []
    for name, (unit, factor) in SHOWN.items():
        panel: dict[str, Any] = {"name": "stress" if name == "virial" else name, "unit": unit, "splits": {}}
        for split, labels in found.items():
            if name in labels:
                target, prediction, group = labels[name]
                varied = np.concatenate([target[group == g] - target[group == g].mean(0) for g in np.unique(group)])
                numbers = numbers_of(factor * target, factor * prediction, factor * float(varied.std()))
                if deviations is not None:
                    numbers["deviation"] = factor * deviations[split][name]
                panel["splits"][split] = numbers
        if panel["splits"]:
            panels.append(panel)
    return panels


def write_results(trainer: EnthalpyTrainer, folder: Path, found: Predictions) -> dict[str, Any]:
    """Write artifact, figures and ``results.json`` from :func:`predictions`, and return what the latter has."""
    m, precision = trainer.config.model, trainer.config.optimizer.precision
    export_enthalpy(
        [trainer.average],
        m.species,
        m.cutoff,
        m.n_radial,
        m.zbl,
        folder / ARTIFACT,
        precision,
        directory.provenance(trainer.config, trainer.fingerprint),
    )
    directory.write_figure(folder / "history.png", plot_enthalpy_histories([trainer.history], SHOWN))
    return directory.write_results(
        folder,
        trainer,
        compare(found),
        trainer.frames,
        kind="enthalpy",
        epochs=trainer.epoch,
        threads=trainer.config.optimizer.threads,
        device=describe(trainer.device),
        parameters=sum(p.numel() for p in trainer.sites.parameters()),
    )


def run_enthalpy_ensemble(config: EnthalpyConfig, restart: bool = False) -> dict[str, Any]:
    """Train the members of an ensemble and write everything to ``config.directory``; go on where a killed run stopped.

    Every member has a directory ``member1``, ``member2``, ... with what a single run writes.  Beside them are
    ``model.pt``, the mean of the members as one model, ``ensemble.json``, ``history.png`` of all members, and
    ``parity.png`` and ``parity.npz`` of their mean.  The structures are precomputed once for all members.

    With ``train_fraction = 1`` and without ``data.validation_fraction``, member k is the single run with
    ``model.seed + k``: the directory of one takes its place.

    Arguments, result and errors as :func:`tnep_calc.training.nep.run.run_ensemble`.
    """
    resolve(config.optimizer.device)  # before any work
    check_previous(config, restart)
    with locked(config.directory):
        return _run_enthalpy_ensemble(config, restart)


def _run_enthalpy_ensemble(config, restart):
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
