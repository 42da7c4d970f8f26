"""Predictions of a calculator for labelled structures, and their comparison with the labels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress

from tnep_calc.calculators.batch import Batch, batches
from tnep_calc.calculators.ensemble import MEMBERS
from tnep_calc.calculators.tnep import TNEPCalculator
from tnep_calc.families import ROLES
from tnep_calc.polarization import change_of_branch, quanta_in
from tnep_calc.progress import Progress
from tnep_calc.structures import LABELS, LabelledStructure

from ..common.labels import WITH_CONSTANTS, make_labels, site_constants
from ..common.labels import spreads as label_spreads
from ..common.parity import panels

log = logging.getLogger(__name__)


def predict(
    calculator: TNEPCalculator, structures: Sequence[LabelledStructure]
) -> tuple[list[LabelledStructure], list[list[LabelledStructure]]]:
    """Return structures with the predictions of a calculator in place of their labels, evaluated in batches.

    Enthalpy models are evaluated in the ``electric_field`` of each structure.

    Parameters
    ----------
    calculator : TNEPCalculator
    structures : sequence of LabelledStructure

    Returns
    -------
    predictions : list of LabelledStructure
        Means over the members of ensembles.
    members : list of list of LabelledStructure
        For every member of the ensembles its predictions; a single model counts as every member.  Empty without an
        ensemble.

    Raises
    ------
    InputError
        If the models cannot be evaluated for a structure; the message has its index.
    """
    labels = {name: (role, label) for role in calculator.models for name, label in ROLES[role].labels.items()}
    count = max(map(len, calculator.models.values()))
    takes_field = any(ROLES[role].field for role in calculator.models)
    frames = [Atoms(s.symbols, s.positions, cell=s.cell, pbc=s.pbc) for s in structures]
    means: list[LabelledStructure] = []
    members: list[list[LabelledStructure]] = [[] for _ in range(count if count > 1 else 0)]
    progress = Progress(log, "structures", len(structures))
    for batch in batches(frames):
        first = len(means)
        own = structures[first : first + len(batch)]
        fields = [s.electric_field if takes_field else None for s in own]
        for structure, found in zip(own, Batch(calculator, batch, fields, first).properties(list(labels)), strict=True):
            means.append(_labelled(structure, {label: found.get(name) for name, (_, label) in labels.items()}))
            for k, predictions in enumerate(members):
                one = {}
                for name, (role, label) in labels.items():
                    several = len(calculator.models[role]) > 1 and name in found
                    one[label] = found[name + MEMBERS][k] if several else found.get(name)
                predictions.append(_labelled(structure, one))
        progress.advance(len(batch))
    return means, members


def _labelled(structure, values):
    """Return a structure with predicted values, by label; a stress becomes a virial."""
    found: dict[str, Any] = dict.fromkeys(LABELS)
    for label, value in values.items():
        if value is not None:
            if label == "virial":
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
    predictions, members = predict(calculator, structures)
    compared = compare(structures, predictions, fold)
    if members:
        alone = [compare(structures, own, fold) for own in members]
        for panel, *others in zip(compared, *alone, strict=True):
            values = np.array([other["splits"]["all"]["prediction"] for other in others])
            if np.ptp(values, axis=0).any():  # a role with a single model has no deviation
                panel["splits"]["all"]["deviation"] = values.std(axis=0, ddof=1)
    return predictions, compared
