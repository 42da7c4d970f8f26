"""The loop of a training run, of one model or of several together: steps, looks, checkpoints."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

log = logging.getLogger(__name__)


class Steps(Protocol):
    """What the loop needs of a run."""

    config: Any
    seconds: float
    clock: Any

    @property
    def step(self) -> int:
        """Steps done."""

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""

    @property
    def looked(self) -> bool:
        """Whether there was a look at all."""

    def advance(self) -> None:
        """Do some steps."""

    def look(self) -> None:
        """Find the errors of the current parameters."""

    def speed(self) -> dict[str, float]:
        """Return how fast the gradients of this process were."""


R = TypeVar("R", bound=Steps)


def run_steps(
    run: R, on_report: Callable[[R], None] | None = None, save: Callable[[], None] | None = None
) -> None:
    """Train to the end, from wherever the state is.

    Parameters
    ----------
    run : Steps
    on_report : callable, optional
        Called with the run after each look.
    save : callable, optional
        Keeps the state; called at every checkpoint interval, and at the end.
    """
    out, start = run.config.output, time.monotonic() - run.seconds

    def report():
        run.look()
        run.seconds = time.monotonic() - start
        if on_report is not None:
            on_report(run)

    if not run.looked:
        report()
    while not run.finished:
        before = run.step
        run.advance()
        run.seconds = time.monotonic() - start
        if run.finished or before // out.report_interval != run.step // out.report_interval:
            report()
        if save is not None and (
            run.finished or before // out.checkpoint_interval != run.step // out.checkpoint_interval
        ):
            save()
    if run.clock.gradients:
        speed = run.speed()
        log.info("%d gradients, %.3g s each: %.3g GB/s of moments, %.3g GFLOP/s in products with them",
                 run.clock.gradients, speed["seconds"], speed["gigabytes_per_second"],
                 speed["gigaflops_per_second"])  # fmt: skip


def time_left(seconds: float, step: int, total: int) -> str:
    """Return the time that a run still needs as the end of a line of the log, if `step` of `total` took some seconds.

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
