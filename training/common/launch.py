"""Several processes of one training on this machine: they run the same command and find each other by a file."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tnep_calc.errors import InputError

_PROGRAM = "import sys; from tnep_calc.cli import main; sys.exit(main(sys.argv[1:]))"
_PATIENCE = 30.0  # seconds that the others have to end after the first process


@contextmanager
def launched(count: int, argv: Sequence[str]) -> Iterator[None]:
    """Start the other ``count - 1`` processes of a training; within the context, this process is the first of them.

    Every process gets its share of the cores, unless ``OMP_NUM_THREADS`` is set.  When the context is left, the others
    have ended; after an error here they are terminated.

    Parameters
    ----------
    count : int
        Number of processes.
    argv : sequence of str
        Arguments of the program ``tnep`` for the other processes.

    Raises
    ------
    InputError
        If one of the others failed, with the last line that it wrote.
    """
    from .processes import RENDEZVOUS, ProcessLost

    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        common = {
            "WORLD_SIZE": str(count),
            RENDEZVOUS: str(Path(folder) / "processes"),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, cores // count))),
            "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo"),
        }
        logs = [Path(folder) / f"{k}.log" for k in range(1, count)]
        others = []
        for k, path in enumerate(logs, start=1):
            own = os.environ | common | {"RANK": str(k), "LOCAL_RANK": str(k)}
            with open(path, "wb") as log:
                command = [sys.executable, "-c", _PROGRAM, *argv]
                others.append(subprocess.Popen(command, env=own, stdout=log, stderr=subprocess.STDOUT))
        before = dict(os.environ)
        os.environ.update(common | {"RANK": "0", "LOCAL_RANK": "0"})
        try:
            yield
            for process in others:
                process.wait(_PATIENCE)
        except ProcessLost as error:
            raise InputError(_reason(others, logs) or str(error)) from error
        except subprocess.TimeoutExpired:
            pass  # the results are complete
        finally:
            for process in others:
                if process.poll() is None:
                    process.terminate()
                process.wait()
            os.environ.clear()
            os.environ.update(before)


def _reason(others, logs):
    """Return why one of the other processes failed: its last line; None if it does not say."""
    for k, (process, path) in enumerate(zip(others, logs, strict=True), start=1):
        try:
            status = process.wait(5)
        except subprocess.TimeoutExpired:
            continue
        lines = path.read_text(errors="replace").strip().splitlines()
        if status < 0:
            return f"process {k} of the training was killed by signal {-status}: the same command resumes"
        if status and lines:
            return f"process {k} of the training failed: {lines[-1]}"
    return None
