"""Collect the errors of many files, to report all of them at once, or to go on without these files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ...errors import DataFileError

_LISTED = 5  # longest list of messages in one error


@dataclass
class Problems:
    """Messages of the files, or sets of files, that cannot be used.

    Attributes
    ----------
    messages : list of str
        One line each, which names the file.
    """

    messages: list[str] = field(default_factory=list)

    def error(self) -> DataFileError:
        """Return one error for all messages."""
        first, *others = self.messages
        if not others:
            return DataFileError(first)
        listed = "; ".join(self.messages[:_LISTED])
        more = f"; and {len(self.messages) - _LISTED} more" if len(self.messages) > _LISTED else ""
        return DataFileError(f"{len(self.messages)} inputs cannot be used: {listed}{more}")


@contextmanager
def collecting(problems: Problems | None) -> Iterator[None]:
    """Add a ``DataFileError`` of the block to `problems`, or raise it if that is None."""
    try:
        yield
    except DataFileError as error:
        if problems is None:
            raise
        problems.messages.append(str(error))
