"""Moments of the NEP descriptor: all that a training step needs of a structure, computed once.

The descriptor is linear in its coefficients c, so for fixed structures these sums are constants::

    M[i, t, f]        = sum_{j of species t} phi_f(r_ij)
    D[i, t, f, a]     = sum_{j of species t} v_ij . d phi_f / dr_ij       along a displacement field v_ij
    G[p, f, d]        = sum_{images j of b} d phi_f / dr_ij[d]            for the pair p = (i, b)
    B[p, f, a, d]     = sum_{images j of b} d(v^a_ij . d phi_f / dr_ij) / dr_ij[d]

where the feature f is a radial function ``f_k(r)`` or a product ``f_k(r) Y_s(r)`` of the angular part.  The field is
``-r_ij^2 e_a`` for dipoles and ``-r_ij[a] e_b``, symmetrised, for virials and polarizabilities (Xu et al.,
J. Chem. Theory Comput. 20, 3273 (2024)).  Periodic images of one atom are summed, so that a small cell has few pairs
however many neighbours there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tnep_calc.conventions import STRAIN_ORDER
from tnep_calc.errors import InputError
from tnep_calc.structures import LabelledStructure

from . import native
from .edges import EdgeFinder, StructureEdges
from .features import Basis, Features, along, dipole_gradient
from .slots import Group, SlotLayout

__all__ = ["STRAIN_ORDER", "Basis", "Moments", "assemble", "build_moments"]

COMPONENTS = {None: 0, "dipole": 3, "strain": 6}
"""Number of components of each displacement field."""
_EDGES_AT_ONCE = 1000  # keeps the temporary outer products at a few tens of MB


@dataclass(frozen=True)
class Moments:
    """Moments of some structures; centres are sorted by species and group (T species, F features).

    Attributes
    ----------
    n_structures, n_atoms : int
    counts : Tensor, shape (n_structures,)
        Numbers of atoms.
    composition : Tensor of float64, shape (n_structures, T)
        Numbers of atoms of each species.
    species : Tensor, shape (n_atoms,)
        Species index of each centre.
    species_slices : tuple of slice
        Centres of each species.
    groups : tuple of Group
        In the order of their rows.
    atom_row : Tensor, shape (n_atoms,)
        Row of each atom among the centres; atoms are in the order of the structures.
    structure : Tensor, shape (n_atoms,)
        Structure of each centre.
    pair_center, pair_neighbor : Tensor, shape (n_pairs,), or None
        Rows of the two atoms of a pair.
    pair_slot : Tensor, shape (n_pairs,), or None
        Slot of the centre and the neighbour's species.  Slots are numbered by group, within a group by centre, and for
        each centre by the species in ``near``.
    pair_gradient : Tensor, shape (n_pairs, F, 3), or None
    pair_born : Tensor, shape (n_pairs, F, 9), or None
        Components ``[a, d]``, row-major.
    max_neighbors : tuple of 2 int
        Largest number of radial and angular neighbours of a centre.
    """

    n_structures: int
    n_atoms: int
    counts: Tensor
    composition: Tensor
    species: Tensor
    species_slices: tuple[slice, ...]
    groups: tuple[Group, ...]
    atom_row: Tensor
    structure: Tensor
    pair_center: Tensor | None
    pair_neighbor: Tensor | None
    pair_slot: Tensor | None
    pair_gradient: Tensor | None
    pair_born: Tensor | None
    max_neighbors: tuple[int, int]

    @property
    def arrays(self) -> list[Tensor]:
        """The large tensors, in a fixed order."""
        tensors = [t for group in self.groups for t in (group.radial, group.angular, group.along)]
        return [t for t in (*tensors, self.pair_gradient, self.pair_born) if t is not None]

    def with_arrays(self, arrays: Sequence[Tensor]) -> Moments:
        """Return these moments with other large tensors, in the order of :attr:`arrays`."""
        left = iter(arrays)
        groups = tuple(
            replace(group, radial=next(left), angular=next(left), along=None if group.along is None else next(left))
            for group in self.groups
        )
        gradient = None if self.pair_gradient is None else next(left)
        return replace(
            self, groups=groups, pair_gradient=gradient, pair_born=None if self.pair_born is None else next(left)
        )

    def to(self, device: torch.device) -> Moments:
        """Return these moments on a device."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, groups=tuple(group.to(device) for group in self.groups), **moved)

    @property
    def gigabytes(self) -> float:
        """Size in GB (10^9 bytes)."""
        return sum(t.numel() * t.element_size() for t in self.arrays) / 1e9

    def select(self, structures: Sequence[int]) -> Moments:
        """Return the moments of some structures, by index, in the given order (a copy; no structure twice)."""
        chosen = torch.as_tensor(structures, dtype=torch.int64, device=self.structure.device)
        place = chosen.new_full((self.n_structures,), -1)
        place[chosen] = torch.arange(len(chosen), device=chosen.device)
        keep = place[self.structure] >= 0
        rows = torch.nonzero(keep).squeeze(1)
        row = chosen.new_full((self.n_atoms,), -1)
        row[rows] = torch.arange(len(rows), device=chosen.device)
        groups, slots, n_slots, start = [], [], 0, 0
        for group in self.groups:
            own = torch.nonzero(keep[group.rows]).squeeze(1)
            near = len(group.near)
            slot = chosen.new_full((group.rows.stop - group.rows.start, near), -1)
            slot[own] = n_slots + torch.arange(len(own) * near, device=chosen.device).reshape(-1, near)
            slots.append(slot.flatten())
            if len(own):
                arrays = {name: getattr(group, name) for name in ("radial", "angular", "along")}
                arrays = {name: None if x is None else _columns(x, own) for name, x in arrays.items()}
                groups.append(replace(group, rows=slice(start, start + len(own)), **arrays))
            start, n_slots = start + len(own), n_slots + len(own) * near
        atoms = torch.split(self.atom_row, self.counts.tolist())
        limits = [int(keep[: s.start].sum()) for s in self.species_slices] + [len(rows)]
        pairs = None if self.pair_center is None else torch.nonzero(keep[self.pair_center]).squeeze(1)

        def of_pairs(values, renumber=None):
            return None if values is None else values[pairs] if renumber is None else renumber[values[pairs]]

        return replace(
            self,
            n_structures=len(chosen),
            n_atoms=len(rows),
            counts=self.counts[chosen],
            composition=self.composition[chosen],
            species=self.species[rows],
            groups=tuple(groups),
            species_slices=tuple(slice(a, b) for a, b in pairwise(limits)),
            atom_row=torch.cat([row[atoms[k]] for k in chosen.tolist()]),
            structure=place[self.structure[rows]],
            pair_center=of_pairs(self.pair_center, row),
            pair_neighbor=of_pairs(self.pair_neighbor, row),
            pair_slot=of_pairs(self.pair_slot, torch.cat(slots)),
            pair_gradient=of_pairs(self.pair_gradient),
            pair_born=of_pairs(self.pair_born),
        )


