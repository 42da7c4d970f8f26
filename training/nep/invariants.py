"""Invariants of the angular sums with closed-form derivatives, for many centres at once.

Every block of the descriptor is a homogeneous polynomial ``q(S)`` of degree d (2, 3 or 4).  Its gradient is a constant
matrix times the products of d - 1 sums, and ``q = S . dq/dS / d``.  Sums have the shape (..., S, centres): products
run along the centres, contractions are dense products.
"""

from __future__ import annotations

from itertools import combinations_with_replacement

import torch
from torch import Tensor

from tnep_calc.device import CPU
from tnep_calc.io.gpumd.nep_parameters import EXTRA_BLOCKS
from tnep_calc.models.nep.polynomials import block_terms, three_body_weights


class _Block:
    """One optional 4- or 5-body block: gradient on the components that occur in it."""

    def __init__(self, name: str, dtype: torch.dtype, device: torch.device):
        terms = block_terms(name)
        self.degree = len(terms[0][1])
        support = sorted({s for _, factors in terms for s in factors})
        place = {s: k for k, s in enumerate(support)}
        products = list(combinations_with_replacement(range(len(support)), self.degree - 1))
        matrix = torch.zeros(len(support), len(products), dtype=torch.float64)
        for coefficient, factors in terms:
            for k in range(self.degree):
                rest = tuple(sorted(place[s] for s in factors[:k] + factors[k + 1 :]))
                matrix[place[factors[k]], products.index(rest)] += coefficient
        used = matrix.abs().sum(dim=0) > 0
        self.support = torch.tensor(support, device=device)
        self.products = [product for product, keep in zip(products, used.tolist(), strict=True) if keep]
        self.matrix = matrix[:, used].to(device, dtype)

    def gradient(self, x: Tensor) -> Tensor:
        """Return the gradient, shape (..., m, centres), at the supported components x of the same shape."""
        return self.matrix @ self._stack([_product(x, product) for product in self.products])

    def gradient_along(self, x: Tensor, d: Tensor) -> Tensor:
        """Return the change of the gradient along d, which may have more leading axes that broadcast."""
        rows = []
        for product in self.products:
            terms = [
                d[..., product[k], :]
                if len(product) == 1
                else d[..., product[k], :] * _product(x, product[:k] + product[k + 1 :])
                for k in range(len(product))
            ]
            rows.append(sum(terms))
        return self.matrix @ self._stack(rows)

    @staticmethod
    def _stack(rows):
        return torch.stack(rows, dim=-2)


def _product(x, places):
    value = x[..., places[0], :]
    for k in places[1:]:
        value = value * x[..., k, :]
    return value


class InvariantDerivatives:
    """Invariants of angular sums and their derivatives; see :class:`tnep_calc.models.nep.descriptor.Invariants`.

    Parameters
    ----------
    l_max : int
    extra : tuple of bool
        Which of ``EXTRA_BLOCKS`` are on.
    dtype : torch.dtype
    device : torch.device, default the CPU
    """

    def __init__(
        self, l_max: int, extra: tuple[bool, ...], dtype: torch.dtype = torch.float64, device: torch.device = CPU
    ):
        self.weights = torch.tensor(three_body_weights(l_max), dtype=dtype, device=device)  # (S, l)
        self.l_max = l_max
        self.extra = sum(on << bit for bit, on in enumerate(extra))
        self.blocks = [_Block(name, dtype, device) for name, on in zip(EXTRA_BLOCKS, extra, strict=True) if on]

    def at(self, sums: Tensor) -> _AtSums:
        """Return the invariants at angular sums of shape (..., S, centres)."""
        return _AtSums(self, sums)


class _AtSums:
    """Values and derivatives at given sums; gradients of the optional blocks are computed once."""

    def __init__(self, parent: InvariantDerivatives, sums: Tensor):
        self.parent, self.sums = parent, sums
        self.parts = []
        for block in parent.blocks:
            x = sums.index_select(-2, block.support)
            self.parts.append((block, x, block.gradient(x)))

    def values(self) -> Tensor:
        """Return the invariants, shape (..., blocks, centres)."""
        q = [self.parent.weights.t() @ self.sums.square()]
        q += [(x * gradient).sum(-2, keepdim=True) / block.degree for block, x, gradient in self.parts]
        return torch.cat(q, dim=-2)

    def along(self, direction: Tensor) -> Tensor:
        """Return the derivative along changes of the sums, shape (..., C, S, centres): (..., C, blocks, centres)."""
        q = [2.0 * self.parent.weights.t() @ (self.sums.unsqueeze(-3) * direction)]
        for block, _, gradient in self.parts:
            d = direction.index_select(-2, block.support)
            q.append((d * gradient.unsqueeze(-3)).sum(-2, keepdim=True))
        return torch.cat(q, dim=-2)

    def pull_back(self, weights: Tensor) -> Tensor:
        """Return ``sum_q weights[q] dq/dS``, shape (..., S, centres), of weights, shape (..., blocks, centres)."""
        l_max = self.parent.l_max
        total = 2.0 * self.sums * (self.parent.weights @ weights[..., :l_max, :])
        for k, (block, _, gradient) in enumerate(self.parts):
            part = weights[..., l_max + k : l_max + k + 1, :] * gradient
            total = total.index_add(-2, block.support, part)
        return total

    def change_of_pull_back(self, weights: Tensor, d_weights: Tensor, direction: Tensor) -> Tensor:
        """Return the derivative of :meth:`pull_back` along changes of the weights and of the sums.

        Parameters
        ----------
        weights : Tensor, shape (..., blocks, centres)
        d_weights : Tensor, shape (..., C, blocks, centres)
        direction : Tensor, shape (..., C, S, centres)

        Returns
        -------
        Tensor, shape (..., C, S, centres)
        """
        l_max, three = self.parent.l_max, self.parent.weights
        weights = weights.unsqueeze(-3)
        total = 2.0 * (
            self.sums.unsqueeze(-3) * (three @ d_weights[..., :l_max, :])
            + direction * (three @ weights[..., :l_max, :])
        )
        for k, (block, x, gradient) in enumerate(self.parts):
            own = slice(l_max + k, l_max + k + 1)
            change = block.gradient_along(x.unsqueeze(-3), direction.index_select(-2, block.support))
            part = d_weights[..., own, :] * gradient.unsqueeze(-3) + weights[..., own, :] * change
            total = total.index_add(-2, block.support, part)
        return total
