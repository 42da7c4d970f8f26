"""Energies and forces of many displaced supercells, in parallel, with progress, and resumed after a kill."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
from ase import Atoms

from ...errors import InputError, MissingComponentError
from ...io.content import read_arrays
from ...io.files import atomic_output
from ...parallel import ase_alone
from ...progress import Progress

log = logging.getLogger(__name__)

BATCH = 4
"""Number of supercells in one task of a worker."""
SAVE_INTERVAL = 10.0
"""Time between two checkpoints in seconds."""
_RANKS = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE")

_calculators: dict[Any, Any] = {}


def evaluate_supercells(
    cells, calculator, executor: Executor | None = None, checkpoint=None, identity: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """Return energies and forces of supercells.

    Parameters
    ----------
    cells : sequence of PhonopyAtoms
        Supercells with the same atoms and the same cell.
    calculator : ASE calculator, or callable without arguments that makes one
        Worker processes need a callable that can be pickled.
    executor : concurrent.futures.Executor, optional
        Executor of the work (see :func:`workers`). Default: this process.
    checkpoint : path, optional
        File (``.npz``) of finished supercells, which is used if it belongs to the same supercells and `identity`.
    identity : str
        Text that identifies the potential, e.g. the SHA-256 of its file.

    Returns
    -------
    energies : ndarray, shape (n,), in eV
    forces : ndarray, shape (n, n_atoms, 3), in eV/Å

    Raises
    ------
    InputError
        If the calculator returns values that are not finite (the message names the supercell, counted from 1), or if
        `calculator` is not a callable although there is an executor.
    DataFileError
        If the checkpoint is damaged.
    """
    if executor is not None and not callable(calculator):
        raise InputError("worker processes need a function that makes the calculator, not the calculator itself")
    positions = np.array([cell.positions for cell in cells])
    numbers, cell = np.array(cells[0].numbers), np.array(cells[0].cell)
    key = hashlib.sha256(positions.tobytes() + numbers.tobytes() + cell.tobytes() + identity.encode()).hexdigest()
    done, energies, forces = _previous(checkpoint, key, positions.shape)
    missing = np.flatnonzero(~done)
    progress = Progress(log, "supercells", len(cells), int(done.sum()))
    saved = time.monotonic()
    batches = [missing[k : k + BATCH] for k in range(0, len(missing), BATCH)]
    for batch, (e, f) in zip(batches, _results(executor, calculator, numbers, cell, positions, batches), strict=True):
        for k, index in enumerate(batch):
            if not (np.isfinite(e[k]) and np.isfinite(f[k]).all()):
                raise InputError(f"supercell {index + 1}: the potential gives energies or forces that are not finite")
        energies[batch], forces[batch], done[batch] = e, f, True
        progress.advance(len(batch))
        if checkpoint is not None and (time.monotonic() - saved > SAVE_INTERVAL or done.all()):
            with atomic_output(checkpoint, force=True) as temporary:
                np.savez(temporary, key=key, done=done, energies=energies, forces=forces)
            saved = time.monotonic()
    return energies, forces


def _results(executor, calculator, numbers, cell, positions, batches):
    tasks = [(calculator, numbers, cell, positions[batch]) for batch in batches]
    return map(_evaluate, tasks) if executor is None else executor.map(_evaluate, tasks)


def _evaluate(task):
    """Return energies and forces of some supercells; each process makes the calculator only once."""
    source, numbers, cell, positions = task
    if not callable(source) or hasattr(source, "calculate"):
        calculator = source
    else:
        if source not in _calculators:
            _calculators.clear()
            _calculators[source] = source()
        calculator = _calculators[source]
    atoms = Atoms(numbers, cell=cell, pbc=True, positions=positions[0])
    atoms.calc = calculator
    energies, forces = [], []
    for frame in positions:
        atoms.positions = frame
        forces.append(atoms.get_forces())
        energies.append(atoms.get_potential_energy())
    return np.array(energies), np.array(forces)


def _previous(checkpoint, key, shape):
    """Return a mask of the supercells in the checkpoint, and their energies and forces."""
    if checkpoint is not None and Path(checkpoint).exists():
        found = read_arrays(checkpoint, ("key", "done", "energies", "forces"))
        if str(found["key"]) == key:
            return found["done"], found["energies"], found["forces"]
        log.info("%s belongs to other supercells or another potential: all forces are computed again", checkpoint)
    return np.zeros(shape[0], dtype=bool), np.zeros(shape[0]), np.zeros(shape)


@contextlib.contextmanager
def workers(processes: int = 1) -> Iterator[tuple[bool, Executor | None]]:
    """Provide whether this process leads, and an executor for the work (None: this process).

    Under ``mpiexec`` the executor uses the MPI ranks.  All ranks except the first work for the first one until it
    leaves its block.  They then enter the block with ``(False, None)`` and must do nothing in it.

    Parameters
    ----------
    processes : int, default 1
        Number of worker processes without ``mpiexec``.

    Raises
    ------
    MissingComponentError
        If mpi4py belongs to another MPI than ``mpiexec``.
    """
    if any(int(os.environ.get(name, "1")) > 1 for name in _RANKS):
        from mpi4py import MPI
        from mpi4py.futures import MPICommExecutor

        if MPI.COMM_WORLD.size == 1:
            raise MissingComponentError(
                f"mpiexec has started several processes, but mpi4py uses {MPI.Get_library_version().split(',')[0]}, in "
                "which each is alone: use the mpiexec of that MPI, or set MPI4PY_MPIABI, e.g. to mpich"
            )
        ase_alone()
        with MPICommExecutor() as executor:
            yield executor is not None, cast(Executor | None, executor)
    elif processes > 1:
        import multiprocessing

        with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as executor:
            yield True, executor
    else:
        yield True, None


CalculatorSource = Callable[[], Any]
