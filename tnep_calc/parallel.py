"""Work shared by the MPI ranks of ``mpiexec``: communicator, and errors that reach all ranks."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from .errors import InputError

T = TypeVar("T")


class Communicator:
    """Replacement of an MPI communicator for a single process, with the methods that are needed here."""

    rank, size = 0, 1

    def bcast(self, value, root: int = 0):
        """Return the value."""
        return value

    def allgather(self, value) -> list:
        """Return a list of the value."""
        return [value]


def ase_alone() -> None:
    """Let every rank use ASE by itself, whose input and output otherwise are collective calls of all ranks.

    Without this a file that only one rank reads or writes with ASE puts the ranks out of step.
    """
    from ase import parallel

    parallel.world.comm = parallel.DummyMPI()


def communicator() -> Any:
    """Return the MPI communicator if mpiexec has started several processes, else None.

    If there are several processes, each uses ASE by itself (:func:`ase_alone`).

    Raises
    ------
    InputError
        If mpi4py is missing, or belongs to another MPI than mpiexec. Each process would then do all the work.
    """
    sizes = [os.environ[name] for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS") if name in os.environ]
    if not sizes or int(sizes[0]) == 1:
        return None
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise InputError(f"mpiexec starts several processes, but mpi4py cannot be used: {error}") from error
    if MPI.COMM_WORLD.Get_size() != int(sizes[0]):
        raise InputError(
            f"mpiexec has started {sizes[0]} processes, but mpi4py sees {MPI.COMM_WORLD.Get_size()}: use the mpiexec "
            "of the MPI that mpi4py belongs to ('tnep info' names it)"
        )
    ase_alone()
    return MPI.COMM_WORLD


def in_agreement(comm, work: Callable[[], T]) -> T:
    """Run `work` on every rank and return its result; an error on one rank is raised on all of them."""
    result, error = None, None
    try:
        result = work()
    except Exception as found:  # noqa: BLE001 - raised below, on all ranks
        error = found
    errors = [found for found in comm.allgather(error) if found is not None]
    if errors:
        raise errors[0]
    return result  # type: ignore[return-value]
