"""A whole enthalpy training from configuration to files: progress, model, figures and numbers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tnep_calc.artifact import export_enthalpy
from tnep_calc.plotting.training import plot_enthalpy_histories

from .. import run_files
from ..comparison import numbers_of
from ..device import describe
from ..former import check_former, discard
from ..run_files import ARTIFACT
from .config import EnthalpyConfig
from .trainer import EnthalpyTrainer

log = logging.getLogger(__name__)

SHOWN = {
    "energy": ("eV/atom", 1.0), "forces": ("meV/Å", 1e3), "virial": ("meV/Å³", 1e3), "dipole": ("me·Å", 1e3),
    "born_charges": ("me", 1e3), "polarizability": ("me·Å²/V", 1e3),
}  # fmt: skip
"""Unit in which people read the error of a label, and its factor; the virial is shown as stress."""
Predictions = Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]]
"""By split and label: what :meth:`tnep_calc.training.enthalpy.trainer.EnthalpyTrainer.compare` gives."""


def run_enthalpy_training(config: EnthalpyConfig, restart: bool = False) -> dict[str, Any]:
    """Train a model and write everything to ``config.directory``; go on where a killed run stopped.

    Arguments, result and errors as :func:`tnep_calc.training.outputs.run_training`.
    """
    check_former(config, restart)
    trainer = EnthalpyTrainer(config)
    if restart:
        discard(config.directory)
    train_in(config.directory, trainer)
    return write_results(trainer, config.directory, predictions(trainer))


def train_in(folder: Path, trainer: EnthalpyTrainer) -> None:
    """Train to the end with checkpoint and table in a directory, from its checkpoint if there is one."""
    checkpoint = run_files.resume(folder, trainer)
    sizes = ", ".join(f"{len(frames)} {name}" for name, frames in trainer.frames.items())
    gigabytes = sum(frame.nbytes for frames in trainer.frames.values() for frame in frames) / 1e9
    log.info("enthalpy model: %d parameters; structures: %s; precomputed: %.2f GB; %d steps per epoch on %s",
             sum(p.numel() for p in trainer.sites.parameters()), sizes, gigabytes, trainer.steps_per_epoch,
             describe(trainer.device))  # fmt: skip
    trainer.run(lambda t: _report(t, folder), checkpoint)


def _report(trainer: EnthalpyTrainer, folder: Path) -> None:
    """Log one line, mean absolute errors train/validation, and rewrite the table."""
    row, words = trainer.history[-1], []
    for name, (unit, factor) in SHOWN.items():
        values = [row.get(f"mae_{name}_{split}") for split in ("train", "validation")]
        if values[0] is not None:
            shown = "stress" if name == "virial" else name
            words.append(f"{shown} {'/'.join(f'{v * factor:.3g}' for v in values if v is not None)} {unit}")
    total = trainer.config.optimizer.epochs
    left = f", {trainer.seconds / trainer.epoch * (total - trainer.epoch):.0f} s left" if trainer.epoch < total else ""
    log.info("%7.1f s  epoch %d/%d  %s%s", trainer.seconds, trainer.epoch, total, ", ".join(words), left)
    run_files.write_log(folder, trainer.history)


def predictions(trainer: EnthalpyTrainer) -> Predictions:
    """Return labels, predictions of the averaged model and groups of all splits."""
    return {split: trainer.compare(split) for split in trainer.frames}


def compare(
    found: Predictions, deviations: Mapping[str, Mapping[str, np.ndarray]] | None = None
) -> list[dict[str, Any]]:  # fmt: skip
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
        [trainer.average], m.species, m.cutoff, m.n_radial, m.zbl, folder / ARTIFACT, precision,
        run_files.provenance(trainer.config, trainer.fingerprint),
    )  # fmt: skip
    run_files.write_figure(folder / "history.png", plot_enthalpy_histories([trainer.history], SHOWN))
    return run_files.write_results(
        folder, trainer, compare(found), trainer.frames, kind="enthalpy", epochs=trainer.epoch,
        threads=trainer.config.optimizer.threads, device=describe(trainer.device),
        parameters=sum(p.numel() for p in trainer.sites.parameters()),
    )  # fmt: skip
