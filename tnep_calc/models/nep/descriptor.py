"""Radial functions, angular functions and invariants of the NEP descriptor in scriptable torch.

Equations: Fan et al., J. Chem. Phys. 157, 114801 (2022), eqs 3-17.
"""

import math

import torch
from torch import Tensor, nn

from ...io.gpumd.nep_parameters import EXTRA_BLOCKS
from .polynomials import angular_tables, extra_tables, three_body_weights


def cutoff_function(r: Tensor, rc: Tensor) -> Tensor:
    """Return ``0.5 (1 + cos(pi r / rc))`` for r < rc and 0 beyond; its second derivative is discontinuous at rc."""
    inside = 0.5 * (1.0 + torch.cos(math.pi * r / rc))
    return torch.where(r < rc, inside, torch.zeros_like(r))


def radial_basis(r: Tensor, rc: Tensor, k_max: int) -> Tensor:
    """Return the radial basis ``f_0 = fc``, ``f_k = (T_k(x) + 1) fc / 2`` with ``x = 2 (r/rc - 1)^2 - 1``.

    Parameters
    ----------
    r : Tensor, shape (n,), in Å
        Distances.
    rc : Tensor, shape (n,), in Å
        Cutoff of each pair; functions vanish for r >= rc.
    k_max : int
        Highest k (the ``basis_size`` of GPUMD).

    Returns
    -------
    Tensor, shape (n, k_max + 1)
    """
    fc = cutoff_function(r, rc)
    u = r / rc - 1.0
    x = 2.0 * u * u - 1.0
    chebyshev = [torch.ones_like(x), x]
    for _ in range(2, k_max + 1):
        chebyshev.append(2.0 * x * chebyshev[-1] - chebyshev[-2])
    f = [fc]
    for k in range(1, k_max + 1):
        f.append(0.5 * (chebyshev[k] + 1.0) * fc)
    return torch.stack(f, dim=-1)


class AngularBasis(nn.Module):
    """Angular functions ``Z_lm(z) Re/Im (x + iy)^m`` of unit vectors, indexed by s (see :mod:`.polynomials`).

    ``forward(unit)`` takes shape (n, 3) and returns shape (n, (l_max + 1)**2 - 1).
    """

    z_table: Tensor
    xy_index: Tensor

    def __init__(self, l_max: int, dtype: torch.dtype = torch.float64):
        super().__init__()
        z_table, xy_index = angular_tables(l_max)
        self.l_max = l_max
        self.register_buffer("z_table", torch.tensor(z_table, dtype=dtype))
        self.register_buffer("xy_index", torch.tensor(xy_index))

    def forward(self, unit: Tensor) -> Tensor:
        """Return the angular functions, shape (n, n_angular), of unit vectors, shape (n, 3)."""
        x, y, z = unit[:, 0], unit[:, 1], unit[:, 2]
        z_powers = [torch.ones_like(z)]
        xy = [torch.ones_like(z)]
        re, im = torch.ones_like(x), torch.zeros_like(x)
        for _ in range(self.l_max):
            z_powers.append(z_powers[-1] * z)
            re, im = re * x - im * y, re * y + im * x
            xy.append(re)
            xy.append(im)
        z_part = torch.stack(z_powers, dim=1) @ self.z_table
        return z_part * torch.stack(xy, dim=1)[:, self.xy_index]


class Invariants(nn.Module):
    """Angular descriptor components from the angular sums.

    ``forward(sums)`` takes shape (..., n_radial, n_angular) and returns shape (..., n_blocks, n_radial): the 3-body
    terms l = 1..l_max, then the enabled blocks of ``EXTRA_BLOCKS``.
    """

    three_body: Tensor
    term_index: Tensor
    term_weights: Tensor

    def __init__(self, l_max: int, extra: tuple[bool, ...], dtype: torch.dtype = torch.float64):
        super().__init__()
        blocks = [name for name, on in zip(EXTRA_BLOCKS, extra, strict=True) if on]
        index, weights = extra_tables(l_max, blocks)
        self.has_extra = len(blocks) > 0
        self.register_buffer("three_body", torch.tensor(three_body_weights(l_max), dtype=dtype))
        self.register_buffer("term_index", torch.tensor(index))
        self.register_buffer("term_weights", torch.tensor(weights, dtype=dtype))

    def forward(self, sums: Tensor) -> Tensor:
        """Return the invariants, shape (..., n_blocks, n_radial), of sums, shape (..., n_radial, n_angular)."""
        q = (sums * sums) @ self.three_body
        if self.has_extra:
            padded = torch.cat([sums, torch.ones_like(sums[..., :1])], dim=-1)
            terms = torch.index_select(padded, -1, self.term_index[0])
            for factor in range(1, 4):
                terms = terms * torch.index_select(padded, -1, self.term_index[factor])
            q = torch.cat([q, terms @ self.term_weights], dim=-1)
        return q.transpose(-1, -2)
