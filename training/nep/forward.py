"""NEP and TNEP at the centres of precomputed moments: descriptors, networks and labels as dense products.

On the CPU the native kernels (:mod:`tnep_calc.training.nep.native`) compute the sums, the site functions and their
changes along a field.  The same in torch serves other devices, and installations without the native library.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from tnep_calc.conventions import STRAIN_ORDER

from . import native
from .invariants import InvariantDerivatives
from .moments import Moments
from .scaling import Scaling

_MANY, _SLOTS_AT_ONCE = 16, 32
"""From this many models on, predictions handle the pairs of a slot as one matrix; number of slots at a time."""


class Centres:
    """Descriptors, networks and derivatives with respect to moments, at all centres of some moments, for P models.

    Parameters
    ----------
    blocks : dict of Tensor, shapes (P, ...)
        Parameters by name, see :attr:`tnep_calc.training.nep.model.NepOnMoments.shapes`, in the type of the moments.
    units : Scaling
        Constants in the type of the moments.
    site : Tensor of float64, shape ([P,] T)
        ``Scaling.site``, which is added in double precision.
    invariants : InvariantDerivatives
    moments : Moments

    Attributes
    ----------
    radial : Tensor, shape (P, n, 1 + components, centres)
        Sums (first) and their changes along the displacement fields.
    angular : Tensor, shape (P, n, S, centres)
    """

    def __init__(
        self,
        blocks: Mapping[str, Tensor],
        units: Scaling,
        site: Tensor,
        invariants: InvariantDerivatives,
        moments: Moments,
    ):
        self.blocks, self.units, self.site, self.moments = blocks, units, site, moments
        self.members, self.networks = blocks["w0"].shape[:2]
        self.n_radial, self.n_angular = (blocks[f"c_{part}"].shape[3] for part in ("radial", "angular"))
        self.coefficients = {
            part: self.blocks[f"c_{part}"] @ (matrix if matrix.ndim == 2 else matrix[:, None, None])
            for part, matrix in (("radial", self.units.radial), ("angular", self.units.angular))
        }
        self.radial, self.angular = self._project("radial"), self._project("angular")
        self.invariants = invariants
        self._neurons: dict[tuple[int, int], Tensor] = {}

    @cached_property
    def at(self):
        """Invariants and their derivatives at the angular sums."""
        return self.invariants.at(self.angular)

    @cached_property
    def q(self):
        """Descriptors without shift and scale, shape (P, dim, centres)."""
        return torch.cat([self.radial[:, :, 0], self.at.values().transpose(1, 2).flatten(1, 2)], dim=1)

    @cached_property
    def _sites(self):
        """Site values and their derivatives by the sums from the native kernels; None without these kernels."""
        if not native.available(self.angular):
            return None
        blocks, units = self.blocks, self.units
        shift, scale = (
            x.reshape(-1, *x.shape[-2:]).expand(self.members, -1, -1) for x in (units.mean, units.inverse_spread)
        )
        w1 = blocks["w1"] * units.output.reshape(-1, self.networks, 1, 1)
        rows = [part.start for part in self.moments.species_slices] + [self.moments.n_atoms]
        return native.sites(
            self.radial[:, :, 0],
            self.angular,
            (blocks["w0"], blocks["b0"], w1),
            (shift, scale),
            rows,
            self.invariants.l_max,
            self.invariants.extra,
        )

    def _of_group(self, part, group):
        """Coefficients of a group, shape (P, n, near k)."""
        c = self.coefficients["radial" if part == "radial" else "angular"][:, group.species]
        if len(group.near) < c.shape[1]:
            c = c.index_select(1, group.near_index)
        return c.transpose(1, 2).flatten(2)

    def _project(self, part):
        groups = self.moments.groups
        if native.available(groups[0].radial) and part != "along":
            return native.project(self.coefficients[part], groups, part)
        sums = []
        for group in groups:
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
        return self.units.output.reshape(-1, self.networks)[:, network]

    def _per_species(self, function):
        parts = [function(t) for t, rows in enumerate(self.moments.species_slices) if rows.stop > rows.start]
        return torch.cat(parts, dim=-1)

    def value(self):
        """Output of the last network plus the common constant, without those of the species, shape (P, centres)."""
        last = self.networks - 1
        if self._sites is not None:
            value = self._sites[0]
        else:
            value = self._per_species(lambda t: (self._hidden(last, t) * self._out(last, t)).sum(1))
        return value + (self.blocks["b1"][:, 0] * self._output(last))[:, None]

    @cached_property
    def slope(self):
        """Derivative of the site value by the descriptor, shape (P, dim, centres)."""

        def of(t):
            bent = (1.0 - self._hidden(0, t).square()) * self._out(0, t)
            return self.blocks["w0"][:, 0, t].transpose(1, 2) @ bent * self._unit("inverse_spread", t)

        return self._per_species(of)

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
        n = self.n_radial
        angular = slope[..., n:, :].unflatten(-2, (-1, self.n_angular))
        if slope.ndim == 3:
            return slope[:, :n], angular.transpose(1, 2)
        return slope[:, :, :n].transpose(1, 2), angular.permute(0, 3, 1, 2, 4)

    @cached_property
    def pulled(self):
        """Derivatives of the site value by the radial sums (P, n, centres) and the angular ones (P, n, S, centres)."""
        if self._sites is not None:
            return self._sites[1:]
        radial, weights = self._split_slope(self.slope)
        return radial, self.at.pull_back(weights)

    def directional(self):
        """Return the derivative of the site value along the fields, shape (P, components, centres)."""
        radial, angular = self.pulled
        along = (radial.unsqueeze(2) * self.radial[:, :, 1:]).sum(1)
        groups = self.moments.groups
        if native.available(angular):
            return along + native.along(angular, self.coefficients["angular"], groups)
        parts = []
        for group in groups:
            h, c = angular[..., group.rows], self._of_group("along", group)
            by_moment = (c.transpose(1, 2) @ h.flatten(2)).unflatten(-1, h.shape[2:])  # (P, near k, S, centres)
            parts.append((by_moment.unsqueeze(2) * group.along).sum((1, 3)))
        return along + torch.cat(parts, dim=-1)

    def moment_gradient(self):
        """Return the derivative of the site value by the moments of each slot, shape (P, slots, F)."""
        radial, angular = self.pulled
        return self._to_moments(radial.unsqueeze(2), angular.unsqueeze(2)).squeeze(2)

    def moment_gradient_along(self):
        """Return the derivative of :meth:`directional` by the moments M at fixed D, shape (P, slots, components, F)."""
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
            k, s = self.blocks["c_angular"].shape[-1], group.angular.shape[1]
            by_angular = by_angular.reshape(p, near, k, components, s, count).permute(0, 5, 1, 3, 2, 4).flatten(4)
            parts.append(torch.cat([by_radial, by_angular], dim=4).flatten(1, 2))
        return torch.cat(parts, dim=1)

    # -- labels ----------------------------------------------------------------------------------------------------

    def label(self, name: str) -> Tensor:
        """Return the prediction of a label, with a leading axis of models."""
        if name == "energy":
            return self._by_structure(self.value()[:, None])[:, :, 0] + self._constants(of_structures=True)
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
            return per_row + self._constants(total)[:, :, None] * identity.to(torch.float64)
        if name == "forces":
            if native.available(self.angular) and not torch.is_grad_enabled():
                m = self.moments
                pairs = m.pair_gradient, m.pair_slot, m.pair_center, m.pair_neighbor
                gradient = native.position_gradient(self.pulled, self.coefficients, m.groups, *pairs)
                return -gradient.index_select(1, m.atom_row)
            return -self._to_atoms(self._at_pairs(self.moment_gradient(), self.moments.pair_gradient))
        if name == "born_charges":
            direct = self._at_pairs(self.moment_gradient(), self.moments.pair_born).unflatten(-1, (3, 3))
            slots = self.moment_gradient_along().index_select(1, self.moments.pair_slot)
            return self._to_atoms(direct + (slots @ self.moments.pair_gradient).transpose(0, 1))
        raise ValueError(f"there is no label '{name}'")

    def _constants(self, of_structures):
        """Constants of the species, of structures or of atoms in the order of the structures, float64."""
        site = self.site.reshape(-1, self.site.shape[-1])
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
        """Contract (P, slots, F) with moments of pairs, (n_pairs, F, D): (n_pairs, P, D)."""
        if self.members >= _MANY and not torch.is_grad_enabled():
            return self._at_pairs_of_slots(slots.transpose(0, 1).contiguous(), by_pair)
        per_pair = slots.index_select(1, self.moments.pair_slot).transpose(0, 1)  # (n_pairs, P, F)
        return torch.bmm(per_pair, by_pair)

    def _at_pairs_of_slots(self, slots, by_pair):
        """Compute :meth:`_at_pairs` from (slots, P, F), with the pairs of each slot as one matrix padded with zeros.

        This avoids a copy of the values of many models for every pair.  The pairs are sorted by slot.
        """
        slot, parts = cast(Tensor, self.moments.pair_slot), []
        counts = torch.bincount(slot, minlength=len(slots))
        ends = torch.cumsum(counts, 0)
        within = torch.arange(len(slot), device=slot.device) - (ends - counts)[slot]
        for first in range(0, len(slots), _SLOTS_AT_ONCE):
            own = slots[first : first + _SLOTS_AT_ONCE]
            here = counts[first : first + _SLOTS_AT_ONCE]
            last = int(ends[first + len(own) - 1])
            pairs, longest = slice(last - int(here.sum()), last), int(here.max())
            if not longest:
                continue
            place = (slot[pairs] - first) * longest + within[pairs]
            filled = by_pair.new_zeros(len(own) * longest, *by_pair.shape[1:])
            filled[place] = by_pair[pairs]
            filled = filled.unflatten(0, (len(own), longest)).transpose(1, 2).flatten(2)  # (slots, F, longest D)
            product = torch.bmm(own, filled).unflatten(2, (longest, -1)).transpose(1, 2).flatten(0, 1)
            parts.append(product[place])
        return torch.cat(parts) if parts else by_pair.new_zeros(0, slots.shape[1], by_pair.shape[2])

    def _to_atoms(self, per_pair):
        """Turn derivatives by the neighbour of each pair, (n_pairs, P, ...), into those by atoms, (P, n_atoms, ...).

        Atoms are in the order of the structures.
        """
        moments = self.moments
        total = per_pair.new_zeros((moments.n_atoms, *per_pair.shape[1:]))
        total = total.index_add(0, moments.pair_neighbor, per_pair)
        total = total.index_add(0, moments.pair_center, per_pair, alpha=-1)
        return total.index_select(0, moments.atom_row).transpose(0, 1)
