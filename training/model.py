"""NEP and TNEP on precomputed moments: predictions as dense products, and the way to a ``nep.txt``.

Equations as in :mod:`tnep_calc.models.nep` (which is the reference), but nothing here loops over neighbours and no
derivative by position is taken: they are all in the moments.

Internally every trained number is of order one: descriptors are shifted and scaled to zero mean and unit spread per
species, coefficients are in units of the spread of their moment, outputs in units of the label.  All of that is folded
into the parameters of the file, where GPUMD's definitions hold exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

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
        tuple(config.species), config.radial_cutoff, config.angular_cutoff,
        (config.basis_size[0], config.basis_size[1]), config.l_max[0],
    )  # fmt: skip


@dataclass(frozen=True)
class Scaling:
    """Constants between the trained numbers and the parameters of the file (T species).

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

    @property
    def n_parameters(self) -> int:
        """Length of the parameter vector."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """Return the blocks of a parameter vector as views."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        parts = torch.split(vector, sizes)
        return {name: part.view(self.shapes[name]) for name, part in zip(self.shapes, parts, strict=True)}

    def project(self, values: Tensor, c_radial: Tensor, c_angular: Tensor) -> tuple[Tensor, Tensor]:
        """Contract moments of centres of one species with its coefficients.

        Parameters
        ----------
        values : Tensor, shape (centres, T, F) or (centres, T, F, components)
        c_radial, c_angular : Tensor, shape (T, n, k)

        Returns
        -------
        radial : Tensor, shape ([components,] centres, n)
        angular : Tensor, shape ([components,] centres, n, S)
        """
        k, s = self.basis.angular_shape
        n_radial, extra = self.basis.n_radial, values.shape[3:]
        radial = torch.einsum("tnk,itk...->...in", c_radial, values[:, :, :n_radial])
        angular = values[:, :, n_radial:].reshape(*values.shape[:2], k, s, *extra)
        return radial, torch.einsum("tnk,itks...->...ins", c_angular, angular)

    def _sites(self, vector, moments):
        blocks, units = self.split(vector), self._units
        return [_Site(self, blocks, units, t, moments) for t in range(len(self.config.species))]

    def descriptors(self, vector: Tensor, moments: Moments) -> list[Tensor]:
        """Return the unscaled descriptors of the centres of each species, shapes (centres, dim)."""
        return [site.q for site in self._sites(vector, moments)]

    def predict(self, vector: Tensor, moments: Moments, wanted: Sequence[str]) -> dict[str, Tensor]:
        """Return predictions for all structures of the moments.

        Parameters
        ----------
        vector : Tensor, shape (n_parameters,)
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
            in ``STRAIN_ORDER``; units of the labels.
        """
        sites = self._sites(vector, moments)

        def gather(per_species):
            return torch.cat([per_species(site) for site in sites], dim=0)

        def by_structure(per_center):
            total = per_center.new_zeros((moments.n_structures, *per_center.shape[1:]))
            return total.index_add(0, moments.structure, per_center)

        out: dict[str, Tensor] = {}
        if "energy" in wanted:
            out["energy"] = by_structure(gather(lambda site: site.value(0)))
        if "virial" in wanted:
            out["virial"] = by_structure(gather(_Site.directional))
        if "dipole" in wanted:
            out["dipole"] = by_structure(gather(_Site.directional))
        if "atomic_dipole" in wanted:
            out["atomic_dipole"] = gather(_Site.directional)[moments.atom_row]
        if "polarizability" in wanted or "atomic_polarizability" in wanted:
            scalar = gather(lambda site: site.value(1))
            identity = scalar.new_tensor([float(a == b) for a, b in STRAIN_ORDER])
            per_center = gather(_Site.directional) + scalar[:, None] * identity
            if "polarizability" in wanted:
                out["polarizability"] = by_structure(per_center)
            if "atomic_polarizability" in wanted:
                out["atomic_polarizability"] = per_center[moments.atom_row]
        pair_gradient = moments.pair_gradient

        def at_pairs(per_center):
            return per_center.flatten(0, 1).index_select(0, moments.pair_slot)

        if "forces" in wanted:
            assert pair_gradient is not None
            slots = at_pairs(gather(_Site.moment_gradient)).unsqueeze(1)
            out["forces"] = -_to_atoms(torch.bmm(slots, pair_gradient).squeeze(1), moments)
        if "born_charges" in wanted:
            assert pair_gradient is not None and moments.pair_born is not None
            slots = at_pairs(gather(_Site.moment_gradient)).unsqueeze(1)
            direct = torch.bmm(slots, moments.pair_born).view(-1, 3, 3)
            slots = at_pairs(gather(_Site.moment_gradient_along))
            out["born_charges"] = _to_atoms(direct + torch.bmm(slots, pair_gradient), moments)
        return out

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
            version=4, kind=c.kind, species=tuple(c.species), radial_cutoffs=np.full(t, c.radial_cutoff),
            angular_cutoffs=np.full(t, c.angular_cutoff), max_neighbors=max_neighbors, n_max=(c.n_max[0], c.n_max[1]),
            basis_size=(c.basis_size[0], c.basis_size[1]), l_max=c.l_max[0], extra=c.extra, neurons=w1.shape[2],
            w0=w0.numpy(), b0=b0.numpy(), w1=w1.numpy(), b1=bias.numpy(), c_radial=c_radial, c_angular=c_angular,
            q_scaler=q_scaler.numpy(),
        )  # fmt: skip


