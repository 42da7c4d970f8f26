"""Neighbour density of the electric-enthalpy model: radial functions times harmonics, summed over neighbours."""

import torch
from torch import Tensor

from ..harmonics import real_harmonics


def radial_functions(r: Tensor, cutoff: float, n: int) -> Tensor:
    """Return Chebyshev polynomials times a cutoff function, shape (len(r), n), for distances r in Å.

    ``f_k(r) = T_k(2 (r/rc - 1)^2 - 1) h(r/rc)`` with ``h(u) = 1 - 28 u^6 + 48 u^7 - 21 u^8`` for u < 1 (Gasteiger et
    al., arXiv:2003.03123, eq. 8 with p = 6) and 0 beyond.  The first two derivatives of h vanish at u = 1.
    """
    u = torch.clamp(r / cutoff, max=1.0)
    x = 2 * (u - 1) ** 2 - 1
    envelope = 1 - u**6 * (28 - 48 * u + 21 * u * u)
    functions = [envelope, x * envelope]
    for k in range(2, n):
        functions.append(2 * x * functions[k - 1] - functions[k - 2])
    return torch.stack(functions[:n], dim=1)


def edge_functions(vectors: Tensor, cutoff: float, n: int) -> Tensor:
    """Return the products ``Y_lm f_k``, shape (n_edges, 16, n), of edge vectors, shape (n_edges, 3), in Å."""
    r = torch.linalg.vector_norm(vectors, dim=1)
    harmonics = real_harmonics(vectors / r.unsqueeze(1))
    return harmonics.unsqueeze(2) * radial_functions(r, cutoff, n).unsqueeze(1)


def edge_density(
    vectors: Tensor, center: Tensor, species: Tensor, n_centers: int, n_species: int, cutoff: float, n: int
) -> Tensor:
    """Return the same as `density` of ``edge_functions(vectors, cutoff, n)``, with faster evaluation and derivatives.

    The neighbours of each centre and species, padded with zeros to equal numbers, are the rows of one matrix product.
    The products of harmonics and radial functions of single edges are never formed.
    """
    slot = center * n_species + species
    counts = torch.bincount(slot, minlength=n_centers * n_species)
    longest = int(counts.max()) if counts.numel() > 0 else 0
    order = torch.argsort(slot)
    slot = slot[order]
    row = slot * longest + torch.arange(slot.shape[0], device=slot.device) - (counts.cumsum(0) - counts)[slot]
    r = torch.linalg.vector_norm(vectors, dim=1)
    place = torch.empty_like(row).index_copy(0, order, row)
    slots = counts.shape[0]
    harmonics = real_harmonics(vectors / r.unsqueeze(1))
    radial = radial_functions(r, cutoff, n)
    left = torch.zeros(slots * longest, 16, dtype=r.dtype, device=r.device).index_copy(0, place, harmonics)
    right = torch.zeros(slots * longest, n, dtype=r.dtype, device=r.device).index_copy(0, place, radial)
    total = torch.bmm(left.reshape(slots, longest, 16).transpose(1, 2), right.reshape(slots, longest, n))
    return total.reshape(n_centers, n_species, 16, n).permute(2, 0, 1, 3).reshape(16, n_centers, n_species * n)


def density(functions: Tensor, center: Tensor, species: Tensor, n_centers: int, n_species: int) -> Tensor:
    """Sum edge functions over the neighbours of each species.

    Parameters
    ----------
    functions : Tensor, shape (n_edges, 16, n)
    center : Tensor of int64, shape (n_edges,)
        Row of the centre of each edge.
    species : Tensor of int64, shape (n_edges,)
        Species of the neighbour.
    n_centers, n_species : int

    Returns
    -------
    Tensor, shape (16, n_centers, n_species * n)
    """
    components, n = functions.shape[1], functions.shape[2]
    total = torch.zeros(n_centers * n_species, components, n, dtype=functions.dtype, device=functions.device)
    total = total.index_add(0, center * n_species + species, functions)
    return total.reshape(n_centers, n_species, components, n).permute(2, 0, 1, 3).reshape(components, n_centers, -1)
