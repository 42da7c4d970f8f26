"""Neighbour searches for ``tnep_calc.neighbors.NeighborList``: on the native kernels, or on a device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..errors import InputError
from ..neighbors import MIN_DISTANCE, Edges, NeighborList, VesinSearch, checked_structure, coincidence
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


def edges_of_all(structures: Sequence[tuple], cutoff: float, device: torch.device, first: int = 0) -> Edges:
    """Return the edges of several structures as those of one, found at once if the device is not the CPU.

    Parameters
    ----------
    structures : sequence of (positions, cell, pbc)
        As for :meth:`tnep_calc.neighbors.NeighborList.edges`.
    cutoff : float, in Å
    device : torch.device
        Where the edges are to be.
    first : int, default 0
        Index of the first structure, for messages.

    Raises
    ------
    InputError
        As for :meth:`tnep_calc.neighbors.NeighborList.edges`; the message names the structure.
    """
    search = search_on(device)
    if isinstance(search, DeviceSearch):
        return _found_at_once(structures, cutoff, search, first)
    edges = NeighborList(cutoff, 0.0, search).edges
    return Edges.joined([_naming(k, edges, *given) for k, given in enumerate(structures, start=first)])


def _found_at_once(structures, cutoff, search, first):
    """Return the same from a search on a device."""
    parts = [_naming(k, checked_structure, *given, cutoff) for k, given in enumerate(structures, start=first)]
    positions, cells, pbc = zip(*parts, strict=True)
    together, matrices, sizes = np.concatenate(positions), np.stack(cells), [len(r) for r in positions]
    offsets, neighbors, shifts = search.find_all(together, matrices, np.stack(pbc), sizes, cutoff)
    vectors = search.vectors_all(together, matrices, sizes, offsets, neighbors, shifts)
    if len(vectors):
        squared, centre, neighbor = search.closest(vectors, offsets, neighbors)
        if squared < MIN_DISTANCE**2:
            starts = np.cumsum([0, *sizes])
            k = int(np.searchsorted(starts, centre, side="right")) - 1
            raise InputError(f"structure {first + k}: {coincidence(squared, centre - starts[k], neighbor - starts[k])}")
    return Edges(offsets, neighbors, vectors)


def _naming(k, function, *arguments):
    """Return what the function returns; its error names the structure with the number `k`."""
    try:
        return function(*arguments)
    except InputError as error:
        raise InputError(f"structure {k}: {error}") from error
