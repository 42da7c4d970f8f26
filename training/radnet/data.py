"""Training structures of the radnet family as tensors, and what a model predicts for a batch of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from tnep_calc.conventions import ASE_ORDER, to_six
from tnep_calc.errors import DataFileError
from tnep_calc.io.dataset import LabelledStructure
from tnep_calc.models.radnet.sites import RadnetSites
from tnep_calc.neighbors import NeighborList

from ..objective import check_species

LABELS = ("dipole", "born_charges", "polarizability")
"""What can be learned; Born charges belong to the target ``dipole``."""


@dataclass(frozen=True)
class Frame:
    """One structure.

    Attributes
    ----------
    types : Tensor of int64, shape (n_atoms,)
    centers, neighbors : Tensor of int64, shape (n_edges,)
        Atoms at the two ends of each edge.
    vectors : Tensor, shape (n_edges, 3), in Å
    labels : dict of Tensor of float64
        ``dipole`` (3,), ``born_charges`` (n_atoms, 3, 3; sum rule imposed), ``polarizability`` (6,) in the order xx yy
        zz yz xz xy, as far as they are known.
    fold : tuple of Tensor, shape (3, 3), or None
        Cell and its inverse, for dipoles that are defined modulo e times a lattice vector.
    weight : float
        Of the structure: its squared errors count with the square.
    """

    types: Tensor
    centers: Tensor
    neighbors: Tensor
    vectors: Tensor
    labels: dict[str, Tensor]
    fold: tuple[Tensor, Tensor] | None
    weight: float

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.types)

    def to(self, device: torch.device) -> Frame:
        """Return the frame on a device."""
        return replace(
            self, types=self.types.to(device), centers=self.centers.to(device), neighbors=self.neighbors.to(device),
            vectors=self.vectors.to(device), labels={name: label.to(device) for name, label in self.labels.items()},
            fold=None if self.fold is None else (self.fold[0].to(device), self.fold[1].to(device)),
        )  # fmt: skip


def make_frame(
    structure: LabelledStructure, species: Sequence[str], cutoff: float, dtype: torch.dtype, fold_dipole: bool = True
) -> Frame:
    """Return a structure as tensors.

    Raises
    ------
    DataFileError
        If it has an unknown species, or no two atoms within the cutoff.
    """
    check_species([structure], species)
    index = np.array([list(species).index(s) for s in structure.symbols])
    edges = NeighborList(cutoff, 0.0).edges(structure.positions, structure.cell, structure.pbc)
    vectors, neighbors = np.asarray(edges.vectors), np.asarray(edges.neighbors)
    center = np.repeat(np.arange(len(index)), np.diff(edges.offsets))
    near = (vectors**2).sum(1) < cutoff**2
    if not near.any():
        raise DataFileError(f"{structure.source}: no two atoms are closer than the cutoff of {cutoff} Å: leave it out")
    fold = None
    if fold_dipole and structure.pbc.any():
        cell = torch.from_numpy(structure.cell)
        inverse = torch.linalg.pinv(cell)
        fold = cell, torch.where(torch.from_numpy(structure.pbc), inverse, torch.zeros_like(inverse))
    labels = {}
    for name in LABELS:
        value = getattr(structure, name)
        if value is None:
            continue
        if name == "born_charges":
            value = value - value.mean(axis=0)
        elif name == "polarizability":
            value = to_six(value, ASE_ORDER)
        labels[name] = torch.as_tensor(np.asarray(value, dtype=float))
    return Frame(
        torch.from_numpy(index), torch.from_numpy(center[near]), torch.from_numpy(neighbors[near].astype(np.int64)),
        torch.from_numpy(vectors[near]).to(dtype), labels, fold, float(structure.weight),
    )  # fmt: skip


@dataclass(frozen=True)
class Prediction:
    """What a model gives for a batch, in the frame of the labels.

    Attributes
    ----------
    dipole : Tensor, shape (n_frames, 3)
    polarizability : Tensor, shape (n_frames, 6)
    born_charges : Tensor, shape (n_directions, all atoms, 3)
        ``sum_i e_i Z[atom, i, :]`` for the directions e of each frame.
    """

    dipole: Tensor
    polarizability: Tensor
    born_charges: Tensor


@dataclass(frozen=True)
class Batch:
    """Several frames, their atoms and edges one after the other.

    Attributes
    ----------
    types, centers, neighbors, vectors
        As of :class:`Frame`.
    frame_of_atom, frame_of_edge : Tensor of int64
    n_frames : int
    """

    types: Tensor
    centers: Tensor
    neighbors: Tensor
    vectors: Tensor
    frame_of_atom: Tensor
    frame_of_edge: Tensor
    n_frames: int

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> Batch:
        """Join frames."""
        device = frames[0].types.device
        atoms = torch.tensor([frame.n_atoms for frame in frames], device=device)
        edges = torch.tensor([len(frame.centers) for frame in frames], device=device)
        every = torch.arange(len(frames), device=device)
        frame_of_edge = torch.repeat_interleave(every, edges)
        first = (atoms.cumsum(0) - atoms)[frame_of_edge]
        return cls(
            torch.cat([frame.types for frame in frames]),
            torch.cat([frame.centers for frame in frames]) + first,
            torch.cat([frame.neighbors for frame in frames]) + first,
            torch.cat([frame.vectors for frame in frames]),
            torch.repeat_interleave(every, atoms), frame_of_edge, len(frames),
        )  # fmt: skip


def tensor_of(six: Tensor) -> Tensor:
    """Return symmetric tensors, shape (..., 3, 3), from xx yy zz yz xz xy."""
    index = torch.tensor([[0, 5, 4], [5, 1, 3], [4, 3, 2]], device=six.device)
    return six[..., index]


def six_of(tensor: Tensor) -> Tensor:
    """Return xx yy zz yz xz xy of symmetric tensors, shape (..., 3, 3)."""
    i, j = zip(*ASE_ORDER, strict=True)
    return tensor[..., list(i), list(j)]


def predict(
    sites: RadnetSites, batch: Batch, operations: Tensor | None = None, directions: Tensor | None = None,
    create_graph: bool = False,
) -> Prediction:  # fmt: skip
    """Return what the site functions give for a batch.

    Parameters
    ----------
    sites : RadnetSites
    batch : Batch
    operations : Tensor, shape (n_frames, 3, 3), optional
        Orthogonal R: each structure is turned by its R before the evaluation and the results are turned back, so they
        are compared with the labels as they are.
    directions : Tensor, shape (n_frames, n_directions, 3), optional
        Directions in which Born charges are wanted; None: not at all.
    create_graph : bool, default False
        Whether Born charges are to be differentiated by the parameters.
    """
    r = batch.vectors.detach()
    if directions is not None:
        r = r.requires_grad_(True)
    turned = r
    if operations is not None:
        operations = operations.to(r.dtype)
        turned = torch.einsum("eij,ej->ei", operations[batch.frame_of_edge], r)
    near = sites.voxels.reached(turned.detach())
    dipoles, six = sites(
        batch.types, batch.centers[near], batch.types[batch.neighbors[near]], turned[near], sites.has_dipole,
        sites.has_polarizability,
    )  # fmt: skip
    zeros = torch.zeros(batch.n_frames, 9, dtype=r.dtype, device=r.device)
    total = zeros.index_add(0, batch.frame_of_atom, torch.cat([dipoles, six], dim=1))
    dipole, polarizability = total[:, :3], total[:, 3:]
    if operations is not None:
        dipole = torch.einsum("fij,fi->fj", operations, dipole)
        polarizability = six_of(operations.transpose(1, 2) @ tensor_of(polarizability) @ operations)
    rows = []
    for d in range(0 if directions is None else directions.shape[1]):
        along = (dipole * directions[:, d].to(r.dtype)).sum()
        slope = torch.autograd.grad(along, r, create_graph=create_graph, retain_graph=True)[0]
        atoms = torch.zeros(len(batch.types), 3, dtype=r.dtype, device=r.device)
        rows.append(atoms.index_add(0, batch.neighbors, slope).index_add(0, batch.centers, -slope))
    return Prediction(dipole, polarizability, torch.stack(rows) if rows else zeros[:0])
