"""Run a NEP or TNEP training of one model or an ensemble, from the configuration to models, figures and numbers.

The members of an ensemble are models of one configuration, each trained on another part of the structures.  Moments
are computed once, and all members step together, see :mod:`tnep_calc.training.nep.joint`.

With ``output.keep_best`` the best step is chosen by the validation structures, so their errors are slightly too small.
The errors of the test structures do not have this bias.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tnep_calc.artifact import export_artifact
from tnep_calc.artifact.training_range import TrainingRange
from tnep_calc.device import describe, resolve
from tnep_calc.io.gpumd.nep_txt import write_nep
from tnep_calc.plotting.training import plot_loss, plot_losses
from tnep_calc.structures import LabelledStructure

from ..common import directory, processes
from ..common.checkpoint import save_checkpoint
from ..common.directory import ARTIFACT, NEP, check_previous, discard, resume, write_figure
from ..common.ensemble import (
    MemberValues,
    member_config,
    member_indices,
    panels_of_mean,
    split_hash,
    write_summary,
)
from ..common.labels import UNITS
from ..common.lock import locked
from ..common.loop import time_left
from ..common.memory import memory_errors_explained
from ..common.parity import DISPLAY, panels
from ..common.run import run_single
from .config import TrainingConfig, load_config
from .data import labelled, read_structures
from .joint import JointTrainer
from .precision import log_rounding, rounding
from .trainer import Trainer

log = logging.getLogger(__name__)


def train(path: str | Path, output: str | None = None, restart: bool = False) -> Path:
    """Train the model or the ensemble of a configuration file; see :func:`tnep_calc.training.run.train`."""
    config = load_config(path, output)
    if config.ensemble.n_splits:
        run_ensemble(config, restart)
    else:
        run_training(config, restart)
    return config.directory


@memory_errors_explained()
def run_training(config: TrainingConfig, restart: bool = False) -> dict[str, Any]:
    """Train a model and write everything to ``config.directory``; a run that was stopped resumes.

    Parameters
    ----------
    config : TrainingConfig
    restart : bool, default False
        Discard the files of a previous run in the output directory, once this run is ready to start.

    Returns
    -------
    dict
        Content of ``results.json``.

    Raises
    ------
    InputError
        If the output directory has a run of another configuration or other data, an ensemble, or a model without a
        checkpoint.
    DataFileError
        If data or checkpoint cannot be used.
    """

    def finish(trainer: Trainer) -> dict[str, Any]:
        train_in(config.directory, trainer)
        return write_results(trainer, config.directory)

    return run_single(config, restart, lambda: Trainer(config), finish)


def train_in(folder: Path, trainer: Trainer) -> None:
    """Train to the end, with checkpoint and ``log.csv`` in a directory; resume from its checkpoint if it has one."""
    checkpoint = directory.resume(folder, trainer)
    log_start([trainer])
    trainer.run(lambda t: report_progress([t], [folder]), checkpoint)
    processes.leave()


def log_start(trainers: Sequence[Trainer]) -> None:
    """Log models, structures and labels of a run, or of several runs that are trained together."""
    first = trainers[0]
    if len(trainers) == 1:
        sizes = ", ".join(f"{len(part.structures)} {name}" for name, part in first.parts.items())
        log.info(
            "%s model: %d parameters; structures: %s; moments: %s",
            first.config.model.kind,
            first.model.n_parameters,
            sizes,
            first.storage,
        )
    else:
        log.info(
            "%d %s models of %d parameters, trained together; moments: %s; losses and errors below are means",
            len(trainers),
            first.config.model.kind,
            first.model.n_parameters,
            first.storage,
        )
    for name, weight in first.weights.items():
        factor, unit = DISPLAY.get(name, (1.0, UNITS[name]))
        spreads = sorted({f"{trainer.objective.spreads[name] * factor:.4g}" for trainer in trainers}, key=float)
        shown = " to ".join(dict.fromkeys([spreads[0], spreads[-1]]))
        log.info("  %-14s spread %s %s, weight %g", name, shown, unit, weight)
    if "born_charges" in first.weights:
        training = [s for trainer in trainers for s in trainer.parts["train"].structures]
        known = [s.born_charges for s in training if s.born_charges is not None]
        log.info(
            "  acoustic sum rule imposed on the Born charges; largest component removed from a cell: %.3g e",
            max(np.abs(born.sum(axis=0)).max() for born in known),
        )


def report_progress(trainers: Sequence[Trainer], folders: Sequence[Path]) -> None:
    """Log one line of progress, and rewrite ``log.csv`` of each run.

    Errors are in physical units, train/validation.  For runs that are trained together they are means over the runs,
    and the step is the largest of the runs that are not finished.
    """
    rows, total = [trainer.history[-1] for trainer in trainers], trainers[0].total_steps
    going = [trainer.history[-1] for trainer in trainers if not trainer.finished]
    now = max(going or rows, key=lambda row: row["step"])
    words = []
    for name in trainers[0].weights:
        factor, unit = DISPLAY.get(name, (1.0, UNITS[name]))
        keys = [key for split in ("train", "validation") if (key := f"rmse_{name}_{split}") in rows[0]]
        words.append(f"{name} {'/'.join(f'{np.mean([row[key] for row in rows]) * factor:.3g}' for key in keys)} {unit}")
    step, seconds = now["step"], sum(trainer.seconds for trainer in trainers)
    loss, left = np.mean([row["loss_train"] for row in rows]), time_left(seconds, step, total)
    log.info(
        "%7.1f s  step %d/%d %s  loss %.3g  %s%s", seconds, step, total, now["stage"], loss, ", ".join(words), left
    )
    for trainer, folder in zip(trainers, folders, strict=True):
        directory.write_log(folder, trainer.history)


def comparison(trainer: Trainer, vector) -> list[dict[str, Any]]:
    """Return panels (see :func:`tnep_calc.training.common.parity.panels`) of all splits for these parameters."""
    return panels(
        {
            split: (part.structures, part.labels, trainer.evaluate(split, vector))
            for split, part in trainer.parts.items()
        },
        trainer.objective.spreads,
    )


def write_results(trainer: Trainer, folder: Path) -> dict[str, Any]:
    """Write ``nep.txt``, the artifact, figures and ``results.json``, and return the content of the latter."""
    vector, step = trainer.result()
    shares = rounding(trainer)
    log_rounding(shares, "use optimizer.precision = 'float64'", trainer.name_in_log)
    compared = comparison(trainer, vector)
    parameters = trainer.parameters()
    fitted = trainer.config.model.initial == "linear"  # large terms cancel: with eight digits the forces get an error
    write_nep(folder / NEP, parameters, **({"decimals": 16} if fitted else {}))
    unit = {"potential": None, "dipole": "e*A", "polarizability": "e*A^2/V"}[trainer.config.model.kind]
    origin = directory.provenance(trainer.config, trainer.fingerprint)
    known = TrainingRange.of(trainer.parts["train"].structures, parameters.species, parameters.cutoff)
    export_artifact(folder / NEP, folder / ARTIFACT, unit=unit, provenance=origin, training_range=known.table())
    if trainer.total_steps:
        directory.write_figure(folder / "loss.png", plot_loss(trainer.history))
    return directory.write_results(
        folder,
        trainer,
        compared,
        trainer.parts,
        kind=trainer.config.model.kind,
        step_of_result=step,
        threads=trainer.threads,
        device=describe(trainer.device),
        parameters=trainer.model.n_parameters,
        **({"rounding_of_rmse": shares} if shares else {}),
    )


@memory_errors_explained()
def run_ensemble(config: TrainingConfig, restart: bool = False) -> dict[str, Any]:
    """Train the members of an ensemble and write everything to ``config.directory``; a run that was stopped resumes.

    Every member has a directory ``member1``, ``member2``, ... with the files of a single run (``nep.txt``,
    ``model.pt``, ...) except the checkpoint.  The directory of the ensemble has one checkpoint for all members,
    ``ensemble.json``, ``loss.png`` of all members, and ``parity.png`` and ``parity.npz`` of their mean.

    Parameters
    ----------
    config : TrainingConfig
        With ``ensemble.n_splits`` of at least 2.
    restart : bool, default False
        Discard the files of a previous run in the directory, once this run is ready to start.

    Returns
    -------
    dict
        Content of ``ensemble.json``.

    Raises
    ------
    InputError
        If the directory has a run of another configuration or other data, members of a larger ensemble, or models
        without a checkpoint, or if there are too few structures or too little memory.
    DataFileError
        If data or a checkpoint cannot be used.
    """
    processes.refuse_ensembles(config)
    resolve(config.optimizer.device)  # before any work
    check_previous(config, restart)
    with locked(config.directory):
        return _run_ensemble(config, restart)


def _run_ensemble(config, restart):
    configs = [member_config(config, k) for k in range(config.ensemble.n_splits)]
    structures = read_structures(config)
    indices = [labelled(own, structures, config) for own in member_indices(structures, config)]
    together = JointTrainer.of(configs, structures, indices)
    for trainer, own in zip(together.members, indices, strict=True):
        trainer.fingerprint.update(split_hash(trainer.config, own))
    if restart:
        discard(config.directory)
    checkpoint = resume(config.directory, together)
    for member in configs:
        member.directory.mkdir(exist_ok=True)
    log_start(together.members)
    together.run(
        lambda _: report_progress(together.members, [member.directory for member in configs]),
        lambda: save_checkpoint(checkpoint, together.state()),
    )
    collected, results = _Predictions(structures), []
    for k, trainer in enumerate(together.members, start=1):
        log.info("errors of member %d:", k)
        results.append(write_results(trainer, trainer.config.directory))
        collected.add(trainer)
    compared = panels_of_mean(structures, collected.values, config)
    if together.total_steps:
        write_figure(config.directory / "loss.png", plot_losses([trainer.history for trainer in together.members]))
    return write_summary(config, indices, results, compared)


class _Predictions:
    """Predictions of every member for the structures of its splits.

    The dipole of a member is compared with the label on the nearest branch of the polarization.  The mean over the
    members is therefore the label plus the mean error, on the branch of the first member that has the structure.
    """

    def __init__(self, structures: Sequence[LabelledStructure]):
        self.values = MemberValues(structures)
        self._quanta: dict[int, torch.Tensor] = {}  # by structure: its first prediction minus the nearest branch

    def add(self, trainer: Trainer) -> None:
        """Add the predictions of a member's result."""
        vector, _ = trainer.result()
        for split, part in trainer.parts.items():
            chosen = trainer.indices[split].tolist()
            for name, value in trainer.evaluate(split, vector).items():
                if name == "dipole" and part.labels.fold is not None:
                    near = part.labels.targets[name] + part.labels.error(name, value) * part.labels.counts[:, None]
                    quanta = zip(chosen, value - near, strict=True)
                    value = near + torch.stack([self._quanta.setdefault(k, own) for k, own in quanta])
                self.values.add(split, name, chosen, value.numpy())
