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
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.func import jvp

from tnep_calc.conventions import ASE_ORDER
from tnep_calc.errors import DataFileError, InputError, TnepError
from tnep_calc.io.dataset import LabelledStructure
from tnep_calc.models.descriptor import AngularBasis, radial_basis
from tnep_calc.neighbors import NeighborList

STRAIN_ORDER = ASE_ORDER
"""Order of the six components of virials and polarizabilities in the moments."""
_EDGES_AT_ONCE = 1000  # keeps the temporary outer products at a few ten MB


@dataclass(frozen=True)
class Basis:
    """What fixes the features of the moments.

    Attributes
    ----------
    species : tuple of str
    radial_cutoff, angular_cutoff : float, in Å
    basis_size : tuple of 2 int
        Radial and angular ``basis_size`` (the number of functions is one more).
    l_max : int
    """

    species: tuple[str, ...]
    radial_cutoff: float
    angular_cutoff: float
    basis_size: tuple[int, int]
    l_max: int

    @property
    def n_radial(self) -> int:
        """Number of radial features."""
        return self.basis_size[0] + 1

    @property
    def angular_shape(self) -> tuple[int, int]:
        """Numbers of radial functions and of angular components s of the angular features."""
        return self.basis_size[1] + 1, (self.l_max + 1) ** 2 - 1

    @property
    def n_features(self) -> int:
        """Number of features: the radial ones, then the angular ones with s fastest."""
        return self.n_radial + self.angular_shape[0] * self.angular_shape[1]


@dataclass(frozen=True)
class Moments:
    """Moments of some structures; centres are sorted by species (T species, F features).

    Attributes
    ----------
    n_structures, n_atoms : int
    counts : Tensor, shape (n_structures,)
        Numbers of atoms.
    species_slices : tuple of slice
        Centres of each species.
    atom_row : Tensor, shape (n_atoms,)
        Row among the centres of each atom, structures one after the other in their own order.
    structure : Tensor, shape (n_atoms,)
        Structure of each centre.
    values : Tensor, shape (n_atoms, T, F)
    directional : Tensor, shape (n_atoms, T, F, 3 or 6), or None
        Along the dipole field (x y z) or the strain fields (``STRAIN_ORDER``).
    pair_center, pair_neighbor : Tensor, shape (n_pairs,), or None
        Rows of the two atoms of a pair.
    pair_slot : Tensor, shape (n_pairs,), or None
        ``row of the centre * T + species of the neighbour``.
    pair_gradient : Tensor, shape (n_pairs, F, 3), or None
    pair_born : Tensor, shape (n_pairs, F, 9), or None
        Components ``[a, d]``, row-major.
    max_neighbors : tuple of 2 int
        Largest number of radial and angular neighbours of a centre.
    """

    n_structures: int
    n_atoms: int
    counts: Tensor
    species_slices: tuple[slice, ...]
    atom_row: Tensor
    structure: Tensor
    values: Tensor
    directional: Tensor | None
    pair_center: Tensor | None
    pair_neighbor: Tensor | None
    pair_slot: Tensor | None
    pair_gradient: Tensor | None
    pair_born: Tensor | None
    max_neighbors: tuple[int, int]

    @property
    def gigabytes(self) -> float:
        """Size in GB (10^9 bytes)."""
        tensors = (self.values, self.directional, self.pair_gradient, self.pair_born)
        return sum(t.numel() * t.element_size() for t in tensors if t is not None) / 1e9

    def select(self, structures: Sequence[int]) -> Moments:
        """Return the moments of some structures, by index, in the given order (a copy; no structure twice)."""
        chosen = torch.as_tensor(structures, dtype=torch.int64)
        place = torch.full((self.n_structures,), -1)
        place[chosen] = torch.arange(len(chosen))
        rows = torch.nonzero(place[self.structure] >= 0).squeeze(1)
        row = torch.full((self.n_atoms,), -1)
        row[rows] = torch.arange(len(rows))
        atoms = torch.split(self.atom_row, self.counts.tolist())
        limits = [int((rows < s.start).sum()) for s in self.species_slices] + [len(rows)]
        pairs = None if self.pair_center is None else torch.nonzero(row[self.pair_center] >= 0).squeeze(1)

        def of_pairs(values):
            return None if values is None else values[pairs]

        center, neighbor, slot = (of_pairs(x) for x in (self.pair_center, self.pair_neighbor, self.pair_slot))
        species = self.values.shape[1]
        return replace(
            self, n_structures=len(chosen), n_atoms=len(rows), counts=self.counts[chosen],
            species_slices=tuple(slice(a, b) for a, b in pairwise(limits)),
            atom_row=torch.cat([row[atoms[k]] for k in chosen.tolist()]), structure=place[self.structure[rows]],
            values=self.values[rows], directional=None if self.directional is None else self.directional[rows],
            pair_center=None if center is None else row[center],
            pair_neighbor=None if neighbor is None else row[neighbor],
            pair_slot=None if slot is None else row[center] * species + slot % species,
            pair_gradient=of_pairs(self.pair_gradient), pair_born=of_pairs(self.pair_born),
        )  # fmt: skip


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
    edges = _collect_edges(structures, basis, gradient)
    n, t, f = edges.n_atoms, len(basis.species), basis.n_features
    born = gradient and field == "dipole"
    components = {None: 0, "dipole": 3, "strain": 6}[field]
    numbers = n * t * f * (1 + components) + edges.n_pairs * f * (3 + 9 * born)
    gigabytes = numbers * torch.finfo(dtype).bits / 8e9
    if gigabytes > memory_gb:
        raise InputError(
            f"the moments of {len(structures)} structures ({n} atoms, {edges.n_pairs} pairs, {f} features) need "
            f"{gigabytes:.2f} GB, more than memory_gb = {memory_gb:g}: raise it, use precision = 'float32', a smaller "
            "cutoff, basis_size or l_max, or fewer structures"
        )
    values = torch.zeros(n * t, f, dtype=dtype)
    directional = torch.zeros(n * t, f * components, dtype=dtype) if field else None
    pair_gradient = torch.zeros(edges.n_pairs, 3 * f, dtype=dtype) if gradient else None
    pair_born = torch.zeros(edges.n_pairs, 9 * f, dtype=dtype) if born else None
    derivatives = 0 if not (field or gradient) else 2 if born else 1
    features = _Features(basis)
    for chunk in torch.split(torch.arange(len(edges.slot)), _EDGES_AT_ONCE):
        vectors, slot = edges.vectors[chunk], edges.slot[chunk]
        phi, d_phi, dd_phi = features(vectors, derivatives)
        values.index_add_(0, slot, phi.to(dtype))
        if directional is not None:
            directional.index_add_(0, slot, _along(field, vectors, d_phi).flatten(1).to(dtype))
        if pair_gradient is not None:
            pair_gradient.index_add_(0, edges.pair[chunk], d_phi.flatten(1).to(dtype))
        if pair_born is not None:
            change = _dipole_gradient(vectors, d_phi, dd_phi)
            pair_born.index_add_(0, edges.pair[chunk], change.flatten(1).to(dtype))
    return Moments(
        n_structures=len(structures), n_atoms=n, counts=edges.counts, species_slices=edges.species_slices,
        atom_row=edges.atom_row, structure=edges.structure, values=values.reshape(n, t, f),
        directional=None if directional is None else directional.reshape(n, t, f, components),
        pair_center=edges.pair_center if gradient else None,
        pair_neighbor=edges.pair_neighbor if gradient else None,
        pair_slot=edges.pair_slot if gradient else None,
        pair_gradient=None if pair_gradient is None else pair_gradient.reshape(-1, f, 3),
        pair_born=None if pair_born is None else pair_born.reshape(-1, f, 9),
        max_neighbors=edges.max_neighbors,
    )  # fmt: skip


