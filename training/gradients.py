"""The gradient of the loss over blocks of structures, of one model or of several at once."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .blocks import Block, Part
from .model import NepOnMoments
from .objective import Objective


def set_gradient(
    vector: Tensor, model: NepOnMoments, objective: Objective, blocks: Sequence[Block], *, frozen: int = 0,
    fits: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Set ``vector.grad`` to the gradient of the loss over some blocks, and return the loss.

    Parameters
    ----------
    vector : Tensor, shape ([P,] n_parameters)
        Leaf that requires a gradient, of one model or of P.
    model : NepOnMoments
    objective : Objective
    blocks : sequence of Block
        A structure counts as its share of all those in them.
    frozen : int, default 0
        The first so many parameters get no gradient.
    fits : Tensor of bool, shape (P, structures of the part), optional
        Which structures each model is trained on; None = all.

    Returns
    -------
    Tensor of float64, shape ([P])
    """
    labels = [block.labels if fits is None else block.labels.of_models(fits[:, block.structures]) for block in blocks]
    counts = {name: sum(own.rows[name] for own in labels) for name in objective.weights}
    values = vector.detach()
    vector.grad = objective.penalty_gradient(values)
    total = objective.penalty(values)
    for block, own in zip(blocks, labels, strict=True):
        predictions = model.predict(vector, block.load(), list(objective.weights))
        loss = objective.loss(objective.terms(own, predictions, counts=counts))
        loss.sum().backward()  # type: ignore[no-untyped-call]
        total = total + loss.detach()
    if frozen:
        vector.grad[..., :frozen] = 0.0
    return total


def share_of(part: Part, blocks: Sequence[Block]) -> float:
    """Return the share of the structures of a part that some of its blocks have."""
    return sum(len(block.structures) for block in blocks) / len(part.structures)
