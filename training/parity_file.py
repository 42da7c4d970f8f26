"""Predictions beside labels of a run in one file, for reports and for plots of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tnep_calc.errors import DataFileError

from .checkpoint import write_atomically

PARITY = "parity.npz"
"""Name of the file; its arrays are called ``quantity|unit|split|array`` (target, prediction, deviation)."""
ARRAYS = ("target", "prediction", "deviation")


def save_panels(folder: Path, panels: Sequence[Mapping[str, Any]]) -> None:
    """Write the arrays of panels (see :func:`tnep_calc.training.comparison.panels`) to a folder."""
    arrays = {
        f"{panel['name']}|{panel['unit']}|{split}|{key}": numbers[key]
        for panel in panels
        for split, numbers in panel["splits"].items()
        for key in ARRAYS
        if key in numbers
    }
    write_atomically(folder / PARITY, lambda path: np.savez_compressed(path, **arrays))


def load_panels(folder: Path) -> list[dict[str, Any]]:
    """Read what :func:`save_panels` has written: ``name``, ``unit`` and ``splits`` with arrays.

    Raises
    ------
    DataFileError
        If the file cannot be read.
    """
    panels: dict[str, dict[str, Any]] = {}
    try:
        with np.load(folder / PARITY, allow_pickle=False) as file:
            for key in file.files:
                name, unit, split, what = key.split("|")
                panel = panels.setdefault(name, {"name": name, "unit": unit, "splits": {}})
                panel["splits"].setdefault(split, {})[what] = file[key]
    except (OSError, ValueError) as error:
        raise DataFileError(f"{folder / PARITY}: cannot be read ({error}); run 'tnep train' again there") from error
    return list(panels.values())
