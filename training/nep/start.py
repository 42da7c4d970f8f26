"""The parameters with which a training starts: random ones, a linear fit, or those of an existing model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .config import TrainingConfig
from .coverage import Coverage
from .fine_tuning import start_vector
from .initial import initialise
from .linear.start import linear_vector
from .loss import Objective
from .model import NepOnMoments
from .parts import Part
from .scaling import Scaling

SEED_STEP = 1_000_003
"""Distance between the seeds of successive starts, and of successive epochs."""


def initial_vector(
    config: TrainingConfig, model: NepOnMoments, parts: Mapping[str, Part], objective: Objective, seen: Coverage
) -> Tensor:
    """Return the initial parameters of all starts, and set the scaling of the model.

    Parameters
    ----------
    config : TrainingConfig
    model : NepOnMoments
    parts : mapping of str to Part
        The splits; parameters are fitted to ``"train"``.
    objective : Objective
        Weights and spreads of the labels.
    seen : Coverage
        Species and pairs of the training structures.

    Returns
    -------
    Tensor of float64, shape (n_parameters,) or (restarts, n_parameters)
    """
    train, seed, method = parts["train"], config.model.seed, config.optimizer.method
    if config.start is not None:
        return start_vector(model, train.blocks, config.start, method)
    if config.model.initial == "linear":
        return linear_vector(config, model, parts, objective)
    vectors, scalings = [], []
    for k in range(config.optimizer.restarts):
        vectors.append(
            initialise(model, train.blocks, train.labels, objective.spreads, seen, seed + SEED_STEP * k, method)
        )
        scalings.append(model.scaling)
    if len(vectors) == 1:
        return vectors[0]
    model.scaling = Scaling.stack(scalings)
    return torch.stack(vectors)
