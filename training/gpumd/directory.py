"""Training and prediction in a GPUMD training folder: ``nep.in``, ``train.xyz``, optional ``test.xyz``.

Files are those of GPUMD's ``nep`` program, so that whatever reads its folders reads ours.  Two engines: gradients on
precomputed moments (the trainer of ``tnep train``), and the evolution strategy with GPUMD's definitions.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import torch

from tnep_calc.errors import InputError, ModelFileError
from tnep_calc.io.files import atomic_output
from tnep_calc.io.gpumd_training import (
    append_row,
    loss_row,
    parity_tables,
    read_restart,
    table_errors,
    write_parity,
    write_restart,
    write_table,
)
from tnep_calc.io.gpumd_xyz import GpumdFrame, read_gpumd_xyz
from tnep_calc.io.nep_in import NepInput, read_nep_in
from tnep_calc.io.nep_txt import ZBL, NepParameters, read_nep, write_nep

from ..checkpoint import load_checkpoint, save_checkpoint
from ..data.checks import check_before_training
from ..pool import MomentPool
from .evaluate import evaluate, without_zbl
from .snes_trainer import SnesTrainer

log = logging.getLogger(__name__)

ENGINES = ("gradient", "snes")
CHECKPOINT, NEP, LOSS, RESTART = "tnep_checkpoint.pt", "nep.txt", "loss.out", "nep.restart"
"""Names of files in the folder; the first is ours, the others are GPUMD's."""
_TRAIN_TABLES = 1000  # generations between renewals of *_train.out


@dataclass(frozen=True)
class RunOptions:
    """What ``nep.in`` has no keyword for.

    Attributes
    ----------
    engine : str, default "gradient"
        ``"gradient"`` or ``"snes"``.
    restart : bool, default False
        Discard our checkpoint, and allow an existing ``nep.txt`` to be overwritten.
    steps : int or None
        Steps of Adam, and then as many of L-BFGS (gradient engine); None = the defaults of ``tnep train``.
    precision : str, default "float64"
        Arithmetic of the gradient engine; the evolution strategy is float32 as in GPUMD.
    threads : int, default 1
        Threads of torch.
    memory_gb : float, default 4.0
        Largest size of the precomputed moments in memory in GB.
    start : str or path, optional
        A ``nep.txt`` whose parameters the gradient engine starts from, instead of the one that ``fine_tune`` names.
    """

    engine: str = "gradient"
    restart: bool = False
    steps: int | None = None
    precision: str = "float64"
    threads: int = 1
    memory_gb: float = 4.0
    start: str | Path | None = None


