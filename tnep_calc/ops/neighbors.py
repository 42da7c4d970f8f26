"""Neighbour searches for ``tnep_calc.neighbors.NeighborList``: on the native kernels, or on a device."""

from __future__ import annotations

import numpy as np
import torch

from ..neighbors import VesinSearch
from . import load
from .device_search import DeviceSearch


class NativeSearch(VesinSearch):
    """The same methods as ``tnep_calc.neighbors.VesinSearch``, on the native kernels with torch's threads."""

    def find(self, positions, cell, pbc, radius) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the pairs within `radius`: offsets (n_atoms + 1,), neighbours (n_edges,), cell shifts (n_edges, 3)."""
        inputs = (torch.from_numpy(np.array(a)) for a in (positions, cell, pbc))
        offsets, neighbors, shifts, _ = torch.ops.tnep.neighbor_list(*inputs, radius)
        return offsets.numpy(), neighbors.numpy(), shifts.numpy()

    def vectors(self, positions, cell, offsets, neighbors, shifts) -> np.ndarray:
        """Return the edge vectors in Å, shape (n_edges, 3), of pairs from `find` at these positions and this cell."""
        inputs = (torch.from_numpy(np.ascontiguousarray(a)) for a in (positions, cell, offsets, neighbors, shifts))
        return torch.ops.tnep.edge_vectors(*inputs).numpy()


def native_search() -> NativeSearch | None:
    """Return the native search, or None if the native library is not available."""
    return NativeSearch() if load() else None


def search_on(device: torch.device) -> NativeSearch | DeviceSearch | None:
    """Return the search for models on a device: of tensors there, or on the CPU :func:`native_search`."""
    return native_search() if device.type == "cpu" else DeviceSearch(device)
