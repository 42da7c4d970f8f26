"""Run several optimizers in lockstep, so that one batched evaluation serves all their pending gradient requests.

This is for optimizers that call the gradient themselves (L-BFGS with a line search), of several models whose gradients
are computed together.  Each optimizer runs in a thread, but only one at a time and in a fixed order, so the result does
not depend on timing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

_ASKS, _IS_DONE, _HAS_FAILED = "asks", "is done", "has failed"


class _Cancelled(BaseException):
    """Ends a function that waits for an answer that will not come."""


class _Asking:
    """A function in its thread."""

    def __init__(self, function: Callable[[Callable[[], Any]], None]):
        self._answers: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
        self._news: SimpleQueue[tuple[str, BaseException | None]] = SimpleQueue()
        self._function = function
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _work(self):
        try:
            self._function(self._ask)
        except BaseException as error:
            self._news.put((_HAS_FAILED, error))
        else:
            self._news.put((_IS_DONE, None))

    def _ask(self):
        self._news.put((_ASKS, None))
        there, answer = self._answers.get()
        if not there:
            raise _Cancelled
        return answer

    def start(self) -> bool:
        """Run until it asks (True) or is done (False)."""
        self._thread.start()
        return self._wait()

    def answer(self, value: Any) -> bool:
        """Run on with an answer until it asks again (True) or is done (False)."""
        self._answers.put((True, value))
        return self._wait()

    def cancel(self) -> None:
        """End it where it asks."""
        self._answers.put((False, None))
        self._thread.join()

    def _wait(self):
        what, error = self._news.get()
        if what == _ASKS:
            return True
        self._thread.join()
        if error is not None:
            raise error
        return False


def answer_together(
    functions: Sequence[Callable[[Callable[[], Any]], None]], answers: Callable[[list[int]], Sequence[Any]]
) -> None:
    """Run functions to their ends, each as far as its next question, and answer all that wait at once.

    Parameters
    ----------
    functions : sequence of callable
        Each is called with a function without arguments that asks, and returns the answer.
    answers : callable
        Takes the numbers of the functions that wait, in rising order, and returns an answer for each.

    Raises
    ------
    Exception
        Whatever one of the functions, or `answers`, raises; the other functions are ended where they ask.
    """
    asking = [_Asking(function) for function in functions]
    waiting: list[int] = []
    try:
        for k, one in enumerate(asking):
            if one.start():
                waiting.append(k)
        while waiting:
            found = dict(zip(waiting, answers(list(waiting)), strict=True))
            for k, value in found.items():
                waiting.remove(k)
                if asking[k].answer(value):
                    waiting.append(k)
            waiting.sort()
    except BaseException:
        for k in waiting:
            asking[k].cancel()
        raise
