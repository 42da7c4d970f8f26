"""The loss of gradient training, and its gradient over blocks of structures, for one model or several at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..common import processes
from ..common.labels import WITH_CONSTANTS, Labels, site_constants, spreads
from .config import TrainingConfig
from .initial import decay_weights
from .model import NepOnMoments
from .parts import Block, Part


@dataclass(frozen=True)
class Objective:
    """The loss: ``sum_q weight_q <error_q^2> / spread_q^2 + weight_decay * sum_p w_p p^2``.

    Attributes
    ----------
    weights, spreads : mapping of str to float
        By label; for several models the spreads are tensors, shape (P,).
    decay : Tensor, shape (n_parameters,)
        ``weight_decay * w``, see :func:`tnep_calc.training.nep.initial.decay_weights`.
    center : Tensor, shape ([P,] n_parameters), or None
        Parameters that the penalty pulls towards; None = 0.
    """

    weights: Mapping[str, float]
    spreads: Mapping[str, Any]
    decay: Tensor
    center: Tensor | None = None

    @staticmethod
    def stack(several: Sequence[Objective]) -> Objective:
        """Return the objectives of several models, with the same weights and penalty, as one."""
        first = several[0]
        spreads = {name: first.decay.new_tensor([o.spreads[name] for o in several]) for name in first.spreads}
        centers = [o.center for o in several if o.center is not None]
        return replace(first, spreads=spreads, center=torch.stack(centers) if centers else None)

    def terms(
        self,
        labels: Labels,
        predictions: Mapping[str, Tensor],
        weighted: bool = True,
        counts: Mapping[str, Any] | None = None,
    ) -> dict[str, Tensor]:
        """Return the mean squared error of each label in units of its squared spread.

        Parameters
        ----------
        labels : Labels
        predictions : mapping of Tensor
            By label, shapes as in :meth:`tnep_calc.training.nep.model.NepOnMoments.predict`.
        weighted : bool, default True
            Apply the weights of rows and components.
        counts : mapping of int or Tensor, optional
            Number of rows of each label to divide by, if `labels` are only a part of these rows; for several models a
            tensor, shape (P,).  A label without rows contributes 0.
        """
        terms = {}
        for name in self.weights:
            count = labels.rows[name] if counts is None else counts[name]
            total: Any = labels.square_sum(name, predictions[name], weighted)
            count = count.clamp(min=1) if isinstance(count, Tensor) else max(count, 1)
            terms[name] = total / (count * self.spreads[name] ** 2)
        return terms

    def loss(self, terms: Mapping[str, Tensor], vector: Tensor | None = None) -> Tensor:
        """Return the weighted sum of terms, with the penalty if the parameter vector is given."""
        total = sum(weight * terms[name] for name, weight in self.weights.items())
        if vector is not None:
            total = total + self.penalty(vector)
        return total  # type: ignore[return-value]

    def penalty(self, vector: Tensor) -> Tensor:
        """Return the penalty of parameter vectors, shape (..., n_parameters)."""
        return (self.decay * (vector if self.center is None else vector - self.center).square()).sum(dim=-1)

    def penalty_gradient(self, vector: Tensor) -> Tensor:
        """Return the gradient of :meth:`penalty`, of the shape of the vectors."""
        return 2.0 * self.decay * (vector if self.center is None else vector - self.center)


def objective_of(config: TrainingConfig, model: NepOnMoments, labels: Labels) -> Objective:
    """Return the objective of a configuration, with the spreads of the training labels."""
    weights = config.loss.weights(config.model.kind)
    site = torch.zeros(len(config.model.species), dtype=torch.float64)
    if (name := next((name for name in WITH_CONSTANTS if name in weights), None)) is not None:
        site = site_constants(labels, name, len(site))
    decay = config.loss.weight_decay * decay_weights(model, config.optimizer.method)
    return Objective(weights, spreads(labels, site), decay)


def set_gradient(
    vector: Tensor,
    model: NepOnMoments,
    objective: Objective,
    blocks: Sequence[Block],
    *,
    frozen: int = 0,
    fits: Tensor | None = None,
) -> Tensor:
    """Set ``vector.grad`` to the gradient of the loss over some blocks, and return the loss.

    Several processes compute a share each, and all get the sums.

    Parameters
    ----------
    vector : Tensor, shape ([P,] n_parameters)
        Leaf that requires a gradient, of one model or of P.
    model : NepOnMoments
    objective : Objective
    blocks : sequence of Block
        The loss is the mean over their structures.
    frozen : int, default 0
        Number of parameters, from the first on, whose gradient is set to 0.
    fits : Tensor of bool, shape (P, structures of the part), optional
        Which structures each model is trained on; None = all.

    Returns
    -------
    Tensor of float64, shape () or (P,)
        Loss of each model, with the penalty.
    """
    labels = [block.labels if fits is None else block.labels.of_models(fits[:, block.structures]) for block in blocks]
    counts = {name: sum(own.rows[name] for own in labels) for name in objective.weights}
    values = vector.detach()
    vector.grad = objective.penalty_gradient(values)
    total = objective.penalty(values)
    if processes.rank() > 0:  # the first process adds the penalty
        vector.grad, total = torch.zeros_like(vector.grad), torch.zeros_like(total)
    for block, own in zip(blocks, labels, strict=True):
        if not processes.mine(block.owner):
            continue
        predictions = model.predict(vector, block.load(), list(objective.weights))
        loss = objective.loss(objective.terms(own, predictions, counts=counts))
        loss.sum().backward()  # type: ignore[no-untyped-call]
        total = total + loss.detach()
    processes.add_up(vector.grad, total)
    if frozen:
        vector.grad[..., :frozen] = 0.0
    return total


def share_of(part: Part, blocks: Sequence[Block]) -> float:
    """Return the fraction of the structures of a part that are in some of its blocks."""
    return sum(len(block.structures) for block in blocks) / len(part.structures)
