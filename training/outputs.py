"""A whole run from configuration to files: progress, model, figures and numbers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tnep_calc.artifact import export_artifact
from tnep_calc.io.nep_txt import write_nep
from tnep_calc.plotting.training import plot_loss

from . import run_files
from .comparison import DISPLAY, panels
from .config import TrainingConfig
from .device import describe, room_in_memory
from .former import check_former, discard
from .objective import UNITS
from .rounding import log_rounding, rounding
from .run_files import ARTIFACT, NEP
from .trainer import Trainer
from .watching import time_left

log = logging.getLogger(__name__)


@room_in_memory()
def run_training(config: TrainingConfig, restart: bool = False) -> dict[str, Any]:
    """Train a model and write everything to ``config.directory``; go on where a killed run stopped.

    Parameters
    ----------
    config : TrainingConfig
    restart : bool, default False
        Discard what a former run has left in the output directory, as soon as this one can begin.

    Returns
    -------
    dict
        What ``results.json`` has.

    Raises
    ------
    InputError
        If the output directory has a run of another configuration or other data, an ensemble, or a model without a
        checkpoint.
    DataFileError
        If data or checkpoint cannot be used.
    """
    check_former(config, restart)
    trainer = Trainer(config)
    if restart:
        discard(config.directory)
    train_in(config.directory, trainer)
    return write_results(trainer, config.directory)


def train_in(folder: Path, trainer: Trainer) -> None:
    """Train to the end with checkpoint and table in a directory, from its checkpoint if there is one."""
    checkpoint = run_files.resume(folder, trainer)
    log_start([trainer])
    trainer.run(lambda t: report_progress([t], [folder]), checkpoint)


def log_start(trainers: Sequence[Trainer]) -> None:
    """Log what is trained on what; several runs are those that are trained together."""
    first = trainers[0]
    if len(trainers) == 1:
        sizes = ", ".join(f"{len(part.structures)} {name}" for name, part in first.parts.items())
        log.info("%s model: %d parameters; structures: %s; moments: %s",
                 first.config.model.kind, first.model.n_parameters, sizes, first.storage)  # fmt: skip
    else:
        log.info("%d %s models of %d parameters, trained together; moments: %s; losses and errors below are means",
                 len(trainers), first.config.model.kind, first.model.n_parameters, first.storage)  # fmt: skip
    for name, weight in first.weights.items():
        factor, unit = DISPLAY.get(name, (1.0, UNITS[name]))
        spreads = sorted({f"{trainer.objective.spreads[name] * factor:.4g}" for trainer in trainers}, key=float)
        shown = " to ".join(dict.fromkeys([spreads[0], spreads[-1]]))
        log.info("  %-14s spread %s %s, weight %g", name, shown, unit, weight)
    if "born_charges" in first.weights:
        training = [s for trainer in trainers for s in trainer.parts["train"].structures]
        known = [s.born_charges for s in training if s.born_charges is not None]
        log.info("  acoustic sum rule imposed on the Born charges; largest component removed from a cell: %.3g e",
                 max(np.abs(born.sum(axis=0)).max() for born in known))  # fmt: skip


def report_progress(trainers: Sequence[Trainer], folders: Sequence[Path]) -> None:
    """Log one line, and rewrite the table of each run; errors are in physical units, train/validation.

    Of runs that are trained together the line has means; the step is that of those that have gone furthest and are not
    finished.
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
    log.info("%7.1f s  step %d/%d %s  loss %.3g  %s%s",
             seconds, step, total, now["stage"], loss, ", ".join(words), left)  # fmt: skip
    for trainer, folder in zip(trainers, folders, strict=True):
        run_files.write_log(folder, trainer.history)


def comparison(trainer: Trainer, vector) -> list[dict[str, Any]]:
    """Return panels (see :func:`tnep_calc.training.comparison.panels`) of all splits for these parameters."""
    return panels(
        {
            split: (part.structures, part.labels, trainer.evaluate(split, vector))
            for split, part in trainer.parts.items()
        },
        trainer.objective.spreads,
    )


def write_results(trainer: Trainer, folder: Path) -> dict[str, Any]:
    """Write ``nep.txt``, the artifact, figures and ``results.json``, and return what the latter has."""
    vector, step = trainer.result()
    shares = rounding(trainer)
    log_rounding(shares, "use optimizer.precision = 'float64'", trainer.name_in_log)
    compared = comparison(trainer, vector)
    parameters = trainer.parameters()
    write_nep(folder / NEP, parameters)
    unit = {"potential": None, "dipole": "e*A", "polarizability": "e*A^2/V"}[trainer.config.model.kind]
    origin = run_files.provenance(trainer.config, trainer.fingerprint)
    export_artifact(folder / NEP, folder / ARTIFACT, unit=unit, provenance=origin)
    run_files.write_figure(folder / "loss.png", plot_loss(trainer.history))
    return run_files.write_results(
        folder, trainer, compared, trainer.parts, kind=trainer.config.model.kind, step_of_result=step,
        threads=trainer.config.optimizer.threads, device=describe(trainer.device),
        parameters=trainer.model.n_parameters, **({"rounding_of_rmse": shares} if shares else {}),
    )  # fmt: skip
