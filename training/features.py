"""Features of edges for the moments: radial functions times angular functions, and their derivatives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import jvp

from tnep_calc.conventions import ASE_ORDER
from tnep_calc.models.descriptor import AngularBasis, radial_basis

STRAIN_ORDER = ASE_ORDER
"""Order of the six components of virials and polarizabilities in the moments."""


@dataclass(frozen=True)
class Basis:
    """What fixes the features of the moments.

    Attributes
    ----------
    species : tuple of str
    radial_cutoffs, angular_cutoffs : tuple of float, in Å
        Per species; the cutoff of a pair is the mean.
    basis_size : tuple of 2 int
        Radial and angular ``basis_size`` (the number of functions is one more).
    l_max : int
    """

    species: tuple[str, ...]
    radial_cutoffs: tuple[float, ...]
    angular_cutoffs: tuple[float, ...]
    basis_size: tuple[int, int]
    l_max: int

    @property
    def cutoff(self) -> float:
        """Largest cutoff of any pair."""
        return max(self.radial_cutoffs)

    @property
    def n_radial(self) -> int:
        """Number of radial features."""
        return self.basis_size[0] + 1

    @property
    def angular_shape(self) -> tuple[int, int]:
        """Numbers of radial functions k and of angular components s of the angular features."""
        return self.basis_size[1] + 1, (self.l_max + 1) ** 2 - 1

    @property
    def n_features(self) -> int:
        """Number of features: the radial ones, then the angular ones with s fastest."""
        return self.n_radial + self.angular_shape[0] * self.angular_shape[1]


class Features:
    """Features of edges and their first and second derivatives by the edge vector.

    Parameters
    ----------
    basis : Basis
    """

    def __init__(self, basis: Basis):
        self.basis = basis
        self.angular = AngularBasis(basis.l_max)
        self._cutoffs = [torch.tensor(c, dtype=torch.float64) for c in (basis.radial_cutoffs, basis.angular_cutoffs)]

    def cutoffs(self, a: Tensor, b: Tensor) -> list[Tensor]:
        """Return the radial and angular cutoffs of pairs of species."""
        return [(c[a] + c[b]) / 2 for c in self._cutoffs]

    def __call__(self, vectors: Tensor, a: Tensor, b: Tensor, derivatives: int):
        """Compute features.

        Parameters
        ----------
        vectors : Tensor, shape (n_edges, 3), in Å
        a, b : Tensor of int, shape (n_edges,)
            Species of centre and neighbour.
        derivatives : int
            Highest derivative wanted, 0 to 2.

        Returns
        -------
        tuple
            Features, shape (n_edges, F); gradients, shape (n_edges, F, 3); second derivatives, shape
            (n_edges, F, 3, 3); None where not wanted.
        """
        basis = self.basis
        r = torch.linalg.vector_norm(vectors, dim=1)
        unit = vectors / r[:, None]
        radial_cutoff, angular_cutoff = self.cutoffs(a, b)
        radial = _radial_derivatives(r, radial_cutoff, basis.basis_size[0], derivatives)
        angular = _radial_derivatives(r, angular_cutoff, basis.basis_size[1], derivatives)
        y, dy, ddy = _angular_derivatives(self.angular, vectors, derivatives)
        one = torch.ones(len(r), 1, dtype=r.dtype)
        parts = [
            _product(radial, one, 0 * unit[:, None], 0 * unit[:, None, None], unit, r, derivatives),
            _product(angular, y, dy, ddy, unit, r, derivatives),
        ]
        return tuple(None if x is None else torch.cat([x, z], dim=1) for x, z in zip(*parts, strict=True))


def along(field: str, vectors: Tensor, d_phi: Tensor) -> Tensor:
    """Return derivatives of the features along the displacement field, shape (n_edges, F, components).

    The field of a dipole is ``-r^2 e_a``; of a strain, ``-r[a] e_b`` made symmetric.
    """
    if field == "dipole":
        return -(vectors * vectors).sum(1)[:, None, None] * d_phi
    terms = [-0.5 * (vectors[:, None, a] * d_phi[:, :, b] + vectors[:, None, b] * d_phi[:, :, a])
             for a, b in STRAIN_ORDER]  # fmt: skip
    return torch.stack(terms, dim=-1)


def dipole_gradient(vectors: Tensor, d_phi: Tensor, dd_phi: Tensor) -> Tensor:
    """Return the gradient of the derivative along the dipole field, shape (n_edges, F, 9), components [a, d]."""
    squared = (vectors * vectors).sum(1)[:, None, None, None]
    return (-2.0 * d_phi[:, :, :, None] * vectors[:, None, None, :] - squared * dd_phi).flatten(2)


def _product(f, y, dy, ddy, unit, r, derivatives):
    """Product of ``f_k(r)`` with angular functions (E, S[, 3[, 3]]) and its derivatives, (k, s) flattened."""
    f0, f1, f2 = f
    phi = (f0[:, :, None] * y[:, None, :]).flatten(1)
    if derivatives == 0:
        return phi, None, None
    u_y = unit[:, None, :] * y[:, :, None]
    d_phi = f1[:, :, None, None] * u_y[:, None] + f0[:, :, None, None] * dy[:, None]
    if derivatives == 1:
        return phi, d_phi.flatten(1, 2), None
    u_u = unit[:, :, None] * unit[:, None, :]
    across = (torch.eye(3, dtype=r.dtype) - u_u) / r[:, None, None]
    u_dy = unit[:, None, :, None] * dy[:, :, None, :]
    first = across[:, None] * y[:, :, None, None] + u_dy + u_dy.transpose(2, 3)
    second = u_u[:, None] * y[:, :, None, None]
    dd_phi = sum(g[:, :, None, None, None] * part[:, None] for g, part in ((f0, ddy), (f1, first), (f2, second)))
    return phi, d_phi.flatten(1, 2), dd_phi.flatten(1, 2)


def _radial_derivatives(r, cutoff, k_max, derivatives):
    """Radial functions and their derivatives as far as wanted, each of shape (n_edges, k_max + 1), else None."""
    one = torch.ones_like(r)

    def value(x):
        return radial_basis(x, cutoff, k_max)

    def with_slope(x):
        return jvp(value, (x,), (one,))

    if derivatives == 0:
        return value(r), None, None
    if derivatives == 1:
        return *with_slope(r), None
    (f0, f1), (_, f2) = jvp(with_slope, (r,), (one,))
    return f0, f1, f2


def _angular_derivatives(angular, vectors, derivatives):
    """Angular functions of the direction, (E, S), and derivatives by the vector, (E, S, 3) and (E, S, 3, 3)."""

    def value(v):
        return angular(v / torch.linalg.vector_norm(v, dim=1, keepdim=True))

    if derivatives == 0:
        return value(vectors), None, None
    axes = [torch.zeros_like(vectors) for _ in range(3)]
    for a in range(3):
        axes[a][:, a] = 1.0

    def gradient(v):
        return torch.stack([jvp(value, (v,), (axis,))[1] for axis in axes], dim=-1)

    if derivatives == 1:
        return value(vectors), gradient(vectors), None
    second = torch.stack([jvp(gradient, (vectors,), (axis,))[1] for axis in axes], dim=-1)
    return value(vectors), gradient(vectors), second
