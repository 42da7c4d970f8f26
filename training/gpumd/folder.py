"""A GPUMD training folder: ``nep.in``, ``train.xyz``, optional ``test.xyz``, and the files that a training writes.

The files are those of GPUMD's ``nep`` program, so other tools can read the folder as one of GPUMD.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from tnep_calc.conventions import GPUMD_ORDER, from_six
from tnep_calc.datasets.checks import check_before_testing, check_before_training
from tnep_calc.device import resolve
from tnep_calc.errors import InputError
from tnep_calc.io.files import atomic_output
from tnep_calc.io.gpumd.nep_in import NepInput, read_nep_in
from tnep_calc.io.gpumd.nep_parameters import ZBL, NepParameters
from tnep_calc.io.gpumd.nep_txt import write_nep
from tnep_calc.io.gpumd.training_output import append_row, loss_row, parity_tables, table_errors, write_parity
from tnep_calc.io.gpumd.xyz import GpumdFrame, read_gpumd_xyz
from tnep_calc.structures import LabelledStructure

from ..common.config import check
from ..common.parity import warning_of_ratios
from .reference import evaluate

log = logging.getLogger(__name__)

ENGINES = ("gradient", "snes")
CHECKPOINT, NEP, LOSS, RESTART = "tnep_checkpoint.pt", "nep.txt", "loss.out", "nep.restart"
"""Names of files in the folder; the first is ours, the others are GPUMD's."""
OLD = ".old"
"""Suffix of files that are moved aside."""


@dataclass(frozen=True)
class RunOptions:
    """Options of a run for which ``nep.in`` has no keyword.

    Attributes
    ----------
    engine : str, default "gradient"
        ``"gradient"`` or ``"snes"``.
    restart : bool, default False
        Start from scratch: discard our checkpoint, move ``loss.out`` and ``nep.restart`` (from which the evolution
        strategy would resume) to ``*.old``, and allow an existing ``nep.txt`` to be overwritten.
    steps : int or None
        Steps of Adam or SOAP, and then as many of L-BFGS (gradient engine); None = the defaults of ``tnep train``.  The
        total is at most ``generation`` of ``nep.in``.
    precision : str, default "float64"
        Arithmetic of the gradient engine; the evolution strategy is float32 as in GPUMD.
    threads : int, default 0
        Threads of torch; 0: one for each 2,000 atoms of a step, at least one, and at most ``OMP_NUM_THREADS`` or the
        number of cores.
    device : str, default "cpu"
        Where the engine computes; see ``device`` of :class:`tnep_calc.training.nep.config.OptimizerConfig`.
        Predictions in the files of the folder are computed on the CPU.
    memory_gb : float, default 4.0
        Largest size of the precomputed moments in memory in GB; what exceeds it is streamed.
    start : str or path, optional
        A ``nep.txt`` whose parameters the gradient engine starts from, instead of the one that ``fine_tune`` names.
    patience : int, default 0
        End the first-order steps, and later L-BFGS, after this many rows of ``loss.out`` without a smaller loss on
        ``test.xyz``, and keep the parameters with the smallest one; 0 = all steps, and the last parameters.
    restarts : int, default 1
        Number of starts that the gradient engine trains together at first.  It then keeps the one with the smallest
        loss on ``train.xyz``, or, with `patience`, on ``test.xyz``.
    scratch : str or path, optional
        Folder of the temporary file to which moments are streamed; None = the system's.
    """

    engine: str = "gradient"
    restart: bool = False
    steps: int | None = None
    precision: str = "float64"
    threads: int = 0
    device: str = "cpu"
    memory_gb: float = 4.0
    start: str | Path | None = None
    patience: int = 0
    restarts: int = 1
    scratch: str | Path | None = None


