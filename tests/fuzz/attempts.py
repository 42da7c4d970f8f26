"""Try a reader on damaged files; the number of files is set by ``TNEP_MUTATIONS``."""

import os
import signal
from contextlib import contextmanager
from pathlib import Path

import ase
import pytest
from fuzz.mutations import mutations

from tnep_calc.errors import TnepError

COUNT = int(os.environ.get("TNEP_MUTATIONS", "50"))
SECONDS = 5


class LateError(BaseException):
    """The time is over.  Readers cannot catch it, as it is not an ``Exception``."""


@contextmanager
def time_limit(seconds=SECONDS):
    """Raise ``LateError`` after a time of the processor, or after twelve times as long if the process only waits."""

    def late(*_):
        raise LateError

    timers = ((signal.SIGPROF, signal.ITIMER_PROF, seconds), (signal.SIGALRM, signal.ITIMER_REAL, 12 * seconds))
    before = [signal.signal(number, late) for number, _, _ in timers]
    for _, timer, limit in timers:
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for (number, timer, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


def attempt(read, path, what):
    """Read a file, and fail unless it gives a result or an error of one line within the time limit."""
    try:
        with time_limit():
            read(path)
    except TnepError as error:
        assert str(error) and "\n" not in str(error).strip(), f"{what}: several lines: {str(error)[:500]}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        pytest.fail(f"{what}: {type(error).__name__}: {str(error)[:300]}")


def attempt_mutations(kind, data, read, path, count=COUNT):
    """Read a file as it is, which must succeed, and try damaged copies of it."""
    path.write_bytes(data)
    read(path)
    for k, damaged in enumerate(mutations(data, count)):
        path.write_bytes(damaged)
        attempt(read, path, f"{kind}, mutation {k}")


def sample_of_ase(*parts):
    """Return the content of a sample file that ASE brings, or skip the test."""
    path = Path(ase.__file__).parent.joinpath("test", "testdata", *parts)
    if not path.is_file():
        pytest.skip("this ASE comes without its sample files")
    return path.read_bytes()
