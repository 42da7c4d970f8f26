"""NEP and TNEP on precomputed moments: predictions as dense products, and the way to a ``nep.txt``.

Equations as in :mod:`tnep_calc.models.nep` (which is the reference), but nothing here loops over neighbours and no
derivative by position is taken: they are all in the moments.

Internally every trained number is of order one: descriptors are shifted and scaled to zero mean and unit spread per
species, coefficients are in units of the spread of their moment, outputs in units of the label.  All of that is folded
into the parameters of the file, where GPUMD's definitions hold exactly.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import cast

import numpy as np
import torch
from torch import Tensor

from tnep_calc.io.nep_txt import NepParameters, descriptor_dim

from .config import ModelConfig
from .invariants import InvariantDerivatives
from .moments import STRAIN_ORDER, Basis, Moments

_SATURATED = 20.0  # tanh(20) = 1 - 8e-18: a neuron with this bias and no input is the constant 1


def basis_of(config: ModelConfig) -> Basis:
    """Return the basis of the moments of a model."""
    return Basis(
        tuple(config.species), config.radial_cutoffs, config.angular_cutoffs,
        (config.basis_size[0], config.basis_size[1]), config.l_max[0],
    )  # fmt: skip


@dataclass(frozen=True)
class Scaling:
    """Constants between the trained numbers and the parameters of the file (T species).

    For several models at once, all but the matrices may have a leading axis of models.

    Attributes
    ----------
    radial, angular : Tensor, shape (n_basis, n_basis)
        Coefficients of the file are the trained ones times this matrix (from the right).
    mean, inverse_spread : Tensor, shape (T, dim)
        Shift and scale of the descriptor by species of the centre.
    output : Tensor, shape (networks,)
        Units of the network outputs.
    site : Tensor, shape (T,)
        Constant added to the energy (or to a third of the trace of the polarizability) of an atom.
    """

    radial: Tensor
    angular: Tensor
    mean: Tensor
    inverse_spread: Tensor
    output: Tensor
    site: Tensor

    def to(self, dtype: torch.dtype) -> Scaling:
        """Return the same in another type."""
        return Scaling(**{f.name: getattr(self, f.name).to(dtype) for f in fields(self)})

    @staticmethod
    def stack(several: Sequence[Scaling]) -> Scaling:
        """Return the constants of several models, which must have the same matrices."""
        own = ("mean", "inverse_spread", "output", "site")
        stacked = (torch.stack([getattr(scaling, name) for scaling in several]) for name in own)
        return Scaling(several[0].radial, several[0].angular, *stacked)

    def member(self, k: int) -> Scaling:
        """Return the constants of one of several models."""
        if self.mean.ndim == 2:
            return self
        own = ("mean", "inverse_spread", "output", "site")
        return Scaling(self.radial, self.angular, *(getattr(self, name)[k] for name in own))


class NepOnMoments:
    """Model of one kind for moments; the parameters are one flat vector.

    Parameters
    ----------
    config : ModelConfig
    dtype : torch.dtype
        Type of the moments and of the arithmetic.

    Attributes
    ----------
    shapes : dict
        Shape of every parameter block, in the order of the flat vector.
    """

    def __init__(self, config: ModelConfig, dtype: torch.dtype = torch.float64):
        self.config, self.dtype = config, dtype
        self.basis = basis_of(config)
        self.n_radial, self.n_angular = config.n_max[0] + 1, config.n_max[1] + 1
        self.dim = descriptor_dim(config.n_max, config.l_max[0], config.extra)
        self.networks = 2 if config.kind == "polarizability" else 1
        self.invariants = InvariantDerivatives(config.l_max[0], config.extra, dtype)
        t, m = len(config.species), config.neurons
        self.shapes: dict[str, tuple[int, ...]] = {
            "c_radial": (t, t, self.n_radial, self.basis.n_radial),  # centre, neighbour, n, k
            "c_angular": (t, t, self.n_angular, self.basis.angular_shape[0]),
            "w0": (self.networks, t, m, self.dim),
            "b0": (self.networks, t, m),
            "w1": (self.networks, t, m),
            "b1": (1,),  # added to every site value: energy, or a third of the trace of the polarizability
        }

    @property
    def scaling(self) -> Scaling:
        """Constants in float64, set by :func:`tnep_calc.training.initial.initialise` or from a checkpoint."""
        return self._scaling

    @scaling.setter
    def scaling(self, scaling: Scaling):
        self._scaling = scaling.to(torch.float64)
        self._units = scaling.to(self.dtype)

    def with_scaling(self, scaling: Scaling) -> NepOnMoments:
        """Return the same model with other constants."""
        other = copy.copy(self)
        other.scaling = scaling
        return other

    @property
    def n_parameters(self) -> int:
        """Length of the parameter vector."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """Return the blocks of parameter vectors, shape (..., n_parameters), as views."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        parts = torch.split(vector, sizes, dim=-1)
        return {
            name: part.unflatten(-1, self.shapes[name]) for name, part in zip(self.shapes, parts, strict=True)
        }

    def descriptors(self, vector: Tensor, moments: Moments) -> Tensor:
        """Return the unscaled descriptors of all centres, shape (n_atoms, dim), for one or (P, ...) several vectors."""
        q = _Centres(self, vector if vector.ndim == 2 else vector[None], moments).q.transpose(1, 2)
        return q if vector.ndim == 2 else q[0]

    def predict(self, vector: Tensor, moments: Moments, wanted: Sequence[str]) -> dict[str, Tensor]:
        """Return predictions for all structures of the moments.

        Parameters
        ----------
        vector : Tensor, shape (n_parameters,) or (P, n_parameters)
            Parameters, of one model or of P models at once.
        moments : Moments
            Holding what the wanted labels need.
        wanted : sequence of str
            Labels of the kind of model.

        Returns
        -------
        dict
            ``energy`` (n_structures,), ``forces`` (n_atoms, 3), ``virial`` (n_structures, 6), ``dipole``
            (n_structures, 3), ``born_charges`` (n_atoms, 3, 3), ``polarizability`` (n_structures, 6), ``atomic_dipole``
            (n_atoms, 3), ``atomic_polarizability`` (n_atoms, 6); atoms in the order of the structures, six components
            in ``STRAIN_ORDER``; units of the labels; float64 for sums over structures.  With a leading axis of models
            if the vector has one.
        """
        centres = _Centres(self, vector if vector.ndim == 2 else vector[None], moments)
        out = {name: centres.label(name) for name in wanted}
        return out if vector.ndim == 2 else {name: value[0] for name, value in out.items()}

    def to_nep(self, vector: Tensor, max_neighbors: tuple[int, int]) -> NepParameters:
        """Return the parameters of a ``nep.txt`` (version 4) that gives exactly these predictions.

        If constants differ between species, one more neuron holds them: it has no input and a saturated bias.
        """
        blocks = {name: part.detach().to(torch.float64) for name, part in self.split(vector).items()}
        scaling = self.scaling
        c_radial = (blocks["c_radial"] @ scaling.radial).permute(2, 3, 0, 1).numpy()
        c_angular = (blocks["c_angular"] @ scaling.angular).permute(2, 3, 0, 1).numpy()
        inverse, output = scaling.inverse_spread, scaling.output[:, None, None]
        q_scaler = inverse.min(0).values
        w0 = blocks["w0"] * (inverse / q_scaler)[None, :, None, :]
        b0 = blocks["b0"] + torch.einsum("atmd,td->atm", blocks["w0"], scaling.mean * inverse)
        w1 = blocks["w1"] * output
        networks, t = self.networks, len(self.config.species)
        bias = torch.zeros(networks, dtype=torch.float64)
        if self.config.kind != "dipole":
            bias[-1] = -(blocks["b1"][0] * scaling.output[-1] + scaling.site.mean())
            steps = scaling.site - scaling.site.mean()
            if (steps != 0).any():
                w0 = torch.cat([w0, torch.zeros(networks, t, 1, self.dim, dtype=w0.dtype)], dim=2)
                b0 = torch.cat([b0, torch.full((networks, t, 1), -_SATURATED, dtype=w0.dtype)], dim=2)
                last = torch.zeros(networks, t, 1, dtype=w0.dtype)
                last[-1, :, 0] = steps
                w1 = torch.cat([w1, last], dim=2)
        c = self.config
        return NepParameters(
            version=4, kind=c.kind, species=tuple(c.species), radial_cutoffs=np.array(c.radial_cutoffs),
            angular_cutoffs=np.array(c.angular_cutoffs), max_neighbors=max_neighbors, n_max=(c.n_max[0], c.n_max[1]),
            basis_size=(c.basis_size[0], c.basis_size[1]), l_max=c.l_max[0], extra=c.extra, neurons=w1.shape[2],
            w0=w0.numpy(), b0=b0.numpy(), w1=w1.numpy(), b1=bias.numpy(), c_radial=c_radial, c_angular=c_angular,
            q_scaler=q_scaler.numpy(),
        )  # fmt: skip


