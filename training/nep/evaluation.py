"""Predictions, errors and timing reported during training."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tnep_calc.progress import tracked

from ..common import processes
from ..common.labels import OF_STRUCTURES, Labels
from .loss import Objective
from .model import NepOnMoments
from .parts import Part

log = logging.getLogger(__name__)


def predictions_of(part: Part, model: NepOnMoments, vector: Tensor, wanted: Sequence[str]) -> dict[str, Tensor]:
    """Return the predictions for a part, as :meth:`NepOnMoments.predict` does but without gradients.

    They are in the order of the part and on the CPU, like its labels.  If `model` has the constants of several models,
    a single vector is evaluated with those of the first.  Several processes compute a share each, and all get all.

    Parameters
    ----------
    part : Part
    model : NepOnMoments
    vector : Tensor, shape ([P,] n_parameters)
    wanted : sequence of str
        Labels.
    """
    if vector.ndim == 1 and model.scaling.mean.ndim == 3:
        model = model.with_scaling(model.scaling.member(0))
    axis = vector.ndim - 1
    out: dict[str, Tensor] = {}
    shared = {block.owner for block in part.blocks} >= set(range(processes.size()))
    with torch.no_grad():
        for block in tracked(part.blocks, log, "parts of the structures predicted", len(part.blocks)):
            if shared and not processes.mine(block.owner):
                continue
            for label, found in model.predict(vector, block.load(), list(wanted)).items():
                value = found.cpu()
                rows = block.structures if label in OF_STRUCTURES else block.atoms
                if label not in out:
                    shape = [*value.shape]
                    shape[axis] = len(part.labels.targets[label])
                    out[label] = value.new_zeros(shape)
                out[label].index_copy_(axis, rows, value)
    if shared:
        processes.add_up(*(out[label] for label in wanted))
    return out


def errors_of(objective: Objective, labels: Labels, predictions: dict[str, Tensor]) -> tuple[float, dict[str, float]]:
    """Return the loss of predictions, and their RMSE by label in its unit (NaN where no label is known)."""
    loss = float(objective.loss(objective.terms(labels, predictions)))
    terms = objective.terms(labels, predictions, weighted=False)
    return loss, {
        label: float(term) ** 0.5 * objective.spreads[label] if labels.known[label].any() else math.nan
        for label, term in terms.items()
    }


class Clock:
    """Counts and times the gradients that this process computes.

    Attributes
    ----------
    gradients : int
        Number of gradients.
    passes : float
        Passes over all training structures; a batch counts as its share of them.
    seconds : float
        Total time.
    """

    def __init__(self):
        self.gradients, self.passes, self.seconds = 0, 0.0, 0.0

    def add(self, share: float, seconds: float) -> None:
        """Count a gradient over this share of the training structures."""
        self.gradients += 1
        self.passes += share
        self.seconds += seconds

    def speed(self, part: Part, model: NepOnMoments, models: int) -> dict[str, float]:
        """Return the cost of a pass over all structures of a part, and the measured speed.

        Parameters
        ----------
        part : Part
        model : NepOnMoments
        models : int
            Number of models that are evaluated at once.

        Returns
        -------
        dict
            ``gigabytes``: moments read, once for the predictions and once for the gradient.  ``gigaflops``: operations
            with them; per feature, with n functions and C fields, 4 n for the sums and 6 n + 4 C for their changes.
            ``seconds``, ``gigabytes_per_second``, ``gigaflops_per_second``: means over the passes of this process.
        """
        width, rows = torch.finfo(model.dtype).bits // 8, max(model.n_radial, model.n_angular) * models
        seconds = self.seconds / max(1e-30, self.passes)
        fields = {"dipole": 3, "polarizability": 6}.get(model.config.kind, 0)
        operations = (10 * rows + 4 * fields * models) / (1 + fields) if fields else 4 * rows
        cost = {"gigabytes": 2 * width * part.numbers / 1e9, "gigaflops": operations * part.numbers / 1e9}
        rates = {f"{name}_per_second": value / seconds if seconds else 0.0 for name, value in cost.items()}
        return {**cost, "seconds": seconds, **rates}


def log_speed(clock: Clock, speed: Mapping[str, float]) -> None:
    """Log how fast the gradients of this process were; see :meth:`Clock.speed`."""
    if clock.gradients:
        log.info(
            "%d gradients, %.3g s each: %.3g GB/s of moments, %.3g GFLOP/s in products with them",
            clock.gradients,
            speed["seconds"],
            speed["gigabytes_per_second"],
            speed["gigaflops_per_second"],
        )
