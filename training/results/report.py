"""Report about a training on one page: loss curves, parity plots and errors by groups of components, and settings."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.content import parse_json
from tnep_calc.io.files import read_text, reading
from tnep_calc.io.gpumd.nep_in import read_nep_in
from tnep_calc.io.gpumd.training_output import MISSING
from tnep_calc.plotting.page import Picture, Section, Table, write_page
from tnep_calc.plotting.training import plot_curves, plot_parity

from ..common.checkpoint import load_checkpoint
from ..common.parity import load_panels, numbers_of
from ..gpumd.folder import CHECKPOINT
from ..gpumd.keywords import EVOLUTION_ONLY

LARGEST = 1e100
"""Larger numbers in the files of a run are taken as damage, as figures cannot show them."""
Curve = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Run:
    """Content of one training folder for the report.

    Attributes
    ----------
    name : str
    settings : list of (str, str)
        Names and values.
    axes : (str, str)
        Labels of the two axes of the curves.
    curves : list of dict of str to (steps, values)
        Curves of each model by split; several for an ensemble.
    panels : list of dict
        ``name``, ``unit`` and ``splits``: split -> ``target`` and ``prediction``, arrays of the same shape.
    """

    name: str
    settings: list[tuple[str, str]]
    axes: tuple[str, str]
    curves: list[dict[str, Curve]]
    panels: list[dict[str, Any]]


def write_report(folders: Sequence[str | Path], output: str | Path | None = None, force: bool = True) -> Path:
    """Write a page about one or several training folders of this program or of GPUMD.

    Several folders are treated as the members of an ensemble: their curves are drawn in one figure, and the points of
    their splits are merged.

    Parameters
    ----------
    folders : sequence of str or path
        Folders with ``ensemble.json``, ``results.json``, or ``nep.in`` and ``*_train.out``.
    output : str or path, optional
        Page to write; None: ``report.html`` in the folder, or, for several folders, in the parent of the first one.
    force : bool, default True
        Overwrite an existing page.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If a folder has none of these files, or the folders have different kinds of models.
    DataFileError
        If a file in a folder cannot be read.
    """
    paths = [Path(folder) for folder in folders]
    runs = [read_run(path) for path in paths]
    names = {tuple(panel["name"] for panel in run.panels) for run in runs}
    if len(names) > 1:
        raise InputError(f"the folders have different quantities: {'; '.join(sorted(' '.join(n) for n in names))}")
    if output is None:
        output = (paths[0] if len(paths) == 1 else paths[0].resolve().parent) / "report.html"
    title = f"Training: {', '.join(run.name for run in runs)}"
    write_page(output, title, _sections(runs), force)
    return Path(output)


def read_run(folder: Path) -> Run:
    """Read a training folder of any kind; see :func:`write_report` for the errors."""
    readers = {"ensemble.json": _read_ensemble, "results.json": _read_results, "nep.in": _read_gpumd}
    for name, reader in readers.items():
        if (folder / name).exists():
            with reading(folder, "the files of a training run"):
                run = reader(folder)
                _check_curves(folder, run)
                return run
    raise InputError(f"{folder}: found none of {', '.join(readers)}: give a folder in which 'tnep train' has finished")


def _check_curves(folder, run):
    """Raise ``DataFileError`` for numbers that are too large for a figure."""
    drawn = [values for curves in run.curves for pair in curves.values() for values in pair]
    drawn += [
        numbers[what]
        for panel in run.panels
        for numbers in panel["splits"].values()
        for what in ("target", "prediction")
    ]
    for values in drawn:
        if (np.abs(values[np.isfinite(values)]) > LARGEST).any():
            raise DataFileError(f"{folder}: a file of the run is damaged: it has a number above {LARGEST:g}")


def _read_results(folder):
    results = parse_json(read_text(folder / "results.json"))
    settings = [
        (key, str(results[key]))
        for key in ("program", "kind", "parameters", "steps", "step_of_result", "seconds", "threads", "device")
        if key in results
    ]
    settings += [(f"{split} structures", str(len(indices))) for split, indices in results.get("splits", {}).items()]
    settings += _flat(results.get("configuration", {}))
    axes = "epoch" if "epochs" in results else "step", "loss (mean squared errors / spread²)"
    if results["kind"] == "enthalpy":
        axes = "epoch", "mean absolute errors (eV, Å, e, V)"
    return Run(folder.resolve().name, settings, axes, [_log_curves(folder)], load_panels(folder))


def _read_ensemble(folder):
    summary = parse_json(read_text(folder / "ensemble.json"))
    members = [folder / member["directory"] for member in summary["members"]]
    first = _read_results(members[0])
    settings = [("program", summary["program"]), ("seconds", str(summary["seconds"])), *_flat(summary["ensemble"])]
    settings += [pair for pair in first.settings if "." in pair[0] or pair[0] in ("kind", "parameters")]
    curves = [_log_curves(member) for member in members]
    return Run(folder.resolve().name, settings, first.axes, curves, load_panels(folder))


def _gpumd_settings(folder, options):
    """Return whether our gradient engine has trained the model, and the settings that affected the result."""
    text = read_text(folder / "nep.in")
    words = [line.split("#")[0].split() for line in text.splitlines()]
    settings = [(line[0], " ".join(line[1:])) for line in words if line and line[0] not in options.without_effect]
    if not (folder / CHECKPOINT).exists():
        return False, settings
    try:
        state = load_checkpoint(folder / CHECKPOINT)
    except DataFileError:  # of another version, say: the report does not need it
        return False, [("engine", f"unknown: {CHECKPOINT} cannot be read"), *settings]
    if "snes" in state:
        return False, [("engine", "snes"), ("generations done", str(state["generation"])), *settings]
    used = {"engine": "gradient", **state.get("used", {}), "steps done": state["step"]}
    own = [(name, value) for name, value in settings if name not in EVOLUTION_ONLY and name not in used]
    return True, [(name, str(value)) for name, value in used.items()] + own


def _read_gpumd(folder):
    options = read_nep_in(folder / "nep.in")
    by_gradient, settings = _gpumd_settings(folder, options)
    rows = _table(folder / "loss.out")
    stems = {"potential": ("energy", "force", "virial", "stress")}.get(options.kind, (options.kind,))
    units = {"energy": "eV/atom", "force": "eV/Å", "virial": "eV/atom", "stress": "GPa"}
    own = "per atom, unit of the data" if not options.atomic_v else "unit of the data"
    panels = []
    for stem in stems:
        splits = {}
        for split in ("train", "test"):
            path = folder / f"{stem}_{split}.out"
            if path.exists():
                table = _table(path)
                prediction, target = np.hsplit(table[table[:, -1] != MISSING], 2)
                if len(target):
                    splits[split] = {"target": target, "prediction": prediction}
        if splits:
            panels.append({"name": stem, "unit": units.get(stem, own), "splits": splits})
    half = (rows.shape[1] - 4) // 2
    names = ("energy", "force", "virial")[:half] if half > 1 else (options.kind,)
    curves = {"loss": (rows[:, 0], rows[:, 1])}
    for k, name in enumerate(names):
        prefix = f"{name} " if half > 1 else ""
        curves[f"{prefix}train"] = rows[:, 0], rows[:, 4 + k]
        if rows[:, 4 + half + k].any():
            curves[f"{prefix}test"] = rows[:, 0], rows[:, 4 + half + k]
    axes = "step" if by_gradient else "generation", "loss, RMSE"
    return Run(folder.resolve().name, settings, axes, [curves], panels)


def _table(path):
    return np.loadtxt(read_text(path).splitlines(), ndmin=2)


def _flat(tables: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return settings of nested tables as ``table.key``."""
    rows = []
    for key, value in tables.items():
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", json.dumps(value) if not isinstance(value, str) else value))
    return rows


