"""The output directory of a training: progress, numbers, figures, and the files of a previous run."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tnep_calc import __version__
from tnep_calc.errors import InputError
from tnep_calc.plotting.style import styled
from tnep_calc.plotting.training import plot_parity

from . import processes
from .checkpoint import write_atomically
from .config import BaseConfig
from .parity import ARRAYS, lines_of, overfitting_warning, save_panels

log = logging.getLogger(__name__)

CHECKPOINT, ARTIFACT, NEP, LOG, RESULTS = "checkpoint.pt", "model.pt", "nep.txt", "log.csv", "results.json"
ENSEMBLE = "ensemble.json"
"""Names of files in the output directory; also ``parity.npz``, ``parity.png``, and ``loss.png`` or ``history.png``."""


class Resumable(Protocol):
    """A run that can resume from a checkpoint."""

    @property
    def progress(self) -> str:
        """How far the run is, as text for the log."""

    def restore(self, path: Path) -> None:
        """Load the state of a checkpoint."""

    def state(self) -> dict[str, Any]:
        """Return the state that a checkpoint has."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Resume from a state."""


class Run(Resumable, Protocol):
    """Interface that all trainers share; see :class:`tnep_calc.training.nep.trainer.Trainer`."""

    step: int
    seconds: float
    fingerprint: dict[str, str]
    indices: dict[str, np.ndarray]

    @property
    def config(self) -> BaseConfig:
        """Configuration of the run."""


def resume(folder: Path, run: Resumable) -> Path:
    """Make the directory, load its checkpoint if there is one, and return the path of the checkpoint.

    Of several processes the first reads it, and the others get its state.
    """
    checkpoint = folder / CHECKPOINT
    first = processes.rank() == 0
    found = False
    if first:
        folder.mkdir(parents=True, exist_ok=True)
        if found := checkpoint.exists():
            run.restore(checkpoint)
            log.info("resuming from %s after %s", checkpoint, run.progress)
    state = processes.from_first(run.state() if found and processes.size() > 1 else None)
    if state is not None and not first:
        run.load_state(state)
    return checkpoint


def write_log(folder: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Write all rows of progress to ``log.csv``; the first row determines the columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]))
    writer.writeheader()
    writer.writerows(history)
    write_atomically(folder / LOG, lambda path: path.write_text(text.getvalue()))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write nested mappings and lists to a file."""
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(content, indent=1)))


def write_figure(path: Path, figure: Any) -> None:
    """Write a figure in the format of the suffix; an incomplete file of a killed run is overwritten."""

    def write(temporary):
        with styled():
            figure.savefig(temporary)

    write_atomically(path, write)


def provenance(config: BaseConfig, fingerprint: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the origin of an exported model: program, configuration, and hashes of what affected the result."""
    made = {"program": f"tnep_calc {__version__}", "training": json.dumps(config.content())}
    return made | {f"{what}_sha256": value for what, value in (fingerprint or {}).items()}


def write_results(
    folder: Path, run: Run, compared: Sequence[Mapping[str, Any]], splits: Iterable[str], **own: Any
) -> dict[str, Any]:
    """Write ``results.json`` and the files of :func:`write_comparison`; return the content of ``results.json``.

    Parameters
    ----------
    folder : path
    run : trainer
    compared : sequence of dict
        Panels of the splits, see :func:`tnep_calc.training.common.parity.panels`.
    splits : iterable of str
        Names of the splits that have structures.
    **own
        Further entries of this kind of training; they come first.
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
            "unit": panel["unit"],
            **{key: value for key, value in panel["splits"][split].items() if key not in ARRAYS},
        }
        for panel in compared
        if split in panel["splits"]
    }


def write_comparison(folder: Path, compared: Sequence[Mapping[str, Any]]) -> None:
    """Write ``parity.npz`` and ``parity.png``, and log the table of errors."""
    save_panels(folder, compared)
    write_figure(folder / "parity.png", plot_parity(compared))
    for line in lines_of(compared):
        log.info(line)
    if (warning := overfitting_warning(compared)) is not None:
        log.warning(warning)


_FILES = (CHECKPOINT, ARTIFACT, NEP, LOG, RESULTS, ENSEMBLE, "loss.png", "history.png", "parity.npz", "parity.png")
_ELSEWHERE = "use another output directory, or --restart to discard it"


def check_previous(config: BaseConfig, restart: bool) -> None:
    """Raise ``InputError`` if this run would overwrite the results of a previous one, or mix with them.

    Parameters
    ----------
    config : BaseConfig
        Configuration of a single model or an ensemble.
    restart : bool
        The files of a previous run will be discarded.  Then only ``model.start`` must not be one of them.
    """
    folder, n = config.directory, config.ensemble.n_splits
    if restart:
        if config.start is not None and config.start.resolve() in [path.resolve() for path in _left_in(folder)]:
            raise InputError(f"model.start is {config.start}, which --restart would discard: copy it elsewhere")
        return
    for path in [folder / f"member{k + 1}" / NEP for k in range(n)] or [folder / NEP]:
        if path.exists() and not (folder / CHECKPOINT).exists():
            raise InputError(f"{path} exists, but no checkpoint in {folder}: {_ELSEWHERE}")
    if not n and (folder / ENSEMBLE).exists():
        raise InputError(f"{folder} has an ensemble: {_ELSEWHERE}")
    for number, member in _members_in(folder):
        if 0 < n < number and (member / ARTIFACT).exists():
            raise InputError(
                f"{member} is of an ensemble of more than {n} members, so 'member*' would also match it: "
                f"move it away, {_ELSEWHERE}"
            )


def discard(folder: Path) -> None:
    """Remove the files of a previous run, of one model or of an ensemble, from its output directory."""
    left = _left_in(folder)
    for path in left:
        path.unlink()
    for _, member in _members_in(folder):
        if not any(member.iterdir()):
            member.rmdir()
    if left:
        log.info("--restart: discarded %d files of a previous run in %s", len(left), folder)


def _left_in(folder):
    places = [folder, *(member for _, member in _members_in(folder))]
    return [path for place in places for name in _FILES if (path := place / name).is_file()]


def _members_in(folder):
    """Numbers and paths of the member directories in a folder, sorted by number."""
    found = [(re.fullmatch(r"member(\d+)", path.name), path) for path in folder.glob("member*") if path.is_dir()]
    return sorted((int(match[1]), path) for match, path in found if match)
