"""The gradient engine in a GPUMD training folder: the trainer of ``tnep train`` on all structures of ``train.xyz``."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from tnep_calc.conventions import GPUMD_ORDER, from_six
from tnep_calc.errors import InputError
from tnep_calc.io.dataset import LabelledStructure
from tnep_calc.io.gpumd_training import parity_tables, table_errors, write_parity
from tnep_calc.io.gpumd_xyz import GpumdFrame
from tnep_calc.io.nep_keywords import MAX_NEURONS
from tnep_calc.io.nep_txt import NepParameters, write_nep

from ..checkpoint import load_checkpoint, save_checkpoint
from ..config import TrainingConfig
from ..members import split_hash
from ..moments import STRAIN_ORDER
from ..pool import MomentPool
from ..trainer import Trainer
from .evaluate import repulsion, take_off
from .folder import CHECKPOINT, NEP, Folder, RunOptions
from .gradient_config import gradient_config, in_words

log = logging.getLogger(__name__)

_WRITING = 0.02
"""Largest share of the time for renewals of ``*_train.out`` during the run."""

_AS_EVALUATED = {"atomic_dipole": "dipoles", "atomic_polarizability": "polarizabilities"}
"""Names in :func:`tnep_calc.training.gpumd.evaluate.evaluate` where they differ from those of labels."""


def train_gradient(folder: Folder, run: RunOptions, pool: MomentPool | None = None) -> None:
    """Train by gradients, with GPUMD's files; goes on from our checkpoint if there is one.

    In ``loss.out`` the generation is the number of steps, the total that of the gradient trainer (squared errors
    relative to the spread of the targets), L1 is 0 and L2 the penalty; the errors are GPUMD's.  A row is of the
    parameters of its step.  Files with a model or its predictions are of the last step, or, with ``run.patience``, of
    the best one so far; ``*_train.out`` are renewed with them, less often where that would take more than 2 % of the
    time.
    """
    config = gradient_config(folder, run)
    for line in in_words(config, folder, run):
        log.info("%s: %s", folder.path, line)
    trainer = _FolderTrainer(config, folder, pool)
    checkpoint = folder.path / CHECKPOINT
    if checkpoint.exists():
        trainer.restore(checkpoint)
        folder.trim_loss(load_checkpoint(checkpoint)["loss_rows"])
        log.info("going on from %s after %s", checkpoint, trainer.progress)
    log.info("gradient engine: %d parameters, %d structures, %d to test; %d steps (%s), %d of L-BFGS; moments: %s; "
             "weights %s",
             trainer.model.n_parameters, len(folder.train), len(folder.test), config.optimizer.steps,
             config.optimizer.method, config.optimizer.lbfgs_steps, trainer.storage,
             ", ".join(f"{k} {v:g}" for k, v in trainer.weights.items()))  # fmt: skip
    _check_neurons(trainer.parameters().neurons, config.model.neurons, folder)
    if not checkpoint.exists():
        save_checkpoint(checkpoint, trainer.state())  # from here on, a killed run goes on by itself
    trainer.run(_Reports(folder, trainer), checkpoint)
    if run.patience:
        log.info("%s after %s; %s is that of step %d, with the smallest loss on test.xyz",
                 "stopped" if trainer.step < trainer.total_steps else "done", trainer.progress, NEP,
                 trainer.result()[1])  # fmt: skip
    folder.write_model(trainer.parameters())


def _check_neurons(written, trained, folder):
    """Say that ``nep.txt`` has one neuron more than ``nep.in``, or raise ``InputError`` if GPUMD would not read it."""
    if written == trained:
        return
    if written > MAX_NEURONS:
        raise InputError(
            f"{folder.path / 'nep.in'}: 'neuron' is {trained}, and nep.txt needs one more, which carries the constants "
            f"of the species; GPUMD reads at most {MAX_NEURONS}: use {MAX_NEURONS - 1}, or --engine snes"
        )
    log.info("nep.txt has %d neurons: one more than nep.in, which carries the constants of the species", written)


class _FolderTrainer(Trainer):
    """Trainer of a folder: on targets without the repulsion, with ``test.xyz`` as validation if that decides anything.

    Its checkpoints know the length of ``loss.out``, and settings for the report; copies of the model are kept as
    ``save_potential`` says.
    """

    def __init__(self, config: TrainingConfig, folder: Folder, pool: MomentPool | None):
        self._folder, self._interval = folder, folder.options.save_potential[0]
        frames = [*folder.train, *(folder.test if config.optimizer.patience else [])]
        self.repulsion = None if folder.zbl is None else repulsion(frames, folder.options, folder.zbl)
        n = len(folder.train)
        indices = {"train": np.arange(n), "validation": np.arange(n, len(frames)), "test": np.arange(0)}
        if self.repulsion is not None:
            frames = take_off(frames, self.repulsion)
        _log_virials(frames[:n], folder)
        super().__init__(config, _structures(frames), indices, pool)
        self.fingerprint.update(split_hash(config, indices))
        self.stops.append(self._interval)

    def _advance(self):
        super()._advance()
        if self.step % self._interval == 0:
            self._folder.keep_copy(self.step, self.parameters())

    def parameters(self) -> NepParameters:
        """Return the result as the parameters of a ``nep.txt``, with the repulsion."""
        return replace(super().parameters(), zbl=self._folder.zbl)

    def current(self) -> NepParameters:
        """Return the parameters of this step (of the first of several starts), with the repulsion."""
        model = self.model.with_scaling(self.model.scaling.member(0))
        return replace(model.to_nep(self._leader().cpu(), self.max_neighbors), zbl=self._folder.zbl)

    def penalty(self) -> float:
        """Return the penalty of the parameters of this step."""
        return float(self.objective.penalty(self._leader()))

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on exactly."""
        o, loss = self.config.optimizer, self.config.loss
        used = {"engine": "gradient", "method": o.method, "steps": o.steps, "lbfgs_steps": o.lbfgs_steps,
                "batch": o.batch or "all", "precision": o.precision, "weight_decay": loss.weight_decay}  # fmt: skip
        used |= {"restarts": o.restarts} if o.restarts > 1 else {}
        used |= {"patience": o.patience} if o.patience else {}
        return {**super().state(), "loss_rows": self._folder.loss_rows(), "used": used}


