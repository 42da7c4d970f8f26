"""Pack ``NepParameters`` into the flat arrays of the native kernels (layout: ``csrc/core/nep/layout.h``)."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..io.gpumd.nep_parameters import EXTRA_BLOCKS, KINDS, NepParameters
from ..models.nep.polynomials import check_blocks
from ..models.zbl import pair_table

LAYOUT_VERSION = 1
MAX_BASIS = 32
_PAD = 16


def pack(parameters: NepParameters) -> tuple[np.ndarray, np.ndarray]:
    """Return the model in the format of the native kernels.

    Parameters
    ----------
    parameters : NepParameters
        The model, as read from a ``nep.txt``.

    Returns
    -------
    header : ndarray of int64, shape (14,)
        Version of the layout, kind and sizes of the model.
    params : ndarray of float64, shape (n,)
        Parameters; cast them to float32 for single precision arithmetic.

    Raises
    ------
    InputError
        If the model exceeds the limits of the kernels: l_max from 1 to 8, at most 32 basis functions.
    """
    p = parameters
    if not 1 <= p.l_max <= 8 or max(p.basis_size) + 1 > MAX_BASIS:
        raise InputError(
            f"native kernels need l_max from 1 to 8 and at most {MAX_BASIS - 1} for basis_size, "
            f"got l_max {p.l_max} and basis_size {p.basis_size[0]} {p.basis_size[1]}"
        )
    check_blocks(p.l_max, [block for block, on in zip(EXTRA_BLOCKS, p.extra, strict=True) if on])
    t = p.n_species
    networks, nets = p.w0.shape[:2]
    header = np.array(
        [
            LAYOUT_VERSION,
            KINDS.index(p.kind),
            t,
            p.n_max[0] + 1,
            p.n_max[1] + 1,
            p.basis_size[0] + 1,
            p.basis_size[1] + 1,
            p.l_max,
            sum(1 << b for b, on in enumerate(p.extra) if on),
            p.neurons,
            nets,
            networks,
            int(p.zbl is not None),
            p.dim,
        ],
        dtype=np.int64,
    )
    bias = np.repeat(p.b1[:, None], t, axis=1)
    if p.species_bias is not None:
        bias = bias + p.species_bias
    blocks = [
        _flat(0.5 * (p.radial_cutoffs[:, None] + p.radial_cutoffs)),
        _flat(0.5 * (p.angular_cutoffs[:, None] + p.angular_cutoffs)),
        _flat(p.q_scaler),
        _flat(bias),
    ]
    for network in range(networks):
        for net in range(nets):
            w0 = p.w0[network, net] * p.q_scaler
            blocks += [_rows(w0.T), _rows(w0), _flat(p.b0[network, net]), _flat(p.w1[network, net])]
    radial, angular = _chebyshev(p.c_radial), _chebyshev(p.c_angular)
    blocks += [_rows(radial.swapaxes(2, 3)), _rows(radial), _rows(angular.swapaxes(2, 3))]
    if p.zbl is not None:
        blocks.append(_rows(_zbl(p.zbl, p.species)))
    return header, np.concatenate(blocks)


def _flat(values):
    """Return the values as one block, padded with zeros."""
    values = np.ravel(values)
    return np.pad(values, (0, -values.size % _PAD))


def _rows(values):
    """Return the values as one block whose rows (last axis) are padded with zeros."""
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, -values.shape[-1] % _PAD)]).ravel()


def _chebyshev(c):
    """Return coefficients a[ti, tj, n, k] of Chebyshev polynomials T_k from those of NEP's basis, c[n, k, ti, tj].

    The basis functions are ``f_k = (T_k + 1) fc / 2`` and ``f_0 = fc``, so that ``g_n = fc sum_k a T_k``.
    """
    a = 0.5 * c
    a[:, 0] = c[:, 0] + 0.5 * c[:, 1:].sum(axis=1)
    return np.ascontiguousarray(a.transpose(2, 3, 0, 1))


def _zbl(zbl, species):
    """Return rows [ti, tj, 10]: radii, then screening terms with the prefactors and the length multiplied in."""
    table = pair_table(zbl, species)
    rows = table[..., 2:].copy()
    rows[..., 2::2] *= table[..., :1]
    rows[..., 3::2] *= table[..., 1:2]
    return rows
