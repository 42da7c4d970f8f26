"""The loop of every training: steps, reports and checkpoints by interval and by time, and an orderly stop by a signal.

Actions that depend on time do not change the result: a line of progress only says how far the run is, and a checkpoint
is the state between any two steps.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from . import processes

log = logging.getLogger(__name__)

FIRST_LINE, LINE, CHECKPOINT = 5.0, 30.0, 30.0
"""Seconds without a report after which the first and a further line of progress are due; age of a checkpoint."""


class Interrupted(KeyboardInterrupt):
    """A signal has stopped a training between two steps, and its state is saved.

    Attributes
    ----------
    number : int
        Number of the signal.
    """

    def __init__(self, number: int, progress: str):
        super().__init__(f"stopped after {progress}, and the state is saved")
        self.number = number


class Steps(Protocol):
    """Interface of a run that the loop uses."""

    seconds: float

    @property
    def step(self) -> int:
        """Steps done."""

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""

    @property
    def progress(self) -> str:
        """How far the run is, for the log."""

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""

    @property
    def report_due(self) -> bool:
        """Whether a report is due before the next step."""

    def advance(self) -> None:
        """Do some steps."""

    def report(self) -> None:
        """Compute the errors of the current parameters."""


R = TypeVar("R", bound=Steps)


def run_steps(
    run: R,
    report_every: int,
    save_every: int,
    on_report: Callable[[R], None] | None = None,
    save: Callable[[], None] | None = None,
) -> None:
    """Train from the current state to the end.

    Parameters
    ----------
    run : Steps
    report_every, save_every : int
        Steps between two reports, and between two checkpoints.
    on_report : callable, optional
        Called with the run after each report.
    save : callable, optional
        Saves the state.  It is called after every interval, when the last checkpoint is ``CHECKPOINT`` seconds old, at
        the end, and after SIGINT or SIGTERM.

    Raises
    ------
    Interrupted
        After SIGINT or SIGTERM, when the current step is complete and saved.  A second signal stops at once.
    """
    begin = line = saved = time.monotonic()
    start, wait = begin - run.seconds, FIRST_LINE

    def report():
        nonlocal line, wait
        run.report()
        run.seconds = time.monotonic() - start
        if on_report is not None:
            on_report(run)
        line, wait = time.monotonic(), LINE

    with _Signals(save is not None) as signals:
        if run.report_due:
            report()
            if run.finished and save is not None:  # nothing to do, but the initial state is the result
                save()
        while not run.finished:
            before = run.step
            run.advance()
            now = time.monotonic()
            run.seconds = now - start
            if run.finished or before // report_every != run.step // report_every:
                report()
            elif now - line >= wait:
                log.info("%7.1f s  %s%s", run.seconds, run.progress, time_left(run.seconds, run.step, run.total_steps))
                line, wait = now, LINE
            if save is None:
                continue
            (number,) = processes.largest(signals.number or 0)  # a signal to one process stops all after this step
            due = before // save_every != run.step // save_every or time.monotonic() - saved >= CHECKPOINT
            if due or run.finished or number:
                save()
                saved = time.monotonic()
            if number and not run.finished:
                raise Interrupted(number, run.progress)


class _Signals:
    """Records SIGINT and SIGTERM instead of letting them end the program in the middle of a step.

    Only the main thread of a program can do that; in other threads nothing changes.

    Attributes
    ----------
    number : int or None
        The first signal that arrived.
    """

    def __init__(self, catch: bool):
        self.number: int | None = None
        self._catch = catch and threading.current_thread() is threading.main_thread()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        if self._catch:
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _note(self, number, _):
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number
        log.warning("stopping after this step; a second signal stops at once without saving it")


def time_left(seconds: float, step: int, total: int) -> str:
    """Return the estimated time left as the end of a log line, from the `seconds` that `step` of `total` steps took.

    Examples
    --------
    >>> time_left(30.0, 100, 600), time_left(3600.0, 1000, 200000), time_left(30.0, 600, 600)
    (', 150 s left', ', 199 h left', '')
    """
    if not 0 < step < total:
        return ""
    left = seconds / step * (total - step)
    for size, unit in ((3600, "h"), (60, "min")):
        if left >= 5 * size:
            return f", {left / size:.0f} {unit} left"
    return f", {left:.0f} s left"
