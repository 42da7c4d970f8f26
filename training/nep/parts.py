"""Moments of a data set in blocks of structures: in memory, in a temporary file, or computed again when needed.

A training step goes through the blocks one by one, so its working memory is that of one block, and blocks are small
enough for a cache to keep what the backward pass reads a second time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tnep_calc.structures import LabelledStructure

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
    structures : Tensor
        Their places in the part.
    atoms : Tensor
        Places of their atoms among those of the part.
    """

    labels: Labels
    load: Callable[[], Moments]
    structures: Tensor
    atoms: Tensor


@dataclass(frozen=True)
class Part:
    """Structures of one split with their labels and moments.

    Attributes
    ----------
    structures : list of LabelledStructure
    labels : Labels
        Of all of them, in their order, on the CPU.
    blocks : list of Block
    batches : list of list of Block
        Blocks that one step of mini-batch training takes.
    max_neighbors : tuple of 2 int
    numbers : int
        How many numbers all moments are.
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
    """Divide structures into blocks and compute their moments.

    Parameters
    ----------
    structures : list of LabelledStructure
    labels : Labels
    basis : Basis
    storage : Storage
    order : ndarray of int
        Order in which structures go into blocks.
    batch : int, default 0
        No block has structures of two batches of this many; 0 = all structures are one batch.
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
    for own in np.array_split(order, max(1, -(-len(structures) // batch)) if batch else 1):
        batches.append([])
        for chosen, edges in chunks_of(own, structures, finder, limit, basis, options):
            if len(chosen) == 1:  # the only one in a block that may be larger than the limit
                size = moment_numbers(edges[0], basis, options["field"], options["gradient"])
                storage.check(structures[chosen[0]], width * size)

            def compute(chosen=chosen, edges=None):
                return assemble(edges or [finder(structures[k]) for k in chosen], basis, **options)

            moments = compute(edges=edges)
            numbers += sum(a.numel() for a in moments.arrays)
            largest = tuple(max(pair) for pair in zip(largest, moments.max_neighbors, strict=True))
            atoms = np.concatenate([np.arange(ends[k], ends[k + 1]) for k in chosen])
            own_labels = labels.select(chosen).to(storage.device)
            block = Block(own_labels, storage.keep(moments, compute), torch.tensor(chosen), torch.from_numpy(atoms))
            batches[-1].append(block)
            blocks.append(block)
    return Part(structures, labels, blocks, batches, largest, numbers)


def chunks_of(
    order: np.ndarray,
    structures: Sequence[LabelledStructure],
    finder: EdgeFinder,
    limit: float,
    basis: Basis,
    options: Mapping[str, Any],
) -> Iterator[tuple[list[int], list[StructureEdges]]]:
    """Yield structures, in an order and with their edges, whose moments are at most `limit` numbers (or a single one).

    Parameters
    ----------
    order : ndarray of int
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
