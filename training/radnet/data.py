"""Training structures of the radnet family as tensors."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tnep_calc.artifact import DTYPES
from tnep_calc.errors import DataFileError
from tnep_calc.neighbors import NeighborList
from tnep_calc.progress import tracked
from tnep_calc.structures import LabelledStructure

from ..common.labels import Labels, check_species, make_labels
from ..common.reading import read_for_training
from .config import LABELS, RadnetConfig
from .symmetry import Crystal, crystals, without_formal_polarization

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Edges:
    """Atoms and edges of one structure, or of several concatenated structures.

    Attributes
    ----------
    types : Tensor of int64, shape (n_atoms,)
        Species index of each atom.
    centers, neighbors : Tensor of int64, shape (n_edges,)
        Atom indices of centre and neighbour.
    vectors : Tensor, shape (n_edges, 3), in Å
        From the centre to the neighbour.
    atoms : Tensor of int64, shape (n_atoms,)
        Structure of each atom.
    edges : Tensor of int64, shape (n_edges,)
        Structure of each edge.
    count : int
        Number of structures.
    """

    types: Tensor
    centers: Tensor
    neighbors: Tensor
    vectors: Tensor
    atoms: Tensor
    edges: Tensor
    count: int

    @classmethod
    def of(cls, structure: LabelledStructure, species: Sequence[str], cutoff: float, dtype: torch.dtype) -> Edges:
        """Return the edges of one structure.

        Raises
        ------
        DataFileError
            If it has an unknown species, or no two atoms within the cutoff.
        """
        check_species([structure], species)
        index = np.array([list(species).index(s) for s in structure.symbols])
        found = NeighborList(cutoff, 0.0).edges(structure.positions, structure.cell, structure.pbc)
        vectors, center = np.asarray(found.vectors), np.repeat(np.arange(len(index)), np.diff(found.offsets))
        near = (vectors**2).sum(1) < cutoff**2
        if not near.any():
            raise DataFileError(
                f"{structure.source}: no two atoms are closer than the cutoff of {cutoff} Å: leave the structure out"
            )
        neighbors = np.asarray(found.neighbors)[near].astype(np.int64)
        return cls(
            torch.from_numpy(index),
            torch.from_numpy(center[near]),
            torch.from_numpy(neighbors),
            torch.from_numpy(vectors[near]).to(dtype),
            torch.zeros(len(index), dtype=torch.int64),
            torch.zeros(len(neighbors), dtype=torch.int64),
            1,
        )

    @classmethod
    def joined(cls, parts: Sequence[Edges]) -> Edges:
        """Return the concatenation of several structures."""
        device = parts[0].types.device
        first = np.cumsum([0, *(len(part.types) for part in parts)])
        number = np.cumsum([0, *(part.count for part in parts)])

        def cat(name, shifts=None):
            values = [getattr(part, name) for part in parts]
            return torch.cat(values if shifts is None else [v + int(s) for v, s in zip(values, shifts, strict=False)])

        return cls(
            cat("types").to(device),
            cat("centers", first),
            cat("neighbors", first),
            cat("vectors"),
            cat("atoms", number),
            cat("edges", number),
            int(number[-1]),
        )

    def to(self, device: torch.device) -> Edges:
        """Return the edges on a device."""
        return Edges(
            self.types.to(device),
            self.centers.to(device),
            self.neighbors.to(device),
            self.vectors.to(device),
            self.atoms.to(device),
            self.edges.to(device),
            self.count,
        )


@dataclass(frozen=True)
class Pool:
    """All structures of a training.

    Attributes
    ----------
    structures : list of LabelledStructure
        Structures with dipoles relative to that of their symmetric crystal.
    labels : Labels
    edges : list of Edges
    crystals : list of Crystal
    removed : dict
        Formal polarizations that were subtracted, see
        :func:`tnep_calc.training.radnet.symmetry.without_formal_polarization`.
    """

    structures: list[LabelledStructure]
    labels: Labels
    edges: list[Edges]
    crystals: list[Crystal]
    removed: dict[str, list[float]]


def read_structures(config: RadnetConfig) -> list[LabelledStructure]:
    """Read and check the data files of a configuration, in any supported format."""
    return read_for_training(config)


def make_pool(config: RadnetConfig, structures: Sequence[LabelledStructure]) -> Pool:
    """Prepare structures for training; raises the errors of :meth:`Edges.of` and :func:`.symmetry.crystals`."""
    model = config.model
    of = crystals(structures, config.data.symprec)
    removed: dict[str, list[float]] = {}
    if config.data.fold_dipole and "dipole" in model.targets:
        structures, removed = without_formal_polarization(structures, of)
    names = [name for target in model.targets for name in LABELS[target]]
    names = [name for name in names if any(getattr(s, name) is not None for s in structures)]
    dtype = DTYPES[config.optimizer.precision]
    each = tracked(structures, log, "structures prepared", len(structures))
    edges = [Edges.of(s, model.species, model.cutoff, dtype) for s in each]
    labels = make_labels(structures, names, model.species, config.data.fold_dipole)
    return Pool(list(structures), labels, edges, of, removed)
