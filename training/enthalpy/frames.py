"""Precomputed training structures: densities of the centres, and their derivatives with respect to the neighbours.

The density of a centre is a sum of functions of each neighbour's position, without trained parameters, so it is
computed once for each structure.  A training step then consists of dense products, without derivatives of edges.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from tnep_calc.datasets.values import field_of
from tnep_calc.errors import DataFileError, InputError
from tnep_calc.models.enthalpy.density import density, edge_functions
from tnep_calc.models.enthalpy.model import repulsion
from tnep_calc.models.enthalpy.sites import COMPONENTS
from tnep_calc.neighbors import NeighborList
from tnep_calc.progress import tracked
from tnep_calc.structures import LabelledStructure

from ..common.labels import check_species
from .config import LABELS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PairBlock:
    """Edges from the centres of one species to neighbours of one species, padded to the same number per centre.

    Attributes
    ----------
    gradient : Tensor, shape (N, 16 * n, 3 * E)
        Derivative of the density of the centre by the neighbour's position, ``[lm, n]`` by ``[edge, direction]``;
        zero for padding.
    neighbors : Tensor of int64, shape (N, E)
        Atom index; the number of atoms for padding.
    vectors : Tensor, shape (N, E, 3), in Å
    """

    gradient: Tensor
    neighbors: Tensor
    vectors: Tensor

    def to(self, device: torch.device) -> PairBlock:
        """Return the block on a device."""
        return PairBlock(self.gradient.to(device), self.neighbors.to(device), self.vectors.to(device))


@dataclass(frozen=True)
class Frame:
    """One structure.

    Attributes
    ----------
    n_atoms : int
    species : Tensor of int64, shape (n_atoms,)
    centers : list of Tensor of int64
        Atoms of each species.
    densities : list of Tensor, shape (16, N, n_species * n)
        Densities of the N atoms of each species.
    pairs : list of list of PairBlock
        ``[species of the centre][species of the neighbour]``.
    labels : dict of Tensor
        ``energy`` (), ``forces`` (n, 3), ``virial`` (3, 3), ``dipole`` (3,), ``born_charges`` (n, 3, 3; sum rule
        imposed), ``polarizability`` (3, 3); only those that the structure has.
    fold : tuple of Tensor, shape (3, 3), or None
        Cell and its inverse, for dipoles that are defined modulo e times a lattice vector.
    field : Tensor, shape (3,), in V/Å
        Electric field at which the labels were computed.
    volume : float
    weight : float
        Weight of the structure; its squared errors are multiplied by the square.
    repulsion : tuple of Tensor
        Energy (), forces (n_atoms, 3) and virial (3, 3) of the ZBL repulsion, which has no parameters.
    """

    n_atoms: int
    species: Tensor
    centers: list[Tensor]
    densities: list[Tensor]
    pairs: list[list[PairBlock]]
    labels: dict[str, Tensor]
    fold: tuple[Tensor, Tensor] | None
    field: Tensor
    volume: float
    weight: float
    repulsion: tuple[Tensor, Tensor, Tensor]

    @property
    def nbytes(self) -> int:
        """Size of the densities and their derivatives in bytes."""
        tensors = self.densities + [b for row in self.pairs for p in row for b in (p.gradient, p.vectors)]
        return sum(t.numel() * t.element_size() for t in tensors)

    @property
    def device(self) -> torch.device:
        """Device of the tensors."""
        return self.species.device

    def to(self, device: torch.device) -> Frame:
        """Return the frame on a device; returns itself if it is already there."""
        if self.device == device:
            return self
        energy, forces, virial = self.repulsion
        return replace(
            self,
            species=self.species.to(device),
            centers=[rows.to(device) for rows in self.centers],
            densities=[density.to(device) for density in self.densities],
            pairs=[[block.to(device) for block in row] for row in self.pairs],
            labels={name: label.to(device) for name, label in self.labels.items()},
            fold=None if self.fold is None else (self.fold[0].to(device), self.fold[1].to(device)),
            field=self.field.to(device),
            repulsion=(energy.to(device), forces.to(device), virial.to(device)),
        )


def make_frame(
    structure: LabelledStructure,
    species: Sequence[str],
    cutoff: float,
    n_radial: int,
    dtype: torch.dtype,
    fold_dipole: bool = True,
    zbl: float = 0.0,
) -> Frame:
    """Precompute one structure.

    Parameters
    ----------
    structure : LabelledStructure
    species : sequence of str
        Species of the model.
    cutoff : float, in Å
    n_radial : int
        Number of radial functions.
    dtype : torch.dtype
        Type of the densities and their derivatives.
    fold_dipole : bool, default True
        Compare dipoles modulo e times the lattice vectors.
    zbl : float, default 0.0, in Å
        Radius of the ZBL repulsion; 0 = none.

    Raises
    ------
    DataFileError
        If the structure has an unknown species, or no neighbours.
    """
    check_species([structure], species)
    index = np.array([list(species).index(s) for s in structure.symbols])
    edges = NeighborList(cutoff, 0.0).edges(structure.positions, structure.cell, structure.pbc)
    vectors, neighbors = np.asarray(edges.vectors), np.asarray(edges.neighbors)
    center = np.repeat(np.arange(len(index)), np.diff(edges.offsets))
    near = (vectors**2).sum(1) < cutoff**2
    vectors, neighbors, center = vectors[near], neighbors[near], center[near]
    if len(vectors) == 0:
        raise DataFileError(
            f"{structure.source}: no two atoms are closer than the cutoff of {cutoff} Å: leave the structure out, also "
            "if it is a free atom (the energy of each species is fitted to the other structures)"
        )
    v = torch.from_numpy(vectors)
    functions, gradients = _with_gradient(v, cutoff, n_radial)
    t, n = len(species), len(index)
    total = density(functions, torch.from_numpy(center), torch.from_numpy(index[neighbors]), n, t)
    centers = [torch.from_numpy(np.flatnonzero(index == s)) for s in range(t)]
    pairs = [
        [_pair_block(center, neighbors, index, (a, b), v, gradients, n, dtype) for b in range(t)] for a in range(t)
    ]
    fold = None
    if fold_dipole and structure.pbc.any():
        cell = torch.from_numpy(structure.cell)
        inverse = torch.linalg.pinv(cell)
        fold = cell, torch.where(torch.from_numpy(structure.pbc), inverse, torch.zeros_like(inverse))
    return Frame(
        n,
        torch.from_numpy(index),
        centers,
        [total[:, rows].to(dtype).contiguous() for rows in centers],
        pairs,
        _labels(structure),
        fold,
        torch.as_tensor(field_of(structure)),
        structure.volume,
        float(structure.weight),
        _repulsion(v, center, neighbors, index, species, zbl),
    )


def _repulsion(vectors, center, neighbors, index, species, radius):
    """Energy, forces and virial of the repulsion; zero without one."""
    n = len(index)
    close = np.flatnonzero((vectors**2).sum(1).numpy() < radius**2)
    r = vectors[close].requires_grad_(True)
    origin, end = torch.from_numpy(center[close]), torch.from_numpy(neighbors[close].astype(np.int64))
    energy, slope = torch.zeros((), dtype=torch.float64), torch.zeros_like(r)
    if len(close):
        pair = torch.from_numpy(index[center[close]] * len(species) + index[neighbors[close]])
        energy = repulsion(tuple(species), radius)(pair, torch.linalg.vector_norm(r, dim=1)).sum()
        slope = torch.autograd.grad(energy, r)[0]
    forces = torch.zeros(n, 3, dtype=torch.float64).index_add(0, end, -slope).index_add(0, origin, slope)
    return energy.detach(), forces, -r.detach().t() @ slope


def _with_gradient(vectors, cutoff, n):
    """Edge functions (E, 16, n) and their derivative by the vector (E, 16, n, 3), forward mode."""
    columns, value = [], None
    for axis in range(3):
        direction = torch.zeros_like(vectors)
        direction[:, axis] = 1.0
        value, change = torch.func.jvp(  # type: ignore[misc]  # three only with has_aux
            lambda v: edge_functions(v, cutoff, n), (vectors,), (direction,)
        )
        columns.append(change)
    return value, torch.stack(columns, dim=-1)


def _pair_block(center, neighbors, index, pair, vectors, gradients, n_atoms, dtype):
    a, b = pair
    rows = np.flatnonzero(index == a)
    place = np.full(n_atoms, -1)
    place[rows] = np.arange(len(rows))
    chosen = np.flatnonzero((index[center] == a) & (index[neighbors] == b))
    row = place[center[chosen]]
    counts = np.bincount(row, minlength=len(rows))
    width = int(counts.max()) if len(counts) else 0
    slot = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)  # edges are sorted by centre
    r, k = torch.from_numpy(row), torch.from_numpy(slot)
    size = gradients.shape[1] * gradients.shape[2]
    gradient = torch.zeros(len(rows), width, size, 3, dtype=dtype)
    gradient[r, k] = gradients[chosen].reshape(-1, size, 3).to(dtype)
    padded = torch.zeros(len(rows), width, 3, dtype=dtype)
    padded[r, k] = vectors[chosen].to(dtype)
    target = torch.full((len(rows), width), n_atoms)
    target[r, k] = torch.from_numpy(neighbors[chosen].astype(np.int64))
    gradient = gradient.permute(0, 2, 1, 3).reshape(len(rows), size, 3 * width).contiguous()
    return PairBlock(gradient, target, padded)


def _labels(structure):
    out = {}
    for name in LABELS:
        value = getattr(structure, name)
        if value is None:
            continue
        if name == "born_charges":
            value = value - value.mean(axis=0)
        out[name] = torch.as_tensor(np.asarray(value, dtype=float))
    return out


def make_frames(
    structures: Sequence[LabelledStructure], species, cutoff, n_radial, dtype, fold_dipole, zbl, memory_gb: float
) -> list[Frame]:
    """Precompute structures within a memory limit; see :func:`make_frame` for the parameters.

    Raises
    ------
    InputError
        If the frames need more than `memory_gb`; this is estimated from the first structure.
    DataFileError
        If a structure has an unknown species, or no neighbours.
    """
    frames: list[Frame] = []
    for k, structure in enumerate(tracked(structures, log, "structures prepared", len(structures))):
        frames.append(make_frame(structure, species, cutoff, n_radial, dtype, fold_dipole, zbl))
        if k in (0, len(structures) - 1):
            used = sum(frame.nbytes for frame in frames) / 1e9
            expected = used if k else used * len(structures)
            if expected > memory_gb:
                raise InputError(
                    f"the derivatives of {len(structures)} structures need about {expected:.1f} GB, but "
                    f"optimizer.memory_gb is {memory_gb:g}: raise it, use fewer structures, or a smaller cutoff"
                )
    return frames


def moment_rows(gradient: Tensor, neighbor_species: int, n_species: int) -> Tensor:
    """Return the part of one neighbour species of derivatives by the density.

    Parameters
    ----------
    gradient : Tensor, shape (rows, 16, N, n_species * n)
    neighbor_species : int
    n_species : int

    Returns
    -------
    Tensor, shape (N, rows, 16 * n)
    """
    rows, _, n_centers, width = gradient.shape
    n = width // n_species
    part = gradient[..., neighbor_species * n : (neighbor_species + 1) * n]
    return part.permute(2, 0, 1, 3).reshape(n_centers, rows, COMPONENTS * n)
