"""Predictions of a whole population on precomputed moments.

The same equations as :class:`tnep_calc.training.nep.model.NepOnMoments` (the reference of the tests), arranged for
many parameter vectors at once: moments of a block of centres times the coefficients of all individuals is one dense
product.  Blocks are small enough for the intermediate sums to stay in a cache; a GPU gets larger ones, as it needs more
work at a time.  Only values, no gradients.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations_with_replacement
from typing import Any

import torch
from torch import Tensor

from tnep_calc.conventions import STRAIN_ORDER
from tnep_calc.io.gpumd.nep_txt import EXTRA_BLOCKS
from tnep_calc.models.nep.polynomials import block_terms, three_body_weights

from ...nep.model import NepOnMoments
from ...nep.moments import Moments

_WORKING_SET = {"cpu": 4e6, "cuda": 1e8}
"""Bytes of the angular sums of one block."""


class _Invariant:
    """Gradient of a homogeneous polynomial of the sums, as a matrix times products of one factor less."""

    def __init__(self, name: str, device: torch.device):
        terms = block_terms(name)
        self.degree = len(terms[0][1])
        support = sorted({s for _, factors in terms for s in factors})
        products = list(combinations_with_replacement(support, self.degree - 1))
        matrix = torch.zeros(len(support), len(products), dtype=torch.float64)
        for coefficient, factors in terms:
            for k in range(self.degree):
                rest = tuple(sorted(factors[:k] + factors[k + 1 :]))
                matrix[support.index(factors[k]), products.index(rest)] += coefficient
        used = matrix.abs().sum(dim=0) > 0
        self.products = [product for product, keep in zip(products, used.tolist(), strict=True) if keep]
        self.support = torch.tensor(support, device=device)
        self.matrix = matrix[:, used].to(device, torch.float32)

    def gradient(self, sums: Tensor) -> Tensor:
        """Return the derivative by the supported components, shape (support, N), for sums of shape (S, N)."""
        known: dict[tuple[int, ...], Tensor] = {}
        rows = []
        for product in self.products:
            for length in range(2, len(product) + 1):
                if product[:length] not in known:
                    before = sums[product[0]] if length == 2 else known[product[: length - 1]]
                    known[product[:length]] = before * sums[product[length - 1]]
            rows.append(known[product] if len(product) > 1 else sums[product[0]])
        return self.matrix @ torch.stack(rows)


class _Movable:
    """A dataclass whose tensors, also those of its parts, can be on a device."""

    def to(self, device: torch.device) -> Any:
        """Return the same on a device."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        moved = {name: x.to(device) for name, x in values.items() if isinstance(x, (Tensor, _Movable))}
        return replace(self, **moved)  # type: ignore[type-var]


@dataclass(frozen=True)
class _Pairs(_Movable):
    """Pairs of the centres of a block, by slot (centre, species of the neighbour); slots are of equal length.

    Attributes
    ----------
    gradients : Tensor, shape (slots, F, 3 times the largest number of pairs)
        Of the features, for slots that have pairs.
    slots : Tensor
        These slots among all, (I T).
    places : Tensor
        Of the pairs in the flattened slots.
    centers, neighbors : Tensor
        Rows of their two atoms.
    """

    gradients: Tensor
    slots: Tensor
    places: Tensor
    centers: Tensor
    neighbors: Tensor


@dataclass(frozen=True)
class _Block(_Movable):
    """Centres of one species (I of them), with their moments as matrices (S angular components, C field components).

    Attributes
    ----------
    species : int
    rows : slice
        Rows among all centres.
    near : Tensor
        Species of the neighbours that occur (T of them); columns of the matrices are T times k.
    radial : Tensor, shape (I, T k)
    angular : Tensor, shape (S I, T k)
    radial_along, angular_along : Tensor, shapes (C, I, T k) and (C, S I, T k), or None
        Along the displacement fields.
    pairs : _Pairs or None
    """

    species: int
    rows: slice
    near: Tensor
    radial: Tensor
    angular: Tensor
    radial_along: Tensor | None
    angular_along: Tensor | None
    pairs: _Pairs | None

    @property
    def arrays(self) -> list[Tensor]:
        """The large tensors, in a fixed order."""
        gradients = None if self.pairs is None else self.pairs.gradients
        tensors = self.radial, self.angular, self.radial_along, self.angular_along, gradients
        return [t for t in tensors if t is not None]

    def with_arrays(self, left: Iterator[Tensor]) -> _Block:
        """Return the same with other large tensors, which are taken in the order of :attr:`arrays`."""
        radial, angular = next(left), next(left)
        radial_along, angular_along = (None, None) if self.radial_along is None else (next(left), next(left))
        pairs = None if self.pairs is None else replace(self.pairs, gradients=next(left))
        return replace(self, radial=radial, angular=angular, radial_along=radial_along, angular_along=angular_along,
                       pairs=pairs)  # fmt: skip


