"""How far the predictions of the evolution strategy, in single precision, are from those of its ``nep.txt``."""

from __future__ import annotations

from dataclasses import replace

import torch

from tnep_calc.io.gpumd_training import MISSING, parity_tables

from ..rounding import sample, share
from .evaluate import as_evaluated, evaluate
from .snes_fitness import Fitness
from .snes_trainer import SnesTrainer


def snes_rounding(trainer: SnesTrainer, memory_gb: float) -> dict[str, float]:
    """Return what single precision adds to the errors of the elite, by the name of the error.

    Structures that are trained on, at most 20, are predicted as in training, and by the reference model in double
    precision.

    Returns
    -------
    dict of str to float
        Root mean square of the differences as a share of the RMSE on the same structures; NaN without targets.
    """
    options, frames = trainer.options, sample(trainer.frames)
    fitness = Fitness(trainer.layout, replace(options, batch=len(frames)), frames, memory_gb)
    fitness.q_scaler = trainer.fitness.q_scaler
    frames = [frames[k] for k in fitness.batches[0]]
    exact = evaluate(trainer.parameters(), frames)
    single = as_evaluated(fitness.predictions(trainer.elite.vector), options.atomic_v)
    one, other = (parity_tables(options.kind, frames, found, options.atomic_v) for found in (exact, exact | single))
    shares = {}
    for name in fitness.terms:
        table = "force" if name == "forces" else name
        (prediction, target), (rounded, _) = one[table], other[table]
        known = target[:, 0] != MISSING
        if name in fitness.wanted:
            shares[name] = share(*(torch.from_numpy((a - prediction)[known]) for a in (rounded, target)))
    return shares
