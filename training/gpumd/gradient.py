"""The gradient engine in a GPUMD training folder: the trainer of ``tnep train`` on all structures of ``train.xyz``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_keywords import MAX_NEURONS
from tnep_calc.io.gpumd.nep_parameters import NepParameters
from tnep_calc.io.gpumd.nep_txt import write_nep
from tnep_calc.io.gpumd.training_output import parity_tables, table_errors, write_parity
from tnep_calc.structures import LabelledStructure

from ..common.checkpoint import fingerprint, load_matching, save_checkpoint
from ..common.ensemble import split_hash
from ..common.labels import WITH_CONSTANTS, site_constants
from ..common.loop import time_left
from ..nep.config import TrainingConfig
from ..nep.data import labels_of
from ..nep.precision import log_rounding, rounding
from ..nep.shared_parts import MomentPool
from ..nep.trainer import Trainer
from .folder import CHECKPOINT, NEP, Folder, RunOptions, labelled_structures
from .keywords import describe, gradient_config
from .reference import as_evaluated, repulsion, subtract_values

log = logging.getLogger(__name__)

_WRITING = 0.02
"""Largest share of the time that updates of ``*_train.out`` may take during the run."""

_NAMES = {"adam": "Adam", "soap": "SOAP"}


def check_gradient(folder: Folder, run: RunOptions) -> None:
    """Raise if the gradient engine cannot train in a folder; nothing is written.

    Raises
    ------
    InputError
        If ``nep.in``, ``train.xyz``, the options or a model to start from need something that the engine does not
        support, or our checkpoint is that of another run.
    DataFileError, ModelFileError
        If the checkpoint or the model cannot be used.
    """
    config, checkpoint = gradient_config(folder, run), folder.path / CHECKPOINT
    resumes, full = checkpoint.exists() and not run.restart, config.model.neurons == MAX_NEURONS
    if not (resumes or full):
        return
    targets = Targets(folder, config)
    if full and _have_constants(config, targets.of("train")):
        _check_neurons(MAX_NEURONS + 1, MAX_NEURONS, folder)
    if resumes:
        load_matching(checkpoint, fingerprint(config, targets.structures) | split_hash(config, targets.indices))


def train_gradient(folder: Folder, run: RunOptions) -> None:
    """Train by gradients and write GPUMD's files; resumes from our checkpoint if there is one.

    In ``loss.out`` the generation is the number of steps, and the total is the loss of the gradient trainer (squared
    errors relative to the spread of the targets).  L1 is 0, L2 is the penalty, and the errors are GPUMD's.  Each row
    belongs to the parameters of its step.  ``nep.txt`` and the predictions are those of the last step, or, with
    ``run.patience``, of the best step so far.  ``*_train.out`` are updated less often if that would take more than 2 %
    of the time.
    """
    config, checkpoint = gradient_config(folder, run), folder.path / CHECKPOINT
    trainer = FolderTrainer(config, Targets(folder, config))
    if checkpoint.exists():
        trainer.load_state(load_matching(checkpoint, trainer.fingerprint))
    log_summary([trainer], run)
    if not checkpoint.exists():
        save_checkpoint(checkpoint, trainer.state())  # from here on, a killed run can resume
    reports = Reports(trainer)
    trainer.run(lambda run: reports.write(time_left(run.seconds, run.step, run.total_steps)), checkpoint)
    trainer.finish(run)


def _have_constants(config, structures):
    """Whether a model with random initial parameters needs different constants for its species."""
    name = next((name for name in WITH_CONSTANTS if name in config.loss.weights(config.model.kind)), None)
    if name is None or config.model.start:
        return False
    site = site_constants(labels_of(config, structures), name, len(config.model.species))
    return bool((site != site[0]).any())


def _check_neurons(written, trained, folder):
    """Return a log line if ``nep.txt`` has one neuron more than ``nep.in``; raise if GPUMD cannot read that many."""
    if written == trained:
        return []
    if written > MAX_NEURONS:
        raise InputError(
            f"{folder.path / 'nep.in'}: 'neuron' is {trained}, and nep.txt needs one more for the constants of the "
            f"species; GPUMD reads at most {MAX_NEURONS}: use {MAX_NEURONS - 1}, or --engine snes"
        )
    return [f"nep.txt has {written} neurons: one more than nep.in, for the constants of the species"]


class Targets:
    """Structures of a folder with targets without the ZBL repulsion; with `patience`, ``test.xyz`` is for validation.

    Attributes
    ----------
    folder : Folder
    structures : list of LabelledStructure
        Training structures, followed by validation structures.
    indices : dict of ndarray
        Structures of each split.
    repulsion : dict of ndarray or None
        The repulsion that is subtracted from the targets, by name.
    """

    def __init__(self, folder: Folder, config: TrainingConfig):
        self.folder = folder
        frames, n = [*folder.train, *(folder.test if config.optimizer.patience else [])], len(folder.train)
        self.repulsion = None if folder.zbl is None else repulsion(frames, folder.options, folder.zbl)
        self.indices = {"train": np.arange(n), "validation": np.arange(n, len(frames)), "test": np.arange(0)}
        if self.repulsion is not None:
            frames = subtract_values(frames, self.repulsion)
        self.structures = labelled_structures(frames)

    def of(self, split: str) -> list[LabelledStructure]:
        """Return the structures of a split."""
        return [self.structures[k] for k in self.indices[split]]


class FolderTrainer(Trainer):
    """Trainer of a folder.

    Its checkpoints also hold the length of ``loss.out`` and settings for the report.  It keeps copies of the model at
    the interval of ``save_potential``.
    """

    def __init__(self, config: TrainingConfig, targets: Targets, pool: MomentPool | None = None):
        self.folder, self.repulsion = targets.folder, targets.repulsion
        self._interval = self.folder.options.save_potential[0]
        super().__init__(config, targets.structures, targets.indices, pool)
        self.name_in_log = self.folder.name_in_log
        self.fingerprint.update(split_hash(config, targets.indices))
        self.stops.append(self._interval)

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Resume from a state that :meth:`state` has returned."""
        super().load_state(state)
        self.folder.trim_loss(state["loss_rows"])
        log.info("resuming from %s after %s", self.folder.path / CHECKPOINT, self.progress)

    def describe(self, run: RunOptions) -> list[str]:
        """Return lines about the training for the log, or raise ``InputError`` if GPUMD could not read the result."""
        virials = _virials_in_words(self.parts["train"].structures, self.folder)
        written = _check_neurons(self.parameters().neurons, self.config.model.neurons, self.folder)
        return [*describe(self.config, self.folder, run), *virials, *written]

    def finish(self, run: RunOptions) -> None:
        """Write the files of the result."""
        if run.patience:
            log.info(
                "%s%s after %s; %s is that of step %d, with the smallest loss on test.xyz",
                self.name_in_log,
                "stopped" if self.step < self.total_steps else "done",
                self.progress,
                NEP,
                self.result()[1],
            )
        log_rounding(rounding(self), "use --precision float64", self.name_in_log)
        self.folder.write_model(self.parameters())

    def first_order_step(self, gradient: Callable[[], float]) -> None:
        """Do one first-order step, and keep a copy of the model if one is due."""
        super().first_order_step(gradient)
        self._keep_copy()

    def lbfgs_step(self, gradient: Callable[[], float]) -> None:
        """Do a few iterations of L-BFGS, and keep a copy of the model if one is due."""
        super().lbfgs_step(gradient)
        self._keep_copy()

    def _keep_copy(self):
        if self.step % self._interval == 0:
            self.folder.keep_copy(self.step, self.parameters())

    def parameters(self) -> NepParameters:
        """Return the result as the parameters of a ``nep.txt``, with the repulsion."""
        return replace(super().parameters(), zbl=self.folder.zbl)

    def current(self) -> NepParameters:
        """Return the parameters of this step (of the first of several starts), with the repulsion."""
        model = self.model.with_scaling(self.model.scaling.member(0))
        return replace(model.to_nep(self.leader().cpu(), self.max_neighbors), zbl=self.folder.zbl)

    def penalty(self) -> float:
        """Return the penalty of the parameters of this step."""
        return float(self.objective.penalty(self.leader()))

    def state(self) -> dict[str, Any]:
        """Return everything that is needed to resume exactly."""
        o, loss = self.config.optimizer, self.config.loss
        used = {
            "engine": "gradient",
            "method": o.method,
            "steps": o.steps,
            "lbfgs_steps": o.lbfgs_steps,
            "batch": o.batch or "all",
            "precision": o.precision,
            "weight_decay": loss.weight_decay,
        }
        used |= {"restarts": o.restarts} if o.restarts > 1 else {}
        used |= {"patience": o.patience} if o.patience else {}
        return {**super().state(), "loss_rows": self.folder.loss_rows(), "used": used}


