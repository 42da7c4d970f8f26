"""The number of threads of an evaluation: it follows the work, so that small systems do not wait for each other.

With two threads on a busy machine, a step of 64 atoms costs nine times the CPU time of one thread, because threads
that have nothing to do wait actively.  From a few thousand atoms on the threads pay.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .errors import InputError

ATOMS_PER_THREAD = 2000
"""A thread more is used for every so many atoms."""

_state = {"threaded": False, "unusable": False}


def threads_for(n_atoms: int) -> int:
    """Return the number of threads for a number of atoms: at most what torch would use, at least one.

    Examples
    --------
    >>> threads_for(64)
    1
    """
    return max(1, min(torch.get_num_threads(), n_atoms // ATOMS_PER_THREAD))


@contextmanager
def sized_for(n_atoms: int) -> Iterator[None]:
    """Evaluate with the threads that a number of atoms is worth, and restore torch's setting after it.

    Raises
    ------
    InputError
        In a process that was forked after an evaluation with several threads: the threads of OpenMP do not survive a
        fork, and the evaluation would hang.
    """
    if _state["unusable"]:
        raise InputError(
            "this process was forked after an evaluation with several threads, and would hang: start worker processes "
            "with multiprocessing.get_context('spawn'), or set OMP_NUM_THREADS=1"
        )
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