class PopulationModel:
    """A model of one kind on the moments of some structures, for populations.

    It is called where its moments have been moved to: the device of `model`.

    Parameters
    ----------
    model : NepOnMoments
        Layout of parameters, with the scaling that is set when it is called.
    moments : Moments
        In float32, on the CPU.
    wanted : sequence of str
        Predictions to make: ``energy``, ``forces``, ``virial``, ``dipole``, ``polarizability``.
    population : int
        Number of individuals that the blocks are made for.

    Attributes
    ----------
    max_neighbors : tuple of 2 int
        Largest radial and angular numbers of neighbours.
    """

    def __init__(self, model: NepOnMoments, moments: Moments, wanted: Sequence[str], population: int):
        self.model, self.wanted = model, list(wanted)
        self.n_structures, self.n_atoms = moments.n_structures, moments.n_atoms
        self.structure, self.atom_row, self.max_neighbors = moments.structure, moments.atom_row, moments.max_neighbors
        extra = zip(EXTRA_BLOCKS, model.config.extra, strict=True)
        self.invariants = [_Invariant(name, model.device) for name, on in extra if on]
        three_body = three_body_weights(model.config.l_max[0])
        self.weights = torch.tensor(three_body, dtype=torch.float32, device=model.device)  # (S, L)
        per_center = 4 * model.basis.angular_shape[1] * model.n_angular * population
        size = max(1, int(_WORKING_SET[model.device.type] / per_center))
        self.blocks: list[_Block] = []
        dense = moments.dense(model.basis)
        for species, rows in enumerate(moments.species_slices):
            for start in range(rows.start, rows.stop, size):
                self.blocks.append(self._block(moments, dense, species, slice(start, min(start + size, rows.stop))))

    @property
    def arrays(self) -> list[Tensor]:
        """The large tensors, in a fixed order."""
        return [array for block in self.blocks for array in block.arrays]

    def with_arrays(self, arrays: Sequence[Tensor]) -> PopulationModel:
        """Return the same with other large tensors, in the order of :attr:`arrays`."""
        other, left = copy.copy(self), iter(arrays)
        other.blocks = [block.with_arrays(left) for block in self.blocks]
        return other

    def to(self, device: torch.device) -> PopulationModel:
        """Return the same with its moments on a device."""
        other = copy.copy(self)
        other.blocks = [block.to(device) for block in self.blocks]
        other.structure, other.atom_row = self.structure.to(device), self.atom_row.to(device)
        return other

    @property
    def gigabytes(self) -> float:
        """Size of the moments in GB (10^9 bytes)."""
        return sum(array.numel() * array.element_size() for array in self.arrays) / 1e9

    def _block(self, moments, dense, species, rows):
        n_radial, (k, s) = self.model.basis.n_radial, self.model.basis.angular_shape
        values, directional = dense[0][rows], dense[1]
        near = torch.nonzero(values[:, :, 0].abs().sum(dim=0)).flatten().tolist() or [species]
        count = rows.stop - rows.start

        def split(features):  # (I, T, F) -> (I, T k) and (S I, T k)
            radial = features[:, near, :n_radial].reshape(count, -1)
            angular = features[:, near, n_radial:].reshape(count, len(near), k, s).permute(3, 0, 1, 2)
            return radial.contiguous(), angular.reshape(s * count, -1).contiguous()

        radial_along = angular_along = None
        if directional is not None:
            parts = [split(directional[rows][..., c]) for c in range(directional.shape[3])]
            radial_along, angular_along = (torch.stack(part) for part in zip(*parts, strict=True))
        pairs = self._pairs(moments, rows, near) if "forces" in self.wanted else None
        radial, angular = split(values)
        return _Block(species, rows, torch.tensor(near), radial, angular, radial_along, angular_along, pairs)

    def _pairs(self, moments, rows, near):
        """Sort the pairs of the centres into slots of equal length."""
        mine = torch.nonzero((moments.pair_center >= rows.start) & (moments.pair_center < rows.stop)).flatten()
        t = len(self.model.config.species)
        place = torch.zeros(t, dtype=torch.int64)
        place[near] = torch.arange(len(near))
        near_species = moments.species[moments.pair_neighbor[mine]]
        slot = (moments.pair_center[mine] - rows.start) * len(near) + place[near_species]
        order = torch.argsort(slot, stable=True)
        mine, slot = mine[order], slot[order]
        slots, index, counts = torch.unique_consecutive(slot, return_inverse=True, return_counts=True)
        longest = int(counts.max()) if len(counts) else 0
        within = torch.arange(len(mine)) - (torch.cumsum(counts, 0) - counts)[index]
        gradients = torch.zeros(len(slots), longest, *moments.pair_gradient.shape[1:])
        gradients[index, within] = moments.pair_gradient[mine]
        gradients = gradients.permute(0, 2, 1, 3).flatten(2).contiguous()
        return _Pairs(
            gradients, slots, index * longest + within, moments.pair_center[mine], moments.pair_neighbor[mine]
        )

    @torch.no_grad()
    def __call__(self, vectors: Tensor) -> dict[str, Tensor]:
        """Predict.

        Parameters
        ----------
        vectors : Tensor of float32, shape (P, n_parameters)
            Parameters in the layout of the moments model.

        Returns
        -------
        dict of Tensor
            As :meth:`NepOnMoments.predict`, each with a leading axis of individuals.
        """
        p, weights = len(vectors), self._split(vectors)
        values = vectors.new_zeros(p, self.n_atoms)
        components = {"dipole": 3}.get(self.model.config.kind, 6)
        along = vectors.new_zeros(p, self.n_atoms, components)
        forces = vectors.new_zeros(self.n_atoms, 3 * p) if "forces" in self.wanted else None
        for block in self.blocks:
            self._evaluate(block, weights, values, along, forces)
        out: dict[str, Tensor] = {}
        if "energy" in self.wanted:
            out["energy"] = self._totals(values)
        if "polarizability" in self.wanted:
            along += values[:, :, None] * vectors.new_tensor([float(a == b) for a, b in STRAIN_ORDER])
        for name in ("virial", "dipole", "polarizability"):
            if name in self.wanted:
                out[name] = self._totals(along)
        if forces is not None:
            out["forces"] = forces[self.atom_row].reshape(self.n_atoms, p, 3).transpose(0, 1)
        return out

    @torch.no_grad()
    def descriptors(self, vector: Tensor) -> Tensor:
        """Return the unscaled descriptors of all centres for one parameter vector, shape (n_atoms, dim)."""
        weights = self._split(vector[None])
        return torch.cat([_Sums(self, block, weights).q[0] for block in self.blocks])

    def _split(self, vectors):
        shapes = self.model.shapes
        parts = torch.split(vectors, [math.prod(shape) for shape in shapes.values()], dim=1)
        return {
            name: part.reshape(len(vectors), *shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)
        }

    def _totals(self, per_center):
        total = per_center.new_zeros(len(per_center), self.n_structures, *per_center.shape[2:])
        return total.index_add(1, self.structure, per_center)

    def _evaluate(self, block, weights, values, along, forces):
        """Add the contribution of one block to the outputs."""
        model, t = self.model, block.species
        p, count = len(values), len(block.radial)
        s, nr, na = model.basis.angular_shape[1], model.n_radial, model.n_angular
        at = _Sums(self, block, weights)
        scale = model.scaling.inverse_spread[t].to(torch.float32)
        q = at.q * scale
        hidden = [
            torch.tanh(torch.baddbmm(-weights["b0"][:, a, t, None], q, weights["w0"][:, a, t].transpose(1, 2)))
            for a in range(model.networks)
        ]
        value = torch.einsum("pim,pm->pi", hidden[-1], weights["w1"][:, -1, t]) + weights["b1"]
        values[:, block.rows] = value
        if self.wanted == ["energy"]:
            return
        slope = torch.bmm((1 - hidden[0].square()) * weights["w1"][:, 0, t, None], weights["w0"][:, 0, t]) * scale
        by_radial = slope[:, :, :nr].transpose(0, 1)  # (I, P, n)
        by_block = slope[:, :, nr:].reshape(p, count, -1, na).permute(2, 1, 0, 3).flatten(1)  # (blocks, I P n)
        l_max = self.weights.shape[1]
        by_sums = (2 * self.weights) @ by_block[:l_max] * at.sums
        for b, (invariant, gradient) in enumerate(zip(self.invariants, at.gradients, strict=True)):
            by_sums[invariant.support] += gradient * by_block[l_max + b]
        if block.radial_along is not None:
            for c in range(len(block.radial_along)):
                radial = ((block.radial_along[c] @ at.c_radial).reshape(count, p, nr) * by_radial).sum(dim=2)
                change = (block.angular_along[c] @ at.c_angular).reshape(s, -1).mul_(by_sums)
                along[:, block.rows, c] = (radial + change.sum(dim=0).reshape(count, p, na).sum(dim=2)).t()
        if forces is not None:
            self._add_forces(block, weights, by_radial, by_sums, forces)

    def _add_forces(self, block, weights, by_radial, by_sums, forces):
        """Turn derivatives by the sums into derivatives by the moments, and those into forces (n_atoms, P 3)."""
        pairs = block.pairs
        slots = pairs.slots
        if len(slots) == 0:
            return
        t, near = block.species, block.near
        k, s = self.model.basis.angular_shape
        p, count = by_radial.shape[1], len(block.radial)
        c_radial, c_angular = weights["c_radial"][:, t, near], weights["c_angular"][:, t, near]  # (P, T, n, k)
        radial = torch.bmm(by_radial.transpose(0, 1), c_radial.transpose(1, 2).flatten(2))  # (P, I, T k)
        angular = by_sums.reshape(s * count, p, -1).transpose(0, 1)  # (P, S I, n)
        angular = torch.bmm(angular, c_angular.transpose(1, 2).flatten(2)).reshape(p, s, count, len(near), k)
        radial = radial.reshape(p, count, len(near), -1).permute(1, 2, 0, 3).flatten(0, 1)[slots]
        angular = angular.permute(2, 3, 0, 4, 1).reshape(count * len(near), p, k * s)[slots]  # features (k, s)
        per_pair = torch.bmm(torch.cat([radial, angular], dim=2), pairs.gradients)  # (slots, P, pairs 3)
        per_pair = per_pair.reshape(len(slots), p, -1, 3).transpose(1, 2).reshape(-1, 3 * p)[pairs.places]
        forces.index_add_(0, pairs.centers, per_pair).index_add_(0, pairs.neighbors, per_pair, alpha=-1.0)