def _log_curves(folder):
    rows = list(csv.DictReader(read_text(folder / "log.csv").splitlines()))
    if "loss_train" in rows[0]:
        x = "epoch" if "epoch" in rows[0] else "step"
        columns = {name.removeprefix("loss_"): name for name in rows[0] if name.startswith("loss_")}
    else:  # an enthalpy model: every label, for held-back structures if there are any
        split = "validation" if any(name.endswith("_validation") for name in rows[0]) else "train"
        ends = f"_{split}"
        x, columns = (
            "epoch",
            {
                name.removeprefix("mae_").removesuffix(ends): name
                for name in rows[0]
                if name.startswith("mae_") and name.endswith(ends)
            },
        )
    curves = {}
    for label, name in columns.items():
        known = [row for row in rows if row[name]]
        curves[label] = tuple(np.array([float(row[k]) for row in known]) for k in (x, name))
    return curves


# -- page ----------------------------------------------------------------------------------------------------------


def component_groups(panel: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Split the panel of a tensor into diagonal (i = j) and off-diagonal (i ≠ j) components; others are not split.

    Six components begin with xx, yy, zz in every order of this package and of GPUMD.
    """
    shape = next(iter(panel["splits"].values()))["target"].shape[1:]
    groups: dict[str, Any] = {}
    if shape == (6,):
        groups = {"i = j": np.arange(6) < 3, "i ≠ j": np.arange(6) >= 3}
    elif shape in ((3, 3), (9,)):
        diagonal = np.eye(3, dtype=bool).reshape(shape)
        groups = {"i = j": diagonal, "i ≠ j": ~diagonal}
    if not groups:
        return [_with_errors(panel, panel["name"], lambda values: values)]
    return [
        _with_errors(panel, f"{panel['name']}, {group}", lambda values, mask=mask: values[:, mask])
        for group, mask in groups.items()
    ]


def _with_errors(panel, name, pick):
    splits = {}
    for split, numbers in panel["splits"].items():
        chosen = {key: pick(values) for key, values in numbers.items()}
        errors = numbers_of(chosen["target"], chosen["prediction"], center=chosen.get("center"))
        splits[split] = {**errors, **chosen}
    return {**panel, "name": name, "splits": splits}


def _merged(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Panels of all runs, with the rows of equal splits concatenated."""
    if len(runs) == 1:
        return runs[0].panels
    merged = []
    for panels in zip(*(run.panels for run in runs), strict=True):
        splits: dict[str, dict[str, list[np.ndarray]]] = {}
        for panel in panels:
            for split, numbers in panel["splits"].items():
                for key in {"target", "prediction", "center"} & set(numbers):
                    splits.setdefault(split, {}).setdefault(key, []).append(numbers[key])
        joined = {split: {key: np.concatenate(v) for key, v in n.items()} for split, n in splits.items()}
        merged.append({**panels[0], "splits": joined})
    return merged


def _sections(runs: Sequence[Run]) -> list[Section]:
    grouped = [component_groups(panel) for panel in _merged(runs)]
    curves = [curve for run in runs for curve in run.curves]
    several = f" Single models in grey, the mean of {len(curves)} in colour." if len(curves) > 1 else ""
    sections = [Section("Errors", [_error_table(grouped)])]
    if any(curves):
        sections.append(
            Section("Loss", [Picture(plot_curves(curves, *runs[0].axes), f"Training and held-back data.{several}")])
        )
    bars = any("deviation" in numbers for groups in grouped for g in groups for numbers in g["splits"].values())
    caption = "Predictions against labels"
    caption += ", with the standard deviation over the models as error bars." if bars else "."
    sections.append(Section("Parity", [Picture(plot_parity(groups), caption) for groups in grouped]))
    for run in runs:
        sections.append(Section(f"Settings of {run.name}" if len(runs) > 1 else "Settings", [Table((), run.settings)]))
        if len(runs) > 1 and all(other.settings == run.settings for other in runs):
            sections[-1] = Section("Settings of all runs", [Table((), run.settings)])
            break
    return sections


def _error_table(grouped):
    rows = []
    bars = False
    for groups in grouped:
        for panel in groups:
            for split, n in panel["splits"].items():
                row = [panel["name"], split, n["count"], n["rmse"], n["mae"], panel["unit"], f"{n['r2']:.5f}"]
                if "deviation" in n:
                    bars = True
                    known = n["deviation"][~np.isnan(n["deviation"])]
                    row.append(float(np.sqrt(np.square(known).mean())) if known.size else "-")
                rows.append(row)
    columns = ["quantity", "structures", "numbers", "RMSE", "MAE", "unit", "R²"]
    words = "Errors by groups of components. R² is about the mean of each component (of Born charges, of each "
    words += "species and component)."
    if bars:
        columns.append("spread of models")
        words += " The last column is the root mean square of the standard deviations over the models."
    return Table(columns, rows, words)
