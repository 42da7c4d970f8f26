"""Random parts of the structures: for training, for validation, and for the test at the end.

Structures of one geometry, such as its calculations in several fields, are never on different sides: the error of one
of them would be that of training.  So all draws are of whole geometries; where each occurs once, of structures.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tnep_calc.errors import InputError
from tnep_calc.io.structures.finite_field import geometry_key
from tnep_calc.structures import LabelledStructure

from .config import BaseConfig

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
"""Names of the parts, in the order in which they are shown."""


def geometry_groups(structures: Sequence[LabelledStructure]) -> np.ndarray:
    """Return the number of each structure's geometry, counted from 0 in order of first appearance."""
    numbers: dict[tuple, int] = {}
    keys = (geometry_key(s.symbols, s.positions, s.cell) for s in structures)
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=int)


def fill(order: np.ndarray, sizes: np.ndarray, count: int) -> np.ndarray:
    """Return the groups that make a part of about `count` structures, in this order.

    Every group is taken that brings the number of structures nearer to `count`.  If none does, as all are too large,
    the first of the smallest is taken, so that a part that should have structures has some.

    Parameters
    ----------
    order : ndarray of int
        The groups that are left, as drawn.
    sizes : ndarray of int
        Number of structures of each group, of all there are.
    count : int
    """
    taken: list[int] = []
    missing = count
    for group in order:
        if abs(missing - sizes[group]) < missing:
            taken.append(group)
            missing -= sizes[group]
    if count > 0 and not taken and len(order):
        taken = [order[np.argmin(sizes[order])]]
    return np.array(taken, dtype=int)


def split_indices(structures: Sequence[LabelledStructure], config: BaseConfig) -> dict[str, np.ndarray]:
    """Return the sorted structure indices of each split, drawn with ``data.seed``.

    Geometries are drawn in a random order, first for the test, then for the validation, see :func:`fill`; the rest is
    for training.  Configurations with the same fractions and seed give the same splits, whatever they train.

    Raises
    ------
    InputError
        If none of the structures is left to train on.
    """
    groups, data = geometry_groups(structures), config.data
    sizes = np.bincount(groups)
    order = np.random.default_rng(data.seed).permutation(len(sizes))
    parts = {}
    for name, fraction in (("test", data.test_fraction), ("validation", data.validation_fraction)):
        parts[name] = fill(order, sizes, round(fraction * len(groups)))
        order = order[~np.isin(order, parts[name])]
    if not len(order):
        raise InputError(f"{counted(groups)} are too few for these fractions: none is left to train on")
    parts["train"] = order
    return {name: np.flatnonzero(np.isin(groups, chosen)) for name, chosen in parts.items()}


def outer_indices(structures: Sequence[LabelledStructure], config: BaseConfig) -> dict[str, np.ndarray]:
    """Return the splits of a single model; of an ensemble, without what its members set aside for validation."""
    if config.ensemble.n_splits:
        config = replace(config, data=replace(config.data, validation_fraction=0.0))
    return split_indices(structures, config)


def counted(groups: np.ndarray) -> str:
    """Return the number of structures in words, and that of their geometries where it is another."""
    n, different = len(groups), len(np.unique(groups))
    return f"{n} structures" + (f" of {different} geometr{'y' if different == 1 else 'ies'}" if different < n else "")


def log_groups(structures: Sequence[LabelledStructure], config: BaseConfig) -> None:
    """Log that geometries are kept together, if some have several structures and anything is drawn."""
    groups, data = geometry_groups(structures), config.data
    drawn = data.test_fraction > 0 or data.validation_fraction > 0 or config.ensemble.n_splits
    if drawn and groups.max(initial=-1) + 1 < len(groups):
        log.info("%s: all of a geometry are on the same side of a split", counted(groups))


_SHOWN = 20  # pairs in a message


def extrapolation_warning(name: str, lacking: Mapping[str, set[int]], total: int, cutoff: str) -> str:
    """Return the line that names what structures of a split have and none to train on has.

    Parameters
    ----------
    name : str
        Of the split.
    lacking : mapping of str to set of int
        Structures by species or pair.
    total : int
        Number of structures of the split.
    cutoff : str
        Which one pairs are within.
    """
    ordered = sorted(lacking.items(), key=lambda item: (-len(item[1]), item[0]))
    words = ", ".join(f"{what} in {len(own)}" for what, own in ordered[:_SHOWN])
    words += f", and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    return (
        f"warning: {len(set().union(*lacking.values()))} of {total} {name} structures have species, or pairs within "
        f"the {cutoff}, that none to train on has ({words}): predictions for these are extrapolation"
    )