class _ChangeAlong(torch.autograd.Function):
    """Contraction ``sum_{n s} h[p, n, s, i] (c D)[p, n, a, s, i]``, group by group, so that c D stays in a cache.

    It is linear in h and in the coefficients c; the gradients are written out as autograd would fill and copy whole
    arrays.
    """

    @staticmethod
    def forward(ctx, groups, h, *coefficients):
        parts, changes = [], []
        for group, c in zip(groups, coefficients, strict=True):
            p, n, k = c.shape
            change = (c.reshape(p * n, k) @ group.along.flatten(1)).reshape(p, n, *group.along.shape[1:])
            product = torch.mul(change, h[..., group.rows].unsqueeze(2), out=torch.empty_like(change))
            parts.append(product.sum((1, 3)))
            changes.append(change)
        ctx.groups = groups
        ctx.save_for_backward(h, *changes)
        return torch.cat(parts, dim=-1)

    @staticmethod
    def backward(ctx, *gradients):
        h, *changes = ctx.saved_tensors
        h_gradient, c_gradients = torch.empty_like(h), []
        for group, change in zip(ctx.groups, changes, strict=True):
            p, n = change.shape[:2]
            outer = gradients[0][..., group.rows][:, None, :, None]  # (P, 1, components, 1, centres)
            product = torch.mul(change, outer, out=torch.empty_like(change))
            h_gradient[..., group.rows] = product.sum(2)
            torch.mul(h[..., group.rows].unsqueeze(2), outer, out=product)
            c_gradients.append((product.reshape(p * n, -1) @ group.along.flatten(1).t()).reshape(p, n, -1))
        return None, h_gradient, *c_gradients


