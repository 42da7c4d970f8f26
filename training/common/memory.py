"""Turn out-of-memory errors, of a GPU or of the computer, into advice to the user."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tnep_calc.errors import InputError

log = logging.getLogger(__name__)

_STREAM = "lower optimizer.memory_gb (--memory), so that more of the moments are streamed"
_SMALLER = "use precision = 'float32' or smaller batches"
_CPU_ALLOCATOR = "DefaultCPUAllocator"  # substring of torch's out-of-memory error, which has no type of its own


@contextmanager
def memory_errors_explained(advice: str = _STREAM, smaller: str = _SMALLER) -> Iterator[None]:
    """Turn out-of-memory errors, of a GPU or of the computer, into an ``InputError`` that says what to do.

    Parameters
    ----------
    advice, smaller : str
        First and second thing to try.  The message adds a last one: the CPU for a GPU, else smaller systems.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"the GPU has too little memory: {str(error).splitlines()[0]}; {advice}, {smaller}, or device = 'cpu'"
        ) from error
    except (MemoryError, RuntimeError) as error:
        words = str(error).splitlines()[0] if str(error) else "no memory left"
        if isinstance(error, RuntimeError) and _CPU_ALLOCATOR not in words:
            raise
        words = words[max(0, words.find(_CPU_ALLOCATOR)) :].rstrip(".")
        raise InputError(
            f"the computer has too little memory: {words}; {advice}, {smaller}, or smaller cutoffs "
            "or structures of fewer atoms"
        ) from error
