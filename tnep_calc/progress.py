"""Progress of work that consists of equal parts: a bar in a terminal, lines with the remaining time elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

INTERVAL = 10.0
"""Shortest time between two lines in seconds."""
FIRST = 5.0
"""Shortest time before the first line in seconds."""

T = TypeVar("T")


class Progress:
    """Log the number of finished parts and the remaining time, at most one line per `interval`.

    If stderr is a terminal, a bar takes the place of the lines.  It appears after 5 s and vanishes at the end.

    Parameters
    ----------
    log : logging.Logger
    what : str
        Name of the parts, e.g. ``"supercells"``.
    total : int or None
        Number of parts; None if it is not known, then the lines have no remaining time.
    done : int, default 0
        Number of parts that a previous run has finished; they do not count for the speed.
    interval : float, default 10, in s
        Shortest time between two lines; the first line comes after 5 s if that is shorter.
    """

    def __init__(self, log: logging.Logger, what: str, total: int | None, done: int = 0, interval: float = INTERVAL):
        self.log, self.what, self.total, self.done, self.interval = log, what, total, done, interval
        self._before, self._start = done, time.monotonic()
        self._next = self._start + min(FIRST, interval)
        self._bar = None
        if sys.stderr.isatty() and log.isEnabledFor(logging.INFO):
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=done, desc=f"  {what}", delay=FIRST, leave=False, dynamic_ncols=True)
        if done:
            log.info("  %d of %d %s were done in a previous run", done, total, what)

    def advance(self, parts: int = 1) -> None:
        """Count further parts as finished."""
        self.done += parts
        if self._bar is not None:
            self._bar.update(parts)
            if self.done == self.total:
                self._bar.close()
            return
        now = time.monotonic()
        if now < self._next or self.done == self.total:
            return
        if self.total is None:
            self.log.info("  %d %s so far", self.done, self.what)
        else:
            left = (now - self._start) / (self.done - self._before) * (self.total - self.done)
            self.log.info("  %d of %d %s, about %s left", self.done, self.total, self.what, duration_text(left))
        self._next = now + self.interval

    def close(self) -> None:
        """Remove the bar, if there is one; needed only where the work may end before its last part."""
        if self._bar is not None:
            self._bar.close()


def tracked(items: Iterable[T], log: logging.Logger, what: str, total: int | None = None) -> Iterator[T]:
    """Yield items, and log the progress of the work on them.

    Parameters
    ----------
    items : iterable
    log : logging.Logger
    what : str
        Name of the items.
    total : int, optional
        Number of items.
    """
    progress = Progress(log, what, total)
    try:
        for item in items:
            yield item
            progress.advance()
    finally:
        progress.close()


def duration_text(seconds: float) -> str:
    """Return a time in seconds as text.

    Examples
    --------
    >>> duration_text(42.3), duration_text(600), duration_text(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
