"""Lines of progress with the time left, for work made of equal parts."""

from __future__ import annotations

import logging
import time

INTERVAL = 10.0
"""Seconds between two lines."""


class Progress:
    """Logs how much is done and how long the rest will take, at most one line per `interval`.

    Parameters
    ----------
    log : logging.Logger
    what : str
        Name of the parts, e.g. ``"supercells"``.
    total : int
        Number of parts.
    done : int, default 0
        Parts that a previous run has left; they do not count for the speed.
    interval : float, default 10, in s
    """

    def __init__(self, log: logging.Logger, what: str, total: int, done: int = 0, interval: float = INTERVAL):
        self.log, self.what, self.total, self.done, self.interval = log, what, total, done, interval
        self._before, self._start = done, time.monotonic()
        self._last = self._start
        if done:
            log.info("  %d of %d %s are there from a previous run", done, total, what)

    def advance(self, parts: int = 1) -> None:
        """Count parts as done."""
        self.done += parts
        now = time.monotonic()
        if now - self._last >= self.interval and self.done < self.total:
            left = (now - self._start) / (self.done - self._before) * (self.total - self.done)
            self.log.info("  %d of %d %s, about %s left", self.done, self.total, self.what, in_words(left))
            self._last = now


def in_words(seconds: float) -> str:
    """Return a time as text.

    Examples
    --------
    >>> in_words(42.3), in_words(600), in_words(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
