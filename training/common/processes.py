"""Training by several processes of ``torch.distributed``, each of which computes a share of every gradient.

All processes hold the same parameters, draw the same random numbers and take the same steps.  Losses and gradients are
summed over the processes, so the result is that of one process up to rounding.  Only the first process writes files.

Processes are started by ``tnep train --processes N`` on one machine, or by ``torchrun`` on several.  They find each
other by the variables that torchrun sets: ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, ``MASTER_ADDR``, ``MASTER_PORT``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from tnep_calc.errors import InputError

from .config import BaseConfig

RENDEZVOUS = "TNEP_RENDEZVOUS"
"""Variable with the file by which processes on one machine find each other, instead of an address and a port."""

R = TypeVar("R")


class ProcessLost(InputError):
    """Another process of the training has ended."""


def wanted() -> int:
    """Return the number of processes that were started for this training, also before they have joined."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def size() -> int:
    """Return the number of processes that have joined; 1 if the training has only one."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, counted from 0; the first one writes the files."""
    return dist.get_rank() if size() > 1 else 0


@contextmanager
def joined() -> Iterator[None]:
    """Join the other processes of the training within the context; of one process, do nothing.

    A GPU named ``cuda`` is then the one with the number of this process on its machine.

    Raises
    ------
    ProcessLost
        If the processes cannot find each other.
    """
    if wanted() < 2 or size() > 1:
        yield
        return
    here = int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        torch.cuda.set_device(here % torch.cuda.device_count())
    place = os.environ.get(RENDEZVOUS)
    _checked(
        lambda: dist.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            init_method=f"file://{place}" if place else "env://",
            rank=int(os.environ["RANK"]),
            world_size=wanted(),
        )
    )
    try:
        yield
    finally:
        leave()


def leave() -> None:
    """Leave the other processes; from then on this process works alone."""
    if size() > 1:
        dist.destroy_process_group()


def refuse_ensembles(config: BaseConfig) -> None:
    """Raise ``InputError`` if several processes are to train an ensemble."""
    if wanted() > 1 and config.ensemble.n_splits:
        raise InputError(
            f"an ensemble is trained by one process, but {wanted()} were started: leave --processes out, or train each "
            "member as a run of its own"
        )


# -- shares of the work --------------------------------------------------------------------------------------------


def shares(items: np.ndarray, costs: Sequence[float]) -> list[tuple[int | None, np.ndarray]]:
    """Divide items among the processes so that the sums of their costs are similar.

    Parameters
    ----------
    items : ndarray of int
    costs : sequence of float
        Cost of each item.

    Returns
    -------
    list of (int or None, ndarray of int)
        Process and its items, in their order.  With one process, or fewer items than processes, all items are one
        share of no process; see :func:`mine`.
    """
    count = size()
    if count == 1 or len(items) < count:
        return [(None, items)]
    largest_first = np.argsort(-np.asarray(costs), kind="stable")
    return [(k, items[np.sort(largest_first[k::count])]) for k in range(count)]


def mine(owner: int | None) -> bool:
    """Return whether this process computes a share; the first process computes those of no process."""
    return size() == 1 or rank() == (owner or 0)


def own_places(count: int) -> list[int]:
    """Return which of `count` items of a batch this process computes: every ``size()``-th."""
    return list(range(rank(), count, size()))


def own_share(count: int) -> slice | None:
    """Return which of `count` items in a row this process computes; None if it computes all of them."""
    if size() == 1 or count < size():
        return None
    return slice(rank() * count // size(), (rank() + 1) * count // size())


# -- communication -------------------------------------------------------------------------------------------------


def add_up(*tensors: Tensor) -> None:
    """Replace tensors by their sums over the processes."""
    if size() > 1:
        for tensor in tensors:
            _checked(partial(dist.all_reduce, tensor))


def wait_for_all() -> None:
    """Wait until all processes have come here."""
    largest(0)


def largest(*values: int) -> list[int]:
    """Return the largest of each of some numbers over the processes."""
    if size() == 1:
        return list(values)
    found = torch.tensor(values)
    _checked(lambda: dist.all_reduce(found, dist.ReduceOp.MAX))
    return found.tolist()


def add_up_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace the gradients of parameters by their sums over the processes.

    A parameter without a gradient in all processes still has none afterwards.
    """
    if size() == 1:
        return
    known = list(parameters)
    flat = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten().double() for p in known]
    flags = torch.tensor([float(p.grad is not None) for p in known], dtype=torch.float64, device=flat[0].device)
    together = torch.cat([*flat, flags])
    add_up(together)
    parts = together.split([p.numel() for p in known] + [len(known)])
    for parameter, total, flag in zip(known, parts, parts[-1].tolist(), strict=False):
        parameter.grad = total.view_as(parameter).to(parameter.dtype) if flag else None


def from_first(value: R) -> R:
    """Return the value that the first process has; it is pickled for the others."""
    if size() == 1:
        return value
    box: list[Any] = [value if rank() == 0 else None]
    _checked(lambda: dist.broadcast_object_list(box))
    return box[0]


def _checked(work: Callable[[], Any]) -> None:
    try:
        work()
    except RuntimeError as error:  # torch has no class of its own for a lost connection
        raise ProcessLost(
            f"process {os.environ.get('RANK', '0')} of {wanted()} has lost the others ({_first_line(error)}): one of "
            "them has ended; the same command resumes from the last checkpoint"
        ) from error


def _first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
