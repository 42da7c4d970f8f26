"""Derivatives of scalars by edge vectors, and what they are for the positions of the atoms."""

import torch
from torch import Tensor


def edge_gradient(value: Tensor, vectors: Tensor, create_graph: bool = False) -> Tensor:
    """Return the derivative of a scalar by the edge vectors, shape (n_edges, 3); zero where it does not depend on them.

    The graph of the value stays, so that more than one derivative can be taken.
    """
    found = torch.autograd.grad([value], [vectors], retain_graph=True, create_graph=create_graph, allow_unused=True)
    gradient = found[0]
    if gradient is None:
        return torch.zeros_like(vectors)
    return gradient


def to_atoms(per_edge: Tensor, origin: Tensor, end: Tensor, n_atoms: int) -> Tensor:
    """Turn derivatives by edge vectors into derivatives by positions.

    Parameters
    ----------
    per_edge : Tensor, shape (n_edges, 3)
    origin, end : Tensor of int64, shape (n_edges,)
        Atoms from which and to which the vectors point.
    n_atoms : int

    Returns
    -------
    Tensor, shape (n_atoms, 3)
    """
    total = torch.zeros(n_atoms, 3, dtype=per_edge.dtype, device=per_edge.device)
    return total.index_add(0, end, per_edge).index_add(0, origin, -per_edge)
