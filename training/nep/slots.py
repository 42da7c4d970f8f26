"""Groups of centres of one species whose neighbours have the same set of species.

The moments of a group are one matrix with a row per coefficient.  Their contraction is a dense product that reads each
moment once, and species that do not occur around a centre cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from .features import Basis

_FEW = 24  # centres; a smaller group joins one with more neighbour species: padded with zeros, but fewer products


@dataclass(frozen=True)
class Group:
    """Centres of one species whose neighbours have the same set of species.

    Attributes
    ----------
    species : int
        Species index of the centres.
    near : tuple of int
        Species indices of the neighbours.
    rows : slice
        Rows of the centres.
    radial : Tensor, shape (near k, 1 + components, centres)
        Moments M (first) and D of the radial features.
    angular : Tensor, shape (near k, S, centres)
        Moments M of the angular features.
    along : Tensor, shape (near k, components, S, centres), or None
        Moments D of the angular features.
    """

    species: int
    near: tuple[int, ...]
    rows: slice
    radial: Tensor
    angular: Tensor
    along: Tensor | None

    @cached_property
    def near_index(self) -> Tensor:
        """:attr:`near` as an index tensor on the device of the moments."""
        return torch.tensor(self.near, device=self.radial.device)

    def to(self, device: torch.device) -> Group:
        """Return the group on a device."""
        along = None if self.along is None else self.along.to(device)
        return replace(self, radial=self.radial.to(device), angular=self.angular.to(device), along=along)


class SlotLayout:
    """Groups of centres, and the numbering of rows and slots.

    Parameters
    ----------
    types : ndarray, shape (n_atoms,)
        Species of each atom.
    origin, end_types : ndarray, shape (n_edges,)
        Centre of each edge, and species of its neighbour.
    n_species : int

    Attributes
    ----------
    order, row : ndarray, shape (n_atoms,)
        Atom of each row, and row of each atom.
    parts : list of tuple
        For each group: species of the centres, species of their neighbours, and rows.
    n_slots : int
        Number of (centre, species of neighbour); they are numbered group by group.
    """

    def __init__(self, types, origin, end_types, n_species):
        n = len(types)
        occupied = np.zeros((n, n_species), dtype=bool)
        occupied[origin, end_types] = True
        alone = ~occupied.any(axis=1)
        occupied[alone, types[alone]] = True
        keys, group, counts = np.unique(
            np.column_stack([types, occupied]).astype(np.int64), axis=0, return_inverse=True, return_counts=True
        )
        group = self._joined(keys, counts)[group.reshape(-1)]
        self.order = np.argsort(group, kind="stable")  # keys begin with the species, so this sorts by it, too
        self.row = np.empty(n, dtype=np.int64)
        self.row[self.order] = np.arange(n)
        self.parts, self.n_slots = [], 0
        self._first = np.zeros(n, dtype=np.int64)  # first slot of each centre
        self._place = np.zeros((n, n_species), dtype=np.int64)  # of a species in the slots of the centre
        start = 0
        for g in np.unique(group):
            near, own = np.flatnonzero(keys[g, 1:]), np.flatnonzero(group == g)
            self.parts.append((int(keys[g, 0]), near, slice(start, start + len(own))))
            self._first[own] = self.n_slots + len(near) * np.arange(len(own))
            place = np.zeros(n_species, dtype=np.int64)
            place[near] = np.arange(len(near))
            self._place[own] = place
            start, self.n_slots = start + len(own), self.n_slots + len(near) * len(own)

    @staticmethod
    def _joined(keys, counts):
        """Return the group that each group is merged into.

        A small group joins the one with the fewest neighbour species that include all of its own.
        """
        target, size = np.arange(len(keys)), counts.copy()
        near = keys[:, 1:]
        for g in np.argsort(near.sum(axis=1), kind="stable"):
            if size[g] >= _FEW:
                continue
            fits = (keys[:, 0] == keys[g, 0]) & (near >= near[g]).all(axis=1) & (size > 0)
            fits[g] = False
            if fits.any():
                h = min(np.flatnonzero(fits), key=lambda h: (near[h].sum(), h))
                target[target == g] = h
                size[h], size[g] = size[h] + size[g], 0
        return target

    def slot(self, origin: np.ndarray, end_types: np.ndarray) -> np.ndarray:
        """Return the slots of edges."""
        return self._first[origin] + self._place[origin, end_types]

    def groups(self, plain: Tensor, directional: Tensor, basis: Basis, dtype: torch.dtype) -> Iterator[Group]:
        """Yield the groups from moments of slots, shapes (slots, F) and (slots, F, components)."""
        first, r = 0, basis.n_radial
        shape = basis.angular_shape
        for species, near, rows in self.parts:
            count = rows.stop - rows.start
            last = first + count * len(near)
            own = plain[first:last].reshape(count, len(near), -1)
            change = directional[first:last].reshape(count, len(near), *directional.shape[1:])
            first = last
            radial = torch.cat([own[:, :, :r, None], change[:, :, :r]], dim=3).permute(1, 2, 3, 0).flatten(0, 1)
            angular = own[:, :, r:].unflatten(2, shape).permute(1, 2, 3, 0).flatten(0, 1)
            along = None
            if change.shape[3]:
                along = change[:, :, r:].unflatten(2, shape).permute(1, 2, 4, 3, 0).flatten(0, 1)
                along = along.to(dtype).contiguous()
            yield Group(
                species,
                tuple(near.tolist()),
                rows,
                radial.to(dtype).contiguous(),
                angular.to(dtype).contiguous(),
                along,
            )
