"""Densities of the neighbours on a cube of grid points around each centre, differentiable in the edge vectors.

The density of the neighbours of species t at a point p relative to the centre is

``rho_t(p) = sum_j w(r_j) G(p_x - x_j) G(p_y - y_j) G(p_z - z_j)``

with Gaussians that end smoothly, and a cutoff function ``w`` that falls from one to zero at the cutoff (Ryczko et al.,
arXiv 2108.07614, eq. 14, but on a cube around each atom instead of the whole cell, and with one channel per species of
the neighbour).  The centre itself is included as a neighbour at distance zero, so that the density shows its species.

A Gaussian is a product of three functions of one variable, so a neighbour needs only 3 n function values on a cube of
n^3 points.
"""

import math

import torch
from torch import Tensor, nn

REACH = 3.5
"""Distance in units of sigma at which a Gaussian ends; a full Gaussian has 0.2 % of its height there."""
ONSET = 0.5
"""Distance, as a fraction of the cutoff, at which the cutoff function begins to fall."""


def ending_gaussian(distance: Tensor, sigma: float, reach: float = REACH) -> Tensor:
    """Return Gaussians that end at ``reach * sigma``, where value, slope and curvature vanish.

    The function is ``exp(-u) - exp(-U) [1 + (U - u) + (U - u)^2 / 2]`` with ``u = d^2 / (2 sigma^2)`` and U the value
    of u at the end, i.e. the Gaussian minus its second-order expansion in u about the end.

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
    """Return a cutoff function in the shape of an error function, all of whose derivatives vanish at the cutoff.

    The function is ``erfc[(x - 1/2) / (x (1 - x))] / 2``, where x rises linearly from 0 at ``onset * cutoff`` to 1 at
    the cutoff; it is 1 before and 0 after this range.  The filter ``erfc(r - r_c) / 2`` of the published code would
    jump from 1/2 to 0 at the end of its neighbour list.

    Parameters
    ----------
    r : Tensor, in Å
    cutoff : float, in Å
    onset : float, default 0.5
    """
    x = (r - onset * cutoff) / ((1.0 - onset) * cutoff)
    inside = (x > 0.01) & (x < 0.99)  # beyond, the exact value differs from 1 or 0 by less than 1e-300
    y = torch.where(inside, x, torch.full_like(x, 0.5))
    value = 0.5 * torch.erfc((y - 0.5) / (y * (1.0 - y)))
    return torch.where(inside, value, (x <= 0.01).to(x.dtype))


class Voxels(nn.Module):
    """Densities of the neighbours on the cubes of all centres.

    Parameters
    ----------
    n_species : int
        Number of species, which is the number of channels.
    points : int
        Grid points n along an edge of the cube.
    width : float, in Å
        Edge of the cube, from the first to the last point; the centre is in its middle.
    sigma : float, in Å
        Width of the Gaussians.
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
            Row of the centre of each edge in `types`, and species of its neighbour.
        vectors : Tensor, shape (n_edges, 3), in Å
            From the centre to the neighbour.  Edges that `reached` leaves out contribute nothing and only cost time.
        """
        n_centers, n, device = types.shape[0], self.points, types.device
        own = torch.arange(n_centers, device=device)
        slot = torch.cat([edge_center * self.n_species + edge_type, own * self.n_species + types])
        n_slots = n_centers * self.n_species
        weight = smooth_cutoff(torch.linalg.vector_norm(vectors, dim=1), self.cutoff)
        weight = torch.cat([weight, torch.ones(n_centers, dtype=weight.dtype, device=device)])
        places = torch.cat([vectors, torch.zeros(n_centers, 3, dtype=vectors.dtype, device=device)])
        # The rows of each centre and species are gathered and padded to equal numbers, for one batched matrix product.
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
