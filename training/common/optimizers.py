"""Optimizers: Adam or SOAP for the first-order steps with their learning-rate schedule, then L-BFGS.

SOAP is Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al., arXiv:2409.11321).  It is written for
parameters that are stacks of matrices, shape (..., m, n), with leading axes treated as a batch.  Vectors and one-column
matrices get plain Adam.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

_RAMP = 1e-6  # relative to the mean eigenvalue


class SOAP(torch.optim.Optimizer):
    """SOAP with decoupled weight decay.

    Parameters
    ----------
    params : iterable of parameters or groups
        A group may set ``stacked``: number of leading axes that are a batch (default: all but the last two).
    lr : float
    betas : tuple of 2 float
    shampoo_beta : float
        Decay of the preconditioner's averages.
    eps : float
    weight_decay : float
    interval : int
        Steps between two updates of the eigenbasis (one power iteration with QR each).
    largest : int
        A side longer than this is not preconditioned.
    blocks : list of tuple of int, optional
        For flat parameters: shapes of the blocks that lie side by side along their last axis.  One of fewer than two
        axes is a vector; axes of the parameters before the last are a batch.
    """

    def __init__(
        self,
        params,
        lr=3e-3,
        betas=(0.95, 0.95),
        shampoo_beta=0.95,
        eps=1e-8,
        weight_decay=0.0,
        interval=10,
        largest=1024,
        blocks=None,
    ):
        defaults = dict(
            lr=lr,
            betas=betas,
            shampoo_beta=shampoo_beta,
            eps=eps,
            weight_decay=weight_decay,
            interval=interval,
            largest=largest,
            stacked=None,
            blocks=blocks,
        )
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure=None):
        """Do one step with the current gradients."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    for key, (values, gradient, stacked) in enumerate(_blocks(parameter, parameter.grad, group)):
                        state = self.state[parameter].setdefault(key, {})
                        self._update(values, gradient, stacked, state, group)
        return loss

    def _update(self, values: Tensor, gradient: Tensor, stacked: int, state: dict, group):
        matrix = values.dim() - stacked == 2
        if matrix:
            gradient = gradient.reshape(-1, *values.shape[stacked:])
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(gradient)
            state["square"] = torch.zeros_like(gradient)
            if matrix:
                for side, size in (("left", gradient.shape[1]), ("right", gradient.shape[2])):
                    if 1 < size <= group["largest"]:
                        state[side] = gradient.new_zeros(gradient.shape[0], size, size)
        if matrix and state["step"] == 0:  # the first gradient only starts the preconditioner
            self._accumulate(state, gradient, group)
            for side in ("left", "right"):
                if side in state:
                    state["basis_" + side] = torch.linalg.eigh(_split(state[side]).double())[1].to(gradient.dtype)
            state["step"] = 1
            return
        state["step"] += 1
        beta1, beta2 = group["betas"]
        projected = self._project(state, gradient)
        state["mean"].lerp_(projected, 1 - beta1)
        state["square"].mul_(beta2).addcmul_(projected, projected, value=1 - beta2)
        k = state["step"] - (1 if matrix else 0)
        denominator = state["square"].sqrt().div_(math.sqrt(1 - beta2**k)).add_(group["eps"])
        change = self._project(state, state["mean"] / denominator, back=True).view_as(values)
        if group["weight_decay"]:
            values.mul_(1 - group["lr"] * group["weight_decay"])
        values.add_(change, alpha=-group["lr"] / (1 - beta1**k))
        if matrix:
            self._accumulate(state, gradient, group)
            if state["step"] % group["interval"] == 0:
                self._rotate(state)

    @staticmethod
    def _accumulate(state, gradient, group):
        beta = group["shampoo_beta"]
        transposed = gradient.transpose(1, 2)
        for side, pair in (("left", (gradient, transposed)), ("right", (transposed, gradient))):
            if side in state:
                state[side].baddbmm_(*pair, beta=beta, alpha=1 - beta)

    @staticmethod
    def _project(state, x, back=False):
        if "basis_left" in state:
            basis = state["basis_left"]
            x = (basis if back else basis.transpose(1, 2)) @ x
        if "basis_right" in state:
            basis = state["basis_right"]
            x = x @ (basis.transpose(1, 2) if back else basis)
        return x

    @staticmethod
    def _rotate(state):
        """Move the eigenbasis by one power iteration.

        The mean is transformed to the new basis; second moments are only reordered with their directions.
        """
        mean = SOAP._project(state, state["mean"], back=True)
        for side in ("left", "right"):
            if side not in state:
                continue
            basis, average = state["basis_" + side], _split(state[side])
            size = (basis * (average @ basis)).sum(1)
            order = size.argsort(dim=1, descending=True)
            basis = basis.gather(2, order.unsqueeze(1).expand_as(basis))
            square = state["square"]
            index = order.unsqueeze(2) if side == "left" else order.unsqueeze(1)
            state["square"] = square.gather(1 if side == "left" else 2, index.expand_as(square))
            state["basis_" + side] = torch.linalg.qr(average @ basis)[0]
        state["mean"] = SOAP._project(state, mean)