class Folder:
    """A training folder: reads its input files and writes its output files.

    Parameters
    ----------
    path : str or path
    name_in_log : str, default ""
        Prefix of its log lines, if there are several folders.

    Attributes
    ----------
    options : NepInput
    train, test : list of GpumdFrame
        ``test`` is empty without ``test.xyz``.
    """

    def __init__(self, path: str | Path, name_in_log: str = ""):
        self.path, self.name_in_log = Path(path), name_in_log
        self.options: NepInput = read_nep_in(self.path / "nep.in")
        self.train = self._read("train.xyz")
        self.test: list[GpumdFrame] = []
        if not self.options.prediction:
            known = self.options.kind == "potential"  # the file does not give the unit of dipoles and polarizabilities
            every, species = range(len(self.train)), () if self.options.fine_tune else self.options.species
            structures = [frame.structure for frame in self.train]
            found = check_before_training(structures, units=known, train=every, species=species)
            log.info("%s%s", name_in_log, found)
            if (self.path / "test.xyz").exists():
                self.test = self._read("test.xyz")
                found = check_before_testing([frame.structure for frame in self.test], structures, units=known)
                log.info("%s%s", name_in_log, found)

    def _read(self, name):
        o = self.options
        return read_gpumd_xyz(self.path / name, o.species, o.kind, atomic=o.atomic_v, prediction=bool(o.prediction))

    @property
    def zbl(self) -> ZBL | None:
        """The ZBL repulsion of ``nep.in`` (potentials only); None without."""
        o = self.options
        if o.zbl is None or o.model_type:
            return None
        if (self.path / "zbl.in").exists():
            raise InputError(f"{self.path / 'zbl.in'}: the flexible ZBL repulsion is not supported; remove the file")
        return ZBL(0.5 * o.zbl, o.zbl, o.use_typewise_cutoff_zbl)

    def tables(self, parameters: NepParameters, frames: Sequence[GpumdFrame]):
        """Return tables of predictions and targets, see :func:`tnep_calc.io.gpumd.training_output.parity_tables`."""
        return parity_tables(self.options.kind, frames, evaluate(parameters, frames), self.options.atomic_v)

    def write_train(self, parameters: NepParameters) -> dict[str, float]:
        """Write ``*_train.out`` and return the errors."""
        tables = self.tables(parameters, self.train)
        write_parity(self.path, "train", tables)
        return table_errors(tables, self.options.atomic_v)

    def write_test(self, parameters: NepParameters) -> list[float]:
        """Write ``*_test.out`` if there is a test set, and return its columns of ``loss.out`` (else 0)."""
        names = self.error_names
        if not self.test:
            return [0.0] * len(names)
        tables = self.tables(parameters, self.test)
        write_parity(self.path, "test", tables)
        errors = table_errors(tables, self.options.atomic_v)
        return [errors[name] for name in names]

    @property
    def error_names(self) -> tuple[str, ...]:
        """Names of the tables whose errors are in ``loss.out``."""
        return ("energy", "force", "virial") if self.options.kind == "potential" else (self.options.kind,)

    def write_model(self, parameters: NepParameters) -> None:
        """Write ``nep.txt``, ``*_test.out`` and ``*_train.out``; log a warning if test errors are much larger."""
        write_nep(self.path / NEP, parameters)
        test, train = self.write_test(parameters), self.write_train(parameters)
        held_back = zip(self.error_names, test, strict=True)
        ratios = [(name, "test.xyz", error / (train[name] or math.inf)) for name, error in held_back]
        if (warning := warning_of_ratios(ratios, "lambda_2")) is not None:
            log.warning("%s%s", self.name_in_log, warning)

    def report(
        self,
        generation: int,
        loss: tuple[float, float, float],
        train: list[float],
        parameters: NepParameters,
        more: str = "",
    ):
        """Write ``nep.txt`` and ``*_test.out``, append to ``loss.out``, and log one line that ends with `more`."""
        write_nep(self.path / NEP, parameters)
        self.add_row(generation, loss, train, self.write_test(parameters), more)

    def add_row(
        self, generation: int, loss: tuple[float, float, float], train: list[float], test: list[float], more: str = ""
    ):
        """Append to ``loss.out`` and log one line that ends with `more`."""
        append_row(self.path / LOSS, loss_row(generation, *loss, train + test))
        words = [
            f"{name} {a:.4g}" + (f"/{b:.4g}" if self.test else "")
            for name, a, b in zip(self.error_names, train, test, strict=True)
        ]
        what = "train/test" if self.test else "train"
        log.info("%s%8d  loss %.5g  RMSE %s: %s%s", self.name_in_log, generation, loss[0], what, ", ".join(words), more)

    def keep_copy(self, generation: int, parameters: NepParameters) -> Path:
        """Write a copy of the model under the name that ``save_potential`` selects, and return its path."""
        stem = f"nep_gen{generation}"
        if self.options.save_potential[1] == 1:
            stem = f"nep_{datetime.now():y%Y_m%m_d%d_h%H_m%M_s%S}_generation{generation}"
        write_nep(path := self.path / f"{stem}.txt", parameters)
        return path

    def loss_rows(self) -> int:
        """Return the number of complete rows of ``loss.out``, including those of previous runs."""
        path = self.path / LOSS
        return path.read_text(encoding="ascii").count("\n") if path.exists() else 0

    def trim_loss(self, rows: int) -> None:
        """Truncate ``loss.out`` to a number of rows; the run will write the later ones again."""
        path = self.path / LOSS
        if path.exists():
            text = "".join(path.read_text(encoding="ascii").splitlines(keepends=True)[:rows])
            with atomic_output(path, force=True) as temporary:
                temporary.write_text(text, encoding="ascii")


