"""The methods of a training run: Adam or SOAP for the first steps and their learning rate, then L-BFGS."""

from __future__ import annotations

import math
from typing import Any

import torch

from .soap import SOAP

# In few steps short averages, and an eigenbasis that follows the gradients, get further; many steps need less noise.
_SHORT = 500
_ADAM: dict[str, Any] = {"betas": (0.9, 0.99)}
_SOAP: dict[bool, dict[str, Any]] = {
    True: {"betas": (0.8, 0.9), "interval": 5}, False: {"betas": (0.95, 0.95), "interval": 10}
}  # fmt: skip
LBFGS_CHUNK = 10
"""Iterations of L-BFGS between two looks at the clock; part of what makes a resumed run exact."""


def first_method(
    name: str, steps: int, blocks: list[tuple[int, ...]]
) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """Return the optimizer of the first steps and its options.

    Parameters
    ----------
    name : {"adam", "soap"}
    steps : int
        Number of these steps.
    blocks : list of tuple of int
        Shapes of the blocks of the parameter vector, see :class:`tnep_calc.training.soap.SOAP`.
    """
    if name == "adam":
        return torch.optim.Adam, _ADAM
    return SOAP, {"blocks": blocks, **_SOAP[steps <= _SHORT]}


def learning_rate(largest: float, done: float) -> float:
    """Return the learning rate after a share of the first steps: a linear rise over a tenth, half a cosine to 1 %."""
    return largest * min(1.0, 10 * done + 0.01) * (0.505 + 0.495 * math.cos(math.pi * done))


def lbfgs(history: int) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """Return L-BFGS and its options, with a number of pairs of steps and gradients that are kept.

    One step of it is ``LBFGS_CHUNK`` iterations; no tolerance ends it before.
    """
    return torch.optim.LBFGS, {
        "max_iter": LBFGS_CHUNK, "max_eval": 10 * LBFGS_CHUNK, "history_size": history, "tolerance_grad": 0.0,
        "tolerance_change": 0.0, "line_search_fn": "strong_wolfe",
    }  # fmt: skip
