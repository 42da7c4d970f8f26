"""Moments of a data set in blocks of structures: in memory, in a temporary file, or computed again when needed.

A training step goes through the blocks one by one, so its working memory is that of one block, and blocks are small
enough for a cache to keep what the backward pass reads a second time.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from tnep_calc.errors import InputError
from tnep_calc.io.dataset import LabelledStructure

from .device import CPU
from .edges import EdgeFinder, StructureEdges
from .features import Basis
from .moments import Moments, assemble, moment_numbers
from .objective import Labels

log = logging.getLogger(__name__)

BLOCK_GB = 0.04
"""Size of the moments of one block."""
GPU_BLOCK_GB = 0.4
"""The same on a GPU, which needs more work at a time."""
_MODELS_OF_BLOCK = 8
_SPARE_DISK_GB = 1.0  # left free on the disk of the temporary file


class Stored(Protocol):
    """Moments, as a storage takes them; see :class:`tnep_calc.training.moments.Moments` for all of it."""

    @property
    def arrays(self) -> list[Tensor]:
        """The large tensors, of one type."""

    @property
    def gigabytes(self) -> float:
        """Their size."""

    def with_arrays(self, arrays: Sequence[Tensor]) -> Self:
        """Return the same with other large tensors."""

    def to(self, device: torch.device) -> Self:
        """Return the same on a device."""


M = TypeVar("M", bound=Stored)


class Storage:
    """Keeps moments within a budget: the first ones in memory, then in a temporary file, then not at all.

    Parameters
    ----------
    memory_gb : float
        Largest size of all moments in memory.
    folder : path, optional
        Where the temporary file is made (None: the system's folder for temporary files).
    device : torch.device, default the CPU
        Where the moments are given back; those in memory stay there.
    models : int, default 1
        That are trained together; with more than eight of them blocks are smaller, as what a step needs grows.

    Raises
    ------
    InputError
        If the folder is not there.

    Attributes
    ----------
    budget_gb : float
        The size given.
    block_gb : float
        Largest size of what is computed at a time.
    left : float
        Size in GB of what still fits in memory.
    memory, disk, computed : float
        Size in GB of what is in memory, in the file, and computed anew every time.
    """

    def __init__(
        self, memory_gb: float, folder: str | Path | None = None, device: torch.device = CPU, models: int = 1
    ):
        if folder is not None and not Path(folder).is_dir():
            raise InputError(
                f"there is no folder {folder} for the temporary file of the moments (optimizer.scratch): make it, or "
                "leave the key out for the system's folder"
            )
        self.device, self.budget_gb = device, memory_gb
        largest = BLOCK_GB if device.type == "cpu" else GPU_BLOCK_GB
        self.block_gb = min(largest * min(1.0, _MODELS_OF_BLOCK / models), memory_gb / 4)
        self.left = memory_gb - 2 * self.block_gb  # a block that is read, and one that is computed
        self._folder = folder or tempfile.gettempdir()
        self._file: Any = None
        self._buffer: Tensor | None = None
        self.memory = self.disk = self.computed = 0.0

    def check(self, structure: LabelledStructure, gigabytes: float) -> None:
        """Raise ``InputError`` if the moments of one structure are larger than the budget: no block is smaller."""
        if gigabytes > self.budget_gb:
            raise InputError(
                f"{structure.source} ({len(structure)} atoms): its moments need {gigabytes:.3g} GB, more than the "
                f"{self.budget_gb:.3g} GB that there are for those of all structures: raise optimizer.memory_gb "
                "(--memory), or use smaller cutoffs or structures of fewer atoms"
            )

    def keep(self, moments: M, compute: Callable[[], M]) -> Callable[[], M]:
        """Take moments, and return the function that gives them back."""
        size = moments.gigabytes
        if size <= self.left:
            self.left -= size
            self.memory += size
            resident = moments.to(self.device)
            return lambda: resident
        if shutil.disk_usage(self._folder).free / 1e9 - _SPARE_DISK_GB > size:
            self.disk += size
            return self._write(moments)
        self.computed += size
        return lambda: compute().to(self.device)

    def _write(self, moments):
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)
        arrays = moments.arrays
        shapes, dtype = [a.shape for a in arrays], arrays[0].dtype
        start = self._file.seek(0, 2)
        for array in arrays:
            data = memoryview(array.contiguous().numpy().reshape(-1)).cast("B")  # type: ignore[arg-type]
            while data:
                data = data[self._file.write(data) :]
        sizes = [a.numel() for a in arrays]
        without = moments.with_arrays([a.new_empty(0) for a in arrays]).to(self.device)

        def read():
            if self._buffer is None or self._buffer.numel() < sum(sizes):
                self._buffer = torch.empty(sum(sizes), dtype=dtype, device=CPU)
            flat = self._buffer[: sum(sizes)]
            self._file.seek(start)
            data = memoryview(flat.numpy()).cast("B")  # type: ignore[arg-type]
            while data:
                count = self._file.readinto(data)
                if not count:
                    raise OSError(f"the temporary file of the moments in {self._folder} has been cut")
                data = data[count:]
            parts = torch.split(flat, sizes)
            return without.with_arrays(
                [part.view(shape).to(self.device) for part, shape in zip(parts, shapes, strict=True)]
            )

        return read

    def __str__(self):
        words = [f"{size:.3f} GB {where}" for size, where in (
            (self.memory, "in memory"), (self.disk, f"streamed from a temporary file in {self._folder}"),
            (self.computed, "computed anew in every step (no room in memory or on the disk)")) if size]  # fmt: skip
        return ", ".join(words) or "nothing stored"


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
    structures: list[LabelledStructure], labels: Labels, basis: Basis, storage: Storage, *,
    order: np.ndarray, batch: int = 0, **options: Any,
) -> Part:  # fmt: skip
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
    order: np.ndarray, structures: Sequence[LabelledStructure], finder: EdgeFinder, limit: float, basis: Basis,
    options: Mapping[str, Any],
) -> Iterator[tuple[list[int], list[StructureEdges]]]:  # fmt: skip
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
