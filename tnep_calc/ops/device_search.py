"""Neighbour search on a device, in plain torch: only positions and cells are copied there, and pairs stay there."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from torch import Tensor

_BINS_PER_ATOM = 4  # more bins than that would mostly be empty


class DeviceSearch:
    """The same methods as ``tnep_calc.neighbors.VesinSearch``, with tensors on a device instead of arrays.

    Atoms are sorted into bins that are at least as wide as the radius, if the cell is large enough for that; pairs are
    looked for in the bins around that of an atom.  Several structures are searched at once, as one on a GPU would leave
    it idle.

    Parameters
    ----------
    device : torch.device
    """

    def __init__(self, device: torch.device):
        self.device = device

    def find(self, positions, cell, pbc, radius) -> tuple[Tensor, Tensor, Tensor]:
        """Return the pairs within `radius`: offsets (n_atoms + 1,), neighbours (n_edges,), cell shifts (n_edges, 3)."""
        return self.find_all(
            positions, np.asarray(cell)[None], np.asarray(pbc, dtype=bool)[None], [len(positions)], radius
        )

    def find_all(self, positions, cells, pbc, sizes, radius) -> tuple[Tensor, Tensor, Tensor]:
        """Return the pairs of several structures as those of one, whose atoms are numbered one structure after another.

        Parameters
        ----------
        positions : array or Tensor, shape (n_atoms, 3), in Å
            Of the atoms of all structures.
        cells : array, shape (n_structures, 3, 3), in Å
            Rows are lattice vectors, none of which is zero.
        pbc : array of bool, shape (n_structures, 3)
        sizes : sequence of int
            Number of atoms of each structure.
        radius : float, in Å
        """
        r, matrices = self._tensor(positions), self._tensor(cells)
        n, system, several = len(r), self._systems(sizes), len(sizes) > 1
        periodic, inverses = np.asarray(pbc, dtype=bool), np.linalg.inv(cells)
        fractions = _times(r, self._tensor(inverses), system)
        wraps = torch.floor(fractions) * self._tensor(periodic)[system]
        fractions, r = fractions - wraps, r - _times(wraps, matrices, system)
        low, extent = np.zeros((len(sizes), 3)), np.ones((len(sizes), 3))
        if not periodic.all():
            ends = np.stack([e.cpu().numpy() for e in _ends(fractions, system, len(sizes))])
            low, extent = np.where(periodic, 0.0, ends[0]), np.where(periodic, 1.0, ends[1] - ends[0])
        lengths = extent / np.linalg.norm(inverses, axis=1)
        binned = [_bins(long, own, radius, m) for long, own, m in zip(lengths, periodic, sizes, strict=True)]
        bins, reach = (np.stack(parts) for parts in zip(*binned, strict=True))
        first = self._integers(np.concatenate([[0], np.cumsum(bins.prod(axis=1))[:-1]]))[system]
        scale = np.where(extent > 0, bins / np.where(extent > 0, extent, 1.0), 0.0)
        numbers, most = self._integers(bins)[system], self._integers(reach)[system]
        place = ((fractions - self._tensor(low)[system]) * self._tensor(scale)[system]).floor().long()
        place = torch.minimum(place.clamp(min=0), numbers - 1)
        index = first + _index(place, numbers)
        counts = torch.bincount(index, minlength=int(bins.prod(axis=1).sum()))
        members, starts = torch.argsort(index, stable=True), counts.cumsum(0) - counts
        atoms = torch.arange(n, device=self.device)
        ends_there = None if periodic.all() else torch.from_numpy(~periodic).to(self.device)[system]
        found = []
        for step in product(*(range(-k, k + 1) for k in reach.max(axis=0).tolist())):
            offset = torch.tensor(step, device=self.device)
            target = place + offset
            image = torch.div(target, numbers, rounding_mode="floor")
            bin_index = first + _index(target - image * numbers, numbers)
            number = counts[bin_index]
            if ends_there is not None:
                number = number * ~((image != 0) & ends_there).any(1)
            if several:
                number = number * (offset.abs() <= most).all(1)
            centre = torch.repeat_interleave(atoms, number)
            within = torch.arange(len(centre), device=self.device) - (number.cumsum(0) - number)[centre]
            other = members[starts[bin_index][centre] + within]
            shift = image[centre]
            moved = _times(shift.to(r.dtype), matrices, system[centre] if several else system)
            squared = (r[other] - r[centre] + moved).square().sum(1)
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
        return self.vectors_all(positions, np.asarray(cell)[None], [len(positions)], offsets, neighbors, shifts)

    def vectors_all(self, positions, cells, sizes, offsets, neighbors, shifts) -> Tensor:
        """Return the edge vectors in Å, shape (n_edges, 3), of pairs from `find_all`."""
        r, centres, system = self._tensor(positions), _centres(offsets), self._systems(sizes)
        moved = _times(shifts.to(r.dtype), self._tensor(cells), system[centres] if len(sizes) > 1 else system)
        return r[neighbors] - r[centres] + moved

    def closest(self, vectors: Tensor, offsets: Tensor, neighbors: Tensor) -> tuple[float, int, int]:
        """Return the smallest squared distance in Å², and the centre and the neighbour of this pair."""
        squared, edge = vectors.square().sum(1).min(0)
        return float(squared), int(_centres(offsets)[edge]), int(neighbors[edge])

    def _tensor(self, array) -> Tensor:
        if isinstance(array, Tensor):
            return array.to(self.device, torch.float64)
        return torch.from_numpy(np.array(array, dtype=float)).to(self.device)

    def _integers(self, array) -> Tensor:
        return torch.from_numpy(np.asarray(array, dtype=np.int64)).to(self.device)

    def _systems(self, sizes) -> Tensor:
        """Return the number of the structure of every atom."""
        counts = self._integers(sizes)
        systems = torch.arange(len(sizes), device=self.device)
        return torch.repeat_interleave(systems, counts, output_size=int(np.sum(sizes)))


def _times(rows: Tensor, matrices: Tensor, system: Tensor) -> Tensor:
    """Return each row times the matrix of its structure; `system` is not used if there is only one."""
    if len(matrices) == 1:
        return rows @ matrices[0]
    return torch.einsum("ni,nij->nj", rows, matrices[system])


def _ends(fractions: Tensor, system: Tensor, count: int) -> list[Tensor]:
    """Return the smallest and the largest fractional coordinates of each structure, shapes (count, 3)."""
    index, shape = system[:, None].expand(-1, 3), (count, 3)
    return [
        fractions.new_zeros(shape).scatter_reduce(0, index, fractions, k, include_self=False) for k in ("amin", "amax")
    ]


def _index(place: Tensor, bins: Tensor) -> Tensor:
    return (place[:, 0] * bins[:, 1] + place[:, 1]) * bins[:, 2] + place[:, 2]


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
