"""Try an action in a child process first, because a library may hang or crash on a damaged file."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..errors import DataFileError
from .files import EXPANSION

SECONDS = 2.0
"""Computing time in s that a small file may take to be read."""
BYTES_PER_SECOND = 2e7
"""Smallest rate of reading that a large file is granted, in bytes per s."""
MEMORY = 1 << 30
"""Memory in bytes that a small file may need to be read; a large one may need ``EXPANSION`` times its size."""
_WAITING = 10  # times as long as the computing time may pass on the clock, e.g. on a slow file system
_OUT_OF_MEMORY = 3

_Result = TypeVar("_Result")


def outcome(action: Callable[[], object], seconds: float, memory: int | None = None) -> str | None:
    """Run an action in a child process, and return None if it came to an end, with or without an exception.

    The child is ended by the system when the time is over, also inside a library that never returns to Python.
    Running out of memory is the only exception that counts.

    Parameters
    ----------
    action : callable
        Its result is discarded.
    seconds : float
        Limit of the computing time. Ten times as much may pass on the clock.
    memory : int, optional
        Limit of the additional memory in bytes (on Linux). Default: none.

    Returns
    -------
    str or None
        What happened otherwise: ``"did not come to an end in 2 s"``, ``"asks for more than 1.1 GB of memory"`` or
        ``"crashed (SIGSEGV)"``.
    """
    child = os.fork()
    if child == 0:
        code = 0
        try:
            _limit(seconds, memory)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            action()
        except MemoryError:
            code = _OUT_OF_MEMORY
        finally:
            os._exit(code)  # without the exit handlers of the parent
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == _OUT_OF_MEMORY and memory is not None:
        return f"asks for more than {memory / 1e9:.2g} GB of memory"
    if status >= 0:
        return None
    if -status in (signal.SIGALRM, signal.SIGPROF):
        return f"did not come to an end in {seconds:.3g} s"
    return f"crashed ({signal.Signals(-status).name})"


def _limit(seconds, memory):
    """Let the system end this process when its time is over, and refuse it more memory than it may have."""
    timers = ((signal.SIGPROF, signal.ITIMER_PROF, 1), (signal.SIGALRM, signal.ITIMER_REAL, _WAITING))
    for number, timer, times in timers:
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        signal.setitimer(timer, times * seconds)
    if memory is not None and sys.platform == "linux":
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, resource.getrlimit(resource.RLIMIT_AS)[1]))


def tried(
    path, library: str, read: Callable[[], _Result], seconds: float | None = None, rate: float = BYTES_PER_SECOND
) -> _Result:
    """Return the result of reading a file, after reading it once in a child process with limits of time and memory.

    Parameters
    ----------
    path : path
    library : str
        Name of the library for the message, e.g. ``"the HDF5 library"``.
    read : callable
        Reads the file and closes it.  It is called in the child, and again here if the child came to an end.
    seconds : float, optional
        Computing time for a small file. Default: ``SECONDS``.
    rate : float, in bytes per s
        Smallest rate of reading of a large file.

    Raises
    ------
    DataFileError
        If the library hangs, crashes or asks for too much memory; also the exceptions of `read`.
    """
    if hasattr(os, "fork"):
        size = Path(path).stat().st_size
        limit = (SECONDS if seconds is None else seconds) + size / rate
        problem = outcome(read, limit, max(MEMORY, EXPANSION * size))
        if problem is not None:
            raise DataFileError(f"{path}: damaged: {library} {problem}; copy or write the file again")
    return read()
