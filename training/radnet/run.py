"""A whole radnet training, of one model or an ensemble: progress, model, figures and numbers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tnep_calc.artifact.radnet import export_radnet
from tnep_calc.device import describe, resolve
from tnep_calc.models.radnet.network import multiplications
from tnep_calc.plotting.training import plot_curves

from ..common import directory
from ..common.directory import ARTIFACT, check_previous, discard, write_figure
from ..common.ensemble import MemberValues, mean_and_deviation, member_config, member_indices, split_hash, write_summary
from ..common.labels import ABOUT_SPECIES, UNITS, make_labels
from ..common.labels import spreads as label_spreads
from ..common.lock import locked
from ..common.loop import time_left
from ..common.parity import panels
from ..common.splits import SPLITS
from .config import RadnetConfig, load_radnet_config
from .data import Pool, make_pool, read_structures
from .trainer import RadnetTrainer

log = logging.getLogger(__name__)


def train(path: str | Path, output: str | None = None, restart: bool = False) -> Path:
    """Train the model or the ensemble of a configuration file; see :func:`tnep_calc.training.run.train`."""
    config = load_radnet_config(path, output)
    if config.ensemble.n_splits:
        run_radnet_ensemble(config, restart)
    else:
        run_radnet_training(config, restart)
    return config.directory


def run_radnet_training(config: RadnetConfig, restart: bool = False) -> dict[str, Any]:
    """Train a model and write everything to ``config.directory``; resume where a killed run stopped.

    Arguments, result and errors as :func:`tnep_calc.training.nep.run.run_training`.
    """
    check_previous(config, restart)
    with locked(config.directory):
        trainer = RadnetTrainer(config)
        if restart:
            discard(config.directory)
        train_in(config.directory, trainer)
        return write_results(trainer, config.directory)


def run_radnet_ensemble(config: RadnetConfig, restart: bool = False) -> dict[str, Any]:
    """Train the members of an ensemble and write everything to ``config.directory``; resume where a killed run stopped.

    Every member has a directory ``member1``, ``member2``, ... with what a single run writes.  With them are
    ``ensemble.json``, ``loss.png`` of all members, and ``parity.png`` and ``parity.npz`` of their mean.

    Arguments, result and errors as :func:`tnep_calc.training.nep.run.run_ensemble`.
    """
    resolve(config.optimizer.device)  # before any work
    check_previous(config, restart)
    with locked(config.directory):
        return _run_radnet_ensemble(config, restart)


def _run_radnet_ensemble(config, restart):
    structures = read_structures(config)
    indices = member_indices(structures, config)
    pool = make_pool(config, structures)
    values = MemberValues(pool.structures)
    results, histories = [], []
    for k, own in enumerate(indices):
        log.info("member %d of %d", k + 1, len(indices))
        member = member_config(config, k)
        trainer = RadnetTrainer(member, structures, own, pool)
        trainer.fingerprint.update(split_hash(member, own))
        if restart and k == 0:
            discard(config.directory)
        train_in(member.directory, trainer)
        results.append(write_results(trainer, member.directory))
        histories.append(trainer.history)
        for split in trainer.edges:
            for name, value in trainer.evaluate(split).items():
                values.add(split, name, trainer.indices[split].tolist(), value.numpy())
    write_figure(config.directory / "loss.png", _losses(histories))
    return write_summary(config, indices, results, _panels_of_mean(config, pool, values))


def train_in(folder: Path, trainer: RadnetTrainer) -> None:
    """Train to the end with checkpoint and table in a directory, from its checkpoint if there is one."""
    checkpoint = directory.resume(folder, trainer)
    sizes = ", ".join(f"{len(edges)} {name}" for name, edges in trainer.edges.items())
    networks = (*trainer.sites.dipole_networks[:1], *trainer.sites.polarizability_networks[:1])
    work = [multiplications(x, trainer.sites.voxels.points) for x in networks]  # type: ignore[arg-type]
    operations = {len(crystal.operations) for crystal in trainer.pool.crystals}
    turned = trainer.config.data.augmentation.replace("_", " ")
    if turned == "point group":
        turned += f" of {' or '.join(map(str, sorted(operations)))} operations"
    log.info(
        "radnet model: %d parameters, %.3g multiplications per atom; structures: %s; augmentation: %s; on %s",
        sum(p.numel() for p in trainer.sites.parameters()),
        sum(work),
        sizes,
        turned,
        describe(trainer.device),
    )
    trainer.run(lambda t: _report(t, folder), checkpoint)
    if trainer.stopped:
        log.info("stopped: no smaller loss in %d reports", trainer.since_best)


def _report(trainer: RadnetTrainer, folder: Path) -> None:
    """Log one line, errors of training and validation, and rewrite the table."""
    row, words = trainer.history[-1], []
    for name in trainer.weights:
        values = [row[key] for split in ("train", "validation") if (key := f"rmse_{name}_{split}") in row]
        if values:
            words.append(f"{name} {'/'.join(f'{v:.3g}' for v in values)} {UNITS[name]}")
    total = trainer.config.optimizer.epochs
    left = "" if trainer.finished else time_left(trainer.seconds, trainer.epoch, total)
    log.info(
        "%7.1f s  epoch %d/%d  lr %.2g  RMSE: %s%s",
        trainer.seconds,
        trainer.epoch,
        total,
        row["lr"],
        ", ".join(words),
        left,
    )
    directory.write_log(folder, trainer.history)


def write_results(trainer: RadnetTrainer, folder: Path) -> dict[str, Any]:
    """Write artifact, figures and ``results.json``, and return what the latter has."""
    config = trainer.config
    made = directory.provenance(config, trainer.fingerprint)
    export_radnet(trainer.result, config.model.species, folder / ARTIFACT, made)
    write_figure(folder / "loss.png", _losses([trainer.history]))
    compared = panels(
        {
            split: (
                [trainer.pool.structures[k] for k in trainer.indices[split]],
                trainer.pool.labels.select(trainer.indices[split].tolist()),
                trainer.evaluate(split),
            )
            for split in trainer.edges
        },
        trainer.spreads,
    )
    return directory.write_results(
        folder,
        trainer,
        compared,
        trainer.edges,
        kind="radnet",
        epochs=trainer.epoch,
        threads=config.optimizer.threads,
        device=describe(trainer.device),
        parameters=sum(p.numel() for p in trainer.result.parameters()),
        formal_polarization=trainer.pool.removed,
    )


def _losses(histories: Sequence[Sequence[Mapping[str, Any]]]):
    """Return the figure of the losses of all models."""
    curves = [
        {
            split: tuple(np.array([(row["epoch"], row[f"loss_{split}"]) for row in history]).T)
            for split in ("train", "validation")
            if f"loss_{split}" in history[0]
        }
        for history in histories
    ]
    return plot_curves(curves, "epoch", "loss (mean squared errors / spread$^2$)")


def _panels_of_mean(config: RadnetConfig, pool: Pool, values: MemberValues) -> list[dict[str, Any]]:
    """Return panels of the mean over the members, with their standard deviations as ``deviation``.

    Models of this family give the dipole on one branch, that of the symmetric crystal, so a mean needs no folding.
    """
    mean: dict[str, Any] = {}
    above: dict[str, Any] = {}
    for split in SPLITS:
        structures = [pool.structures[k] for k in values.chosen(split)]
        if structures:
            found = {name: mean_and_deviation(v) for name, v in values.stacked(split).items()}
            labels = make_labels(structures, list(found), config.model.species, config.data.fold_dipole)
            mean[split] = structures, labels, {name: torch.from_numpy(m) for name, (m, _) in found.items()}
            above[split] = structures, labels, {name: torch.from_numpy(m + d) for name, (m, d) in found.items()}
    nothing = torch.zeros(len(config.model.species), dtype=torch.float64)
    first = label_spreads(next(iter(mean.values()))[1], nothing)
    compared, others = panels(mean, first), panels(above, first)
    for panel, other in zip(compared, others, strict=True):
        for split, numbers in panel["splits"].items():
            numbers["deviation"] = other["splits"][split]["prediction"] - numbers["prediction"]
            target = numbers["target"]
            if panel["name"] not in ABOUT_SPECIES:
                numbers["spread"] = float((target - target.mean(axis=0)).std())
    return compared
