"""Compare the single-precision predictions of the evolution strategy with those of its ``nep.txt``."""

from __future__ import annotations

import math

import numpy as np
import torch

from tnep_calc.io.gpumd.training_output import MISSING, parity_tables

from ...nep.precision import sample, share
from ..reference import as_evaluated, evaluate
from .fitness import Fitness
from .trainer import SnesTrainer


def snes_rounding(trainer: SnesTrainer) -> dict[str, float]:
    """Return the rounding error of single precision for the elite, by name of the prediction.

    At most 20 training structures are predicted as in training, and by the reference model in double precision.

    Returns
    -------
    dict of str to float
        Root mean square of the differences divided by the RMSE on the same structures; NaN without targets.
    """
    names, options, parameters = trainer.fitness.wanted, trainer.options, trainer.parameters()
    differences, errors = ({name: [] for name in names} for _ in range(2))  # type: ignore[var-annotated]
    for frame in sample(trainer.frames):
        fitness = Fitness(trainer.layout, options, [frame], math.inf)
        fitness.q_scaler = trainer.fitness.q_scaler
        exact = evaluate(parameters, [frame])
        single = as_evaluated(fitness.predictions(trainer.elite.vector), options.atomic_v)
        one, other = (
            parity_tables(options.kind, [frame], found, options.atomic_v) for found in (exact, exact | single)
        )
        for name in names:
            table = "force" if name == "forces" else name
            (prediction, target), (rounded, _) = one[table], other[table]
            known = target[:, 0] != MISSING
            differences[name].append((rounded - prediction)[known].ravel())
            errors[name].append((prediction - target)[known].ravel())
    return {
        name: share(*(torch.from_numpy(np.concatenate(own[name])) for own in (differences, errors))) for name in names
    }
