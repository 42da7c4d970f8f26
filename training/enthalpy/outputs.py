"""A whole enthalpy training from configuration to files: progress, model, figures and numbers."""

from __future__ import annotations

import csv
import io
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tnep_calc import __version__
from tnep_calc.artifact import export_enthalpy
from tnep_calc.plotting.style import save_figure
from tnep_calc.plotting.training import plot_enthalpy_history, plot_parity

from ..checkpoint import write_atomically
from ..comparison import lines_of, numbers_of
from ..parity_file import save_panels
from .config import EnthalpyConfig
from .trainer import EnthalpyTrainer

log = logging.getLogger(__name__)

CHECKPOINT, ARTIFACT, LOG, RESULTS = "checkpoint.pt", "model.pt", "log.csv", "results.json"
"""Names of the files in the output directory; figures are ``history.png`` and ``parity.png``."""

SHOWN = {
    "energy": ("eV/atom", 1.0), "forces": ("meV/Å", 1e3), "virial": ("meV/Å³", 1e3), "dipole": ("me·Å", 1e3),
    "born_charges": ("me", 1e3), "polarizability": ("me·Å²/V", 1e3),
}  # fmt: skip
"""Unit in which people read the error of a label, and its factor; the virial is shown as stress."""


def run_enthalpy_training(config: EnthalpyConfig, restart: bool = False) -> dict[str, Any]:
    """Train a model and write everything to ``config.directory``; go on where a killed run stopped.

    Arguments, result and errors as :func:`tnep_calc.training.outputs.run_training`.
    """
    folder = config.directory
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / CHECKPOINT
    if restart:
        checkpoint.unlink(missing_ok=True)
    trainer = EnthalpyTrainer(config)
    if checkpoint.exists():
        trainer.restore(checkpoint)
        log.info("going on from %s after %d of %d epochs", checkpoint, trainer.epoch, config.optimizer.epochs)
    sizes = ", ".join(f"{len(frames)} {name}" for name, frames in trainer.frames.items())
    gigabytes = sum(frame.nbytes for frames in trainer.frames.values() for frame in frames) / 1e9
    log.info("enthalpy model: %d parameters; structures: %s; precomputed: %.2f GB; %d steps per epoch",
             sum(p.numel() for p in trainer.sites.parameters()), sizes, gigabytes, trainer.steps_per_epoch)  # fmt: skip
    trainer.run(lambda t: _report(t, folder), checkpoint)
    return write_results(trainer, folder)


def _report(trainer: EnthalpyTrainer, folder: Path) -> None:
    """Log one line, mean absolute errors train/validation, and rewrite the table."""
    row, words = trainer.history[-1], []
    for name, (unit, factor) in SHOWN.items():
        values = [row.get(f"mae_{name}_{split}") for split in ("train", "validation")]
        if values[0] is not None:
            words.append(f"{name} {'/'.join(f'{v * factor:.3g}' for v in values if v is not None)} {unit}")
    total = trainer.config.optimizer.epochs
    left = f", {trainer.seconds / trainer.epoch * (total - trainer.epoch):.0f} s left" if trainer.epoch < total else ""
    log.info("%7.1f s  epoch %d/%d  %s%s", trainer.seconds, trainer.epoch, total, ", ".join(words), left)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(trainer.history[0]))
    writer.writeheader()
    writer.writerows(trainer.history)
    write_atomically(folder / LOG, lambda path: path.write_text(text.getvalue()))


def compare(trainer: EnthalpyTrainer) -> list[dict[str, Any]]:
    """Return panels as :func:`tnep_calc.plotting.training.plot_parity` takes them, for the averaged model.

    The spread of Born charges is taken about the mean of each species and component, of all others about the mean of
    each component.
    """
    panels = []
    found = {split: trainer.compare(split) for split in trainer.frames}
    for name, (unit, factor) in SHOWN.items():
        panel: dict[str, Any] = {"name": "stress" if name == "virial" else name, "unit": unit, "splits": {}}
        for split, labels in found.items():
            if name in labels:
                target, prediction, group = labels[name]
                varied = np.concatenate([target[group == g] - target[group == g].mean(0) for g in np.unique(group)])
                panel["splits"][split] = numbers_of(factor * target, factor * prediction, factor * float(varied.std()))
        if panel["splits"]:
            panels.append(panel)
    return panels


def write_results(trainer: EnthalpyTrainer, folder: Path) -> dict[str, Any]:
    """Write artifact, figures and ``results.json``, and return what the latter has."""
    config, compared = trainer.config, compare(trainer)
    provenance = {"program": f"tnep_calc {__version__}", "training": json.dumps(config.content())}
    provenance |= {f"{what}_sha256": value for what, value in trainer.fingerprint.items()}
    m = config.model
    export_enthalpy(
        trainer.average, m.species, m.cutoff, m.n_radial, m.zbl, folder / ARTIFACT, config.optimizer.precision,
        provenance,
    )  # fmt: skip
    results: dict[str, Any] = {
        "kind": "enthalpy",
        "program": f"tnep_calc {__version__}",
        "epochs": trainer.epoch,
        "steps": trainer.step,
        "seconds": round(trainer.seconds, 2),
        "parameters": sum(p.numel() for p in trainer.sites.parameters()),
        "data": {"files": list(config.data.files), **trainer.fingerprint},
        "splits": {name: [int(k) for k in indices] for name, indices in trainer.indices.items()},
        "errors": {
            split: {
                panel["name"]: {"unit": panel["unit"], **_summary(panel["splits"][split])}
                for panel in compared
                if split in panel["splits"]
            }
            for split in trainer.frames
        },
        "configuration": {**config.content(), "output": asdict(config.output)},
    }
    write_atomically(folder / RESULTS, lambda path: path.write_text(json.dumps(results, indent=1)))
    save_panels(folder, compared)
    save_figure(plot_enthalpy_history(trainer.history, SHOWN), folder / "history.png", force=True)
    save_figure(plot_parity(compared), folder / "parity.png", force=True)
    for line in lines_of(compared):
        log.info(line)
    return results


def _summary(numbers):
    return {key: value for key, value in numbers.items() if key not in ("target", "prediction")}
