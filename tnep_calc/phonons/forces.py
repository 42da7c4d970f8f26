"""Forces of displaced supercells, distributed over MPI ranks and stored on disk, so that a killed run resumes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..errors import DataFileError, InputError
from ..io.files import atomic_output, reading
from ..parallel import Communicator, in_agreement

RESULTS = ("forces-*.npy", "relaxed.json")
"""Names of the results in the folder of a calculation."""


def fingerprint(atoms, *settings) -> str:
    """Return a SHA-256 of structure and settings, which is equal only for calculations with the same forces."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for array in (atoms.cell.array, atoms.positions, atoms.numbers.astype(float), atoms.get_masses()):
        digest.update(np.ascontiguousarray(array, dtype=float).tobytes())
    return digest.hexdigest()


def displaced_forces(
    supercells: Sequence, calculator, folder: Path, comm=None, log: Callable[[str], None] = print
) -> np.ndarray:
    """Return the forces of supercells, of which each is computed once and stored as ``forces-NNNNN.npy``.

    Parameters
    ----------
    supercells : sequence of ase.Atoms
    calculator : ase.calculators.calculator.Calculator
    folder : path
        Folder of the stored forces, which all ranks must be able to read.
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
    names = [folder / f"forces-{k:05d}.npy" for k in range(len(supercells))]
    missing = comm.bcast([k for k, name in enumerate(names) if not name.exists()] if comm.rank == 0 else None)
    mine = missing[comm.rank :: comm.size]

    def previous():
        return {k: _stored(names[k], len(supercells[k])) for k in sorted(set(range(len(names))) - set(missing))}

    found = in_agreement(comm, previous)

    def calculate():
        start = last = time.monotonic()
        if comm.rank == 0 and missing:
            done = f", {len(names) - len(missing)} from a previous run" if len(missing) < len(names) else ""
            log(f"forces of {len(names)} displaced supercells of {len(supercells[0])} atoms{done}")
        new = {}
        for count, k in enumerate(mine, 1):
            forces = np.array(calculator.get_property("forces", supercells[k]), dtype=float)
            if not np.isfinite(forces).all():
                raise InputError(
                    f"displaced supercell {k}: a force is not a finite number: the model does not cover this "
                    "structure, or the displacement is too large (--displacement)"
                )
            with atomic_output(names[k], force=True) as temporary:
                np.save(temporary, forces)
            new[k] = forces
            now = time.monotonic()
            if comm.rank == 0 and (now - last > 5 or (count == len(mine) and now - start > 5)):
                left = (now - start) / count * (len(mine) - count)
                log(f"  {min(count * comm.size, len(missing))} of {len(missing)}, about {left:.0f} s left")
                last = now
        return new

    for part in comm.allgather(in_agreement(comm, calculate)):
        found |= part
    return np.array([found[k] for k in range(len(names))])


def _stored(file: Path, n_atoms: int) -> np.ndarray:
    """Return the forces of a previous run; DataFileError if they are damaged or have another shape."""
    with reading(file, "forces of a displaced supercell, so delete it and resume"):
        forces = np.load(file)
        if forces.shape != (n_atoms, 3):
            raise DataFileError(f"{file} has the shape {forces.shape}, not ({n_atoms}, 3): delete it and resume")
        return forces
