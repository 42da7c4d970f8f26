"""Several GPUMD training folders in one run, such as the splits that calorine's ``setup_training`` makes."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from pathlib import Path

from tnep_calc.errors import InputError

from .directory import begin, check_run, run_folder, trained_files
from .folder import Folder, RunOptions
from .together import group_of, train_together

log = logging.getLogger(__name__)


def run_directories(paths: Sequence[str | Path], run: RunOptions | None = None) -> list[Path]:
    """Train (or predict) in several GPUMD folders; a killed run goes on where it stopped.

    Folders that ask the gradient engine for the same model, trained in the same way, are trained together: moments are
    computed once for the structures of all, and steps are products of all models.  Each folder gets the result that it
    would have on its own, to rounding; batches are drawn from the structures of all.  Other folders are trained one
    after the other.

    Parameters
    ----------
    paths : sequence of str or path
        Folders with ``nep.in`` and ``train.xyz``.
    run : RunOptions, optional

    Returns
    -------
    list of Path
        Files that the run has written.

    Raises
    ------
    InputError, DataFileError
        As :func:`tnep_calc.training.gpumd.directory.run_directory`, before any training starts; and if a folder is
        named twice.
    """
    run = run or RunOptions()
    names = [Path(path).resolve() for path in paths]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{twice[0]} is named twice")
    folders = [Folder(path, name) for path, name in zip(paths, _names_in_log(names), strict=True)]
    for folder in folders:
        check_run(folder, run)
    groups: dict[Hashable, list[Folder]] = {}
    for k, folder in enumerate(folders):
        trains = run.engine == "gradient" and not folder.options.prediction
        groups.setdefault(group_of(folder, run) if trains else k, []).append(folder)
    if 1 < len(groups) < len(folders):
        log.info("%d groups of folders with equal settings, one after the other", len(groups))
    written: list[Path] = []
    for group in groups.values():
        log.info("folders: %s", ", ".join(str(folder.path) for folder in group))
        if len(group) == 1:
            written += run_folder(group[0], run)
            continue
        for folder in group:
            begin(folder, run)
        train_together(group, run)
        written += [path for folder in group for path in trained_files(folder)]
    return written


def _names_in_log(paths: Sequence[Path]) -> list[str]:
    """Return what tells folders apart in the log: their names if these differ, else their paths."""
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    return [f"{name}: " if len(names) > 1 else "" for name in names]
