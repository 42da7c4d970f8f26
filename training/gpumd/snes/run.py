"""The evolution strategy in a GPUMD training folder, with GPUMD's definitions and files.

What differs from GPUMD 5.6, and why: rows of ``*_train.out`` are in the order of ``train.xyz`` also with several
batches, as those who read both need it; targets of atoms follow their structures into the batches; a descriptor
component that is the same for all atoms has the scale 1 instead of an infinite one; the seed is fixed, and a run that
was stopped goes on exactly, descriptor scaling and generation included.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.training_output import write_restart

from ...common.checkpoint import load_matching, save_checkpoint
from ...common.loop import time_left
from ...nep.precision import log_rounding
from ..folder import CHECKPOINT, RESTART, Folder, RunOptions
from ..reference import without_zbl
from .precision import snes_rounding
from .start import Start, find_start
from .trainer import SnesTrainer, fingerprint

log = logging.getLogger(__name__)

_TRAIN_TABLES = 1000  # generations between renewals of *_train.out


def check_snes(folder: Folder, run: RunOptions) -> None:
    """Look for all that keeps the evolution strategy from training in a folder, before it starts.

    Raises
    ------
    InputError
        If ``nep.in`` or ``train.xyz`` ask for what it cannot do, or our checkpoint is that of another run.
    ModelFileError, DataFileError
        If a file to start from does not fit.
    """
    options, path = folder.options, folder.path
    if run.start is not None:
        raise InputError(
            f"--start {run.start}: only with the gradient engine; the evolution strategy starts from means and widths: "
            f"those of {RESTART} in the folder, or, for some species of a model, of the files of fine_tune in nep.in"
        )
    if run.restart or not (path / CHECKPOINT).exists():
        find_start(folder, anew=run.restart)
    else:
        load_matching(path / CHECKPOINT, fingerprint(options, _targets(folder)))


def _targets(folder):
    """Return the structures to train on, without the repulsion."""
    return folder.train if folder.zbl is None else without_zbl(folder.train, folder.options, folder.zbl)


def train_snes(folder: Folder, run: RunOptions) -> None:
    """Train by the evolution strategy; goes on from our checkpoint, else starts as :func:`find_start` says.

    What cannot be is refused before, by :func:`check_snes`.
    """
    options, path, zbl, checkpoint = folder.options, folder.path, folder.zbl, folder.path / CHECKPOINT
    start = Start() if checkpoint.exists() else find_start(folder)
    frames = _targets(folder)
    trainer = SnesTrainer(
        options, frames, start.distribution, start.q_scaler, run.memory_gb, run.device,
        None if run.scratch is None else Path(run.scratch).resolve(),
    )
    if checkpoint.exists():
        state = load_matching(checkpoint, trainer.fingerprint)
        trainer.take_up(state)
        folder.trim_loss(state["loss_rows"])
        log.info("going on from %s after %d of %d generations", checkpoint, trainer.generation, options.generation)
    else:
        _report_start(folder, start)
    log.info("evolution strategy: %d parameters, population %d, %d structures in %d batches, %d to test; moments: "
             "%s; lambda_1 %.4g, lambda_2 %.4g; seed %d", options.n_parameters, options.population,
             len(frames), len(trainer.fitness.batches), len(folder.test), trainer.fitness.storage,
             *options.regularisation, trainer.seed)  # fmt: skip

    def save():
        save_checkpoint(checkpoint, {**trainer.state(), "loss_rows": folder.loss_rows()})

    if not checkpoint.exists():
        save()  # from here on, a killed run goes on by itself
    begin, before = time.monotonic(), trainer.generation
    while not trainer.finished:
        trainer.step()
        done = trainer.generation
        if done % options.save_potential[0] == 0:
            _keep(folder, trainer, trainer.parameters(zbl))
        if not trainer.finished and done % options.output_interval:
            continue
        parameters, elite = trainer.parameters(zbl), trainer.elite
        left = time_left(time.monotonic() - begin, done - before, options.generation - before)
        folder.report(done, (elite.total, elite.l1, elite.l2), trainer.train_errors(), parameters, left)
        write_restart(path / RESTART, trainer.snes.mu.numpy(), trainer.snes.sigma.numpy())
        if trainer.finished or done % _TRAIN_TABLES == 0:
            folder.write_train(parameters)
        save()
    log_rounding(snes_rounding(trainer), "--engine gradient computes in float64", folder.name_in_log)


def _report_start(folder, start):
    """Say what a run that begins does not take from ``nep.in``, and which parameters do not or hardly learn."""
    options, nep_in = folder.options, folder.path / "nep.in"
    idle = []
    if start.distribution is not None:
        log.info("starting from the distribution of %s", start.path)
        idle.append(("sigma0", f"widths are those of {start.path}"))
        if fixed := int((start.distribution[1] == 0).sum()):
            log.info("%d of %d parameters have the width 0 and keep their values", fixed, options.n_parameters)
    if start.q_scaler is not None:
        idle.append(("initial_para", "the descriptor scaling is given"))
    if words := [f"{name} ({why})" for name, why in idle if name in options.given]:
        log.warning("%s: keywords without effect here: %s", nep_in, ", ".join(words))
    present = {symbol for frame in folder.train for symbol in frame.structure.symbols}
    if options.fine_tune and (absent := [s for s in options.species if s not in present]):
        log.warning("%s: no structure of train.xyz has %s: their parameters follow the regularisation alone, away from "
                    "the model of fine_tune; leave these species out", nep_in, " ".join(absent))  # fmt: skip


def _keep(folder, trainer, parameters):
    """Keep a copy of the model, and of the distribution if ``save_potential`` says so."""
    path = folder.keep_copy(trainer.generation, parameters)
    if folder.options.save_potential[2]:
        write_restart(path.with_suffix(".restart"), trainer.snes.mu.numpy(), trainer.snes.sigma.numpy())
