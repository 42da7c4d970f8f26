"""Training and prediction in a GPUMD training folder: ``nep.in``, ``train.xyz``, optional ``test.xyz``.

There are two engines: gradients on precomputed moments (the trainer of ``tnep train``), and the evolution strategy with
GPUMD's definitions.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Hashable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from tnep_calc.errors import InputError, ModelFileError
from tnep_calc.io.gpumd.nep_txt import read_nep
from tnep_calc.io.gpumd.training_output import parity_tables, table_errors, write_parity, write_table
from tnep_calc.io.gpumd.xyz import GpumdFrame
from tnep_calc.threads import atoms_of_batch, set_threads

from ..common import processes
from ..common.lock import locked
from ..nep.coverage import coverage_of, unseen_warnings
from ..nep.model import basis_of
from ..nep.moments import Basis, Moments, build_moments
from .folder import CHECKPOINT, LOSS, NEP, OLD, RESTART, Folder, RunOptions, check_folder
from .gradient import check_gradient, train_gradient
from .keywords import model_config
from .reference import evaluate
from .snes.run import check_snes, train_snes
from .together import group_of, train_together

log = logging.getLogger(__name__)

_AT_ONCE = 50  # frames whose neighbours are searched at a time


def run_directory(path: str | Path, run: RunOptions | None = None) -> list[Path]:
    """Train in a GPUMD training folder, or predict if ``nep.in`` has ``prediction 1``.

    Parameters
    ----------
    path : str or path
        Folder with ``nep.in`` and ``train.xyz``.
    run : RunOptions, optional

    Returns
    -------
    list of Path
        Files that the run has written.

    Raises
    ------
    InputError
        If ``nep.in`` needs something that is not supported, or files of another run would be overwritten.
    DataFileError
        If a data file cannot be used.
    """
    return run_directories([path], run)


def check_run(folder: Folder, run: RunOptions) -> None:
    """Raise the errors of :func:`run_directory` if a folder cannot be trained; nothing is written."""
    check_folder(folder, run)
    if not folder.options.prediction:
        (check_snes if run.engine == "snes" else check_gradient)(folder, run)


def run_folder(folder: Folder, run: RunOptions) -> list[Path]:
    """Train or predict in a folder that has been read and checked; see :func:`run_directory`."""
    set_threads(run.threads, atoms_of_batch(folder.train, folder.options.batch))
    if folder.options.prediction:
        return predict(folder)
    if processes.rank() > 0:
        train_snes(folder, run)
        return []
    with locked(folder.path):
        prepare(folder, run)
        if run.engine == "snes":
            train_snes(folder, run)
        else:
            train_gradient(folder, run)
    return trained_files(folder)


def prepare(folder: Folder, run: RunOptions) -> None:
    """Move files of a previous run aside, and log warnings about keywords and species before a training."""
    if run.restart:
        _discard(folder)
    if run.engine == "snes" and folder.options.import_q_scaler and not (folder.path / CHECKPOINT).exists():
        _keep_imported(folder, run)
    if folder.options.without_effect:
        words = ", ".join(f"{name} ({why})" for name, why in folder.options.without_effect.items())
        log.warning("%s: keywords without effect here: %s", folder.path / "nep.in", words)
    if folder.test:
        # the smallest basis, as only the neighbours matter
        basis = replace(basis_of(model_config(folder.options)), basis_size=(1, 1), l_max=1)
        train, test = (_moments(frames, basis) for frames in (folder.train, folder.test))
        for line in unseen_warnings(coverage_of(train, len(basis.species)), {"test": test}, basis.species):
            log.warning("%s%s", folder.name_in_log, line)


def trained_files(folder: Folder) -> list[Path]:
    """Return the files that a training has written."""
    names = [NEP, LOSS, *(f"{p}_{split}.out" for p in _stems(folder.options) for split in ("train", "test"))]
    return [folder.path / name for name in names if (folder.path / name).exists()]


def _discard(folder: Folder) -> None:
    """Remove our checkpoint of a previous run, and move aside the files that may be those of GPUMD itself."""
    (folder.path / CHECKPOINT).unlink(missing_ok=True)
    for name in (LOSS, RESTART):
        if (folder.path / name).exists():
            (folder.path / name).replace(folder.path / f"{name}{OLD}")
            log.info("--restart: %s of a previous run is now %s%s", name, name, OLD)


def _keep_imported(folder: Folder, run: RunOptions) -> None:
    """Keep a copy of the ``nep.txt`` whose scaling is imported; with --restart an existing copy is kept."""
    nep, copy = folder.path / NEP, folder.path / f"{NEP}{OLD}"
    if nep.exists() and not (run.restart and copy.exists()):
        shutil.copyfile(nep, copy)
        log.info("import_q_scaler: the run overwrites %s; a copy is %s%s", NEP, NEP, OLD)


def _moments(frames: Sequence[GpumdFrame], basis: Basis) -> Iterator[Moments]:
    """Yield the moments of the frames, some frames at a time."""
    for first in range(0, len(frames), _AT_ONCE):
        yield build_moments([frame.structure for frame in frames[first : first + _AT_ONCE]], basis)


def _stems(options):
    return ("energy", "force", "virial", "stress") if options.kind == "potential" else (options.kind,)


def predict(folder: Folder) -> list[Path]:
    """Evaluate ``nep.txt`` on ``train.xyz``; write ``*_train.out``, and ``descriptor.out`` if ``nep.in`` asks for it.

    Rows of ``descriptor.out`` are scaled descriptors of atoms, or their means over structures.
    """
    options, path = folder.options, folder.path
    parameters = read_nep(path / NEP, None)
    if parameters.kind != options.kind and parameters.kind == "potential":  # files from before mid-2023 have no kind
        parameters = read_nep(path / NEP, options.kind)
    if (parameters.kind, parameters.species) != (options.kind, options.species):
        raise ModelFileError(
            f"{path / NEP}: nep.in describes a {options.kind} model of {' '.join(options.species)}, the file has a "
            f"{parameters.kind} model of {' '.join(parameters.species)}"
        )
    predictions = evaluate(parameters, folder.train, descriptors=options.output_descriptor > 0)
    tables = parity_tables(options.kind, folder.train, predictions, options.atomic_v)
    written = write_parity(path, "train", tables)
    for name, error in table_errors(tables, options.atomic_v).items():
        log.info("%-14s RMSE %.5g (over structures with a target)", name, error)
    if options.output_descriptor:
        rows = predictions["descriptors"]
        if options.output_descriptor == 1:
            counts = np.array([len(frame) for frame in folder.train])
            rows = np.add.reduceat(rows, np.cumsum([0, *counts])[:-1], axis=0) / counts[:, None]
        write_table(path / "descriptor.out", rows)
        written.append(path / "descriptor.out")
    return written


def run_directories(paths: Sequence[str | Path], run: RunOptions | None = None) -> list[Path]:
    """Train (or predict) in several GPUMD folders; a run that was stopped resumes.

    Folders with the same model and settings are trained together by the gradient engine: moments are computed once for
    all structures, and every step is one batched evaluation of all models.  Each folder gets the result that it would
    get on its own, up to rounding, except that batches are drawn from the structures of all folders.  Other folders are
    trained in sequence.

    Several processes train one folder with the evolution strategy, see :mod:`tnep_calc.training.common.processes`.

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
        The errors of :func:`tnep_calc.training.gpumd.run.run_directory`, before any training starts, and if a folder is
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
    if processes.wanted() > 1:
        if run.engine != "snes" or len(folders) > 1 or folders[0].options.prediction:
            raise InputError(
                "several processes train a configuration, or one GPUMD folder with --engine snes; leave them out"
            )
        with processes.joined():
            processes.wait_for_all()  # the first process changes files that the others have checked
            return run_folder(folders[0], run)
    groups: dict[Hashable, list[Folder]] = {}
    for k, folder in enumerate(folders):
        trains = run.engine == "gradient" and not folder.options.prediction
        groups.setdefault(group_of(folder, run) if trains else k, []).append(folder)
    if 1 < len(groups) < len(folders):
        log.info("%d groups of folders with equal settings, trained in sequence", len(groups))
    written: list[Path] = []
    for group in groups.values():
        log.info("folders: %s", ", ".join(str(folder.path) for folder in group))
        if len(group) == 1:
            written += run_folder(group[0], run)
            continue
        with ExitStack() as locks:
            for folder in group:
                locks.enter_context(locked(folder.path))
            for folder in group:
                prepare(folder, run)
            train_together(group, run)
        written += [path for folder in group for path in trained_files(folder)]
    return written


def _names_in_log(paths: Sequence[Path]) -> list[str]:
    """Return the prefix of the log lines of each folder: its name if all names differ, else its path."""
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    return [f"{name}: " if len(names) > 1 else "" for name in names]
