"""Densities of the neighbours on a cube of grid points around each centre, differentiable by the neighbours' positions.

The density of the neighbours of species t at a point p relative to the centre is

``rho_t(p) = sum_j w(r_j) G(p_x - x_j) G(p_y - y_j) G(p_z - z_j)``

with Gaussians that end smoothly, and a cutoff ``w`` that is one inside and zero from the cutoff on (Ryczko et al.,
arXiv 2108.07614, eq. 14, on a cube around each atom instead of the whole cell, with one channel per species of the
neighbour).  The centre itself is a neighbour at distance zero, which tells its species.

A Gaussian is a product of three functions of one variable, so a neighbour costs 3 n of them on a cube of n^3 points.
"""

import math

import torch
from torch import Tensor, nn

REACH = 3.5
"""Distance in units of sigma at which a Gaussian ends; it would be 0.2 % of its height there."""
ONSET = 0.5
"""Share of the cutoff at which the smooth cutoff begins to fall."""


def ending_gaussian(distance: Tensor, sigma: float, reach: float = REACH) -> Tensor:
    """Return Gaussians that end at ``reach * sigma``: value, slope and curvature are zero from there on.

    ``exp(-u) - exp(-U) [1 + (U - u) + (U - u)^2 / 2]`` with ``u = d^2 / (2 sigma^2)`` and U its value at the end: the
    Gaussian without its own expansion about the end.

    Parameters
    ----------
    distance : Tensor, in Å
    sigma : float, in Å
    reach : float, default 3.5
    """
    end = 0.5 * reach * reach
    u = distance * distance / (2.0 * sigma * sigma)
    rest = end - u
    value = torch.exp(-u) - math.exp(-end) * (1.0 + rest + 0.5 * rest * rest)
    return torch.where(rest > 0, value, torch.zeros_like(value))


def smooth_cutoff(r: Tensor, cutoff: float, onset: float = ONSET) -> Tensor:
    """Return a cutoff in the shape of an error function; at the cutoff all its derivatives vanish.

    ``erfc[(x - 1/2) / (x (1 - x))] / 2`` with x from 0 at ``onset * cutoff`` to 1 at the cutoff; 1 before, 0 after.
    The filter ``erfc(r - r_c) / 2`` of the published code jumps from 1/2 to 0 where its neighbour list ends.

    Parameters
    ----------
    r : Tensor, in Å
    cutoff : float, in Å
    onset : float, default 0.5
    """
    x = (r - onset * cutoff) / ((1.0 - onset) * cutoff)
    inside = (x > 0.01) & (x < 0.99)  # at these ends the exact value is 0 or 1 to 1e-300
    y = torch.where(inside, x, torch.full_like(x, 0.5))
    value = 0.5 * torch.erfc((y - 0.5) / (y * (1.0 - y)))
    return torch.where(inside, value, (x <= 0.01).to(x.dtype))


class Voxels(nn.Module):
    """Densities on the cubes of all centres.

    Parameters
    ----------
    n_species : int
        Number of channels.
    points : int
        Grid points n along an edge of the cube.
    width : float, in Å
        Edge of the cube, from the first to the last point; the centre is in its middle.
    sigma : float, in Å
    cutoff : float, in Å
    dtype : torch.dtype
    """

    grid: Tensor

    def __init__(self, n_species: int, points: int, width: float, sigma: float, cutoff: float, dtype: torch.dtype):
        super().__init__()
        self.n_species = n_species
        self.points = points
        self.sigma = sigma
        self.cutoff = cutoff
        self.extent = 0.5 * width + REACH * sigma
        self.register_buffer("grid", torch.linspace(-0.5 * width, 0.5 * width, points, dtype=torch.float64).to(dtype))

    def reached(self, vectors: Tensor) -> Tensor:
        """Return the indices of the edges, shape (n_edges, 3) in Å, whose neighbour contributes to its cube."""
        near = (vectors * vectors).sum(1) < self.cutoff * self.cutoff
        return torch.nonzero(near & (vectors.abs().amax(1) < self.extent)).squeeze(1)

    def forward(self, types: Tensor, edge_center: Tensor, edge_type: Tensor, vectors: Tensor) -> Tensor:
        """Return the densities, shape (n_centers, n_species, n, n, n), axes x, y, z.

        Parameters
        ----------
        types : Tensor of int64, shape (n_centers,)
            Species of the centres.
        edge_center, edge_type : Tensor of int64, shape (n_edges,)
            Centre (counted from 0) of each edge and species of its neighbour.
        vectors : Tensor, shape (n_edges, 3), in Å
            From the centre to the neighbour; others than those of `reached` would only cost time.
        """
        n_centers, n, device = types.shape[0], self.points, types.device
        own = torch.arange(n_centers, device=device)
        slot = torch.cat([edge_center * self.n_species + edge_type, own * self.n_species + types])
        n_slots = n_centers * self.n_species
        weight = smooth_cutoff(torch.linalg.vector_norm(vectors, dim=1), self.cutoff)
        weight = torch.cat([weight, torch.ones(n_centers, dtype=weight.dtype, device=device)])
        places = torch.cat([vectors, torch.zeros(n_centers, 3, dtype=vectors.dtype, device=device)])
        # Rows of one centre and species stand together, padded to the longest of them, for one matrix product each.
        order = torch.argsort(slot, stable=True)
        slot = slot[order]
        counts = torch.bincount(slot, minlength=n_slots)
        rank = torch.arange(slot.shape[0], device=device) - (counts.cumsum(0) - counts)[slot]
        longest = int(counts.max()) if n_slots > 0 else 0
        factors = ending_gaussian(self.grid - places[order].unsqueeze(2), self.sigma)  # (rows, 3, n)
        scaled = torch.cat([factors[:, :1] * weight[order].view(-1, 1, 1), factors[:, 1:]], dim=1)
        padded = torch.zeros(n_slots * longest, 3, n, dtype=vectors.dtype, device=device)
        padded = padded.index_copy(0, slot * longest + rank, scaled).view(n_slots, longest, 3, n)
        plane = (padded[:, :, 0].unsqueeze(3) * padded[:, :, 1].unsqueeze(2)).flatten(2)  # x, y
        cubes = torch.bmm(plane.transpose(1, 2), padded[:, :, 2])
        return cubes.view(n_centers, self.n_species, n, n, n)
