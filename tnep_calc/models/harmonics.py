"""Real spherical harmonics up to l = 3, their couplings, and the Cartesian form of ranks 1 to 3.

The components of l have the indices ``l**2 .. (l+1)**2 - 1``, in the usual order m = -l..l, so l = 1 is (y, z, x).  The
normalisation is such that the mean of ``Y_lm^2`` over the sphere is 1, hence ``sum_m Y_lm^2 = 2 l + 1``.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor


def real_harmonics(u: Tensor) -> Tensor:
    """Return the harmonics up to l = 3, shape (n, 16), of unit vectors, shape (n, 3)."""
    x, y, z = u[:, 0], u[:, 1], u[:, 2]
    xx, yy, zz = x * x, y * y, z * z
    return torch.stack(
        [
            torch.ones_like(x),
            3**0.5 * y,
            3**0.5 * z,
            3**0.5 * x,
            15**0.5 * x * y,
            15**0.5 * y * z,
            0.5 * 5**0.5 * (3 * zz - 1),
            15**0.5 * x * z,
            0.5 * 15**0.5 * (xx - yy),
            4.375**0.5 * y * (3 * xx - yy),
            105**0.5 * x * y * z,
            2.625**0.5 * y * (5 * zz - 1),
            0.5 * 7**0.5 * z * (5 * zz - 3),
            2.625**0.5 * x * (5 * zz - 1),
            0.5 * 105**0.5 * z * (xx - yy),
            4.375**0.5 * x * (xx - 3 * yy),
        ],
        dim=1,
    )


@cache
def _quadrature():
    """Return points (128, 3) and weights (128,) whose weighted mean is exact for products of three harmonics."""
    z, wz = np.polynomial.legendre.leggauss(8)
    phi = 2 * np.pi * np.arange(16) / 16
    rho = np.sqrt(1 - z**2)
    points = np.stack(
        [np.outer(rho, np.cos(phi)), np.outer(rho, np.sin(phi)), np.repeat(z[:, None], 16, axis=1)], axis=-1
    )
    return points.reshape(-1, 3), np.repeat(wz / 32, 16)


@cache
def gaunt() -> np.ndarray:
    """Return ``<Y_a Y_b Y_c>`` (mean over the sphere), shape (16, 16, 16).

    For ``l1 + l2 + l3`` even, the block (l1, l2, l3) is the only invariant coupling of three true tensors, i.e. the
    Clebsch-Gordan coefficients up to a factor; for an odd sum it is zero.
    """
    points, weights = _quadrature()
    y = real_harmonics(torch.from_numpy(points)).numpy()
    table = np.einsum("p,pa,pb,pc->abc", weights, y, y, y)
    return np.where(np.abs(table) < 1e-12, 0.0, table)


def cartesian_rank1() -> np.ndarray:
    """Return the matrix, shape (3, 3), that turns (y, z, x) components of l = 1 into a vector (x, y, z)."""
    return np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])


@cache
def cartesian_rank2() -> np.ndarray:
    """Return M, shape (5, 3, 3), with ``Y_2m(u) = u.M_m.u``; each matrix is symmetric and traceless."""
    points, weights = _quadrature()
    y = real_harmonics(torch.from_numpy(points)).numpy()[:, 4:9]
    moment = np.einsum("p,pm,pa,pb->mab", weights, y, points, points)
    return 7.5 * np.where(np.abs(moment) < 1e-12, 0.0, moment)


@cache
def cartesian_rank3() -> np.ndarray:
    """Return M, shape (10, 3, 3, 3), with ``Y_lm(u) = sum_ijk M[m, i, j, k] u_i u_j u_k`` for unit vectors u.

    The first three tensors belong to l = 1, the other seven to l = 3.  Each is symmetric in ijk, and those of l = 3
    are traceless.  Together they are a basis of all symmetric tensors of rank 3.
    """
    points, weights = _quadrature()
    y = real_harmonics(torch.from_numpy(points)).numpy()
    octupole = 17.5 * np.einsum("p,pm,pa,pb,pc->mabc", weights, y[:, 9:16], points, points, points)
    vector = np.einsum("mi,jk->mijk", cartesian_rank1().T, np.eye(3)) / 3**0.5
    vector = vector + vector.transpose(0, 2, 1, 3) + vector.transpose(0, 2, 3, 1)
    return np.concatenate([vector, np.where(np.abs(octupole) < 1e-12, 0.0, octupole)])
