"""The native kernels of training as differentiable functions; :mod:`tnep_calc.training.centres` has the same in torch.

They are for the CPU and have first derivatives only, which is all that a gradient of a loss needs: the derivatives in
forces and dipoles are part of what they compute.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tnep_calc import ops

from .moments import Group


def available(moments: Tensor) -> bool:
    """Return whether the kernels are there for moments on this device."""
    return ops.load() and bool(torch.ops.tnep.native_available(moments))


def project(coefficients: Tensor, groups: Sequence[Group], part: str) -> Tensor:
    """Return coefficients times the moments of groups of centres, shape (P, n, X, centres).

    Parameters
    ----------
    coefficients : Tensor, shape (P, T, T, n, k)
        By species of centre and neighbour, for P models.
    groups : sequence of Group
    part : {"radial", "angular"}
        Which moments, each of shape (near k, X, centres).
    """
    moments = [getattr(group, part) for group in groups]
    return cast(Tensor, _Project.apply(coefficients, _near(groups), moments))


def along(h: Tensor, coefficients: Tensor, groups: Sequence[Group]) -> Tensor:
    """Return ``sum_{n s} h[p, n, s, i] (c D)[p, n, a, s, i]`` with moments D along a field a, shape (P, a, centres).

    Parameters
    ----------
    h : Tensor, shape (P, n, S, centres)
    coefficients : Tensor, shape (P, T, T, n, k)
    groups : sequence of Group
    """
    return cast(Tensor, _Along.apply(h, coefficients, _near(groups), [group.along for group in groups]))


def sites(
    radial: Tensor, angular: Tensor, networks: tuple[Tensor, Tensor, Tensor], scaling: tuple[Tensor, Tensor],
    rows: Sequence[int], l_max: int, extra: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return site values, shape (P, centres), and the derivatives by the radial and angular sums, of shapes as these.

    The value is that of the last network, the derivatives are those of the first.

    Parameters
    ----------
    radial, angular : Tensor, shape (P, n, centres) and (P, n, S, centres)
        Sums.
    networks : tuple of Tensor
        ``w0``, ``b0`` and ``w1``, shape (P, networks, T, ...).
    scaling : tuple of Tensor
        Shift and scale of the descriptor, shape (P, T, dim); constants.
    rows : sequence of int
        First centre of each species, and the number of centres.
    l_max : int
    extra : int
        Bits of the optional blocks of the descriptor.
    """
    return _Sites.apply(radial, angular, *networks, *scaling, rows, l_max, extra)  # type: ignore[return-value]


def _near(groups):
    """Species of the centres, number of species of their neighbours, and these species, for each group."""
    return [number for group in groups for number in (group.species, len(group.near), *group.near)]


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx, coefficients, near, moments):
        ctx.save_for_backward(coefficients)
        ctx.constants = near, moments
        return torch.ops.tnep.training_project(coefficients, near, moments)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        return torch.ops.tnep.training_project_backward(gradient, *ctx.saved_tensors, *ctx.constants), None, None


class _Along(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h, coefficients, near, moments):
        ctx.save_for_backward(h, coefficients)
        ctx.constants = near, moments
        return torch.ops.tnep.training_along(h, coefficients, near, moments)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        gradients = torch.ops.tnep.training_along_backward(gradient, *ctx.saved_tensors, *ctx.constants)
        return *gradients, None, None


class _Sites(torch.autograd.Function):
    @staticmethod
    def forward(ctx, radial, angular, w0, b0, w1, shift, scale, *options):
        ctx.set_materialize_grads(False)
        tensors = radial, angular, shift, scale, w0, b0, w1
        ctx.save_for_backward(*tensors)
        ctx.options = options
        return torch.ops.tnep.training_sites(*tensors, *options)

    @staticmethod
    @once_differentiable
    def backward(ctx, g_value, g_radial, g_angular):
        radial, angular, *_ = ctx.saved_tensors
        g_radial = torch.zeros_like(radial) if g_radial is None else g_radial
        g_angular = torch.zeros_like(angular) if g_angular is None else g_angular
        found = torch.ops.tnep.training_sites_backward(g_value, g_radial, g_angular, *ctx.saved_tensors, *ctx.options)
        return *found, None, None, None, None, None