class Folder:
    """A training folder: what is in it, and how its output files are written.

    Parameters
    ----------
    path : str or path

    Attributes
    ----------
    options : NepInput
    train, test : list of GpumdFrame
        ``test`` is empty where there is no ``test.xyz``.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.options: NepInput = read_nep_in(self.path / "nep.in")
        self.train = self._read("train.xyz")
        if not self.options.prediction:
            known = self.options.kind == "potential"  # of dipoles and polarizabilities the file does not tell the unit
            log.info(check_before_training([frame.structure for frame in self.train], units=known))
        self.test: list[GpumdFrame] = []
        if not self.options.prediction and (self.path / "test.xyz").exists():
            self.test = self._read("test.xyz")

    def _read(self, name):
        o = self.options
        return read_gpumd_xyz(
            self.path / name, o.species, o.kind, atomic=o.atomic_v, prediction=bool(o.prediction)
        )  # fmt: skip

    @property
    def zbl(self) -> ZBL | None:
        """The repulsion that ``nep.in`` asks for (potentials only)."""
        o = self.options
        if o.zbl is None or o.model_type:
            return None
        if (self.path / "zbl.in").exists():
            raise InputError(f"{self.path / 'zbl.in'}: the flexible ZBL repulsion is not supported; remove the file")
        return ZBL(0.5 * o.zbl, o.zbl, o.use_typewise_cutoff_zbl)

    def tables(self, parameters: NepParameters, frames: Sequence[GpumdFrame]):
        """Return tables of predictions and targets, see :func:`tnep_calc.io.gpumd_training.parity_tables`."""
        return parity_tables(self.options.kind, frames, evaluate(parameters, frames), self.options.atomic_v)

    def write_train(self, parameters: NepParameters) -> dict[str, float]:
        """Write ``*_train.out`` and return the errors."""
        tables = self.tables(parameters, self.train)
        write_parity(self.path, "train", tables)
        return table_errors(tables, self.options.atomic_v)

    def write_test(self, parameters: NepParameters) -> list[float]:
        """Write ``*_test.out`` if there is a test set, and return its columns of ``loss.out`` (0 without)."""
        names = self.error_names
        if not self.test:
            return [0.0] * len(names)
        tables = self.tables(parameters, self.test)
        write_parity(self.path, "test", tables)
        errors = table_errors(tables, self.options.atomic_v)
        return [errors[name] for name in names]

    @property
    def error_names(self) -> tuple[str, ...]:
        """Tables whose errors are in ``loss.out``."""
        return ("energy", "force", "virial") if self.options.kind == "potential" else (self.options.kind,)

    def report(self, generation: int, loss: tuple[float, float, float], train: list[float], parameters: NepParameters):
        """Write ``nep.txt`` and ``*_test.out``, append to ``loss.out``, and log one line."""
        write_nep(self.path / NEP, parameters)
        test = self.write_test(parameters)
        append_row(self.path / LOSS, loss_row(generation, *loss, train + test))
        words = [
            f"{name} {a:.4g}" + (f"/{b:.4g}" if self.test else "")
            for name, a, b in zip(self.error_names, train, test, strict=True)
        ]
        what = "train/test" if self.test else "train"
        log.info("%8d  loss %.5g  RMSE %s: %s", generation, loss[0], what, ", ".join(words))

    def loss_rows(self) -> int:
        """Return the number of whole rows of ``loss.out``, those of former runs included."""
        path = self.path / LOSS
        return path.read_text(encoding="ascii").count("\n") if path.exists() else 0

    def trim_loss(self, rows: int) -> None:
        """Cut ``loss.out`` to a number of rows: later ones are about to be computed again."""
        path = self.path / LOSS
        if path.exists():
            text = "".join(path.read_text(encoding="ascii").splitlines(keepends=True)[:rows])
            with atomic_output(path, force=True) as temporary:
                temporary.write_text(text, encoding="ascii")


def check_folder(folder: Folder, run: RunOptions) -> None:
    """Raise ``InputError`` if the engine is unknown, or a run would overwrite a model of which nothing is known."""
    if run.engine not in ENGINES:
        raise InputError(f"engine must be {' or '.join(ENGINES)}, got '{run.engine}'")
    path = folder.path
    continues = (path / CHECKPOINT).exists() or (run.engine == "snes" and (path / RESTART).exists())
    if not folder.options.prediction and (path / NEP).exists() and not (continues or run.restart):
        raise InputError(f"{path / NEP} exists and would be overwritten: move it away, or use --restart")


def run_directory(
    path: str | Path, run: RunOptions | None = None, pool: MomentPool | None = None
) -> list[Path]:
    """Do what a GPUMD training folder asks for: train, or predict (``prediction 1``).

    Parameters
    ----------
    path : str or path
        Folder with ``nep.in`` and ``train.xyz``.
    run : RunOptions, optional
    pool : MomentPool, optional
        Where the gradient engine takes the moments of ``train.xyz`` from.

    Returns
    -------
    list of Path
        Files that the run has written.

    Raises
    ------
    InputError
        If ``nep.in`` asks for something that cannot be done, or files of another run are in the way.
    DataFileError
        If a data file cannot be used.
    """
    run = run or RunOptions()
    torch.set_num_threads(run.threads)
    folder = Folder(path)
    check_folder(folder, run)
    if folder.options.prediction:
        return predict(folder)
    if run.restart:
        (folder.path / CHECKPOINT).unlink(missing_ok=True)
    if run.engine == "snes":
        train_snes(folder, run)
    else:
        from .gradient import train_gradient

        train_gradient(folder, run, pool)
    names = [NEP, LOSS, *(f"{p}_{split}.out" for p in _stems(folder.options) for split in ("train", "test"))]
    return [folder.path / name for name in names if (folder.path / name).exists()]


def _stems(options):
    return ("energy", "force", "virial", "stress") if options.kind == "potential" else (options.kind,)


def predict(folder: Folder) -> list[Path]:
    """Evaluate ``nep.txt`` on ``train.xyz``: ``*_train.out``, and ``descriptor.out`` if asked for.

    Rows of ``descriptor.out`` are scaled descriptors, of atoms or their mean over a structure.
    """
    options, path = folder.options, folder.path
    parameters = read_nep(path / NEP, None)
    if parameters.kind != options.kind and parameters.kind == "potential":  # files of before mid-2023 have no kind
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
        log.info("%-14s RMSE %.5g (structures without target do not count)", name, error)
    if options.output_descriptor:
        rows = predictions["descriptors"]
        if options.output_descriptor == 1:
            counts = np.array([len(frame) for frame in folder.train])
            rows = np.add.reduceat(rows, np.cumsum([0, *counts])[:-1], axis=0) / counts[:, None]
        write_table(path / "descriptor.out", rows)
        written.append(path / "descriptor.out")
    return written


def train_snes(folder: Folder, run: RunOptions) -> None:
    """Train by the evolution strategy; goes on from our checkpoint, else starts from ``nep.restart`` if it is there."""
    options, path, zbl = folder.options, folder.path, folder.zbl
    if options.fine_tune or run.start is not None:
        raise InputError(
            f"{path / 'nep.in'}: the evolution strategy starts from {RESTART} and cannot take some species of a model; "
            "use the gradient engine for fine_tune and --start"
        )
    checkpoint, start, q_scaler = path / CHECKPOINT, None, None
    if not checkpoint.exists():
        if (path / RESTART).exists():
            start = read_restart(path / RESTART, options.n_parameters)
        if options.import_q_scaler:
            q_scaler = read_nep(path / NEP).q_scaler
            if len(q_scaler) != options.dim:
                raise ModelFileError(f"{path / NEP}: nep.in asks for {options.dim} descriptor components, the file has "
                                     f"{len(q_scaler)}: its q_scaler cannot be imported")  # fmt: skip
    if options.zbl is not None and options.model_type:
        log.info("nep.in: 'zbl' has no meaning for a %s model and is not used", options.kind)
    frames = folder.train if zbl is None else without_zbl(folder.train, options, zbl)
    trainer = SnesTrainer(options, frames, start, q_scaler, run.memory_gb)
    if checkpoint.exists():
        trainer.restore(checkpoint)
        folder.trim_loss(load_checkpoint(checkpoint)["loss_rows"])
        log.info("going on from %s after %d of %d generations", checkpoint, trainer.generation, options.generation)
    elif start is not None:
        log.info("starting from the distribution of %s", path / RESTART)
    log.info("evolution strategy: %d parameters, population %d, %d structures in %d batches, %d to test; moments: "
             "%.3f GB; lambda_1 %.4g, lambda_2 %.4g; seed %d", options.n_parameters, options.population,
             len(frames), len(trainer.fitness.batches), len(folder.test), trainer.fitness.gigabytes,
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
