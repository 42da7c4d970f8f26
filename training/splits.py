"""Random parts of the structures: for training, for validation, and for the test at the end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tnep_calc.errors import InputError

from .tables import BaseConfig

SPLITS = ("train", "validation", "test")
"""Names of the parts, in the order in which they are shown."""


def split_indices(n: int, config: BaseConfig) -> dict[str, np.ndarray]:
    """Return the sorted structure indices of each split, drawn with ``data.seed``.

    Configurations with the same fractions and seed give the same splits, whatever they train.

    Raises
    ------
    InputError
        If none of the `n` structures is left to train on.
    """
    order = np.random.default_rng(config.data.seed).permutation(n)
    n_test, n_validation = (round(f * n) for f in (config.data.test_fraction, config.data.validation_fraction))
    if n - n_test - n_validation < 1:
        raise InputError(f"{n} structures are too few for these fractions: none is left to train on")
    limits = np.split(order, [n_test, n_test + n_validation])
    return dict(zip(("test", "validation", "train"), map(np.sort, limits), strict=True))


def outer_indices(n: int, config: BaseConfig) -> dict[str, np.ndarray]:
    """Return the splits of a single model; of an ensemble, without what its members set aside for validation."""
    if config.ensemble.n_splits:
        config = replace(config, data=replace(config.data, validation_fraction=0.0))
    return split_indices(n, config)
