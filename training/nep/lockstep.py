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
    """Ends a function whose request will not be answered."""


class _Asking:
    """A function in its own thread, which pauses at every request until it is answered."""

    def __init__(self, function: Callable[[Callable[[], Any]], None]):
        self._answers: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
        self._events: SimpleQueue[tuple[str, BaseException | None]] = SimpleQueue()
        self._function = function
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _work(self):
        try:
            self._function(self._ask)
        except BaseException as error:
            self._events.put((_HAS_FAILED, error))
        else:
            self._events.put((_IS_DONE, None))

    def _ask(self):
        self._events.put((_ASKS, None))
        answered, answer = self._answers.get()
        if not answered:
            raise _Cancelled
        return answer

    def start(self) -> bool:
        """Run until the function makes a request (True) or returns (False)."""
        self._thread.start()
        return self._wait()

    def answer(self, value: Any) -> bool:
        """Answer the request, and run until the next one (True) or the end of the function (False)."""
        self._answers.put((True, value))
        return self._wait()

    def cancel(self) -> None:
        """End the function at its pending request."""
        self._answers.put((False, None))
        self._thread.join()

    def _wait(self):
        event, error = self._events.get()
        if event == _ASKS:
            return True
        self._thread.join()
        if error is not None:
            raise error
        return False


def evaluate_in_lockstep(
    functions: Sequence[Callable[[Callable[[], Any]], None]], answers: Callable[[list[int]], Sequence[Any]]
) -> None:
    """Run functions to their ends, and answer the pending requests of all of them in one call.

    Every function runs to its next request.  When none can run any further, `answers` is called for all that wait.

    Parameters
    ----------
    functions : sequence of callable
        Each is called with one argument: a function without arguments that makes a request and returns the answer.
    answers : callable
        Takes the indices of the waiting functions, in rising order, and returns an answer for each.

    Raises
    ------
    Exception
        Whatever one of the functions, or `answers`, raises; the other functions are ended at their requests.
    """
    asking = [_Asking(function) for function in functions]
    waiting: list[int] = []
    try:
        for k, function in enumerate(asking):
            if function.start():
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
