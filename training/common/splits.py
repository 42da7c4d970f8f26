"""Random splits of the structures: for training, for validation, and for the test at the end.

Structures of one geometry, such as calculations in several fields, always stay together.  Otherwise the error of a test
structure would be close to a training error.  All draws are therefore draws of whole geometries.
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
    """Return the geometry index of each structure, counted from 0 in order of first appearance."""
    numbers: dict[tuple, int] = {}
    keys = (geometry_key(s.symbols, s.positions, s.cell) for s in structures)
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=int)


def fill(order: np.ndarray, sizes: np.ndarray, count: int) -> np.ndarray:
    """Return groups, in this order, that together have about `count` structures.

    A group is taken if it brings the number of structures closer to `count`.  If none does because all are too large,
    the first of the smallest groups is taken, so that the part is not empty.

    Parameters
    ----------
    order : ndarray of int
        The groups that are left, in random order.
    sizes : ndarray of int
        Number of structures of every group, also of those that are not in `order`.
    count : int
        Wanted number of structures.
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

    Geometries are drawn in a random order, first for the test, then for validation, see :func:`fill`; the rest is for
    training.  Configurations with the same fractions and seed give the same splits for all kinds of models.

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
    """Return the splits of a single model; for an ensemble, before its members set validation structures aside."""
    if config.ensemble.n_splits:
        config = replace(config, data=replace(config.data, validation_fraction=0.0))
    return split_indices(structures, config)


def counted(groups: np.ndarray) -> str:
    """Return the number of structures as text, with the number of geometries if that is different."""
    n, different = len(groups), len(np.unique(groups))
    return f"{n} structures" + (f" of {different} geometr{'y' if different == 1 else 'ies'}" if different < n else "")


def log_groups(structures: Sequence[LabelledStructure], config: BaseConfig) -> None:
    """Log that geometries are kept together, if some have several structures and anything is drawn."""
    groups, data = geometry_groups(structures), config.data
    drawn = data.test_fraction > 0 or data.validation_fraction > 0 or config.ensemble.n_splits
    if drawn and groups.max(initial=-1) + 1 < len(groups):
        log.info("%s: structures of one geometry stay in the same split", counted(groups))


_SHOWN = 20  # pairs in a message


def extrapolation_warning(name: str, lacking: Mapping[str, set[int]], total: int, cutoff: str) -> str:
    """Return the warning that names species and pairs of a split that no training structure has.

    Parameters
    ----------
    name : str
        Name of the split.
    lacking : mapping of str to set of int
        Indices of structures by species or pair.
    total : int
        Number of structures of the split.
    cutoff : str
        Name of the cutoff that defines pairs.
    """
    ordered = sorted(lacking.items(), key=lambda item: (-len(item[1]), item[0]))
    words = ", ".join(f"{what} in {len(own)}" for what, own in ordered[:_SHOWN])
    words += f", and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    return (
        f"warning: {len(set().union(*lacking.values()))} of {total} {name} structures have species, or pairs within "
        f"the {cutoff}, that no training structure has ({words}): predictions for these are extrapolation"
    )
