"""Neighbour search on the native kernels, for ``tnep_calc.neighbors.NeighborList``."""

from __future__ import annotations

import numpy as np
import torch

from . import load


class NativeSearch:
    """The methods of ``tnep_calc.neighbors.VesinSearch`` on the native kernels, with torch's threads."""

    def find(self, positions, cell, pbc, radius) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return offsets (n_atoms + 1,), neighbours (n_edges,) and cell shifts (n_edges, 3) of pairs in `radius`."""
        inputs = (torch.from_numpy(np.array(a)) for a in (positions, cell, pbc))
        offsets, neighbors, shifts, _ = torch.ops.tnep.neighbor_list(*inputs, radius)
        return offsets.numpy(), neighbors.numpy(), shifts.numpy()

    def vectors(self, positions, cell, offsets, neighbors, shifts) -> np.ndarray:
        """Return the edge vectors, shape (n_edges, 3), of pairs that `find` gave, for present positions and cell."""
        inputs = (torch.from_numpy(np.ascontiguousarray(a)) for a in (positions, cell, offsets, neighbors, shifts))
        return torch.ops.tnep.edge_vectors(*inputs).numpy()


def native_search() -> NativeSearch | None:
    """Return the native search, or None where the native library is not there."""
    return NativeSearch() if load() else None
