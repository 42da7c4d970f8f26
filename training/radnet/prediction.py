"""Predictions of radnet site functions for whole structures, differentiable by their parameters."""

from __future__ import annotations

import torch
from torch import Tensor

from tnep_calc.conventions import ASE_ORDER
from tnep_calc.models.radnet.sites import RadnetSites

from .data import Edges


def predict(
    sites: RadnetSites,
    structures: Edges,
    operations: Tensor | None = None,
    directions: Tensor | None = None,
    create_graph: bool = False,
) -> dict[str, Tensor]:
    """Return what the site functions give for some structures.

    Parameters
    ----------
    sites : RadnetSites
    structures : Edges
    operations : Tensor, shape (n_structures, 3, 3), optional
        Orthogonal matrices R.  Each structure is turned by its R before the evaluation and the results are turned back,
        so they are to be compared with the labels as they are.
    directions : Tensor, shape (n_structures, n_directions, 3), optional
        Directions e in which Born charges are wanted; None: not at all.
    create_graph : bool, default False
        Whether Born charges are to be differentiated by the parameters.

    Returns
    -------
    dict
        ``dipole`` (n_structures, 3) and ``polarizability`` (n_structures, 6), xx yy zz yz xz xy, as far as the model
        has them, and ``born_charges`` (n_atoms, n_directions, 3): ``sum_i e_i Z[atom, i, :]``.
    """
    r = structures.vectors.detach()
    wanted = directions is not None and sites.has_dipole
    if wanted:
        r = r.requires_grad_(True)
    turned = r
    if operations is not None:
        operations = operations.to(r.dtype)
        turned = torch.einsum("eij,ej->ei", operations[structures.edges], r)
    near = sites.voxels.reached(turned.detach())
    end = structures.types[structures.neighbors[near]]
    dipoles, six = sites(
        structures.types, structures.centers[near], end, turned[near], sites.has_dipole, sites.has_polarizability
    )
    out = {}
    if sites.has_dipole:
        dipole = dipoles.new_zeros(structures.count, 3).index_add(0, structures.atoms, dipoles)
        out["dipole"] = dipole if operations is None else torch.einsum("sij,si->sj", operations, dipole)
    if sites.has_polarizability:
        alpha = six.new_zeros(structures.count, 6).index_add(0, structures.atoms, six)
        if operations is not None:
            alpha = six_of(operations.transpose(1, 2) @ tensor_of(alpha) @ operations)
        out["polarizability"] = alpha
    if wanted and directions is not None:
        rows = []
        for d in range(directions.shape[1]):
            along = (out["dipole"] * directions[:, d].to(r.dtype)).sum()
            slope = torch.autograd.grad(along, r, create_graph=create_graph, retain_graph=True)[0]
            atoms = torch.zeros(len(structures.types), 3, dtype=r.dtype, device=r.device)
            rows.append(atoms.index_add(0, structures.neighbors, slope).index_add(0, structures.centers, -slope))
        out["born_charges"] = torch.stack(rows, dim=1)
    return out


def tensor_of(six: Tensor) -> Tensor:
    """Return symmetric tensors, shape (..., 3, 3), from xx yy zz yz xz xy."""
    return six[..., torch.tensor([[0, 5, 4], [5, 1, 3], [4, 3, 2]], device=six.device)]


def six_of(tensor: Tensor) -> Tensor:
    """Return xx yy zz yz xz xy of symmetric tensors, shape (..., 3, 3)."""
    i, j = zip(*ASE_ORDER, strict=True)
    return tensor[..., list(i), list(j)]
