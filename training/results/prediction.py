"""Predictions of a calculator for labelled structures, and their comparison with the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress

from tnep_calc.calculators.tnep import TNEPCalculator
from tnep_calc.families import ROLES
from tnep_calc.polarization import change_of_branch, quanta_in
from tnep_calc.structures import LABELS, LabelledStructure

from ..common.labels import WITH_CONSTANTS, make_labels, site_constants
from ..common.labels import spreads as label_spreads
from ..common.parity import panels


def predict(calculator: TNEPCalculator, structure: LabelledStructure, member: int | None = None) -> LabelledStructure:
    """Return the structure with the predictions of a calculator in place of its labels.

    Parameters
    ----------
    calculator : TNEPCalculator
    structure : LabelledStructure
    member : int, optional
        Member of the ensembles whose predictions are returned, instead of the mean.  A single model counts as every
        member.
    """
    atoms = Atoms(structure.symbols, structure.positions, cell=structure.cell, pbc=structure.pbc)
    if "enthalpy" in calculator.models:
        calculator.efield = structure.electric_field
    found: dict[str, Any] = dict.fromkeys(LABELS)
    for role in calculator.models:
        for name, label in ROLES[role].labels.items():
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
    """Return :func:`tnep_calc.training.common.parity.panels` of the labels that both have, with one split ``"all"``.

    Parameters
    ----------
    structures : sequence of LabelledStructure
    predictions : sequence of LabelledStructure
        The same structures with predictions as labels, see :func:`predict`.
    fold : bool, default True
        Take dipole errors of periodic structures modulo the polarization quantum.  In a field, also take energies and
        virials on the branch of the label's dipole.
    """
    if fold:
        predictions = [on_branch(s, p) for s, p in zip(structures, predictions, strict=True)]
    species = sorted({symbol for s in structures for symbol in s.symbols})
    compared = []
    for name in LABELS:
        both = [
            (s, p)
            for s, p in zip(structures, predictions, strict=True)
            if getattr(s, name) is not None and getattr(p, name) is not None
        ]
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

    If the predicted dipole exceeds the label by ``q = sum_k n_k R_k`` (integers n times e and lattice vectors R), the
    enthalpy is lower by ``E.q``, because it has the term ``-E.P``; see
    :func:`tnep_calc.polarization.change_of_branch`.  The dipole itself is not changed.

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
    gap, change = change_of_branch(field, quanta)
    energy, virial = prediction.energy, prediction.virial
    return replace(
        prediction, energy=None if energy is None else energy + gap, virial=None if virial is None else virial + change
    )


def compare_ensemble(
    structures: Sequence[LabelledStructure], calculator: TNEPCalculator, fold: bool = True
) -> tuple[list[LabelledStructure], list[dict[str, Any]]]:
    """Return the predictions of a calculator, and their comparison with the labels (see :func:`compare`).

    If the calculator has ensembles, the predictions are means over the members, and the panels have the standard
    deviations (divisor n - 1) as ``deviation``.
    """
    predictions = [predict(calculator, s) for s in structures]
    compared = compare(structures, predictions, fold)
    count = max(map(len, calculator.models.values()))
    if count > 1:
        members = [compare(structures, [predict(calculator, s, k) for s in structures], fold) for k in range(count)]
        for panel, *others in zip(compared, *members, strict=True):
            values = np.array([other["splits"]["all"]["prediction"] for other in others])
            if np.ptp(values, axis=0).any():  # a role with a single model has no deviation
                panel["splits"]["all"]["deviation"] = values.std(axis=0, ddof=1)
    return predictions, compared
