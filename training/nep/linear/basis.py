"""Functions of which a linear NEP is made, their energies and their forces.

The energy of an atom i of species I is linear in

* its radial sums ``p_kJ = sum_j f_k(r_ij)`` over the neighbours j of species J, and
* the products ``Q_l,KK' = sum_s w_s a_Ks a_K's`` of its angular sums ``a_Ks = sum_j f_k(r_ij) Y_s(r_ij)`` for each l,
  where K stands for k and J, and s for the angular functions of l.

A NEP (Fan et al., J. Chem. Phys. 157, 114801 (2022)) has ``q_nl = sum_s w_s (sum_K c_nK a_Ks)^2`` instead of all
products: :mod:`.low_rank` finds the coefficients c that replace them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tnep_calc.conventions import STRAIN_ORDER
from tnep_calc.errors import InputError
from tnep_calc.models.nep.descriptor import AngularBasis, radial_basis
from tnep_calc.models.nep.polynomials import three_body_weights
from tnep_calc.neighbors import NeighborList

LARGEST = 12000
"""Largest number of linear coefficients; their normal equations then need about 1 GB."""


@dataclass(frozen=True)
class NepBasis:
    """Species, cutoffs and sizes of the functions; the numbers have the meaning of GPUMD's ``nep.in``.

    Attributes
    ----------
    species : tuple of str
        Chemical symbols.
    radial_cutoff, angular_cutoff : float, in Å
    basis_size : tuple of 2 int
        Radial and angular size of the Chebyshev basis; the number of functions is larger by one.
    l_max : int
        Largest l of the angular functions.
    """

    species: tuple[str, ...]
    radial_cutoff: float
    angular_cutoff: float
    basis_size: tuple[int, int]
    l_max: int

    def __post_init__(self):
        if not 0 < self.angular_cutoff <= self.radial_cutoff:
            raise InputError(
                "the cutoffs of a NEP must satisfy 0 < angular_cutoff <= radial_cutoff, got "
                f"{self.angular_cutoff:g} and {self.radial_cutoff:g} Å"
            )
        if min(self.basis_size) < 1 or not 1 <= self.l_max <= 8:
            raise InputError(
                f"a NEP needs basis_size of at least 1 and l_max from 1 to 8, got {list(self.basis_size)}, {self.l_max}"
            )
        if self.size > LARGEST:
            raise InputError(
                f"a NEP of {self.size} linear coefficients is too large (at most {LARGEST}): reduce basis_size, l_max"
            )

    @property
    def functions(self) -> int:
        """Number of pairs K of an angular radial function and a species of the neighbour."""
        return len(self.species) * (self.basis_size[1] + 1)

    @property
    def radial_size(self) -> int:
        """Number of coefficients of radial sums, ordered by species of the centre, of the neighbour, and k."""
        return len(self.species) ** 2 * (self.basis_size[0] + 1)

    @property
    def size(self) -> int:
        """Number of all coefficients: radial ones, then products by species of the centre, l, and pair K <= K'."""
        return self.radial_size + len(self.species) * self.l_max * (self.functions * (self.functions + 1) // 2)


@dataclass(frozen=True)
class Design:
    """Energy, forces and virial of a structure for each linear coefficient.

    The product of two different functions K and K' is counted twice, as in the square of a sum.

    Attributes
    ----------
    energies : ndarray, shape (size,)
        Sums over the atoms.
    forces : ndarray, shape (3 n_atoms, size), in 1/Å
        Minus the derivatives of the energies with respect to the positions.
    virials : ndarray, shape (6, size)
        Minus the derivatives with respect to the strain, in ``STRAIN_ORDER``.
    """

    energies: np.ndarray
    forces: np.ndarray
    virials: np.ndarray


def design(basis: NepBasis, types: np.ndarray, positions, cell, pbc=True) -> Design:
    """Return energy, forces and virial of a structure for each linear coefficient.

    Parameters
    ----------
    basis : NepBasis
    types : ndarray of int, shape (n_atoms,)
        Index of the species of each atom.
    positions, cell : array, in Å
    pbc : bool or array of bool, shape (3,), default True
        Periodic directions.
    """
    sums = Sums(basis, types, positions, cell, pbc)
    energies, forces, virials = zip(_radial(basis, sums), _angular(basis, sums), strict=True)
    return Design(np.concatenate(energies), np.concatenate(forces, axis=1), np.concatenate(virials, axis=1))


class Sums:
    """Radial and angular sums of all atoms of a structure, with the derivatives of each pair.

    Parameters
    ----------
    basis, types, positions, cell, pbc
        As in :func:`design`.

    Attributes
    ----------
    radial : Tensor, shape (n_atoms, n_species, k)
    angular : Tensor, shape (n_atoms, K, s)
    most : tuple of 2 int
        Largest numbers of neighbours within the radial and the angular cutoff.
    """

    def __init__(self, basis: NepBasis, types: np.ndarray, positions, cell, pbc=True):
        self.types = torch.as_tensor(types, dtype=torch.int64)
        edges = NeighborList(basis.radial_cutoff).edges(positions, cell, pbc)
        vectors = torch.as_tensor(edges.vectors)
        neighbors = torch.as_tensor(edges.neighbors)
        centres = torch.repeat_interleave(torch.arange(len(types)), torch.as_tensor(np.diff(edges.offsets)))
        count, species = len(types), len(basis.species)
        self.far = _Pairs(centres, neighbors, vectors, *_with_gradients(_radial_functions(basis), vectors))
        inside = torch.linalg.vector_norm(vectors, dim=1) < basis.angular_cutoff
        vectors = vectors[inside]
        self.near = _Pairs(
            centres[inside], neighbors[inside], vectors, *_with_gradients(_angular_functions(basis), vectors)
        )
        shape = (count * species, *self.far.values.shape[1:])
        self.radial = torch.zeros(shape, dtype=torch.float64)
        self.radial.index_add_(0, self.far.centres * species + self.types[self.far.neighbors], self.far.values)
        self.radial = self.radial.view(count, species, -1)
        shape = (count * species, *self.near.values.shape[1:])
        self.angular = torch.zeros(shape, dtype=torch.float64)
        self.angular.index_add_(0, self.near.centres * species + self.types[self.near.neighbors], self.near.values)
        self.angular = self.angular.view(count, basis.functions, -1)
        far, near = (torch.bincount(pairs.centres, minlength=count).max() for pairs in (self.far, self.near))
        self.most = int(far), int(near)


@dataclass(frozen=True)
class _Pairs:
    """Atoms and vectors of pairs, and functions of the vectors with gradients (last axis)."""

    centres: Tensor
    neighbors: Tensor
    vectors: Tensor
    values: Tensor
    gradients: Tensor

    def to_atoms(self, of_pair: Tensor, chosen: Tensor, atoms: int) -> Tensor:
        """Return the forces from derivatives with respect to the vectors of chosen pairs, summed over the pairs."""
        forces = torch.zeros(atoms, *of_pair.shape[1:], dtype=of_pair.dtype)
        forces.index_add_(0, self.centres[chosen], of_pair)
        forces.index_add_(0, self.neighbors[chosen], of_pair, alpha=-1)
        return forces

    def to_virial(self, of_pair: Tensor, chosen: Tensor) -> Tensor:
        """Return the virial from the same derivatives (last axis), with the six components in the last axis."""
        vectors = self.vectors[chosen]
        return torch.stack([-torch.tensordot(vectors[:, b], of_pair[..., a], dims=1) for a, b in STRAIN_ORDER], dim=-1)


def _radial_functions(basis: NepBasis):
    def functions(vectors):
        r = torch.linalg.vector_norm(vectors, dim=1)
        return radial_basis(r, torch.full_like(r, basis.radial_cutoff), basis.basis_size[0])

    return functions


def _angular_functions(basis: NepBasis):
    angular = AngularBasis(basis.l_max)

    def functions(vectors):
        r = torch.linalg.vector_norm(vectors, dim=1)
        radial = radial_basis(r, torch.full_like(r, basis.angular_cutoff), basis.basis_size[1])
        return radial[:, :, None] * angular(vectors / r[:, None])[:, None, :]

    return functions


def _with_gradients(functions: Any, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return functions of vectors, and their gradients in an additional last axis."""
    columns = []
    values = functions(vectors)
    for axis in range(3):
        direction = torch.zeros_like(vectors)
        direction[:, axis] = 1.0
        columns.append(torch.func.jvp(functions, (vectors,), (direction,))[1])
    return values, torch.stack(columns, dim=-1)


def _radial(basis: NepBasis, sums: Sums) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    atoms, species = len(sums.types), len(basis.species)
    energies = torch.zeros(species, species, basis.basis_size[0] + 1, dtype=torch.float64)
    energies.index_add_(0, sums.types, sums.radial)
    forces = torch.zeros(atoms, 3, *energies.shape, dtype=torch.float64)
    virials = torch.zeros(6, *energies.shape, dtype=torch.float64)
    for centre in range(species):
        for neighbor in range(species):
            chosen = (sums.types[sums.far.centres] == centre) & (sums.types[sums.far.neighbors] == neighbor)
            of_pair = sums.far.gradients[chosen]
            forces[:, :, centre, neighbor] = sums.far.to_atoms(of_pair, chosen, atoms).transpose(1, 2)
            virials[:, centre, neighbor] = sums.far.to_virial(of_pair, chosen).T
    return energies.numpy().ravel(), forces.view(3 * atoms, -1).numpy(), virials.view(6, -1).numpy()


def _angular(basis: NepBasis, sums: Sums) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    atoms, species, functions = len(sums.types), len(basis.species), basis.functions
    own = basis.basis_size[1] + 1  # functions of one species of the neighbour
    weights = torch.as_tensor(three_body_weights(basis.l_max))
    energies = torch.zeros(species, basis.l_max, functions, functions, dtype=torch.float64)
    forces = torch.zeros(atoms, 3, *energies.shape, dtype=torch.float64)
    virials = torch.zeros(6, *energies.shape, dtype=torch.float64)
    kinds = sums.types[sums.near.centres], sums.types[sums.near.neighbors]
    for l in range(1, basis.l_max + 1):
        block = slice(l * l - 1, (l + 1) ** 2 - 1)
        weighted = sums.angular[:, :, block] * weights[block, l - 1]
        products = torch.matmul(weighted, sums.angular[:, :, block].transpose(1, 2))
        energies[:, l - 1].index_add_(0, sums.types, products)
        for centre in range(species):
            for neighbor in range(species):
                chosen = (kinds[0] == centre) & (kinds[1] == neighbor)
                gradients = sums.near.gradients[chosen][:, :, block].transpose(1, 2)  # pair, s, k, axis
                of_pair = torch.matmul(weighted[sums.near.centres[chosen]], gradients.flatten(2))
                of_pair = of_pair.view(-1, functions, own, 3)
                at = slice(neighbor * own, (neighbor + 1) * own)
                found = sums.near.to_atoms(of_pair, chosen, atoms).permute(0, 3, 1, 2)
                virial = sums.near.to_virial(of_pair, chosen).permute(2, 0, 1)
                # both factors of a product depend on the positions
                for total, part in ((forces, found), (virials, virial)):
                    total[..., centre, l - 1, :, at] += part
                    total[..., centre, l - 1, at, :] += part.transpose(-1, -2)
    first, second = np.triu_indices(functions)
    twice = np.where(first == second, 1.0, 2.0)

    def rows(values, count):
        return (values.numpy()[..., first, second] * twice).reshape(count, -1)

    return rows(energies, 1)[0], rows(forces, 3 * atoms), rows(virials, 6)
