"""Forces of displaced supercells: shared between MPI ranks, kept on disk, resumed after a kill."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..errors import DataFileError, InputError
from ..io.files import atomic_output

STATE = "state.json"


def fingerprint(atoms, *settings) -> str:
    """Return a SHA-256 of structures and settings: two calculations with the same one have the same forces."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for array in (atoms.cell.array, atoms.positions, atoms.numbers.astype(float), atoms.get_masses()):
        digest.update(np.ascontiguousarray(array, dtype=float).tobytes())
    return digest.hexdigest()


def check_state(folder: Path, key: str, restart: bool = False) -> None:
    """Make the folder of a calculation, or check that what it has is of the same calculation.

    Parameters
    ----------
    folder : path
    key : str
        As of `fingerprint`.
    restart : bool
        Discard what a different or the same calculation has left.

    Raises
    ------
    InputError
        If the folder has results of another calculation and `restart` is off.
    """
    state = folder / STATE
    folder.mkdir(parents=True, exist_ok=True)
    if state.exists():
        try:
            known = json.loads(state.read_text())["fingerprint"]
        except (ValueError, KeyError) as error:
            raise DataFileError(f"{state} cannot be read ({error}): use --restart or another folder") from error
        if known != key and not restart:
            raise InputError(
                f"{folder} has results of another calculation (structure, model or settings differ): "
                "use --restart to discard them, or another folder"
            )
        if known != key or restart:
            for path in [*folder.glob("forces-*.npy"), folder / "relaxed.json", folder / "response.npz"]:
                path.unlink(missing_ok=True)
    with atomic_output(state, force=True) as temporary:
        temporary.write_text(json.dumps({"fingerprint": key}) + "\n")


class Communicator:
    """The part of an MPI communicator that is needed here, for one process."""

    rank, size = 0, 1

    def bcast(self, value, root: int = 0):
        """Return the value."""
        return value

    def allgather(self, value) -> list:
        """Return a list of the value."""
        return [value]


def in_agreement(comm, work: Callable):
    """Run `work` on every rank and return its result; an error on one rank is raised on all of them."""
    result, error = None, None
    try:
        result = work()
    except Exception as found:  # noqa: BLE001 - raised below, on all ranks
        error = found
    errors = [found for found in comm.allgather(error) if found is not None]
    if errors:
        raise errors[0]
    return result


def displaced_forces(
    supercells: Sequence, calculator, folder: Path, comm=None, log: Callable[[str], None] = print
) -> np.ndarray:
    """Return the forces of supercells; each is calculated once and kept as ``forces-NNNNN.npy``.

    Parameters
    ----------
    supercells : sequence of ase.Atoms
    calculator : ase.calculators.calculator.Calculator
    folder : path
        All ranks must see it.
    comm : mpi4py communicator, optional
        Rank r does every ``size``-th missing one.
    log : callable
        Gets lines about progress, on rank 0.

    Returns
    -------
    ndarray, shape (n_supercells, n_atoms, 3), in eV/Å
        On every rank.

    Raises
    ------
    InputError
        If a force is not a finite number.
    """
    comm = Communicator() if comm is None else comm
    names = [folder / f"forces-{k:05d}.npy" for k in range(len(supercells))]
    missing = comm.bcast([k for k, name in enumerate(names) if not name.exists()])
    mine = missing[comm.rank :: comm.size]

    def calculate():
        start = last = time.monotonic()
        if comm.rank == 0 and missing:
            done = f", {len(names) - len(missing)} are there" if len(missing) < len(names) else ""
            log(f"forces of {len(names)} displaced supercells of {len(supercells[0])} atoms{done}")
        for count, k in enumerate(mine, 1):
            forces = np.array(calculator.get_property("forces", supercells[k]), dtype=float)
            if not np.isfinite(forces).all():
                raise InputError(
                    f"displaced supercell {k}: a force is not a finite number; the structure is outside what the model "
                    "knows, or a smaller displacement (--displacement) is needed"
                )
            with atomic_output(names[k], force=True) as temporary:
                np.save(temporary, forces)
            now = time.monotonic()
            if comm.rank == 0 and (now - last > 5 or (count == len(mine) and now - start > 5)):
                left = (now - start) / count * (len(mine) - count)
                log(f"  {min(count * comm.size, len(missing))} of {len(missing)}, about {left:.0f} s left")
                last = now

    in_agreement(comm, calculate)

    def collect():
        forces = [np.load(name) for name in names]
        for name, cell, array in zip(names, supercells, forces, strict=True):
            if array.shape != (len(cell), 3):
                raise DataFileError(f"{name} has the shape {array.shape}, not ({len(cell)}, 3): delete it and resume")
        return np.array(forces)

    return in_agreement(comm, collect)