class _Sums:
    """Sums and descriptors of one block for all individuals.

    Attributes
    ----------
    c_radial, c_angular : Tensor, shape (T k, P n)
        Coefficients as matrices.
    sums : Tensor, shape (S, I P n)
    gradients : list of Tensor
        Of each optional invariant, shape (support, I P n).
    q : Tensor, shape (P, I, dim)
    """

    def __init__(self, parent: PopulationModel, block: _Block, weights: dict[str, Tensor]):
        model = parent.model
        p, count = len(weights["b1"]), len(block.radial)
        s, nr, na = model.basis.angular_shape[1], model.n_radial, model.n_angular
        c_radial, c_angular = (weights[name][:, block.species, block.near] for name in ("c_radial", "c_angular"))
        self.c_radial = c_radial.permute(1, 3, 0, 2).reshape(-1, p * nr)
        self.c_angular = c_angular.permute(1, 3, 0, 2).reshape(-1, p * na)
        self.sums = (block.angular @ self.c_angular).reshape(s, -1)
        self.gradients = [invariant.gradient(self.sums) for invariant in parent.invariants]
        parts = [parent.weights.t() @ self.sums.square()]
        for invariant, gradient in zip(parent.invariants, self.gradients, strict=True):
            value = (self.sums[invariant.support] * gradient).sum(dim=0, keepdim=True)
            parts.append(value / invariant.degree)
        angular = torch.cat(parts).reshape(-1, count, p, na).permute(2, 1, 0, 3).flatten(2)
        radial = (block.radial @ self.c_radial).reshape(count, p, nr).transpose(0, 1)
        self.q = torch.cat([radial, angular], dim=2)
