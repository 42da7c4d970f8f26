"""The number of threads of an evaluation or a training step, chosen by the number of atoms.

With two threads on a busy machine, a step of 64 atoms takes nine times the CPU time of a single thread, because idle
threads wait actively.  Several threads are worthwhile only above a few thousand atoms.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager

import torch

from .errors import InputError

ATOMS_PER_THREAD = 2000
"""Number of atoms for each thread."""

_state = {"threaded": False, "unusable": False}
_at_start = torch.get_num_threads()  # OMP_NUM_THREADS or the number of cores, before anything has changed it


def threads_for(n_atoms: int) -> int:
    """Return the number of threads for a number of atoms, from one to the number that torch is set to use.

    Examples
    --------
    >>> threads_for(64)
    1
    """
    return max(1, min(torch.get_num_threads(), n_atoms // ATOMS_PER_THREAD))


def check_usable() -> None:
    """Raise ``InputError`` in a process that was forked after an evaluation with several threads.

    OpenMP threads do not survive a fork, so a neighbour search or an evaluation with several threads would hang.
    """
    if _state["unusable"]:
        raise InputError(
            "this process was forked after an evaluation with several threads, and would hang: start worker processes "
            "with multiprocessing.get_context('spawn'), or set OMP_NUM_THREADS=1"
        )


def set_threads(asked: int, n_atoms: float) -> int:
    """Set torch's number of threads for a training, and return it.

    Parameters
    ----------
    asked : int
        The number; 0: one for each ``ATOMS_PER_THREAD`` atoms, at least one, and at most as many as torch had when this
        module was imported (``OMP_NUM_THREADS``, or the number of cores).
    n_atoms : float
        Atoms of one training step.

    Examples
    --------
    >>> set_threads(0, 300)
    1
    """
    number = asked or max(1, min(_at_start, int(n_atoms) // ATOMS_PER_THREAD))
    if number > 1:
        _state["threaded"] = True
    torch.set_num_threads(number)
    return number


def atoms_of_batch(structures: Sequence[Sized], batch: int) -> float:
    """Return the mean number of atoms of a batch of so many structures; 0: all are one batch.

    Examples
    --------
    >>> atoms_of_batch(["BN", "BNBN"], 1), atoms_of_batch(["BN", "BNBN"], 0)
    (3.0, 6.0)
    """
    atoms = float(sum(map(len, structures)))
    return atoms * batch / len(structures) if 0 < batch < len(structures) else atoms


@contextmanager
def sized_for(n_atoms: int) -> Iterator[None]:
    """Set torch's number of threads to `threads_for` a number of atoms within the context.

    Raises
    ------
    InputError
        As :func:`check_usable`.
    """
    check_usable()
    before, now = torch.get_num_threads(), threads_for(n_atoms)
    if now > 1:
        _state["threaded"] = True
    if now == before:
        yield
        return
    torch.set_num_threads(now)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _after_fork():
    _state["unusable"] = _state["threaded"]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
