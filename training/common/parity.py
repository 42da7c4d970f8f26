"""Predictions against labels: errors, their size relative to the labels, and the arrays of parity plots and files."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tnep_calc.errors import DataFileError
from tnep_calc.io.files import EXPANSION, SMALL, read_bytes, reading
from tnep_calc.structures import LabelledStructure
from tnep_calc.units import EPSILON_0

from .checkpoint import write_atomically
from .labels import UNITS, Labels

PARITY = "parity.npz"
"""Name of the file; its arrays are called ``quantity|unit|split|array`` (target, prediction, deviation)."""
ARRAYS = ("target", "prediction", "deviation")

DISPLAY = {"energy": (1e3, "meV/atom"), "virial": (1e3, "meV/atom")}
"""Factor and unit in which people read a label; all others are shown in ``UNITS``."""


def panels(
    splits: Mapping[str, tuple[Sequence[LabelledStructure], Labels, Mapping[str, Tensor]]],
    spreads: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Compare predictions with labels.

    Parameters
    ----------
    splits : mapping
        Split -> structures, their labels, and predictions of the same shapes as the labels' targets.
    spreads : mapping
        Spread of each label, see :func:`tnep_calc.training.common.labels.spreads`.

    Returns
    -------
    list of dict
        As :func:`tnep_calc.plotting.training.plot_parity` takes it.  More numbers per split: ``std``, the standard
        deviation of all components of the label together; ``spread``, the one given; and ``count``.  Polarizabilities
        of crystals appear a second time as ``epsilon_inf``, whose spread is that of the first split, per component.
    """
    out: dict[str, dict[str, Any]] = {}

    def add(name, unit, split, target, prediction, spread):
        panel = out.setdefault(name, {"name": name, "unit": unit, "splits": {}})
        panel["splits"][split] = numbers_of(target, prediction, spread)

    epsilon_spread = None
    for split, (structures, labels, predictions) in splits.items():
        for name in labels.targets:
            known = labels.known[name].numpy()
            if not known.any():
                continue
            error = labels.error(name, predictions[name]).numpy()[known]
            prediction = labels.per_atom(name, predictions[name]).to(torch.float64).numpy()[known]
            add(name, UNITS[name], split, prediction - error, prediction, spreads[name])
            if name == "polarizability" and all(s.pbc.all() for s in structures):
                scale = np.array([len(s) / (EPSILON_0 * s.volume) for s in structures])[known, None]
                identity = np.array([1.0, 1, 1, 0, 0, 0])
                target, value = (identity + scale * x for x in (prediction - error, prediction))
                if epsilon_spread is None:
                    epsilon_spread = float((target - target.mean(axis=0)).std())
                add("epsilon_inf", "1", split, target, value, epsilon_spread)
    return list(out.values())


def numbers_of(target: np.ndarray, prediction: np.ndarray, spread: float = math.nan) -> dict[str, Any]:
    """Return the two arrays, shape (rows, components), and the errors of their panel; see :func:`panels`.

    ``r2`` is about the mean of each component, NaN for targets without spread.
    """
    error = prediction - target
    total = float(((target - target.mean(axis=0)) ** 2).sum())
    return {
        "target": target,
        "prediction": prediction,
        "rmse": float(np.sqrt((error**2).mean())),
        "mae": float(np.abs(error).mean()),
        "r2": 1 - float((error**2).sum()) / total if total > 0 else math.nan,
        "std": float(target.std()),
        "spread": spread,
        "count": int(target.size),
    }


def lines_of(compared: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table, one line per quantity and split; of ensembles with the rms deviation of the models."""
    bars = any("deviation" in n for panel in compared for n in panel["splits"].values())
    lines = [
        f"{'quantity':<15}{'structures':<12}{'RMSE':>10}{'MAE':>10} {'unit':<15}{'RMSE/spread':>12}{'R2':>10}"
        + f"{'models +-':>12}" * bars
    ]
    for panel in compared:
        factor, unit = DISPLAY.get(panel["name"], (1.0, panel["unit"]))
        for split, n in panel["splits"].items():
            ratio = f"{100 * n['rmse'] / n['spread']:.2f} %" if n["spread"] > 0 else "-"
            lines.append(
                f"{panel['name']:<15}{split:<12}{factor * n['rmse']:>10.4g}{factor * n['mae']:>10.4g} {unit:<15}"
                f"{ratio:>12}{n['r2']:>10.5f}{_deviation(n, factor) if bars else ''}"
            )
    return lines


def _deviation(numbers, factor):
    known = numbers.get("deviation", np.empty(0))
    known = known[~np.isnan(known)]
    return f"{factor * np.sqrt((known**2).mean()):>12.4g}" if known.size else f"{'-':>12}"


def save_panels(folder: Path, panels: Sequence[Mapping[str, Any]]) -> None:
    """Write the arrays of panels (see :func:`tnep_calc.training.common.parity.panels`) to a folder."""
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
    path = folder / PARITY
    data = read_bytes(path)
    with reading(path, "the predictions of 'tnep train'"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > max(SMALL, EXPANSION * len(data)):
            raise DataFileError(f"{path}: unpacks to more than {EXPANSION} times its size, so it is not read")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            for key in file.files:
                name, unit, split, what = key.split("|")
                panel = panels.setdefault(name, {"name": name, "unit": unit, "splits": {}})
                panel["splits"].setdefault(split, {})[what] = file[key]
        for panel in panels.values():
            for split, numbers in panel["splits"].items():
                shapes = {numbers[what].shape for what in ("target", "prediction")}
                if len(shapes) != 1 or not shapes.pop() or not len(numbers["target"]):
                    raise DataFileError(f"{path}: labels and predictions of {panel['name']} ({split}) do not match")
                if not all(np.isfinite(numbers[what].astype(float)).all() for what in ("target", "prediction")):
                    raise DataFileError(f"{path}: {panel['name']} ({split}) has values that are not finite")
    return list(panels.values())
