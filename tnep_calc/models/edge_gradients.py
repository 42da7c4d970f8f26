"""Derivatives of scalars with respect to edge vectors, and their conversion to derivatives by atomic positions."""

import torch
from torch import Tensor


def edge_gradient(value: Tensor, vectors: Tensor, create_graph: bool = False) -> Tensor:
    """Return the derivative of a scalar with respect to the edge vectors, shape (n_edges, 3).

    It is zero if the scalar does not depend on the vectors.  The graph of the scalar is kept, so that further
    derivatives can be taken.

    Parameters
    ----------
    value : Tensor, shape ()
    vectors : Tensor, shape (n_edges, 3)
    create_graph : bool, default False
        Whether the derivative can be differentiated again.
    """
    found = torch.autograd.grad([value], [vectors], retain_graph=True, create_graph=create_graph, allow_unused=True)
    gradient = found[0]
    if gradient is None:
        return torch.zeros_like(vectors)
    return gradient


def to_atoms(per_edge: Tensor, origin: Tensor, end: Tensor, n_atoms: int) -> Tensor:
    """Convert derivatives with respect to edge vectors into derivatives with respect to positions.

    Parameters
    ----------
    per_edge : Tensor, shape (n_edges, 3)
    origin, end : Tensor of int64, shape (n_edges,)
        Atoms from which and to which the edge vectors point.
    n_atoms : int

    Returns
    -------
    Tensor, shape (n_atoms, 3)
    """
    total = torch.zeros(n_atoms, 3, dtype=per_edge.dtype, device=per_edge.device)
    return total.index_add(0, end, per_edge).index_add(0, origin, -per_edge)
