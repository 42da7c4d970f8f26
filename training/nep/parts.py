"""Moments of a data set in blocks of structures: in memory, in a temporary file, or recomputed when needed.

A training step goes through the blocks one by one, so its working memory is that of one block.  Blocks are small enough
that the data which the backward pass reads again are still in the cache.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tnep_calc.progress import Progress
from tnep_calc.structures import LabelledStructure

from ..common import processes
from ..common.labels import Labels
from ..common.store import Storage
from .edges import EdgeFinder, StructureEdges
from .features import Basis
from .moments import Moments, assemble, moment_numbers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Block:
    """Some structures of a part.

    Attributes
    ----------
    labels : Labels
        On the device of the moments.
    load : callable
        Returns the moments; they are valid until the next block is loaded.
    structures : Tensor of int
        Indices of the structures in the part.
    atoms : Tensor of int
        Indices of their atoms among the atoms of the part.
    owner : int or None
        Process that keeps the moments and computes with them; in the others `load` computes the moments.
    """

    labels: Labels
    load: Callable[[], Moments]
    structures: Tensor
    atoms: Tensor
    owner: int | None = None


@dataclass(frozen=True)
class Part:
    """Structures of one split with their labels and moments.

    Attributes
    ----------
    structures : list of LabelledStructure
    labels : Labels
        Labels of all structures, in their order, on the CPU.
    blocks : list of Block
    batches : list of list of Block
        Blocks of each mini-batch.
    max_neighbors : tuple of 2 int
        Largest number of radial and angular neighbours of an atom.
    numbers : int
        How many numbers the moments have in total.
    """

    structures: list[LabelledStructure]
    labels: Labels
    blocks: list[Block]
    batches: list[list[Block]]
    max_neighbors: tuple[int, int]
    numbers: int


def make_part(
    structures: list[LabelledStructure],
    labels: Labels,
    basis: Basis,
    storage: Storage,
    *,
    order: np.ndarray,
    batch: int = 0,
    **options: Any,
) -> Part:
    """Divide structures into blocks and compute their moments; of several processes, each computes a share of them.

    Parameters
    ----------
    structures : list of LabelledStructure
    labels : Labels
    basis : Basis
    storage : Storage
    order : ndarray of int
        Order in which structures go into blocks.
    batch : int, default 0
        Number of structures in a mini-batch, which has blocks of its own; 0 = all structures are one batch.
    **options
        ``field``, ``gradient`` and ``dtype`` of the moments.

    Raises
    ------
    DataFileError
        If a structure has an unknown species or an unsound geometry.
    InputError
        If the moments of one structure are larger than the storage's budget.
    """
    finder = EdgeFinder(basis)
    width = torch.finfo(options["dtype"]).bits / 8e9
    limit = storage.block_gb / width
    ends = np.cumsum([0, *map(len, structures)])
    blocks: list[Block] = []
    batches: list[list[Block]] = []
    numbers, largest = 0, (0, 0)
    progress = Progress(log, "structures prepared", len(structures))
    for own in np.array_split(order, max(1, -(-len(structures) // batch)) if batch else 1):
        batches.append([])
        found = (
            (owner, chosen, edges)
            for owner, share in processes.shares(own, [len(structures[k]) for k in own])
            for chosen, edges in chunks_of(share, structures, finder, limit, basis, options)
        )
        for owner, chosen, edges in found:
            if len(chosen) == 1:  # only a block of one structure may be larger than the limit
                size = moment_numbers(edges[0], basis, options["field"], options["gradient"])
                storage.check(structures[chosen[0]], width * size)

            def compute(chosen=chosen, edges=None):
                return assemble(edges or [finder(structures[k]) for k in chosen], basis, **options)

            if processes.mine(owner):
                moments = compute(edges=edges)
                numbers += sum(a.numel() for a in moments.arrays)
                largest = tuple(max(pair) for pair in zip(largest, moments.max_neighbors, strict=True))
                load = storage.keep(moments, compute)
            else:
                load = partial(_computed, compute, storage.device)
            atoms = np.concatenate([np.arange(ends[k], ends[k + 1]) for k in chosen])
            own_labels = labels.select(chosen).to(storage.device)
            block = Block(own_labels, load, torch.tensor(chosen), torch.from_numpy(atoms), owner)
            batches[-1].append(block)
            blocks.append(block)
            progress.advance(len(chosen))
    radial, angular = processes.largest(*largest)
    total = torch.tensor(numbers)
    processes.add_up(total)
    return Part(structures, labels, blocks, batches, (radial, angular), int(total))


def _computed(compute, device) -> Moments:
    return compute().to(device)


def chunks_of(
    order: np.ndarray,
    structures: Sequence[LabelledStructure],
    finder: EdgeFinder,
    limit: float,
    basis: Basis,
    options: Mapping[str, Any],
) -> Iterator[tuple[list[int], list[StructureEdges]]]:
    """Yield chunks of structures, as indices and edges, whose moments have at most `limit` numbers.

    A structure whose moments have more is a chunk of its own.

    Parameters
    ----------
    order : ndarray of int
        Indices of the structures, in the order in which they go into chunks.
    structures : sequence of LabelledStructure
    finder : EdgeFinder
    limit : float
    basis : Basis
    options : mapping
        ``field`` and ``gradient`` of the moments.
    """
    chosen: list[int] = []
    edges: list = []
    size = 0
    for k in order.tolist():
        found = finder(structures[k])
        more = moment_numbers(found, basis, options["field"], options["gradient"])
        if chosen and size + more > limit:
            yield chosen, edges
            chosen, edges, size = [], [], 0
        chosen.append(k)
        edges.append(found)
        size += more
    yield chosen, edges
