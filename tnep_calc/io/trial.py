"""Try an action in a child process first, because a library may hang or crash on a damaged file."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..errors import DataFileError

SECONDS = 2.0
"""Time in s that a small file may take to be read."""
BYTES_PER_SECOND = 2e7
"""Smallest rate of reading that a large file is granted, in bytes per s."""

_Result = TypeVar("_Result")


def outcome(action: Callable[[], object], seconds: float) -> str | None:
    """Run an action in a child process, and return None if it came to an end, with or without an exception.

    The child is ended by the system when the time is over, also inside a library that never returns to Python.

    Parameters
    ----------
    action : callable
        Its result is discarded.
    seconds : float
        Time limit.

    Returns
    -------
    str or None
        What happened otherwise: ``"did not come to an end in 2 s"`` or ``"crashed (SIGSEGV)"``.
    """
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
            signal.setitimer(signal.ITIMER_REAL, seconds)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            action()
        finally:
            os._exit(0)  # without the exit handlers of the parent
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status >= 0:
        return None
    if -status == signal.SIGALRM:
        return f"did not come to an end in {seconds:.3g} s"
    return f"crashed ({signal.Signals(-status).name})"


def tried(path, library: str, read: Callable[[], _Result]) -> _Result:
    """Return the result of reading a file, after reading it once in a child process with a time limit.

    Parameters
    ----------
    path : path
    library : str
        Name of the library for the message, e.g. ``"HDF5"``.
    read : callable
        Reads the file and closes it.  It is called in the child, and again here if the child came to an end.

    Raises
    ------
    DataFileError
        If the library hangs or crashes; also the exceptions of `read`.
    """
    if hasattr(os, "fork"):
        problem = outcome(read, SECONDS + Path(path).stat().st_size / BYTES_PER_SECOND)
        if problem is not None:
            raise DataFileError(f"{path}: damaged: the {library} library {problem}; copy or write the file again")
    return read()
