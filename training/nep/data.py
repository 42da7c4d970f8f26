"""Prepare the data of a training run: read structures, and compute labels and moments of each split."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tnep_calc.artifact import DTYPES
from tnep_calc.errors import InputError
from tnep_calc.structures import LabelledStructure

from ..common.labels import Labels, Weighting, make_labels
from ..common.reading import read_for_training
from ..common.splits import SPLITS
from ..common.store import Storage
from .config import TrainingConfig
from .features import Basis
from .parts import Part, make_part

log = logging.getLogger(__name__)

_FIELD = {"potential": "strain", "dipole": "dipole", "polarizability": "strain"}


def read_structures(config: TrainingConfig) -> list[LabelledStructure]:
    """Read and check the data files; every structure must have the fitted labels unless ``data.allow_missing``."""
    required = [] if config.data.allow_missing else list(config.loss.weights(config.model.kind))
    species = config.model.species if config.start is None else ()  # a model to start from knows its species already

    def check(structures: Sequence[LabelledStructure]) -> None:
        names = list(config.loss.weights(config.model.kind))
        if without := sum(not _has_any(s, names) for s in structures):
            log.info(
                "%d of %d structures have none of the fitted labels (%s) and are left out",
                without,
                len(structures),
                ", ".join(names),
            )

    return read_for_training(config, required, species, check=check)


def _has_any(structure, names):
    return any(getattr(structure, name) is not None for name in names)


def labelled(
    indices: Mapping[str, np.ndarray], structures: Sequence[LabelledStructure], config: TrainingConfig
) -> dict[str, np.ndarray]:
    """Return splits without the structures that have none of the fitted labels, if ``data.allow_missing``.

    Raises
    ------
    InputError
        If no training structure is left, although structures of other splits are.
    """
    if not config.data.allow_missing:
        return dict(indices)
    names = list(config.loss.weights(config.model.kind))
    left = {
        split: np.array([k for k in own if _has_any(structures[k], names)], dtype=int) for split, own in indices.items()
    }
    if not len(left["train"]) and any(map(len, left.values())):
        raise InputError(
            f"none of the {len(indices['train'])} training structures has any of the fitted labels "
            f"({', '.join(names)}); {sum(map(len, left.values()))} validation or test structures have one"
        )
    return left


def moment_options(config: TrainingConfig) -> dict[str, Any]:
    """Return the keyword arguments of :func:`tnep_calc.training.nep.moments.build_moments` for a configuration."""
    kind, weights = config.model.kind, config.loss.weights(config.model.kind)
    return {
        "field": None if kind == "potential" and "virial" not in weights else _FIELD[kind],
        "gradient": "forces" in weights or "born_charges" in weights,
        "dtype": DTYPES[config.optimizer.precision],
    }


def labels_of(config: TrainingConfig, structures: Sequence[LabelledStructure]) -> Labels:
    """Return the labels of structures, with the weights and the dipole folding of a configuration."""
    loss, names = config.loss, list(config.loss.weights(config.model.kind))
    weighting = Weighting(loss.shear, loss.species_weights, loss.force_delta)
    return make_labels(structures, names, config.model.species, config.data.fold_dipole, weighting)


def make_parts(
    config: TrainingConfig,
    basis: Basis,
    structures: Sequence[LabelledStructure],
    indices: Mapping[str, np.ndarray],
    storage: Storage,
) -> dict[str, Part]:
    """Return the splits that have structures, with their labels and moments.

    Parameters
    ----------
    config : TrainingConfig
    basis : Basis
        Basis of the moments.
    structures : sequence of LabelledStructure
    indices : mapping of str to array of int
        Structures of each split.
    storage : Storage
        Where the moments are kept.

    Raises
    ------
    DataFileError
        If a structure has an unknown species or an unsound geometry.
    """
    parts: dict[str, Part] = {}
    for split in SPLITS:
        chosen = [structures[k] for k in indices[split]]
        if not chosen:
            continue
        batch, order = 0, np.arange(len(chosen))
        if split == "train" and config.optimizer.batch:
            batch, order = config.optimizer.batch, np.random.default_rng(config.data.seed).permutation(len(chosen))
        parts[split] = make_part(
            chosen, labels_of(config, chosen), basis, storage, order=order, batch=batch, **moment_options(config)
        )
    return parts
