"""Storage of large precomputed arrays: in memory, in a temporary file, or recomputed when needed."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

from tnep_calc.device import CPU
from tnep_calc.errors import InputError
from tnep_calc.structures import LabelledStructure

log = logging.getLogger(__name__)

BLOCK_GB = 0.04
"""Largest size of the moments of one block on the CPU."""
GPU_BLOCK_GB = 0.4
"""Largest size of the moments of one block on a GPU, which needs more work at a time."""
_MODELS_OF_BLOCK = 8
_SPARE_DISK_GB = 1.0  # left free on the disk of the temporary file


class Stored(Protocol):
    """Interface of moments that a storage uses; see :class:`tnep_calc.training.nep.moments.Moments`."""

    @property
    def arrays(self) -> list[Tensor]:
        """The large tensors, all of one type."""

    @property
    def gigabytes(self) -> float:
        """Size of the large tensors in GB."""

    def with_arrays(self, arrays: Sequence[Tensor]) -> Self:
        """Return these moments with other large tensors."""

    def to(self, device: torch.device) -> Self:
        """Return these moments on a device."""


M = TypeVar("M", bound=Stored)


class Storage:
    """Keeps moments within a budget: in memory first, then in a temporary file; the rest is recomputed when needed.

    Parameters
    ----------
    memory_gb : float
        Largest size of all moments in memory, in GB.
    folder : path, optional
        Folder of the temporary file (None: the system's folder for temporary files).
    device : torch.device, default the CPU
        Device of the moments that are given back; those in memory stay there.
    models : int, default 1
        Number of models that are trained together.  With more than eight, blocks are smaller, as the working memory of
        a step grows with the number of models.

    Raises
    ------
    InputError
        If the folder does not exist.

    Attributes
    ----------
    budget_gb : float
        The given `memory_gb`.
    block_gb : float
        Largest size in GB of the moments that are computed at a time.
    left : float
        Size in GB of the moments that still fit in memory.
    memory, disk, computed : float
        Size in GB of the moments in memory, in the file, and recomputed every time.
    """

    def __init__(self, memory_gb: float, folder: str | Path | None = None, device: torch.device = CPU, models: int = 1):
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
                f"{self.budget_gb:.3g} GB for all structures together: raise optimizer.memory_gb (--memory), or use "
                "smaller cutoffs or structures of fewer atoms"
            )

    def keep(self, moments: M, compute: Callable[[], M]) -> Callable[[], M]:
        """Store moments, and return the function that loads them.

        Parameters
        ----------
        moments : Stored
        compute : callable
            Computes these moments again if there is no room for them in memory or on the disk.
        """
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
                    raise OSError(f"the temporary file of the moments in {self._folder} has been truncated")
                data = data[count:]
            parts = torch.split(flat, sizes)
            return without.with_arrays(
                [part.view(shape).to(self.device) for part, shape in zip(parts, shapes, strict=True)]
            )

        return read

    def __str__(self):
        words = [
            f"{size:.3f} GB {where}"
            for size, where in (
                (self.memory, "in memory"),
                (self.disk, f"streamed from a temporary file in {self._folder}"),
                (self.computed, "recomputed in every step (no space in memory or on the disk)"),
            )
            if size
        ]
        return ", ".join(words) or "nothing stored"