def log_summary(trainers: Sequence[FolderTrainer], run: RunOptions) -> None:
    """Log what is trained, common lines once; raise ``InputError`` if GPUMD could not read a result."""
    lines, first = [trainer.describe(run) for trainer in trainers], trainers[0]
    common = [line for line in lines[0] if all(line in own for own in lines)]
    for line in common:
        log.info(line)
    for trainer, own in zip(trainers, lines, strict=True):
        for line in own:
            if line not in common:
                log.info("%s%s", trainer.name_in_log, line)
    o = first.config.optimizer
    trained, tested = (
        " + ".join(str(len(frames)) for frames in split)
        for split in zip(*((trainer.folder.train, trainer.folder.test) for trainer in trainers), strict=True)
    )
    starts = f"{o.restart_steps} of {o.restarts} starts, " if o.restarts > 1 else ""
    log.info(
        "gradient engine: %d parameters, %s structures, %s to test; steps: %s%d of %s, %d of L-BFGS; moments: %s; "
        "weights %s",
        first.model.n_parameters,
        trained,
        tested,
        starts,
        o.steps,
        _NAMES[o.method],
        o.lbfgs_steps,
        first.storage,
        ", ".join(f"{name} {weight:g}" for name, weight in first.weights.items()),
    )


class Reports:
    """Writes the files of a folder at every report of its trainer."""

    def __init__(self, trainer: FolderTrainer):
        self._folder, self._trainer, self._next = trainer.folder, trainer, 0.0

    def write(self, more: str = "") -> None:
        """Write the row of ``loss.out`` and the files of a new best model; the log line ends with `more`."""
        folder, trainer = self._folder, self._trainer
        if trainer.step == 0:
            return
        now = trainer.current()
        train = self._train_tables(now)
        test = folder.tables(now, folder.test) if folder.test else {}
        if trainer.result()[1] == trainer.step:
            write_nep(folder.path / NEP, now)
            write_parity(folder.path, "test", test)
            self._update_train_files(train)
        penalty = trainer.penalty()
        errors = [table_errors(tables, folder.options.atomic_v) for tables in (train, test)]
        of_train, of_test = [[found.get(name, 0.0) for name in folder.error_names] for found in errors]
        loss = trainer.history[-1]["loss_train"] + penalty, 0.0, penalty
        folder.add_row(trainer.step, loss, of_train, of_test, more)

    def _train_tables(self, now):
        """Return the tables of ``train.xyz``, from predictions of the trainer if it predicts everything in them."""
        folder, trainer = self._folder, self._trainer
        if len(trainer.weights) < len(folder.error_names):
            return folder.tables(now, folder.train)
        predictions = as_evaluated(trainer.evaluate("train"), folder.options.atomic_v)
        for name, value in (trainer.repulsion or {}).items():
            if name in predictions:
                predictions[name] = predictions[name] + value[: len(predictions[name])]
        return parity_tables(folder.options.kind, folder.train, predictions, folder.options.atomic_v)

    def _update_train_files(self, tables):
        """Write ``*_train.out``, unless so little time has passed since the last update that it would cost too much."""
        start = time.monotonic()
        if start >= self._next:
            write_parity(self._folder.path, "train", tables)
            end = time.monotonic()
            self._next = end + (end - start) / _WRITING


def _virials_in_words(structures, folder):
    known = sum(s.virial is not None for s in structures)
    if folder.options.kind == "potential" and folder.options.lambda_v > 0 and known < len(structures):
        return [f"virials: {known} of {len(structures)} structures have one"]
    return []
