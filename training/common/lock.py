"""Lock of an output directory: only one training at a time runs in it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tnep_calc.errors import InputError

LOCK = ".tnep.lock"
"""Name of the lock file.  It exists while a training runs; a file left by a killed training is harmless."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a directory, which is created if necessary.

    The lock belongs to the open file, so it ends with the process in any case.  Directories that were created are
    removed if nothing was written there.

    Raises
    ------
    InputError
        If another training holds it.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    handle = _acquire(path, folder)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before the lock is released, so that `_acquire` notices
        os.close(handle)
        with suppress(OSError):
            for empty in made:
                empty.rmdir()


def _acquire(path, folder):
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            number = os.read(handle, 32).decode(errors="replace") or "unknown"
            os.close(handle)
            raise InputError(
                f"{folder}: another training is running there (process {number}): wait for it, or use another directory"
            ) from None
        with suppress(FileNotFoundError):
            if os.fstat(handle).st_ino == os.stat(path).st_ino:  # else the previous holder has just removed it
                os.ftruncate(handle, 0)
                os.write(handle, str(os.getpid()).encode())
                return handle
        os.close(handle)
