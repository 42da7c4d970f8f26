"""Several GPUMD training folders in one run, such as the splits that calorine's ``setup_training`` makes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from tnep_calc.errors import InputError

from ..model import basis_of
from ..pool import MomentPool, shared_pool
from ..preparation import moment_options
from .directory import check_run, run_folder
from .folder import Folder, RunOptions
from .gradient_config import gradient_config

log = logging.getLogger(__name__)


def run_directories(paths: Sequence[str | Path], run: RunOptions | None = None) -> list[Path]:
    """Train (or predict) in several GPUMD folders, one after the other; a killed run goes on where it stopped.

    With the gradient engine the moments are computed once for the structures of all folders, if these ask for the
    same model.  The result of each folder is the one that it would have on its own.

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
    folders = [Folder(path) for path in paths]
    for folder in folders:
        check_run(folder, run)
    pool = _pool(folders, run) if len(folders) > 1 and run.engine == "gradient" else None
    written = []
    for k, folder in enumerate(folders, start=1):
        if len(folders) > 1:
            log.info("folder %d of %d: %s", k, len(folders), folder.path)
        written += run_folder(folder, run, pool)
    return written


def _pool(folders: Sequence[Folder], run: RunOptions) -> MomentPool | None:
    """Return the moments of the structures of all folders that train, or None where sharing does not fit."""
    training = [folder for folder in folders if not folder.options.prediction]
    configs = [gradient_config(folder, run) for folder in training]
    wanted = [(basis_of(config.model), moment_options(config)) for config in configs]
    if len(training) < 2 or any(other != wanted[0] for other in wanted):
        log.info("moments are not shared: the folders ask for different models")
        return None
    watched = run.patience > 0  # then the trainer has moments of test.xyz, too
    structures = [
        [frame.structure for frame in [*folder.train, *(folder.test if watched else [])]] for folder in training
    ]
    return shared_pool(structures, wanted[0][0], run.memory_gb, **wanted[0][1])