class _Reports:
    """What a folder gets at every report of its trainer."""

    def __init__(self, folder: Folder, trainer: _FolderTrainer):
        self._folder, self._trainer, self._next = folder, trainer, 0.0

    def __call__(self, _: Trainer) -> None:
        """Write the row of ``loss.out``, and the files of the model if it is a new one."""
        folder, trainer = self._folder, self._trainer
        if trainer.step == 0:
            return
        now = trainer.current()
        train = self._train_tables(now)
        test = folder.tables(now, folder.test) if folder.test else {}
        if trainer.result()[1] == trainer.step:
            write_nep(folder.path / NEP, now)
            write_parity(folder.path, "test", test)
            self._renew(train)
        penalty = trainer.penalty()
        errors = [table_errors(tables, folder.options.atomic_v) for tables in (train, test)]
        columns = [[found.get(name, 0.0) for name in folder.error_names] for found in errors]
        folder.add_row(trainer.step, (trainer.history[-1]["loss_train"] + penalty, 0.0, penalty), *columns)

    def _train_tables(self, now):
        """Return the tables of ``train.xyz``: from what the trainer predicts, if that is all that is in them."""
        folder, trainer = self._folder, self._trainer
        if len(trainer.weights) < len(folder.error_names):
            return folder.tables(now, folder.train)
        predictions = _evaluated(trainer.evaluate("train"))
        for name, value in (trainer.repulsion or {}).items():
            if name in predictions:
                predictions[name] = predictions[name] + value[: len(predictions[name])]
        return parity_tables(folder.options.kind, folder.train, predictions, folder.options.atomic_v)

    def _renew(self, tables):
        """Write ``*_train.out``, unless that was done so shortly before that it would cost too much."""
        start = time.monotonic()
        if start >= self._next:
            write_parity(self._folder.path, "train", tables)
            end = time.monotonic()
            self._next = end + (end - start) / _WRITING


def _log_virials(frames, folder):
    known = sum(frame.structure.virial is not None for frame in frames)
    if folder.options.kind == "potential" and folder.options.lambda_v > 0 and known < len(frames):
        log.info("virials: %d of %d structures have one", known, len(frames))


def _structures(frames: Sequence[GpumdFrame]) -> list[LabelledStructure]:
    """Return the structures with weights and targets of atoms as the trainer has them."""
    result = []
    for frame in frames:
        tensors = frame.atomic_polarizability
        result.append(replace(
            frame.structure, weight=frame.weight, atomic_dipole=frame.atomic_dipole,
            atomic_polarizability=None if tensors is None else from_six(tensors, GPUMD_ORDER),
        ))  # fmt: skip
    return result


def _evaluated(predictions: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Return predictions of the trainer as :func:`parity_tables` takes them."""
    out = {}
    for name, value in predictions.items():
        array = value.detach().double().numpy()
        if name in ("virial", "polarizability", "atomic_polarizability"):
            array = from_six(array, STRAIN_ORDER)
        out[_AS_EVALUATED.get(name, name)] = array
    return out
