"""Invariants of the angular sums with closed-form first and second derivatives.

Every block of the descriptor is a homogeneous polynomial ``q(S)`` of degree d (2, 3 or 4), so there is a symmetric
matrix field ``Q(S)`` with ``q = S.Q S``, ``dq/dS = d Q S`` and ``d2q/dS2 = d (d-1) Q``.  All three are dense products.
"""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor

from tnep_calc.io.nep_txt import EXTRA_BLOCKS
from tnep_calc.models.tables import block_terms, three_body_weights


class _Block:
    """One optional 4- or 5-body block: its matrix field on the components that occur in it."""

    def __init__(self, name, dtype):
        terms = block_terms(name)
        support = sorted({s for _, factors in terms for s in factors})
        place = {s: k for k, s in enumerate(support)}
        self.degree = len(terms[0][1])
        m = len(support)
        tensor = torch.zeros((m,) * self.degree, dtype=torch.float64)
        for coefficient, factors in terms:
            orders = list(permutations(place[s] for s in factors))
            for order in orders:
                tensor[order] += coefficient / len(orders)
        self.support = torch.tensor(support)
        self.size = m
        self.tensor = tensor.to(dtype).reshape(-1, m * m)

    def matrix(self, x: Tensor) -> Tensor:
        """Return Q, shape (..., m, m), of the supported components x, shape (..., m)."""
        if self.degree == 4:
            x = (x.unsqueeze(-1) * x.unsqueeze(-2)).flatten(-2)
        return (x @ self.tensor).unflatten(-1, (self.size, self.size))


class InvariantDerivatives:
    """Invariants of angular sums and their derivatives; see :class:`tnep_calc.models.descriptor.Invariants`.

    Parameters
    ----------
    l_max : int
    extra : tuple of bool
        Which of ``EXTRA_BLOCKS`` are on.
    dtype : torch.dtype
    """

    def __init__(self, l_max: int, extra: tuple[bool, ...], dtype: torch.dtype = torch.float64):
        self.weights = torch.tensor(three_body_weights(l_max), dtype=dtype)
        self.l_max = l_max
        self.blocks = [_Block(name, dtype) for name, on in zip(EXTRA_BLOCKS, extra, strict=True) if on]

    def at(self, sums: Tensor) -> _AtSums:
        """Return the invariants at angular sums of shape (..., n, S)."""
        return _AtSums(self, sums)


class _AtSums:
    """Values and derivatives at given sums; matrices of the optional blocks are computed once."""

    def __init__(self, parent: InvariantDerivatives, sums: Tensor):
        self.parent, self.sums = parent, sums
        self.parts = []
        for block in parent.blocks:
            x = sums.index_select(-1, block.support)
            q = block.matrix(x)
            self.parts.append((block, q, x, (q @ x.unsqueeze(-1)).squeeze(-1)))

    def values(self) -> Tensor:
        """Return the invariants, shape (..., n, blocks)."""
        q = [(self.sums * self.sums) @ self.parent.weights]
        q += [(x * qx).sum(-1, keepdim=True) for _, _, x, qx in self.parts]
        return torch.cat(q, dim=-1)

    def along(self, direction: Tensor) -> Tensor:
        """Return the derivative of the invariants along a change of the sums; broadcasts over leading axes."""
        q = [2.0 * (self.sums * direction) @ self.parent.weights]
        for block, _, _, qx in self.parts:
            d = direction.index_select(-1, block.support)
            q.append(block.degree * (d * qx).sum(-1, keepdim=True))
        return torch.cat(q, dim=-1)

    def pull_back(self, weights: Tensor) -> Tensor:
        """Return ``sum_q weights[q] dq/dS``, shape (..., n, S), of weights, shape (..., n, blocks)."""
        l_max = self.parent.l_max
        total = 2.0 * self.sums * (weights[..., :l_max] @ self.parent.weights.t())
        for k, (block, _, _, qx) in enumerate(self.parts):
            part = block.degree * weights[..., l_max + k, None] * qx
            total = total.index_add(-1, block.support, part)
        return total

    def pull_back_along(self, weights: Tensor, direction: Tensor) -> Tensor:
        """Return ``sum_q weights[q] (d2q/dS2 direction)``, shape of the direction."""
        l_max = self.parent.l_max
        total = 2.0 * direction * (weights[..., :l_max] @ self.parent.weights.t())
        for k, (block, q, _, _) in enumerate(self.parts):
            d = direction.index_select(-1, block.support)
            factor = block.degree * (block.degree - 1) * weights[..., l_max + k, None]
            total = total.index_add(-1, block.support, factor * (q @ d.unsqueeze(-1)).squeeze(-1))
        return total
