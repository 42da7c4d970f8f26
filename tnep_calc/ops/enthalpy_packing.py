"""Pack ``EnthalpySites`` into the flat arrays of the native kernels (layout: ``csrc/core/enthalpy/layout.h``)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..io.gpumd.nep_parameters import ZBL
from ..models.enthalpy.sites import COMPONENTS, L_MAX, PATHS_1, PATHS_2, EnthalpySites
from .nep_packing import _flat, _rows, _zbl

LAYOUT_VERSION = 2
MAX_RADIAL = 32
_PANEL = 32


def pack_enthalpy(
    members: Sequence[EnthalpySites], species: tuple[str, ...], zbl: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of site functions in the format of the native kernels, up to second order in the field.

    Parameters
    ----------
    members : sequence of EnthalpySites
        Site functions of one model, or of several models of the same sizes.
    species : tuple of str
        Chemical symbols in the order of the species index.
    zbl : float
        Outer radius of a ZBL repulsion in Å, 0 for none.

    Returns
    -------
    header : ndarray of int64, shape (7,)
        Version of the layout, sizes of the model, and number of members.
    params : ndarray of float64, shape (n,)
        Parameters; cast them to float32 for single precision arithmetic.

    Raises
    ------
    InputError
        If the model has more than the 32 radial functions that the kernels support.
    """
    shape = members[0].shape_
    if shape.n_radial > MAX_RADIAL:
        raise InputError(f"native kernels need at most {MAX_RADIAL} radial functions, got {shape.n_radial}")
    sizes = [shape.n_species, shape.n_radial, shape.channels, shape.hidden, int(zbl > 0), len(members)]
    header = np.array([LAYOUT_VERSION, *sizes], dtype=np.int64)
    blocks = []
    if zbl > 0:
        blocks.append(_rows(_zbl(ZBL(inner=0.5 * zbl, outer=zbl), species)))
    for sites in members:
        values = {name: t.detach().double().numpy() for name, t in [*sites.named_parameters(), *sites.named_buffers()]}
        for s in range(shape.n_species):
            own = {name: value[s] for name, value in values.items() if _per_species(name)}
            blocks += _site(own, values["units"] / len(members), shape)
    return header, np.concatenate(blocks)


def _per_species(name):
    common = "left right coupling upper pairs1 pairs2 rank1 rank2 left3 right3 coupling3 rank3 units"
    return name not in common.split()


def _site(p, units, shape):
    """Return the blocks of one species of centres."""
    k, hidden = shape.channels, _up(shape.hidden)
    contraction = p["whitening"] @ p["contraction"]
    degree = np.repeat(np.arange(L_MAX + 1), 2 * np.arange(L_MAX + 1) + 1)
    expansion = contraction[degree].transpose(1, 2, 0)
    assert expansion.shape[2] == COMPONENTS
    rows, outputs = _invariant_rows(k), _output_columns(shape)
    w1 = _scatter(p["spread"][:, None] * p["w1"], rows, hidden)
    w2 = _pad(p["w2"], hidden, hidden)
    first, second = shape.n_vectors, shape.n_tensors
    gain = np.concatenate([units[[0, 2]], p["gain"][: first + second] * np.repeat(units[1:3], [first, second])])
    w3, b3 = np.zeros((hidden, outputs.size)), np.zeros(outputs.size)
    used = outputs >= 0
    w3[: shape.hidden, used] = (p["w3"][:, : gain.size] * gain)[:, outputs[used]]
    b3[used] = (p["b3"][: gain.size] * gain)[outputs[used]]
    return [
        _rows(contraction),
        _flat(expansion),
        _rows(p["mixing"]),
        _rows(p["mixing"].swapaxes(1, 2)),
        _scatter(p["offset"][:, None], rows, 1).ravel(),
        _scatter((p["linear"] * p["spread"])[:, None] * units[0], rows, 1).ravel(),
        _pad(p["b1"], hidden),
        _pad(p["b2"], hidden),
        b3,
        _panels(w1),
        _panels(w2),
        _panels(w3),
        _panels(w1.T),
        _panels(w2.T),
        _panels(w3.T),
    ]


def _invariant_rows(k):
    """Return for every row of the native invariants its index in the invariants of the model, -1 for padding."""
    grams = L_MAX * (k * (k + 1) // 2)
    first = np.concatenate([k + np.arange(grams), np.full(-grams % 16, -1)])
    p1, p2 = len(PATHS_1), len(PATHS_2)
    blocks = p1 + p2 + p1 * (p1 + 1) // 2 + p2 * (p2 + 1) // 2
    starts = [0, *(k + grams + k * np.arange(blocks))]
    channels = np.full((len(starts), k - k % 16 + 16 * (k % 16 > 0)), -1)
    channels[:, :k] = np.array(starts)[:, None] + np.arange(k)
    rows = np.concatenate([first, channels.ravel()])
    return np.concatenate([rows, np.full(-rows.size % _PANEL, -1)])


def _output_columns(shape):
    """Return for every native output its index in the outputs of the model, -1 for padding."""
    k = shape.channels
    weights = 2 + np.arange(shape.n_vectors + shape.n_tensors).reshape(-1, k)
    blocks = np.pad(weights, [(0, 0), (0, -k % 16)], constant_values=-1)
    columns = np.concatenate([blocks.ravel(), [0, 1]])
    return np.concatenate([columns, np.full(-columns.size % _PANEL, -1)])


def _scatter(values, rows, columns):
    """Return the rows of `values` at their positions in the native order, and zeros elsewhere."""
    out = np.zeros((rows.size, columns))
    used = rows >= 0
    out[used, : values.shape[1]] = values[rows[used]]
    return out


def _up(n):
    return n + -n % _PANEL


def _pad(values, *size):
    return np.pad(values, [(0, n - m) for n, m in zip(size, values.shape, strict=True)])


def _panels(matrix):
    """Return a matrix, whose number of columns is a multiple of 32, as panels of 32 columns."""
    return matrix.reshape(matrix.shape[0], -1, _PANEL).swapaxes(0, 1).ravel()
