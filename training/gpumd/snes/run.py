"""The evolution strategy in a GPUMD training folder, with GPUMD's definitions and files.

Differences from GPUMD 5.6:

* Rows of ``*_train.out`` are in the order of ``train.xyz`` also with several batches, so they can be compared.
* Atomic targets are assigned to batches together with their structures.
* A descriptor component that is the same for all atoms has the scale 1 instead of an infinite one.
* The seed is fixed, and a run that was stopped resumes exactly, including descriptor scaling and generation.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.training_output import write_restart

from ...common import processes
from ...common.checkpoint import load_matching, save_checkpoint
from ...common.loop import run_steps, time_left
from ...nep.precision import log_rounding
from ..folder import CHECKPOINT, RESTART, Folder, RunOptions
from ..reference import without_zbl
from .precision import snes_rounding
from .start import Start, find_start
from .trainer import SnesTrainer, fingerprint

log = logging.getLogger(__name__)

_TRAIN_TABLES = 1000  # generations between updates of *_train.out


def check_snes(folder: Folder, run: RunOptions) -> None:
    """Raise if the evolution strategy cannot train in a folder; nothing is written.

    Raises
    ------
    InputError
        If ``nep.in`` or ``train.xyz`` need something that is not supported, or our checkpoint is that of another run.
    ModelFileError, DataFileError
        If a file to start from does not fit.
    """
    options, path = folder.options, folder.path
    if run.start is not None:
        raise InputError(
            f"--start {run.start}: only with the gradient engine; the evolution strategy starts from means and widths: "
            f"those of {RESTART} in the folder, or those of the files that fine_tune in nep.in names"
        )
    if run.restart or not (path / CHECKPOINT).exists():
        find_start(folder, restart=run.restart)
    else:
        load_matching(path / CHECKPOINT, fingerprint(options, _targets(folder)))


def _targets(folder):
    """Return the training structures, with targets without the ZBL repulsion."""
    return folder.train if folder.zbl is None else without_zbl(folder.train, folder.options, folder.zbl)


def train_snes(folder: Folder, run: RunOptions) -> None:
    """Train by the evolution strategy; resumes from our checkpoint, or starts from the result of :func:`find_start`.

    :func:`check_snes` must have passed before.  Of several processes, only the first reads the start and writes files.
    The others start from its state and evaluate their share of every population.
    """
    options, checkpoint = folder.options, folder.path / CHECKPOINT
    first = processes.rank() == 0
    start = Start() if checkpoint.exists() or not first else find_start(folder)
    frames = _targets(folder)
    trainer = SnesTrainer(
        options,
        frames,
        start.distribution,
        start.q_scaler,
        run.memory_gb,
        run.device,
        None if run.scratch is None else Path(run.scratch).resolve(),
    )
    fitting = _Fitting(folder, trainer)
    if first and checkpoint.exists():
        fitting.restore(checkpoint)
    elif first:
        _report_start(folder, start)
    if processes.size() > 1:
        trainer.load_state(processes.from_first(trainer.state()))
    if not first:
        run_steps(fitting, options.output_interval, options.output_interval, save=lambda: None)
        return
    log.info(
        "evolution strategy: %d parameters, population %d, %d structures in %d batches, %d to test; moments: "
        "%s; lambda_1 %.4g, lambda_2 %.4g; seed %d",
        options.n_parameters,
        options.population,
        len(frames),
        len(trainer.fitness.batches),
        len(folder.test),
        trainer.fitness.storage,
        *options.regularisation,
        trainer.seed,
    )

    def save():
        save_checkpoint(checkpoint, fitting.state())

    if not checkpoint.exists():
        save()  # from here on, a killed run can resume
    run_steps(fitting, options.output_interval, options.output_interval, _Fitting.write, save)
    log_rounding(snes_rounding(trainer), "--engine gradient computes in float64", folder.name_in_log)


class _Fitting:
    """A run in a folder for :func:`tnep_calc.training.common.loop.run_steps`; its steps are generations."""

    report_due = False  # before the first generation there is no best individual

    def __init__(self, folder: Folder, trainer: SnesTrainer):
        self.folder, self.trainer, self.seconds = folder, trainer, 0.0
        self._errors: list[float] = []

    @property
    def step(self) -> int:
        """Generations done."""
        return self.trainer.generation

    @property
    def total_steps(self) -> int:
        """Generations of the whole run."""
        return self.folder.options.generation

    @property
    def progress(self) -> str:
        """Number of generations done, as text for the log."""
        return f"{self.step} of {self.total_steps} generations"

    @property
    def finished(self) -> bool:
        """Whether all generations are done."""
        return self.trainer.finished

    def advance(self) -> None:
        """Do one generation, and keep a copy of the model if one is due."""
        self.trainer.step()
        if processes.rank() == 0 and self.step % self.folder.options.save_potential[0] == 0:
            _keep(self.folder, self.trainer, self.trainer.parameters(self.folder.zbl))

    def report(self) -> None:
        """Compute the errors of the best individual, in the first process."""
        if processes.rank() == 0:
            self._errors = self.trainer.train_errors()

    def write(self) -> None:
        """Write the row of ``loss.out`` and the files of the model."""
        folder, trainer, elite = self.folder, self.trainer, self.trainer.elite
        parameters, left = trainer.parameters(folder.zbl), time_left(self.seconds, self.step, self.total_steps)
        folder.report(self.step, (elite.total, elite.l1, elite.l2), self._errors, parameters, left)
        write_restart(folder.path / RESTART, trainer.snes.mu.numpy(), trainer.snes.sigma.numpy())
        if self.finished or self.step % _TRAIN_TABLES == 0:
            folder.write_train(parameters)

    def state(self) -> dict[str, Any]:
        """Return everything that is needed to resume exactly."""
        return {**self.trainer.state(), "loss_rows": self.folder.loss_rows(), "seconds": self.seconds}

    def restore(self, path: Path) -> None:
        """Resume from a checkpoint; see :func:`tnep_calc.training.common.checkpoint.load_matching` for the errors."""
        state = load_matching(path, self.trainer.fingerprint)
        self.trainer.load_state(state)
        self.folder.trim_loss(state["loss_rows"])
        self.seconds = state["seconds"]
        log.info("resuming from %s after %s", path, self.progress)


def _report_start(folder, start):
    """Log which keywords of ``nep.in`` a new run does not use, and which parameters are not trained."""
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
        log.warning(
            "%s: no structure of train.xyz has %s: regularisation alone changes the parameters of these species, away "
            "from the model of fine_tune; leave these species out",
            nep_in,
            " ".join(absent),
        )


def _keep(folder, trainer, parameters):
    """Keep a copy of the model, and of the distribution if the third value of ``save_potential`` is 1."""
    path = folder.keep_copy(trainer.generation, parameters)
    if folder.options.save_potential[2]:
        write_restart(path.with_suffix(".restart"), trainer.snes.mu.numpy(), trainer.snes.sigma.numpy())
