"""Predictions against labels: errors, their size relative to the labels, and the arrays of parity plots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from torch import Tensor

from tnep_calc.calculators.tnep import TNEPCalculator
from tnep_calc.io.dataset import LABELS, LabelledStructure
from tnep_calc.io.polarization import quanta_in
from tnep_calc.units import EPSILON_0

from .objective import UNITS, WITH_CONSTANTS, Labels, make_labels, site_constants
from .objective import spreads as label_spreads

DISPLAY = {"energy": (1e3, "meV/atom"), "virial": (1e3, "meV/atom")}
"""Factor and unit in which people read a label; all others are shown in ``UNITS``."""
PREDICTED = {
    "energy": {"energy": "energy", "forces": "forces", "stress": "virial"},
    "dipole": {"dipole": "dipole", "born_effective_charges": "born_charges"},
    "susceptibility": {"polarizability": "polarizability"},
}
"""Properties of the calculator by the role of the model that gives them, with the labels that they predict."""
PREDICTED["enthalpy"] = {name: label for role in PREDICTED.values() for name, label in role.items()}


def predict(
    calculator: TNEPCalculator, structure: LabelledStructure, member: int | None = None
) -> LabelledStructure:
    """Return the structure with the predictions of a calculator in place of its labels.

    Parameters
    ----------
    calculator : TNEPCalculator
    structure : LabelledStructure
    member : int, optional
        Predictions of this member of the ensembles (a single model is member of any), instead of the mean.
    """
    atoms = Atoms(structure.symbols, structure.positions, cell=structure.cell, pbc=structure.pbc)
    if "enthalpy" in calculator.models:
        calculator.efield = structure.electric_field
    found: dict[str, Any] = dict.fromkeys(LABELS)
    for role in calculator.models:
        for name, label in PREDICTED[role].items():
            if name == "stress" and structure.volume == 0:
                continue
            if member is None:
                value = calculator.get_property(name, atoms)
            else:
                values = calculator.get_members(name, atoms)
                value = values[min(member, len(values) - 1)]
            if name == "stress":
                value = -structure.volume * voigt_6_to_full_3x3_stress(value)
            found[label] = float(value) if label == "energy" else np.array(value)
    return replace(structure, **found)


def compare(
    structures: Sequence[LabelledStructure], predictions: Sequence[LabelledStructure], fold: bool = True
) -> list[dict[str, Any]]:
    """Return :func:`panels` of all labels that both have, with one split ``"all"``.

    Parameters
    ----------
    structures : sequence of LabelledStructure
    predictions : sequence of LabelledStructure
        The same structures with predictions as labels, see :func:`predict`.
    fold : bool, default True
        Take dipole errors of periodic structures modulo the polarization quantum, and in a field energies and virials
        on the branch of the label's dipole.
    """
    if fold:
        predictions = [on_branch(s, p) for s, p in zip(structures, predictions, strict=True)]
    species = sorted({symbol for s in structures for symbol in s.symbols})
    compared = []
    for name in LABELS:
        both = [
            (s, p) for s, p in zip(structures, predictions, strict=True)
            if getattr(s, name) is not None and getattr(p, name) is not None
        ]  # fmt: skip
        if not both:
            continue
        labelled, predicted = zip(*both, strict=True)
        labels = make_labels(labelled, [name], species, fold)
        site = torch.zeros(len(species), dtype=torch.float64)
        if name in WITH_CONSTANTS:
            site = site_constants(labels, name, len(species))
        values = make_labels(predicted, [name], species, fold).targets
        compared += panels({"all": (labelled, labels, values)}, label_spreads(labels, site))
    return compared


def on_branch(structure: LabelledStructure, prediction: LabelledStructure) -> LabelledStructure:
    """Return a prediction in a field with energy and virial on the branch of the label's dipole.

    With the dipole ``q = sum_k n_k R_k`` (integer n times lattice vectors) above the label's, the enthalpy, which has
    the term ``-E.P``, is lower by ``E.q``, and its virial ``-dH/d(strain)`` larger by the symmetric part of ``E q``.
    The dipole itself is left as it is.

    Parameters
    ----------
    structure : LabelledStructure
        With the label.
    prediction : LabelledStructure
    """
    field = structure.electric_field
    if field is None or structure.dipole is None or prediction.dipole is None or not structure.pbc.any():
        return prediction
    quanta = quanta_in(prediction.dipole - structure.dipole, structure.cell[structure.pbc])
    torque = np.outer(field, quanta)
    energy, virial = prediction.energy, prediction.virial
    return replace(
        prediction, energy=None if energy is None else energy + float(field @ quanta),
        virial=None if virial is None else virial - (torque + torque.T) / 2,
    )  # fmt: skip


def compare_ensemble(
    structures: Sequence[LabelledStructure], calculator: TNEPCalculator, fold: bool = True
) -> tuple[list[LabelledStructure], list[dict[str, Any]]]:
    """Return the predictions of a calculator, and their comparison with the labels (see :func:`compare`).

    Where the calculator has ensembles, these are the means over the members, and the panels have the standard
    deviations (divisor n - 1) as ``deviation``.
    """
    predictions = [predict(calculator, s) for s in structures]
    compared = compare(structures, predictions, fold)
    count = max(map(len, calculator.models.values()))
    if count > 1:
        members = [compare(structures, [predict(calculator, s, k) for s in structures], fold) for k in range(count)]
        for panel, *others in zip(compared, *members, strict=True):
            values = np.array([other["splits"]["all"]["prediction"] for other in others])
            if np.ptp(values, axis=0).any():  # not of a role with a single model
                panel["splits"]["all"]["deviation"] = values.std(axis=0, ddof=1)
    return predictions, compared


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
        Spread of each label, see :func:`tnep_calc.training.objective.spreads`.

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


def numbers_of(target: np.ndarray, prediction: np.ndarray, spread: float) -> dict[str, Any]:
    """Return the two arrays, shape (rows, components), and the errors of their panel; see :func:`panels`."""
    error = prediction - target
    total = float(((target - target.mean(axis=0)) ** 2).sum())
    return {
        "target": target, "prediction": prediction, "rmse": float(np.sqrt((error**2).mean())),
        "mae": float(np.abs(error).mean()), "r2": 1 - float((error**2).sum()) / total if total > 0 else math.nan,
        "std": float(target.std()), "spread": spread, "count": int(target.size),
    }  # fmt: skip


def lines_of(compared: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table, one line per quantity and split; of ensembles with the rms deviation of the models."""
    bars = any("deviation" in n for panel in compared for n in panel["splits"].values())
    lines = [f"{'quantity':<15}{'structures':<12}{'RMSE':>10}{'MAE':>10} {'unit':<15}{'RMSE/spread':>12}{'R2':>10}"
             + f"{'models +-':>12}" * bars]  # fmt: skip
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
