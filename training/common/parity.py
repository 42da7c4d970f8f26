"""Predictions against labels: errors, their size relative to the labels, and the arrays of parity plots and files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tnep_calc.errors import DataFileError
from tnep_calc.io.files import check_members, reading
from tnep_calc.structures import LabelledStructure
from tnep_calc.units import EPSILON_0

from .checkpoint import write_atomically
from .labels import ABOUT_SPECIES, UNITS, Labels

PARITY = "parity.npz"
"""Name of the file; its arrays are called ``quantity|unit|split|array`` (target, prediction, deviation, center)."""
ARRAYS = ("target", "prediction", "deviation", "center")

OVERFITTED = 4.0
"""Ratio of held-back and training errors from which on a warning is given."""
_NEGLIGIBLE = 0.01  # of the standard deviation of a label

DISPLAY = {"energy": (1e3, "meV/atom"), "virial": (1e3, "meV/atom")}
"""Factor and unit for the display of a label; all others are shown in ``UNITS``."""


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
        Panels for :func:`tnep_calc.plotting.training.plot_parity`.  Each split also has ``std``, the standard deviation
        of all components of the label together; ``spread``, as given; and ``count``.  Polarizabilities of crystals
        appear again as ``epsilon_inf``; its spread, about the mean of each component, is that of the first split.
    """
    out: dict[str, dict[str, Any]] = {}

    def add(name, unit, split, target, prediction, spread, groups=None):
        panel = out.setdefault(name, {"name": name, "unit": unit, "splits": {}})
        panel["splits"][split] = numbers_of(target, prediction, spread, centers_of(target, groups))

    epsilon_spread = None
    for split, (structures, labels, predictions) in splits.items():
        for name in labels.targets:
            known = labels.known[name].numpy()
            if not known.any():
                continue
            error = labels.error(name, predictions[name]).numpy()[known]
            prediction = labels.per_atom(name, predictions[name]).to(torch.float64).numpy()[known]
            species = labels.species.numpy()[known] if name in ABOUT_SPECIES else None
            add(name, UNITS[name], split, prediction - error, prediction, spreads[name], species)
            if name == "polarizability" and all(s.pbc.all() for s in structures):
                scale = np.array([len(s) / (EPSILON_0 * s.volume) for s in structures])[known, None]
                identity = np.array([1.0, 1, 1, 0, 0, 0])
                target, value = (identity + scale * x for x in (prediction - error, prediction))
                if epsilon_spread is None:
                    epsilon_spread = float((target - target.mean(axis=0)).std())
                add("epsilon_inf", "1", split, target, value, epsilon_spread)
    return list(out.values())


def centers_of(target: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Return the mean of each component, or of each group of rows and component, in the shape of the target.

    Parameters
    ----------
    target : ndarray, shape (rows, ...)
    groups : ndarray, shape (rows,), optional
        Group of each row, e.g. the species of an atom.
    """
    out = np.empty_like(target)
    for group in np.unique(groups) if groups is not None else (None,):
        rows = slice(None) if groups is None else groups == group
        out[rows] = target[rows].mean(axis=0)
    return out


def numbers_of(
    target: np.ndarray, prediction: np.ndarray, spread: float = math.nan, center: np.ndarray | None = None
) -> dict[str, Any]:
    """Return two arrays, shape (rows, components), with the errors of their panel; see :func:`panels`.

    ``r2`` is relative to `center` (see :func:`centers_of`; by default the mean of each component), and NaN for targets
    without spread.
    """
    error = prediction - target
    center = centers_of(target) if center is None else center
    total = float(((target - center) ** 2).sum())
    return {
        "target": target,
        "prediction": prediction,
        "center": center,
        "rmse": float(np.sqrt((error**2).mean())),
        "mae": float(np.abs(error).mean()),
        "r2": 1 - float((error**2).sum()) / total if total > 0 else math.nan,
        "std": float(target.std()),
        "spread": spread,
        "count": int(target.size),
    }


def lines_of(compared: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table with one line per quantity and split; for ensembles with the rms deviation of the models."""
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


def overfitting_warning(compared: Sequence[Mapping[str, Any]]) -> str | None:
    """Return a warning about errors that are many times larger on held-back structures than on training structures.

    Quantities whose held-back error is below a hundredth of the standard deviation of the label do not count.

    Parameters
    ----------
    compared : sequence of mappings
        Panels, see :func:`panels`.
    """
    found = []
    for panel in compared:
        splits = panel["splits"]
        for name in splits if "train" in splits else ():
            ratio = splits[name]["rmse"] / (splits["train"]["rmse"] or math.inf)
            if name != "train" and splits[name]["rmse"] > _NEGLIGIBLE * splits[name]["std"] > 0:
                found.append((panel["name"], name, ratio))
    return warning_of_ratios(found)


def warning_of_ratios(ratios: Sequence[tuple[str, str, float]], decay: str = "loss.weight_decay") -> str | None:
    """Return the warning about quantities whose held-back error is at least ``OVERFITTED`` times the training error.

    Parameters
    ----------
    ratios : sequence of tuple
        Quantity, name of the held-back structures, and ratio of the errors.
    decay : str, default "loss.weight_decay"
        Key of the weight decay.
    """
    words = [f"{name} {ratio:.1f} times ({split})" for name, split, ratio in ratios if ratio >= OVERFITTED]
    if not words:
        return None
    return (
        f"warning: held-back errors are much larger than training errors: {', '.join(words)}; the model follows "
        "details of the training structures: add structures like the held-back ones, or train a smaller model, for "
        f"fewer steps, or with a larger {decay}"
    )


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
    """Read panels that :func:`save_panels` has written: ``name``, ``unit`` and ``splits`` with arrays.

    Raises
    ------
    DataFileError
        If the file cannot be read.
    """
    panels: dict[str, dict[str, Any]] = {}
    path = folder / PARITY
    with reading(path, "the predictions of 'tnep train'"):
        check_members(path)
        with np.load(path, allow_pickle=False) as file:
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
