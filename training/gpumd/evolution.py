"""The evolution strategy in a GPUMD training folder, with GPUMD's definitions and files."""

from __future__ import annotations

import logging
from datetime import datetime

from tnep_calc.errors import InputError, ModelFileError
from tnep_calc.io.gpumd_training import read_restart, write_restart
from tnep_calc.io.nep_txt import read_nep, write_nep

from ..checkpoint import load_checkpoint, save_checkpoint
from .evaluate import without_zbl
from .folder import CHECKPOINT, NEP, RESTART, Folder, RunOptions
from .snes_trainer import SnesTrainer

log = logging.getLogger(__name__)

_TRAIN_TABLES = 1000  # generations between renewals of *_train.out


def check_snes(folder: Folder, run: RunOptions) -> None:
    """Look for all that keeps the evolution strategy from training in a folder, before it starts.

    Raises
    ------
    InputError
        If ``nep.in`` or ``train.xyz`` ask for what it cannot do.
    ModelFileError, DataFileError
        If a file to start from does not fit.
    """
    options, path = folder.options, folder.path
    if options.fine_tune or run.start is not None:
        raise InputError(
            f"{path / 'nep.in'}: the evolution strategy starts from {RESTART} and cannot take some species of a model; "
            "use the gradient engine for fine_tune and --start"
        )
    weighted = [frame.structure.source for frame in folder.train if frame.energy_weight != 1]
    if options.kind == "potential" and weighted:
        more = f" (and {len(weighted) - 1} more)" if len(weighted) > 1 else ""
        raise InputError(f"{weighted[0]}{more}: 'energy_weight' is not supported; remove it, or use 'weight'")
    if run.restart or not (path / CHECKPOINT).exists():
        _scaling(folder)
    if not (run.restart or (path / CHECKPOINT).exists()):
        _distribution(folder)


def _distribution(folder):
    """Return the search distribution to start from, None without a file."""
    path = folder.path / RESTART
    return read_restart(path, folder.options.n_parameters) if path.exists() else None


def _scaling(folder):
    """Return the descriptor scaling to import, None if there is none."""
    path, options = folder.path / NEP, folder.options
    if not options.import_q_scaler:
        return None
    q_scaler = read_nep(path).q_scaler
    if len(q_scaler) != options.dim:
        raise ModelFileError(f"{path}: nep.in asks for {options.dim} descriptor components, the file has "
                             f"{len(q_scaler)}: its q_scaler cannot be imported")  # fmt: skip
    return q_scaler


def train_snes(folder: Folder, run: RunOptions) -> None:
    """Train by the evolution strategy; goes on from our checkpoint, else starts from ``nep.restart`` if it is there.

    Raises
    ------
    InputError
        If the checkpoint is that of another run; the rest is refused before, by :func:`check_snes`.
    """
    options, path, zbl, checkpoint = folder.options, folder.path, folder.zbl, folder.path / CHECKPOINT
    start, q_scaler = (None, None) if checkpoint.exists() else (_distribution(folder), _scaling(folder))
    frames = folder.train if zbl is None else without_zbl(folder.train, options, zbl)
    trainer = SnesTrainer(options, frames, start, q_scaler, run.memory_gb, run.device)
    if checkpoint.exists():
        trainer.restore(checkpoint)
        folder.trim_loss(load_checkpoint(checkpoint)["loss_rows"])
        log.info("going on from %s after %d of %d generations", checkpoint, trainer.generation, options.generation)
    elif start is not None:
        log.info("starting from the distribution of %s", path / RESTART)
    log.info("evolution strategy: %d parameters, population %d, %d structures in %d batches, %d to test; moments: "
             "%s; lambda_1 %.4g, lambda_2 %.4g; seed %d", options.n_parameters, options.population,
             len(frames), len(trainer.fitness.batches), len(folder.test), trainer.fitness.storage,
             *options.regularisation, trainer.seed)  # fmt: skip

    def save():
        save_checkpoint(checkpoint, {**trainer.state(), "loss_rows": folder.loss_rows()})

    if not checkpoint.exists():
        save()  # from here on, a killed run goes on by itself
    while not trainer.finished:
        trainer.step()
        done = trainer.generation
        if done % options.save_potential[0] == 0:
            _keep(folder, trainer, trainer.parameters(zbl))
        if not trainer.finished and done % options.output_interval:
            continue
        parameters, elite = trainer.parameters(zbl), trainer.elite
        folder.report(done, (elite.total, elite.l1, elite.l2), trainer.train_errors(), parameters)
        write_restart(path / RESTART, trainer.snes.mu.numpy(), trainer.snes.sigma.numpy())
        if trainer.finished or done % _TRAIN_TABLES == 0:
            folder.write_train(parameters)
        save()


def _keep(folder, trainer, parameters):
    """Keep a copy of the model, named as ``save_potential`` says."""
    _, naming, with_restart = folder.options.save_potential
    stem = f"nep_gen{trainer.generation}"
    if naming == 1:
        stem = f"nep_{datetime.now():y%Y_m%m_d%d_h%H_m%M_s%S}_generation{trainer.generation}"
    write_nep(folder.path / f"{stem}.txt", parameters)
    if with_restart:
        write_restart(folder.path / f"{stem}.restart", trainer.snes.mu.numpy(), trainer.snes.sigma.numpy())
