"""Neighbour search on a device, in plain torch: only positions and cell are copied there, and pairs stay there."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from torch import Tensor

_BINS_PER_ATOM = 4  # more bins than that would mostly be empty


class DeviceSearch:
    """The same methods as ``tnep_calc.neighbors.VesinSearch``, with tensors on a device instead of arrays.

    Atoms are sorted into bins that are at least as wide as the radius, if the cell is large enough for that; pairs are
    looked for in the bins around that of an atom.

    Parameters
    ----------
    device : torch.device
    """

    def __init__(self, device: torch.device):
        self.device = device

    def find(self, positions, cell, pbc, radius) -> tuple[Tensor, Tensor, Tensor]:
        """Return the pairs within `radius`: offsets (n_atoms + 1,), neighbours (n_edges,), cell shifts (n_edges, 3)."""
        n = len(positions)
        r, matrix = self._tensor(positions), self._tensor(cell)
        periodic = np.asarray(pbc, dtype=bool)
        inverse = np.linalg.inv(cell)
        fractions = r @ self._tensor(inverse)
        wraps = torch.floor(fractions) * self._tensor(periodic)
        fractions, r = fractions - wraps, r - wraps @ matrix
        ends = torch.stack([fractions.amin(0), fractions.amax(0)]).cpu().numpy()
        low, extent = np.where(periodic, 0.0, ends[0]), np.where(periodic, 1.0, ends[1] - ends[0])
        bins, reach = _bins(extent / np.linalg.norm(inverse, axis=0), periodic, radius, n)
        scale = np.where(extent > 0, bins / np.where(extent > 0, extent, 1.0), 0.0)
        sizes = torch.from_numpy(bins).to(self.device)
        place = ((fractions - self._tensor(low)) * self._tensor(scale)).floor().long()
        place = torch.minimum(place.clamp(min=0), sizes - 1)
        index = self._index(place, bins)
        counts = torch.bincount(index, minlength=int(bins.prod()))
        members, starts = torch.argsort(index, stable=True), counts.cumsum(0) - counts
        atoms = torch.arange(n, device=self.device)
        found = []
        for step in product(*(range(-k, k + 1) for k in reach.tolist())):
            target = place + torch.tensor(step, device=self.device)
            image = torch.div(target, sizes, rounding_mode="floor")
            inside = (image[:, torch.from_numpy(~periodic).to(self.device)] == 0).all(1)
            bin_index = self._index(target - image * sizes, bins)
            number = counts[bin_index] * inside
            centre = torch.repeat_interleave(atoms, number)
            within = torch.arange(len(centre), device=self.device) - (number.cumsum(0) - number)[centre]
            other = members[starts[bin_index][centre] + within]
            shift = image[centre]
            squared = (r[other] - r[centre] + shift.to(r.dtype) @ matrix).square().sum(1)
            near = (squared < radius**2) & ((other != centre) | (shift != 0).any(1))
            centre, other = centre[near], other[near]
            found.append((centre, other, shift[near] + (wraps[centre] - wraps[other]).long()))
        centre, other, shift = (torch.cat(parts) for parts in zip(*found, strict=True))
        order = torch.argsort(centre, stable=True)
        offsets = torch.zeros(n + 1, dtype=torch.long, device=self.device)
        offsets[1:] = torch.bincount(centre, minlength=n).cumsum(0)
        return offsets, other[order], shift[order]

    def vectors(self, positions, cell, offsets, neighbors, shifts) -> Tensor:
        """Return the edge vectors in Å, shape (n_edges, 3), of pairs from `find` at these positions and this cell."""
        r, matrix = self._tensor(positions), self._tensor(cell)
        return r[neighbors] - r[_centres(offsets)] + shifts.to(r.dtype) @ matrix

    def closest(self, vectors: Tensor, offsets: Tensor, neighbors: Tensor) -> tuple[float, int, int]:
        """Return the smallest squared distance in Å², and the centre and the neighbour of this pair."""
        squared, edge = vectors.square().sum(1).min(0)
        return float(squared), int(_centres(offsets)[edge]), int(neighbors[edge])

    def _tensor(self, array) -> Tensor:
        return torch.from_numpy(np.array(array, dtype=float)).to(self.device)

    @staticmethod
    def _index(place: Tensor, bins: np.ndarray) -> Tensor:
        return (place[:, 0] * int(bins[1]) + place[:, 1]) * int(bins[2]) + place[:, 2]


def _bins(lengths, periodic, radius, n_atoms):
    """Return the number of bins along each direction, and how many bins a pair can be apart.

    Parameters
    ----------
    lengths : ndarray, shape (3,), in Å
        Distance between the planes that bound the bins.
    periodic : ndarray of bool, shape (3,)
    radius : float, in Å
    n_atoms : int
    """
    bins = np.clip(np.floor(lengths / radius), 1, 2**20).astype(np.int64)
    while bins.prod() > _BINS_PER_ATOM * n_atoms + 8:
        bins[bins.argmax()] = -(-bins.max() // 2)
    apart = np.ceil(radius * bins / np.maximum(lengths, 1e-12)).clip(max=2**20).astype(np.int64)
    return bins, np.where(periodic, apart, np.minimum(apart, bins - 1))


def _centres(offsets: Tensor) -> Tensor:
    """Return the centre of every edge."""
    return torch.repeat_interleave(torch.arange(len(offsets) - 1, device=offsets.device), offsets.diff())