def _along(field, vectors, d_phi):
    """Return derivatives of the features along the displacement field, shape (n_edges, F, components)."""
    if field == "dipole":
        return -(vectors * vectors).sum(1)[:, None, None] * d_phi
    terms = [-0.5 * (vectors[:, None, a] * d_phi[:, :, b] + vectors[:, None, b] * d_phi[:, :, a])
             for a, b in STRAIN_ORDER]  # fmt: skip
    return torch.stack(terms, dim=-1)


def _dipole_gradient(vectors, d_phi, dd_phi):
    """Gradient of the derivative along the dipole field, shape (n_edges, F, 9), components [a, d]."""
    squared = (vectors * vectors).sum(1)[:, None, None, None]
    return (-2.0 * d_phi[:, :, :, None] * vectors[:, None, None, :] - squared * dd_phi).flatten(2)


class _Features:
    """Features of edges and their first and second derivatives by the edge vector."""

    def __init__(self, basis: Basis):
        self.basis = basis
        self.angular = AngularBasis(basis.l_max)

    def __call__(self, vectors: Tensor, derivatives: int):
        """Return features (E, F), gradients (E, F, 3) and second derivatives (E, F, 3, 3), the latter two or None."""
        basis = self.basis
        r = torch.linalg.vector_norm(vectors, dim=1)
        unit = vectors / r[:, None]
        radial = _radial_derivatives(r, basis.radial_cutoff, basis.basis_size[0])
        angular = _radial_derivatives(r, basis.angular_cutoff, basis.basis_size[1])
        y, dy, ddy = _angular_derivatives(self.angular, vectors, derivatives)
        one = torch.ones(len(r), 1, dtype=r.dtype)
        parts = [
            self._product(radial, one, 0 * unit[:, None], 0 * unit[:, None, None], unit, r, derivatives),
            self._product(angular, y, dy, ddy, unit, r, derivatives),
        ]
        return tuple(None if a is None else torch.cat([a, b], dim=1) for a, b in zip(*parts, strict=True))

    @staticmethod
    def _product(f, y, dy, ddy, unit, r, derivatives):
        """Product of ``f_k(r)`` with angular functions (E, S[, 3[, 3]]) and its derivatives, (k, s) flattened."""
        f0, f1, f2 = f
        phi = (f0[:, :, None] * y[:, None, :]).flatten(1)
        if derivatives == 0:
            return phi, None, None
        u_y = unit[:, None, :] * y[:, :, None]
        d_phi = f1[:, :, None, None] * u_y[:, None] + f0[:, :, None, None] * dy[:, None]
        if derivatives == 1:
            return phi, d_phi.flatten(1, 2), None
        u_u = unit[:, :, None] * unit[:, None, :]
        across = (torch.eye(3, dtype=r.dtype) - u_u) / r[:, None, None]
        u_dy = unit[:, None, :, None] * dy[:, :, None, :]
        first = across[:, None] * y[:, :, None, None] + u_dy + u_dy.transpose(2, 3)
        second = u_u[:, None] * y[:, :, None, None]
        dd_phi = sum(
            g[:, :, None, None, None] * part[:, None] for g, part in ((f0, ddy), (f1, first), (f2, second))
        )
        return phi, d_phi.flatten(1, 2), dd_phi.flatten(1, 2)