def _split(average: Tensor) -> Tensor:
    """Return the matrices with a small diagonal ramp, which makes the eigenvectors of equal eigenvalues unique.

    Without it, rounding errors would determine the directions in which there has been no gradient yet.
    """
    n = average.shape[-1]
    ramp = _RAMP * torch.linspace(1, 2, n, dtype=average.dtype, device=average.device)
    size = average.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True)
    return average + torch.diag_embed(size * ramp)


def _blocks(parameter: Tensor, gradient: Tensor, group):
    """Return blocks of a parameter as (view of the values, of the gradient, number of axes that are a batch)."""
    if group["blocks"] is None:
        stacked = max(0, parameter.dim() - 2) if group["stacked"] is None else group["stacked"]
        return [(parameter, gradient, stacked)]
    found, first, leading = [], 0, parameter.dim() - 1
    for shape in group["blocks"]:
        last = first + math.prod(shape)
        pair = (x[..., first:last].unflatten(-1, shape) for x in (parameter, gradient))
        found.append((*pair, leading + max(0, len(shape) - 2)))
        first = last
    return found


# Short runs get further with short averages and an eigenbasis that follows the gradients; long ones need less noise.
_SHORT = 500
_ADAM: dict[str, Any] = {"betas": (0.9, 0.99)}
_SOAP: dict[bool, dict[str, Any]] = {
    True: {"betas": (0.8, 0.9), "interval": 5},
    False: {"betas": (0.95, 0.95), "interval": 10},
}
LBFGS_CHUNK = 10
"""Iterations of one L-BFGS call, after which a run can be saved; a resumed run is exact only with the same number."""


def first_method(
    name: str, steps: int, blocks: list[tuple[int, ...]]
) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """Return the optimizer of the first-order steps and its options.

    Parameters
    ----------
    name : {"adam", "soap"}
    steps : int
        Number of first-order steps.
    blocks : list of tuple of int
        Shapes of the blocks of the parameter vector, see :class:`tnep_calc.training.common.optimizers.SOAP`.
    """
    if name == "adam":
        return torch.optim.Adam, _ADAM
    return SOAP, {"blocks": blocks, **_SOAP[steps <= _SHORT]}


def learning_rate(largest: float, done: float, rise: float) -> float:
    """Return the learning rate after a share of the steps: a linear rise, times half a cosine from 1 to 1 %.

    It depends only on the share.  A run that is made longer therefore resumes with the rate that the longer schedule
    has at its step.  After n of 2 n steps that is 0.505 of the largest rate, from which it falls again to 1 %.

    Parameters
    ----------
    largest : float
    done : float
        Share of the steps that are done, from 0 to 1.
    rise : float
        Share of the linear rise that is done; 1 or more = the rise is over.
    """
    return largest * min(1.0, rise) * (0.505 + 0.495 * math.cos(math.pi * min(1.0, done)))


def lbfgs(history: int) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """Return L-BFGS and its options; `history` is the number of pairs of steps and gradients that it keeps.

    One call of its ``step`` does ``LBFGS_CHUNK`` iterations; no tolerance ends it earlier.
    """
    return torch.optim.LBFGS, {
        "max_iter": LBFGS_CHUNK,
        "max_eval": 10 * LBFGS_CHUNK,
        "history_size": history,
        "tolerance_grad": 0.0,
        "tolerance_change": 0.0,
        "line_search_fn": "strong_wolfe",
    }
