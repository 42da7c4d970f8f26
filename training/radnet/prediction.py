"""Predictions of radnet site functions for whole structures, differentiable with respect to their parameters."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tnep_calc.conventions import ASE_ORDER
from tnep_calc.models.radnet.sites import RadnetSites

from .data import Edges


def predict(
    sites: RadnetSites,
    structures: Edges,
    operations: Tensor | None = None,
    directions: Mapping[str, Tensor] | None = None,
    create_graph: bool = False,
) -> dict[str, Tensor]:
    """Return the predictions of the site functions for some structures.

    Parameters
    ----------
    sites : RadnetSites
    structures : Edges
    operations : Tensor, shape (n_structures, 3, 3), optional
        Orthogonal matrices R.  Each structure is rotated by its R before the evaluation and the results are rotated
        back, so they can be compared with the unchanged labels.
    directions : mapping of str to Tensor, optional
        Directions along which derivatives are given: for ``born_charges`` directions e of the dipole, shape
        (n_structures, n_directions, 3); for ``polarizability_gradient`` factors f of the six components of the
        polarizability, shape (n_structures, n_directions, 6).  None = no derivatives.
    create_graph : bool, default False
        Keep the graph, so that derivatives can be differentiated with respect to the parameters.

    Returns
    -------
    dict
        ``dipole`` (n_structures, 3) in e·Å and ``polarizability`` (n_structures, 6), xx yy zz yz xz xy, in e·Å²/V, if
        the model has them; with directions ``born_charges`` (n_atoms, n_directions, 3) in e, which is
        ``sum_i e_i Z[atom, i, :]``, and ``polarizability_gradient`` (n_atoms, n_directions, 3) in e·Å/V, which is
        ``sum_k f_k d alpha_k / d u[atom, :]``.
    """
    r = structures.vectors.detach()
    if directions:
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
    for name, along in (directions or {}).items():
        total = out["dipole" if name == "born_charges" else "polarizability"]
        rows = []
        for d in range(along.shape[1]):
            value = (total * along[:, d].to(r.dtype)).sum()
            slope = torch.autograd.grad(value, r, create_graph=create_graph, retain_graph=True)[0]
            atoms = torch.zeros(len(structures.types), 3, dtype=r.dtype, device=r.device)
            rows.append(atoms.index_add(0, structures.neighbors, slope).index_add(0, structures.centers, -slope))
        out[name] = torch.stack(rows, dim=1)
    return out


def tensor_of(six: Tensor) -> Tensor:
    """Return symmetric tensors, shape (..., 3, 3), from xx yy zz yz xz xy."""
    return six[..., torch.tensor([[0, 5, 4], [5, 1, 3], [4, 3, 2]], device=six.device)]


def six_of(tensor: Tensor) -> Tensor:
    """Return xx yy zz yz xz xy of symmetric tensors, shape (..., 3, 3)."""
    i, j = zip(*ASE_ORDER, strict=True)
    return tensor[..., list(i), list(j)]
