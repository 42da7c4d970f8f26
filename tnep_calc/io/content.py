"""Content of small files: JSON, with a limit of its nesting, and arrays of previous runs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from .files import check_members, read_text, reading

DEEPEST = 200
"""Largest number of brackets inside each other in a file."""
_OPENING, _CLOSING = np.frombuffer(b"[{", dtype=np.uint8), np.frombuffer(b"]}", dtype=np.uint8)


def check_nesting(text: str) -> None:
    """Raise ``ValueError`` for brackets that are nested more deeply than ``DEEPEST``.

    Parsers call themselves for each level.  Where a library has raised Python's limit of recursion, deep nesting would
    overflow the stack and end the process.
    """
    codes = np.frombuffer(text.encode(errors="replace"), dtype=np.uint8)
    steps = (np.isin(codes, _OPENING).astype(np.int8) - np.isin(codes, _CLOSING)).cumsum(dtype=np.int64)
    if steps.size and steps.max() > DEEPEST:
        raise ValueError(f"brackets are nested more than {DEEPEST} times")


def parse_json(text: str | bytes) -> Any:
    """Return the content of JSON from a file.

    Raises
    ------
    ValueError
        If the text is not JSON, or is nested too deeply (:func:`check_nesting`).
    """
    text = text.decode() if isinstance(text, bytes) else text
    check_nesting(text)
    return json.loads(text)


def read_json(path, what: str) -> Any:
    """Return the content of a JSON file.

    Parameters
    ----------
    path : path
    what : str
        Expected content, for the message.

    Raises
    ------
    DataFileError
        If the file cannot be read, or is not JSON.
    """
    with reading(path, what):
        return parse_json(read_text(path))


def read_arrays(path, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of a file of ``numpy.savez`` that this package has written to resume.

    Parameters
    ----------
    path : path
    names : iterable of str, optional
        Arrays that it must have; only these are read. Default: all.

    Raises
    ------
    DataFileError
        If the file is damaged or lacks an array.
    """
    what = "arrays of a previous run; delete it to compute them again"
    check_members(path, what)
    with reading(path, what):
        with np.load(path) as file:
            return {name: file[name] for name in (file.files if names is None else names)}
