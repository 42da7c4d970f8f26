"""Files in the output directory that all kinds of training have: progress, numbers, predictions, figures."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tnep_calc import __version__
from tnep_calc.plotting.style import styled
from tnep_calc.plotting.training import plot_parity

from .checkpoint import write_atomically
from .comparison import lines_of
from .parity_file import ARRAYS, save_panels
from .tables import BaseConfig

log = logging.getLogger(__name__)

CHECKPOINT, ARTIFACT, NEP, LOG, RESULTS = "checkpoint.pt", "model.pt", "nep.txt", "log.csv", "results.json"
ENSEMBLE = "ensemble.json"
"""Names of files in the output directory; also ``parity.npz``, ``parity.png``, and ``loss.png`` or ``history.png``."""


class Resumable(Protocol):
    """What can be taken up from a checkpoint."""

    @property
    def progress(self) -> str:
        """How far the run is, in words."""

    def restore(self, path: Path) -> None:
        """Take up the state of a checkpoint."""


class Run(Resumable, Protocol):
    """What the trainers have in common; see :class:`tnep_calc.training.trainer.Trainer`."""

    step: int
    seconds: float
    fingerprint: dict[str, str]
    indices: dict[str, np.ndarray]

    @property
    def config(self) -> BaseConfig:
        """Configuration of the run."""


def resume(folder: Path, run: Resumable) -> Path:
    """Make the directory, take up the checkpoint if there is one, and return its path."""
    checkpoint = folder / CHECKPOINT
    folder.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        run.restore(checkpoint)
        log.info("going on from %s after %s", checkpoint, run.progress)
    return checkpoint


def write_log(folder: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of progress so far; the columns are those of the first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]))
    writer.writeheader()
    writer.writerows(history)
    write_atomically(folder / LOG, lambda path: path.write_text(text.getvalue()))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write nested mappings and lists to a file."""
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(content, indent=1)))


def write_figure(path: Path, figure: Any) -> None:
    """Write a figure (format by suffix); what a killed run has left of it is overwritten."""

    def write(temporary):
        with styled():
            figure.savefig(temporary)

    write_atomically(path, write)


def provenance(config: BaseConfig, fingerprint: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what an exported model says of its origin: program, configuration and hashes of all that decided it."""
    made = {"program": f"tnep_calc {__version__}", "training": json.dumps(config.content())}
    return made | {f"{what}_sha256": value for what, value in (fingerprint or {}).items()}


def write_results(
    folder: Path, run: Run, compared: Sequence[Mapping[str, Any]], splits: Iterable[str], **own: Any
) -> dict[str, Any]:
    """Write ``results.json`` and what :func:`write_comparison` does, and return what the former has.

    Parameters
    ----------
    folder : path
    run : trainer
    compared : sequence of dict
        Panels of the splits, see :func:`tnep_calc.training.comparison.panels`.
    splits : iterable of str
        Those that have structures.
    **own
        Entries of this kind of training, which come first.
    """
    results = {
        **own,
        "program": f"tnep_calc {__version__}",
        "steps": run.step,
        "seconds": round(run.seconds, 2),
        "data": {"files": list(run.config.data.files), **run.fingerprint},
        "splits": {name: [int(k) for k in indices] for name, indices in run.indices.items()},
        "errors": {split: errors_of(compared, split) for split in splits},
        "configuration": {**run.config.content(), "output": asdict(run.config.output)},
    }
    write_json(folder / RESULTS, results)
    write_comparison(folder, compared)
    return results


def errors_of(compared: Sequence[Mapping[str, Any]], split: str) -> dict[str, dict[str, Any]]:
    """Return the numbers (all but the arrays) of one split by quantity, with their unit."""
    return {
        panel["name"]: {
            "unit": panel["unit"], **{key: value for key, value in panel["splits"][split].items() if key not in ARRAYS}
        }
        for panel in compared
        if split in panel["splits"]
    }  # fmt: skip


def write_comparison(folder: Path, compared: Sequence[Mapping[str, Any]]) -> None:
    """Write ``parity.npz`` and ``parity.png``, and log the table of errors."""
    save_panels(folder, compared)
    write_figure(folder / "parity.png", plot_parity(compared))
    for line in lines_of(compared):
        log.info(line)