def _columns(x: Tensor, chosen: Tensor) -> Tensor:
    """Return some entries of the last axis; ``gather`` is four times as fast here as indexing."""
    return x.gather(-1, chosen.expand(*x.shape[:-1], -1))


def moment_numbers(edges: StructureEdges, basis: Basis, field: str | None, gradient: bool) -> int:
    """Return how many numbers the moments of a structure have (joined small groups add a few more)."""
    f, born = basis.n_features, gradient and field == "dipole"
    return edges.n_slots * f * (1 + COMPONENTS[field]) + (edges.n_pairs * f * (3 + 9 * born) if gradient else 0)


def build_moments(
    structures: Sequence[LabelledStructure],
    basis: Basis,
    *,
    field: str | None = None,
    gradient: bool = False,
    dtype: torch.dtype = torch.float64,
    memory_gb: float = 4.0,
) -> Moments:
    """Compute the moments of structures (always in float64, then stored in `dtype`).

    Parameters
    ----------
    structures : sequence of LabelledStructure
    basis : Basis
    field : {"dipole", "strain"}, optional
        Displacement field of the directional moments; None = no directional moments.
    gradient : bool, default False
        Compute pair moments: for forces, and with ``field="dipole"`` also those for Born charges.
    dtype : torch.dtype, default float64
        Type of what is stored.
    memory_gb : float, default 4.0
        Refuse to store more than this (GB).

    Raises
    ------
    DataFileError
        If a structure has an unknown species or an unsound geometry.
    InputError
        If the moments would be larger than `memory_gb`.
    """
    edges = [*map(EdgeFinder(basis), structures)]
    numbers = sum(moment_numbers(e, basis, field, gradient) for e in edges)
    gigabytes = numbers * torch.finfo(dtype).bits / 8e9
    if gigabytes > memory_gb:
        atoms, pairs = sum(map(len, structures)), sum(e.n_pairs for e in edges)
        raise InputError(
            f"the moments of {len(structures)} structures ({atoms} atoms, {pairs} pairs, {basis.n_features} features) "
            f"need {gigabytes:.2f} GB, more than memory_gb = {memory_gb:g}: raise it, use precision = 'float32', a "
            "smaller cutoff, basis_size or l_max, or fewer structures"
        )
    return assemble(edges, basis, field=field, gradient=gradient, dtype=dtype)