def _radial_derivatives(r, cutoff, k_max):
    """Radial functions and their first two derivatives, each of shape (n_edges, k_max + 1)."""
    rc, one = torch.full_like(r, cutoff), torch.ones_like(r)

    def value(x):
        return radial_basis(x, rc, k_max)

    def with_slope(x):
        return jvp(value, (x,), (one,))

    result = jvp(with_slope, (r,), (one,))
    (f0, f1), (_, f2) = result[0], result[1]
    return f0, f1, f2


def _angular_derivatives(angular, vectors, derivatives):
    """Angular functions of the direction, (E, S), and derivatives by the vector, (E, S, 3) and (E, S, 3, 3)."""

    def value(v):
        return angular(v / torch.linalg.vector_norm(v, dim=1, keepdim=True))

    if derivatives == 0:
        return value(vectors), None, None
    axes = [torch.zeros_like(vectors) for _ in range(3)]
    for a in range(3):
        axes[a][:, a] = 1.0

    def gradient(v):
        return torch.stack([jvp(value, (v,), (axis,))[1] for axis in axes], dim=-1)

    if derivatives == 1:
        return value(vectors), gradient(vectors), None
    second = torch.stack([jvp(gradient, (vectors,), (axis,))[1] for axis in axes], dim=-1)
    return value(vectors), gradient(vectors), second


@dataclass(frozen=True)
class _EdgeTable:
    """Edges of all structures with the rows they add to."""

    n_atoms: int
    n_pairs: int
    counts: Tensor
    species_slices: tuple[slice, ...]
    atom_row: Tensor
    structure: Tensor
    vectors: Tensor
    slot: Tensor
    pair: Tensor
    pair_center: Tensor
    pair_neighbor: Tensor
    pair_slot: Tensor
    max_neighbors: tuple[int, int]


def _collect_edges(structures, basis, pairs):
    """Find all edges within the radial cutoff and number centres (by species), slots and pairs."""
    index = {symbol: k for k, symbol in enumerate(basis.species)}
    search = NeighborList(basis.radial_cutoff)
    symbols, origins, ends, pieces = [], [], [], []
    total = 0
    for s in structures:
        unknown = sorted(set(s.symbols) - set(index))
        if unknown:
            raise DataFileError(f"{s.source}: has {' '.join(unknown)}, but the model has {' '.join(basis.species)}")
        try:
            edges = search.edges(s.positions, s.cell, s.pbc)
        except TnepError as error:
            raise DataFileError(f"{s.source}: {error}") from error
        symbols += [index[symbol] for symbol in s.symbols]
        origins.append(np.repeat(np.arange(len(s)), np.diff(edges.offsets)) + total)
        ends.append(edges.neighbors + total)
        pieces.append(edges.vectors)
        total += len(s)
    types, counts = np.array(symbols), np.array([len(s) for s in structures])
    order = np.argsort(types, kind="stable")
    row = np.empty(total, dtype=np.int64)
    row[order] = np.arange(total)
    structure = np.repeat(np.arange(len(counts)), counts)[order]
    limits = np.searchsorted(types[order], np.arange(len(basis.species) + 1))
    origin, end = row[np.concatenate(origins)], row[np.concatenate(ends)]
    vectors = np.concatenate(pieces)
    lengths = np.sqrt((vectors * vectors).sum(1))
    radial = np.bincount(origin, minlength=total).max(initial=0)
    angular = np.bincount(origin[lengths < basis.angular_cutoff], minlength=total).max(initial=0)
    slot = origin * len(basis.species) + types[order][end]
    unique = pair = np.zeros(0, dtype=np.int64)
    if pairs:
        unique, pair = np.unique(origin * total + end, return_inverse=True)
    pair_center, pair_neighbor = unique // total, unique % total
    pair_slot = pair_center * len(basis.species) + types[order][pair_neighbor]
    tensor = torch.from_numpy
    return _EdgeTable(
        total, len(unique), tensor(counts), tuple(slice(int(a), int(b)) for a, b in pairwise(limits)),
        tensor(row), tensor(structure), tensor(vectors), tensor(slot), tensor(pair.reshape(-1)), tensor(pair_center),
        tensor(pair_neighbor), tensor(pair_slot), (int(radial), int(angular)),
    )  # fmt: skip