def check_folder(folder: Folder, run: RunOptions) -> None:
    """Raise ``InputError`` for invalid run options, nothing to train, or files that must not be overwritten."""
    options, path = folder.options, folder.path
    by_snes = run.engine == "snes"
    check(
        [
            (run.engine in ENGINES, f"engine must be {' or '.join(ENGINES)}, got '{run.engine}'"),
            (run.threads >= 0, f"--threads must be 0 (by the number of atoms) or more, got {run.threads}"),
            (run.memory_gb > 0, f"--memory must be a positive number of GB, got {run.memory_gb:g}"),
            (run.steps is None or run.steps >= 1, f"--steps must be at least 1, got {run.steps}"),
            (run.patience >= 0, f"--patience must be a number of rows of loss.out, got {run.patience}"),
            (run.restarts >= 1, f"--restarts must be at least 1, got {run.restarts}"),
            (
                not by_snes or (run.patience, run.restarts) == (0, 1),
                "--patience and --restarts are for --engine gradient",
            ),
            (run.scratch is None or Path(run.scratch).is_dir(), f"--scratch {run.scratch}: there is no such folder"),
        ]
    )
    resolve(run.device)
    closed = [own for own in (path, path / LOSS) if own.exists() and not os.access(own, os.W_OK)]
    if closed:
        raise InputError(f"{closed[0]}: no permission to write there, where the results go")
    if options.prediction:
        return
    _ = folder.zbl  # raises for a repulsion that is not supported
    if options.generation == 0:
        raise InputError(f"{path / 'nep.in'}: 'generation' is 0: nothing to train; give the number of generations")
    weighted = [frame.structure.source for frame in folder.train if frame.energy_weight != 1]
    if options.kind == "potential" and weighted:
        more = f" (and {len(weighted) - 1} more)" if len(weighted) > 1 else ""
        raise InputError(f"{weighted[0]}{more}: 'energy_weight' is not supported; remove it, or use 'weight'")
    names = ("lambda_v",) if options.model_type else ("lambda_e", "lambda_f", "lambda_v")
    if not any(getattr(options, name) for name in names):
        raise InputError(
            f"{path / 'nep.in'}: {', '.join(names)} {'are all' if len(names) > 1 else 'is'} 0: nothing is left to "
            "train on; give a positive weight"
        )
    if not (options.model_type or options.lambda_e or options.lambda_f):
        if all(frame.structure.virial is None for frame in folder.train):
            raise InputError(
                f"{path / 'nep.in'}: lambda_e and lambda_f are 0 and no structure of train.xyz has a "
                "virial: nothing is left to train on"
            )
    if (path / RESTART).exists() and not (by_snes or run.restart):
        raise InputError(
            f"{path / RESTART}: GPUMD and --engine snes resume from this search distribution, which the gradient "
            "engine cannot use: use --engine snes to resume, or --restart to start from scratch (the file becomes "
            f"{RESTART}{OLD})"
        )
    imports = by_snes and options.import_q_scaler  # nep.txt is read first and then replaced
    continues = (path / CHECKPOINT).exists() or (by_snes and (path / RESTART).exists())
    if (path / NEP).exists() and not (continues or imports or run.restart):
        raise InputError(
            f"{path / NEP} exists and would be overwritten: move it away, or use --restart to start from scratch"
        )


def labelled_structures(frames: Sequence[GpumdFrame]) -> list[LabelledStructure]:
    """Return the structures with weights and atomic targets in the form that both trainers use."""
    result = []
    for frame in frames:
        tensors = frame.atomic_polarizability
        result.append(
            replace(
                frame.structure,
                weight=frame.weight,
                atomic_dipole=frame.atomic_dipole,
                atomic_polarizability=None if tensors is None else from_six(tensors, GPUMD_ORDER),
            )
        )
    return result