def assemble(
    edges: Sequence[StructureEdges],
    basis: Basis,
    *,
    field: str | None = None,
    gradient: bool = False,
    dtype: torch.dtype = torch.float64,
) -> Moments:
    """Compute the moments of structures from their edges; see :func:`build_moments`."""
    t = len(basis.species)
    counts = np.array([len(e.types) for e in edges])
    starts = np.cumsum([0, *counts])[:-1]
    total = int(counts.sum())
    types = np.concatenate([e.types for e in edges])
    origin, end = (
        np.concatenate([getattr(e, name) + start for e, start in zip(edges, starts, strict=True)])
        for name in ("origin", "end")
    )
    vectors = torch.from_numpy(np.concatenate([e.vectors for e in edges]))
    layout = SlotLayout(types, origin, types[end], t)
    row, slot, structure = layout.row, layout.slot(origin, types[end]), np.repeat(np.arange(len(counts)), counts)

    pair_center = pair_neighbor = pair_slot = None
    pair, n_pairs = np.zeros(0, dtype=np.int64), 0
    if gradient:
        unique, pair = np.unique(row[origin] * total + row[end], return_inverse=True)
        n_pairs = len(unique)
        pair_center, pair_neighbor = (torch.from_numpy(x) for x in (unique // total, unique % total))
        order = layout.order
        pair_slot = torch.from_numpy(layout.slot(order[unique // total], types[order[unique % total]]))
    own = native.Edges(
        vectors,
        *(torch.from_numpy(x) for x in (np.searchsorted(origin, np.arange(total + 1)), types[origin], types[end])),
    )
    places = torch.from_numpy(slot), torch.from_numpy(pair.reshape(-1)), n_pairs
    compute = _native_sums if native.available(vectors) and not (gradient and field == "dipole") else _sums
    groups, pair_gradient, pair_born = compute(basis, own, layout, *places, field, gradient, dtype)
    composition = np.zeros((len(counts), t))
    np.add.at(composition, (structure, types), 1.0)
    limits = np.searchsorted(types[layout.order], np.arange(t + 1))
    return Moments(
        n_structures=len(counts),
        n_atoms=total,
        counts=torch.tensor(counts),
        composition=torch.tensor(composition),
        species=torch.from_numpy(types[layout.order]),
        species_slices=tuple(slice(int(a), int(b)) for a, b in pairwise(limits)),
        groups=groups,
        atom_row=torch.from_numpy(row),
        structure=torch.from_numpy(structure[layout.order]),
        pair_center=pair_center,
        pair_neighbor=pair_neighbor,
        pair_slot=pair_slot,
        pair_gradient=None if pair_gradient is None else pair_gradient.to(dtype),
        pair_born=None if pair_born is None else pair_born.to(dtype),
        max_neighbors=(max(e.max_neighbors[0] for e in edges), max(e.max_neighbors[1] for e in edges)),
    )


def _native_sums(basis, edges, layout, slot, pair, n_pairs, field, gradient, dtype):
    """Return the groups, and the gradients of pairs or None; the kernels have no second derivatives."""
    near, counts = zip(*((len(near), rows.stop - rows.start) for _, near, rows in layout.parts), strict=True)
    tensors = iter(native.moments(basis, edges, slot, torch.from_numpy(layout.order), near, counts, field, dtype))
    groups = tuple(
        Group(species, tuple(near.tolist()), rows, next(tensors), next(tensors), next(tensors) if field else None)
        for species, near, rows in layout.parts
    )
    return groups, native.pair_gradients(basis, edges, pair, n_pairs) if gradient else None, None


def _sums(basis, edges, layout, slot, pair, n_pairs, field, gradient, dtype):
    """Return the groups, and the gradients and second derivatives of pairs or None."""
    f, components, born = basis.n_features, COMPONENTS[field], gradient and field == "dipole"

    def zeros(*shape):
        return torch.zeros(shape, dtype=torch.float64)

    plain, directional = zeros(layout.n_slots, f), zeros(layout.n_slots, f * components)
    pair_gradient = zeros(n_pairs, 3 * f) if gradient else None
    pair_born = zeros(n_pairs, 9 * f) if born else None
    features = Features(basis)
    for chunk in torch.split(torch.arange(len(slot)), _EDGES_AT_ONCE):
        v = edges.vectors[chunk]
        derivatives = 0 if not (field or gradient) else 2 if born else 1
        phi, d_phi, dd_phi = features(v, edges.centre[chunk], edges.neighbor[chunk], derivatives)
        plain.index_add_(0, slot[chunk], phi)
        if field:
            directional.index_add_(0, slot[chunk], along(field, v, d_phi).flatten(1))
        if pair_gradient is not None:
            pair_gradient.index_add_(0, pair[chunk], d_phi.flatten(1))
        if pair_born is not None:
            pair_born.index_add_(0, pair[chunk], dipole_gradient(v, d_phi, dd_phi).flatten(1))
    groups = tuple(layout.groups(plain, directional.reshape(layout.n_slots, f, components), basis, dtype))
    return (
        groups,
        None if pair_gradient is None else pair_gradient.reshape(n_pairs, f, 3),
        None if pair_born is None else pair_born.reshape(n_pairs, f, 9),
    )