class _Centres:
    """All centres of some moments for P models: descriptors, networks, and derivatives by the moments.

    Parameters
    ----------
    model : NepOnMoments
    vectors : Tensor, shape (P, n_parameters)
    moments : Moments

    Attributes
    ----------
    radial : Tensor, shape (P, n, 1 + components, centres)
        Sums (first) and their changes along the displacement fields.
    angular : Tensor, shape (P, n, S, centres)
    q : Tensor, shape (P, dim, centres)
    """

    def __init__(self, model: NepOnMoments, vectors: Tensor, moments: Moments):
        self.model, self.moments, self.units = model, moments, model._units
        self.blocks = model.split(vectors.to(model.dtype))
        self.members = len(vectors)
        self.coefficients = {
            "radial": self.blocks["c_radial"] @ self.units.radial,
            "angular": self.blocks["c_angular"] @ self.units.angular,
        }
        self.radial, self.angular = self._project("radial"), self._project("angular")
        self.at = model.invariants.at(self.angular)
        self.q = torch.cat([self.radial[:, :, 0], self.at.values().transpose(1, 2).flatten(1, 2)], dim=1)
        self._slope: Tensor | None = None
        self._pulled: tuple[Tensor, Tensor] | None = None
        self._neurons: dict[tuple[int, int], Tensor] = {}

    def _of_group(self, part, group):
        """Coefficients of a group, shape (P, n, near k)."""
        c = self.coefficients["radial" if part == "radial" else "angular"][:, group.species]
        if len(group.near) < c.shape[1]:
            c = c.index_select(1, torch.tensor(group.near))
        return c.transpose(1, 2).flatten(2)

    def _project(self, part):
        sums = []
        for group in self.moments.groups:
            moments = getattr(group, part)
            c = self._of_group(part, group)
            product = c.flatten(0, 1) @ moments.flatten(1)
            sums.append(product.reshape(self.members, -1, *moments.shape[1:]))
        return sums[0] if len(sums) == 1 else torch.cat(sums, dim=-1)

    # -- networks --------------------------------------------------------------------------------------------------

    def _unit(self, name, t):
        """Return a constant of one species with an axis of models and one of centres."""
        value = getattr(self.units, name)
        return value.reshape(-1, *value.shape[-2:])[:, t, :, None]

    def _hidden(self, network, t):
        """Neurons of a species, shape (P, neurons, centres)."""
        if (network, t) in self._neurons:
            return self._neurons[network, t]
        z = (self.q[:, :, self.moments.species_slices[t]] - self._unit("mean", t)) * self._unit("inverse_spread", t)
        hidden = torch.tanh(self.blocks["w0"][:, network, t] @ z - self.blocks["b0"][:, network, t, :, None])
        self._neurons[network, t] = hidden
        return hidden

    def _out(self, network, t):
        """Output weights of a species, shape (P, neurons, 1)."""
        return (self.blocks["w1"][:, network, t] * self._output(network)[:, None])[:, :, None]

    def _output(self, network):
        return self.units.output.reshape(-1, self.model.networks)[:, network]

    def _per_species(self, function):
        parts = [function(t) for t, rows in enumerate(self.moments.species_slices) if rows.stop > rows.start]
        return torch.cat(parts, dim=-1)

    def value(self):
        """Output of the last network with the common constant, without those of the species: (P, centres)."""
        last = self.model.networks - 1
        value = self._per_species(lambda t: (self._hidden(last, t) * self._out(last, t)).sum(1))
        return value + (self.blocks["b1"][:, 0] * self._output(last))[:, None]

    @property
    def slope(self):
        """Derivative of the site value by the descriptor, shape (P, dim, centres)."""
        if self._slope is None:
            def of(t):
                bent = (1.0 - self._hidden(0, t).square()) * self._out(0, t)
                return self.blocks["w0"][:, 0, t].transpose(1, 2) @ bent * self._unit("inverse_spread", t)

            self._slope = self._per_species(of)
        return self._slope

    def _change_of_slope(self, dq):
        """Change of the slope for changes dq of the descriptor, shapes (P, C, dim, centres)."""
        def of(t):
            rows = self.moments.species_slices[t]
            hidden, scale = self._hidden(0, t), self._unit("inverse_spread", t)
            bend = (-2.0 * hidden * (1.0 - hidden.square()) * self._out(0, t)).unsqueeze(1)
            w0 = self.blocks["w0"][:, 0, t].unsqueeze(1)
            return w0.transpose(2, 3) @ ((w0 @ (dq[..., rows] * scale.unsqueeze(1))) * bend) * scale.unsqueeze(1)

        return self._per_species(of)

    # -- derivatives -----------------------------------------------------------------------------------------------

    def _split_slope(self, slope):
        """Split a descriptor gradient (P, [C,] dim, centres) into radial (P, n, [C,] ...) and invariants."""
        n = self.model.n_radial
        angular = slope[..., n:, :].unflatten(-2, (-1, self.model.n_angular))
        if slope.ndim == 3:
            return slope[:, :n], angular.transpose(1, 2)
        return slope[:, :, :n].transpose(1, 2), angular.permute(0, 3, 1, 2, 4)

    @property
    def pulled(self):
        """Derivatives of the site value by the radial sums (P, n, centres) and the angular ones (P, n, S, centres)."""
        if self._pulled is None:
            radial, weights = self._split_slope(self.slope)
            self._pulled = radial, self.at.pull_back(weights)
        return self._pulled

    def directional(self):
        """Return the derivative of the site value along the fields, shape (P, components, centres)."""
        radial, angular = self.pulled
        along = (radial.unsqueeze(2) * self.radial[:, :, 1:]).sum(1)
        coefficients = [self._of_group("along", group) for group in self.moments.groups]
        return along + cast(Tensor, _ChangeAlong.apply(self.moments.groups, angular, *coefficients))

    def moment_gradient(self):
        """Return the derivative of the site value by the moments of each slot, shape (P, slots, F)."""
        radial, angular = self.pulled
        return self._to_moments(radial.unsqueeze(2), angular.unsqueeze(2)).squeeze(2)

    def moment_gradient_along(self):
        """Return the derivative of :meth:`directional` by the moments, fields fixed: (P, slots, components, F)."""
        radial, angular = self.radial[:, :, 1:], self._project("along")
        invariants = self.at.along(angular).permute(0, 2, 3, 1, 4).flatten(2, 3)  # blocks, then n
        dq = torch.cat([radial.transpose(1, 2), invariants], dim=2)
        d_radial, d_weights = self._split_slope(self._change_of_slope(dq))
        weights = self._split_slope(self.slope)[1]
        return self._to_moments(d_radial, self.at.change_of_pull_back(weights, d_weights, angular))

    def _to_moments(self, radial, angular):
        """Turn derivatives by sums, (P, n, C, ...), into derivatives by moments of slots, (P, slots, C, F)."""
        parts, p, components = [], self.members, radial.shape[2]
        for group in self.moments.groups:
            near, count = len(group.near), group.rows.stop - group.rows.start
            flat = [x[..., group.rows].reshape(p, x.shape[1], -1) for x in (radial, angular)]
            by_radial, by_angular = (
                self._of_group(part, group).transpose(1, 2) @ x
                for part, x in zip(("radial", "angular"), flat, strict=True)
            )
            by_radial = by_radial.reshape(p, near, -1, components, count).permute(0, 4, 1, 3, 2)
            k, s = self.model.basis.angular_shape
            by_angular = by_angular.reshape(p, near, k, components, s, count).permute(0, 5, 1, 3, 2, 4).flatten(4)
            parts.append(torch.cat([by_radial, by_angular], dim=4).flatten(1, 2))
        return torch.cat(parts, dim=1)

    # -- labels ----------------------------------------------------------------------------------------------------

    def label(self, name: str) -> Tensor:
        """Return the prediction of a label, with a leading axis of models."""
        if name == "energy":
            return self._by_structure(self.value()[:, None])[:, :, 0] + self._sites(of_structures=True)
        if name in ("virial", "dipole"):
            return self._by_structure(self.directional())
        if name == "atomic_dipole":
            return self._by_atom(self.directional())
        if name in ("polarizability", "atomic_polarizability"):
            per_center = self.directional()
            identity = per_center.new_tensor([float(a == b) for a, b in STRAIN_ORDER])
            per_center = per_center + self.value()[:, None] * identity[:, None]
            total = name == "polarizability"
            per_row = self._by_structure(per_center) if total else self._by_atom(per_center).to(torch.float64)
            return per_row + self._sites(total)[:, :, None] * identity.to(torch.float64)
        if name == "forces":
            return -self._to_atoms(self._at_pairs(self.moment_gradient(), self.moments.pair_gradient))
        if name == "born_charges":
            direct = self._at_pairs(self.moment_gradient(), self.moments.pair_born).unflatten(-1, (3, 3))
            slots = self.moment_gradient_along().index_select(1, self.moments.pair_slot)
            return self._to_atoms(direct + slots @ self.moments.pair_gradient)
        raise ValueError(f"a {self.model.config.kind} model has no '{name}'")

    def _sites(self, of_structures):
        """Constants of the species, of structures or of atoms in the order of the structures, float64."""
        site = self.model.scaling.site
        site = site.reshape(-1, site.shape[-1])
        if of_structures:
            return site @ self.moments.composition.t()
        return site[:, self.moments.species[self.moments.atom_row]]

    def _by_structure(self, per_center):
        """Sum (P, C, centres) over the structures, in float64: (P, n_structures, C)."""
        values = per_center.to(torch.float64).permute(2, 0, 1)
        total = values.new_zeros((self.moments.n_structures, *values.shape[1:]))
        return total.index_add(0, self.moments.structure, values).permute(1, 0, 2)

    def _by_atom(self, per_center):
        """Order (P, C, centres) as the atoms: (P, n_atoms, C)."""
        return per_center.transpose(1, 2).index_select(1, self.moments.atom_row)

    def _at_pairs(self, slots, by_pair):
        """Contract (P, slots, F) with moments of pairs, (n_pairs, F, D): (P, n_pairs, D)."""
        per_pair = slots.index_select(1, self.moments.pair_slot).transpose(0, 1)  # (n_pairs, P, F)
        return torch.bmm(per_pair, by_pair).transpose(0, 1)

    def _to_atoms(self, per_pair):
        """Turn derivatives by the neighbour of each pair into derivatives by atoms, in the order of the structures."""
        moments = self.moments
        total = per_pair.new_zeros((len(per_pair), moments.n_atoms, *per_pair.shape[2:]))
        total = total.index_add(1, moments.pair_neighbor, per_pair).index_add(1, moments.pair_center, -per_pair)
        return total.index_select(1, moments.atom_row)
