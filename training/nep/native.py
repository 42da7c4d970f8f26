"""Native kernels of training for the CPU; :mod:`tnep_calc.training.nep.forward` and ``moments`` do the same in torch.

The kernels of a training step can be differentiated once.  This is enough for the gradient of a loss, as the kernels
compute the derivatives in forces and dipoles themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tnep_calc import ops

from .features import Basis
from .slots import Group

_FIELDS = (None, "dipole", "strain")


def available(moments: Tensor) -> bool:
    """Return whether native kernels are available for moments on this device."""
    return ops.load() and bool(torch.ops.tnep.native_available(moments))


@dataclass(frozen=True)
class Edges:
    """Edges of some structures, sorted by centre.

    Attributes
    ----------
    vectors : Tensor of float64, shape (n_edges, 3), in Å
    offsets : Tensor, shape (n_atoms + 1,)
        First edge of each atom, then the number of edges.
    centre, neighbor : Tensor, shape (n_edges,)
        Species indices of centre and neighbour.
    """

    vectors: Tensor
    offsets: Tensor
    centre: Tensor
    neighbor: Tensor


def moments(
    basis: Basis,
    edges: Edges,
    slot: Tensor,
    order: Tensor,
    near: Sequence[int],
    counts: Sequence[int],
    field: str | None,
    dtype: torch.dtype,
) -> list[Tensor]:
    """Return ``radial``, ``angular`` and with a field ``along`` of each :class:`tnep_calc.training.nep.slots.Group`.

    Parameters
    ----------
    basis : Basis
    edges : Edges
    slot : Tensor, shape (n_edges,)
        Slot of each edge, see ``pair_slot`` of :class:`tnep_calc.training.nep.moments.Moments`.
    order : Tensor, shape (n_atoms,)
        Atoms in the order of the rows.
    near, counts : sequence of int
        Numbers of species of neighbours, and of centres, in each group.
    field : {None, "dipole", "strain"}
    dtype : torch.dtype
        Of the results; sums are in float64.
    """
    return torch.ops.tnep.training_moments(
        edges.vectors,
        edges.offsets,
        edges.centre,
        edges.neighbor,
        slot,
        order,
        near,
        counts,
        *_functions(basis),
        _FIELDS.index(field),
        dtype,
    )


def pair_gradients(basis: Basis, edges: Edges, pair: Tensor, n_pairs: int) -> Tensor:
    """Return the gradients of features by the edge vector, summed over the edges of each pair: (n_pairs, F, 3)."""
    return torch.ops.tnep.training_pair_gradients(
        edges.vectors, edges.offsets, edges.centre, edges.neighbor, pair, n_pairs, *_functions(basis)
    )


def _functions(basis):
    """Cutoffs and numbers of functions."""
    cutoffs = torch.tensor([basis.radial_cutoffs, basis.angular_cutoffs], dtype=torch.float64)
    return cutoffs, [basis.n_radial, basis.angular_shape[0], basis.l_max]


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
    radial: Tensor,
    angular: Tensor,
    networks: tuple[Tensor, Tensor, Tensor],
    scaling: tuple[Tensor, Tensor],
    rows: Sequence[int],
    l_max: int,
    extra: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return site values, shape (P, centres), and derivatives by radial and angular sums, with the shapes of the sums.

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


def position_gradient(
    by_sums: tuple[Tensor, Tensor], coefficients: Mapping[str, Tensor], groups: Sequence[Group], *pairs: Tensor | None
) -> Tensor:
    """Return the derivatives of the sum of all site values by positions, shape (P, centres, 3), without autograd.

    Parameters
    ----------
    by_sums : tuple of 2 Tensor, shapes (P, n, centres) and (P, n, S, centres)
        Derivatives of the site values by the radial and angular sums.
    coefficients : mapping
        ``radial`` and ``angular``, each of shape (P, T, T, n, k).
    groups : sequence of Group
    *pairs : Tensor
        ``pair_gradient``, ``pair_slot``, ``pair_center`` and ``pair_neighbor`` of
        :class:`tnep_calc.training.nep.moments.Moments`.
    """
    counts = [group.rows.stop - group.rows.start for group in groups]
    both = coefficients["radial"], coefficients["angular"]
    return cast(Tensor, torch.ops.tnep.training_pairs(*by_sums, *both, _near(groups), counts, *pairs))


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