def _to_atoms(per_pair, moments):
    """Turn derivatives by the neighbour of each pair into derivatives by atoms, in the order of the structures."""
    total = per_pair.new_zeros((moments.n_atoms, *per_pair.shape[1:]))
    total = total.index_add(0, moments.pair_neighbor, per_pair).index_add(0, moments.pair_center, -per_pair)
    return total.index_select(0, moments.atom_row)


class _Site:
    """All centres of one species: descriptor, network, and derivatives of the site value by the moments."""

    def __init__(self, model: NepOnMoments, blocks: dict[str, Tensor], units: Scaling, t: int, moments: Moments):
        rows = moments.species_slices[t]
        self.model = model
        self.c_radial = blocks["c_radial"][t] @ units.radial
        self.c_angular = blocks["c_angular"][t] @ units.angular
        self.fields = None if moments.directional is None else moments.directional[rows]
        radial, sums = model.project(moments.values[rows], self.c_radial, self.c_angular)
        self.at = model.invariants.at(sums)
        self.q = torch.cat([radial, self.at.values().transpose(1, 2).flatten(1)], dim=1)
        self.scale = units.inverse_spread[t]
        z = (self.q - units.mean[t]) * self.scale
        self.w0 = [blocks["w0"][a, t] for a in range(model.networks)]
        self.w1 = [blocks["w1"][a, t] * units.output[a] for a in range(model.networks)]
        self.hidden = [torch.tanh(z @ w0.t() - blocks["b0"][a, t]) for a, w0 in enumerate(self.w0)]
        self.shift = blocks["b1"][0] * units.output[-1] + units.site[t]
        slope = (1.0 - self.hidden[0] ** 2) * self.w1[0]
        self.slope = slope @ self.w0[0] * self.scale  # dU/dq, shape (centres, dim)
        self._change: tuple[Tensor, Tensor, Tensor] | None = None

    def value(self, network):
        """Output of a network with its constant, shape (centres,)."""
        return self.hidden[network] @ self.w1[network] + self.shift

    def change(self):
        """Change of radial sums, angular sums and descriptor along the fields; components first."""
        if self._change is None:
            assert self.fields is not None
            radial, sums = self.model.project(self.fields, self.c_radial, self.c_angular)
            invariants = self.at.along(sums).transpose(2, 3).flatten(2)
            self._change = radial, sums, torch.cat([radial, invariants], dim=2)
        return self._change

    def directional(self):
        """Return the derivative of the site value along the fields, shape (centres, components)."""
        return torch.einsum("id,aid->ia", self.slope, self.change()[2])

    def _angular_weights(self, slope):
        """Part of a descriptor gradient that belongs to the invariants, shape (..., centres, n, blocks)."""
        return slope[..., self.model.n_radial :].unflatten(-1, (-1, self.model.n_angular)).transpose(-1, -2)

    def _to_moments(self, radial, sums):
        """Turn derivatives by radial and angular sums into derivatives by moments, shape (centres, T, [a,] F)."""
        by_radial = torch.einsum("...in,tnk->it...k", radial, self.c_radial)
        by_angular = torch.einsum("...ins,tnk->it...ks", sums, self.c_angular)
        return torch.cat([by_radial, by_angular.flatten(-2)], dim=-1)

    def moment_gradient(self):
        """Return the derivative of the site value by the moments, shape (centres, T, F)."""
        sums = self.at.pull_back(self._angular_weights(self.slope))
        return self._to_moments(self.slope[:, : self.model.n_radial], sums)

    def moment_gradient_along(self):
        """Return the derivative of :meth:`directional` by the moments, fields fixed: (centres, T, components, F)."""
        _, change, dq = self.change()
        hidden = self.hidden[0]
        bend = -2.0 * hidden * (1.0 - hidden**2) * self.w1[0]
        d_slope = ((dq * self.scale) @ self.w0[0].t() * bend) @ self.w0[0] * self.scale
        sums = self.at.pull_back(self._angular_weights(d_slope))
        sums = sums + self.at.pull_back_along(self._angular_weights(self.slope), change)
        return self._to_moments(d_slope[..., : self.model.n_radial], sums)
