"""Features of edges for the moments: radial functions times angular functions, and their derivatives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tnep_calc.conventions import STRAIN_ORDER
from tnep_calc.models.nep.polynomials import angular_tables


@dataclass(frozen=True)
class Basis:
    """Settings that define the features of the moments.

    Attributes
    ----------
    species : tuple of str
    radial_cutoffs, angular_cutoffs : tuple of float, in Å
        Per species; the cutoff of a pair is the mean of those of its two species.
    basis_size : tuple of 2 int
        Radial and angular ``basis_size`` (the number of functions is one more).
    l_max : int
        Largest l of the angular functions.
    """

    species: tuple[str, ...]
    radial_cutoffs: tuple[float, ...]
    angular_cutoffs: tuple[float, ...]
    basis_size: tuple[int, int]
    l_max: int

    @property
    def cutoff(self) -> float:
        """Largest cutoff of any pair, in Å."""
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
    """Computes features of edges and their first and second derivatives with respect to the edge vector.

    Parameters
    ----------
    basis : Basis
    """

    def __init__(self, basis: Basis):
        self.basis = basis
        self.angular = _Angular(basis.l_max)
        self._cutoffs = [torch.tensor(c, dtype=torch.float64) for c in (basis.radial_cutoffs, basis.angular_cutoffs)]

    def cutoffs(self, a: Tensor, b: Tensor) -> list[Tensor]:
        """Return the radial and the angular cutoff, in Å, of pairs of species indices."""
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
        y, dy, ddy = self.angular(unit, r, derivatives)
        one = torch.ones(len(r), 1, dtype=r.dtype)
        parts = [
            _product(radial, one, one.new_zeros(len(r), 1, 3), one.new_zeros(len(r), 1, 3, 3), unit, r, derivatives),
            _product(angular, y, dy, ddy, unit, r, derivatives),
        ]
        return tuple(None if x is None else torch.cat([x, z], dim=1) for x, z in zip(*parts, strict=True))


def along(field: str, vectors: Tensor, d_phi: Tensor) -> Tensor:
    """Return derivatives of the features along the displacement field, shape (n_edges, F, components).

    The field of a dipole is ``-r^2 e_a``, with components a = x, y, z.  The field of a strain is ``-r[a] e_b``,
    symmetrised, with components (a, b) in ``STRAIN_ORDER``.

    Parameters
    ----------
    field : {"dipole", "strain"}
    vectors : Tensor, shape (n_edges, 3), in Å
    d_phi : Tensor, shape (n_edges, F, 3)
        Gradients of the features.
    """
    if field == "dipole":
        return -(vectors * vectors).sum(1)[:, None, None] * d_phi
    terms = [
        -0.5 * (vectors[:, None, a] * d_phi[:, :, b] + vectors[:, None, b] * d_phi[:, :, a]) for a, b in STRAIN_ORDER
    ]
    return torch.stack(terms, dim=-1)


def dipole_gradient(vectors: Tensor, d_phi: Tensor, dd_phi: Tensor) -> Tensor:
    """Return the gradient of the derivative along the dipole field, shape (n_edges, F, 9).

    Components are [a, d], row-major: direction a of the field and d of the gradient.
    """
    change = -(vectors * vectors).sum(1)[:, None, None, None] * dd_phi
    return change.addcmul_(d_phi[:, :, :, None], vectors[:, None, None, :], value=-2.0).flatten(2)


def _product(f, y, dy, ddy, unit, r, derivatives):
    """Product of ``f_k(r)`` with angular functions (E, S[, 3[, 3]]) and its derivatives, (k, s) flattened.

    Each derivative is a sum of products of a derivative of f and a tensor without k: a small dense product per edge.
    """
    phi = (f[0][:, :, None] * y[:, None, :]).flatten(1)
    if derivatives == 0:
        return phi, None, None
    u_y = unit[:, None, :] * y[:, :, None]
    d_phi = _sum_of_products(f[:2], (dy, u_y))
    if derivatives == 1:
        return phi, d_phi, None
    u_u = unit[:, :, None] * unit[:, None, :]
    across = (torch.eye(3, dtype=r.dtype) - u_u) / r[:, None, None]
    u_dy = unit[:, None, :, None] * dy[:, :, None, :]
    first = across[:, None] * y[:, :, None, None] + u_dy + u_dy.transpose(2, 3)
    second = u_u[:, None] * y[:, :, None, None]
    return phi, d_phi, _sum_of_products(f, (ddy, first, second))


def _sum_of_products(radial, angular):
    """Return ``sum_n radial_n[:, k] angular_n[:, s, ...]``, shape (E, K S, ...)."""
    shape = angular[0].shape
    parts = torch.stack(radial, dim=2) @ torch.stack(angular, dim=1).flatten(2)
    return parts.view(shape[0], -1, *shape[2:])


def _radial_derivatives(r, cutoff, k_max, derivatives):
    """Radial functions and derivatives up to this order, each of shape (n_edges, k_max + 1); None for higher orders.

    ``f_0 = f_c`` and ``f_k = (T_k(x) + 1) f_c / 2`` with ``x = 2 (r / rc - 1)^2 - 1``, as in
    :func:`tnep_calc.models.nep.descriptor.radial_basis`; the Chebyshev recurrence gives the derivatives of T_k, too.
    """
    phase = torch.pi * r / cutoff
    inside = (r < cutoff).to(r.dtype)
    bump = [0.5 * (1 + phase.cos()) * inside]
    x, dx = 2 * (r / cutoff - 1) ** 2 - 1, 4 * (r / cutoff - 1) / cutoff
    one, zero = torch.ones_like(r), torch.zeros_like(r)
    t = [torch.stack(_chebyshev(k_max, [one, x], x), dim=1)]
    if derivatives >= 1:
        bump.append(-0.5 * torch.pi / cutoff * phase.sin() * inside)
        t.append(torch.stack(_chebyshev(k_max, [zero, one], x, 2 * t[0]), dim=1))
    if derivatives >= 2:
        bump.append(-0.5 * (torch.pi / cutoff) ** 2 * phase.cos() * inside)
        t.append(torch.stack(_chebyshev(k_max, [zero, zero], x, 4 * t[1]), dim=1))
    f = [0.5 * (t[0] + 1)]
    f[0][:, 0] = 1.0  # k = 0 is the cutoff function alone, and T_0 has no derivatives
    if derivatives >= 1:
        f.append(0.5 * t[1] * dx[:, None])
    if derivatives >= 2:
        f.append(0.5 * (t[2] * dx[:, None] ** 2 + t[1] * (4 / cutoff**2)[:, None]))
    b = [c[:, None] for c in bump]
    out = [f[0] * b[0]]
    if derivatives >= 1:
        out.append(f[1] * b[0] + f[0] * b[1])
    if derivatives >= 2:
        out.append(f[2] * b[0] + 2 * f[1] * b[1] + f[0] * b[2])
    return (*out, None, None)[:3]


def _chebyshev(k_max, terms, x, source=None):
    """Continue ``t_k = 2 x t_(k-1) - t_(k-2)`` to k_max; for derivatives column k of `source` is added to t_(k+1)."""
    terms = terms[: k_max + 1]
    for k in range(2, k_max + 1):
        new = 2 * x * terms[-1] - terms[-2]
        terms.append(new if source is None else new + source[:, k - 1])
    return terms


class _Angular:
    """Angular functions ``Z(z) W(x, y)`` of directions, with derivatives with respect to the edge vector.

    The factors are polynomials, so tables give their derivatives with x, y and z taken as independent.  The component
    along the vector is then projected out.
    """

    def __init__(self, l_max: int):
        z_table, xy_index = (torch.from_numpy(table) for table in angular_tables(l_max))
        self.l_max = l_max
        lower = torch.diag(torch.arange(1.0, l_max + 1, dtype=torch.float64), 1)  # z^n -> n z^(n-1), on coefficients
        self.z_tables = [z_table.to(torch.float64)]
        for _ in range(2):
            self.z_tables.append(lower @ self.z_tables[-1])
        # columns: derivatives of 1, Re(w), Im(w), Re(w^2), ... with w = x + i y, in terms of the same functions
        by_x, by_y = torch.zeros(2, 2 * l_max + 1, 2 * l_max + 1, dtype=torch.float64)
        for m in range(1, l_max + 1):
            re, im = 2 * m - 1, 2 * m
            re_below, im_below = (0, None) if m == 1 else (re - 2, im - 2)
            by_x[re_below, re] = by_y[re_below, im] = m
            if im_below is not None:
                by_x[im_below, im], by_y[im_below, re] = m, -m
        own = torch.eye(2 * l_max + 1, dtype=torch.float64)
        steps = {(0, 0): own, (1, 0): by_x, (0, 1): by_y, (2, 0): by_x @ by_x, (1, 1): by_x @ by_y, (0, 2): by_y @ by_y}
        self.xy_tables = {order: table[:, xy_index] for order, table in steps.items()}

    def __call__(self, unit: Tensor, r: Tensor, derivatives: int):
        """Return functions (E, S), gradients (E, S, 3) and second derivatives (E, S, 3, 3), the latter two or None."""
        x, y, z = unit.unbind(1)
        one = torch.ones_like(z)
        z_powers, xy = [one], [one]
        re, im = one, torch.zeros_like(one)
        for _ in range(self.l_max):
            z_powers.append(z_powers[-1] * z)
            re, im = re * x - im * y, re * y + im * x
            xy += [re, im]
        in_z, in_xy = torch.stack(z_powers, dim=1), torch.stack(xy, dim=1)
        by_z = [in_z @ table for table in self.z_tables[: derivatives + 1]]
        by_xy = {order: in_xy @ table for order, table in self.xy_tables.items() if sum(order) <= derivatives}
        value = by_z[0] * by_xy[0, 0]
        if derivatives == 0:
            return value, None, None
        free = torch.stack([by_z[0] * by_xy[1, 0], by_z[0] * by_xy[0, 1], by_z[1] * by_xy[0, 0]], dim=-1)
        along_u = free @ unit[:, :, None]
        u = unit[:, None, :]
        r = r[:, None, None]
        gradient = (free - along_u * u) / r
        if derivatives == 1:
            return value, gradient, None
        xx, yy, xy2 = (by_z[0] * by_xy[order] for order in ((2, 0), (0, 2), (1, 1)))
        xz, yz, zz = by_z[1] * by_xy[1, 0], by_z[1] * by_xy[0, 1], by_z[2] * by_xy[0, 0]
        hessian = torch.stack([xx, xy2, xz, xy2, yy, yz, xz, yz, zz], dim=-1).unflatten(-1, (3, 3))
        across = torch.eye(3, dtype=unit.dtype) - unit[:, :, None] * unit[:, None, :]
        across = across[:, None]
        u_gradient = u.unsqueeze(-1) * gradient.unsqueeze(-2)
        second = (across @ hessian @ across - across * along_u.unsqueeze(-1)) / r[..., None] ** 2
        return value, gradient, second - (u_gradient + u_gradient.transpose(-1, -2)) / r[..., None]
