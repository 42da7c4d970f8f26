"""Forces of displaced supercells, distributed over MPI ranks and stored on disk, so that a killed run resumes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..errors import DataFileError, InputError
from ..io.content import read_arrays
from ..io.files import atomic_output
from ..parallel import Communicator, in_agreement

FORCES = "forces-[0-9]*.npz"
"""Names of the files of forces; each has those of some supercells, and the number of the first in its name."""
RESULTS = (FORCES, "relaxed.json")
"""Names of the results in the folder of a calculation."""
SAVE_INTERVAL = 1.0
"""Time in seconds after which a rank stores its new forces, so that a killed run loses no more."""


def fingerprint(atoms, *settings) -> str:
    """Return a SHA-256 of structure and settings, which is equal only for calculations with the same forces."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for array in (atoms.cell.array, atoms.positions, atoms.numbers.astype(float), atoms.get_masses()):
        digest.update(np.ascontiguousarray(array, dtype=float).tobytes())
    return digest.hexdigest()


def displaced_forces(
    supercells: Sequence, calculator, folder: Path, comm=None, log: Callable[[str], None] = print
) -> np.ndarray:
    """Return the forces of supercells, of which each is computed once and stored in a file ``forces-NNNNN.npz``.

    Parameters
    ----------
    supercells : sequence of ase.Atoms
    calculator : ase.calculators.calculator.Calculator
    folder : path
        Folder of the stored forces, in which all ranks must be able to write.
    comm : mpi4py communicator, optional
        Each of its ``size`` ranks computes every ``size``-th missing supercell.
    log : callable
        Function that is called with lines of progress, on rank 0.

    Returns
    -------
    ndarray, shape (n_supercells, n_atoms, 3), in eV/Å
        On every rank.

    Raises
    ------
    InputError
        If a force is not a finite number.
    DataFileError
        If stored forces are damaged or have another shape.
    """
    comm = Communicator() if comm is None else comm
    found = comm.bcast(in_agreement(comm, lambda: _stored(folder, supercells) if comm.rank == 0 else {}))
    missing = [k for k in range(len(supercells)) if k not in found]
    mine = missing[comm.rank :: comm.size]

    def calculate():
        start = last = saved = time.monotonic()
        if comm.rank == 0 and missing:
            done = f", {len(found)} from a previous run" if found else ""
            log(f"forces of {len(supercells)} displaced supercells of {len(supercells[0])} atoms{done}")
        new, pending = {}, {}
        try:
            for count, k in enumerate(mine, 1):
                forces = np.array(calculator.get_property("forces", supercells[k]), dtype=float)
                if not np.isfinite(forces).all():
                    raise InputError(
                        f"displaced supercell {k}: a force is not a finite number: the model does not cover this "
                        "structure, or the displacement is too large (--displacement)"
                    )
                new[k] = pending[k] = forces
                now = time.monotonic()
                if now - saved > SAVE_INTERVAL:
                    _store(folder, pending)
                    saved = now
                if comm.rank == 0 and (now - last > 5 or (count == len(mine) and now - start > 5)):
                    left = (now - start) / count * (len(mine) - count)
                    log(f"  {min(count * comm.size, len(missing))} of {len(missing)}, about {left:.0f} s left")
                    last = now
        finally:
            _store(folder, pending)
        return new

    for part in comm.allgather(in_agreement(comm, calculate)):
        found = found | part
    return np.array([found[k] for k in range(len(supercells))])


def _store(folder: Path, pending: dict[int, np.ndarray]) -> None:
    """Write the forces of some supercells to a file, and forget them."""
    if pending:
        with atomic_output(folder / f"forces-{min(pending):05d}.npz", force=True) as temporary:
            np.savez(temporary, supercells=list(pending), forces=list(pending.values()))
        pending.clear()


def _stored(folder: Path, supercells: Sequence) -> dict[int, np.ndarray]:
    """Return the forces of previous runs by supercell; DataFileError if they are damaged or have another shape."""
    found: dict[int, np.ndarray] = {}
    for file in sorted(folder.glob(FORCES)):
        which, forces = read_arrays(file, ("supercells", "forces")).values()
        shape = (len(which), len(supercells[0]), 3)
        if forces.shape != shape or not (0 <= which.min() and which.max() < len(supercells)):
            raise DataFileError(
                f"{file}: has forces of the shape {forces.shape} for supercells up to {which.max()}, expected {shape} "
                f"for {len(supercells)} supercells: delete it and resume"
            )
        found |= dict(zip(which.tolist(), forces, strict=True))
    return found
