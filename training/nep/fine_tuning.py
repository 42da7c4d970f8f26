"""Fine-tuning: start a training from the parameters of an existing ``nep.txt``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tnep_calc.io.gpumd.nep_parameters import NepParameters
from tnep_calc.io.gpumd.nep_txt import read_nep

from .architecture import without_constants
from .initial import descriptor_scaling, whitening
from .model import NepOnMoments
from .parts import Block
from .scaling import Scaling


def start_vector(model: NepOnMoments, blocks: Sequence[Block], path: Path, method: str) -> Tensor:
    """Return the parameter vector of a file, and set ``model.scaling`` so that predictions equal those of the file.

    Parameters
    ----------
    model : NepOnMoments
        With the architecture of the file, and all or some of its species.
    blocks : sequence of Block
        Blocks of the training structures; the scaling gives their descriptors zero mean and equal spread.
    path : path
        The ``nep.txt``.
    method : {"adam", "soap"}
        Method of the first-order steps.

    Returns
    -------
    Tensor of float64, shape (n_parameters,), on the device of the model
    """
    return vector_of(model, blocks, *without_constants(read_nep(path, model.config.kind)), method)


def vector_of(
    model: NepOnMoments, blocks: Sequence[Block], p: NepParameters, constants: np.ndarray, method: str
) -> Tensor:
    """Return the parameter vector of a NEP, and set ``model.scaling`` so that predictions equal those of the NEP.

    Parameters
    ----------
    model, blocks, method
        As in :func:`start_vector`.
    p : NepParameters
        Without output biases.
    constants : ndarray, shape (n_species of p,)
        Constants of the species, which are added to the energy in eV, or to a third of the trace of the polarizability.
    """
    own = [p.species.index(s) for s in model.config.species]
    networks, dim, t = model.networks, model.dim, len(own)

    def tensor(array):
        return torch.tensor(np.ascontiguousarray(array), dtype=torch.float64)

    w0, b0, w1 = tensor(p.w0[:, own]), tensor(p.b0[:, own]), tensor(p.w1[:, own])
    q_scaler = tensor(p.q_scaler)
    radial, angular = whitening(model, blocks, method)
    ones = torch.ones(t, dim, dtype=torch.float64)
    spread = w1.square().mean(dim=(1, 2)).sqrt() * p.neurons**0.5
    output = torch.where(spread > 0, spread, torch.ones_like(spread))
    model.scaling = Scaling(radial, angular, 0 * ones, ones, output, tensor(constants[own]))
    numbers = {}
    for name, array, matrix in (("c_radial", p.c_radial, radial), ("c_angular", p.c_angular, angular)):
        c = tensor(array[:, :, own][:, :, :, own]).permute(2, 3, 0, 1)
        numbers[name] = torch.linalg.solve(matrix.t(), c.transpose(2, 3)).transpose(2, 3)
    for name in ("w0", "b0", "w1", "b1"):
        numbers[name] = torch.zeros(model.shapes[name], dtype=torch.float64)

    def vector():
        return torch.cat([numbers[name].flatten() for name in model.shapes]).to(model.device)

    scaling = replace(model.scaling, **descriptor_scaling(model, vector(), blocks, method))
    model.scaling = scaling
    numbers["w0"] = w0 * (q_scaler / scaling.inverse_spread)[None, :, None, :]
    shift = torch.einsum("atmd,td->atm", numbers["w0"], scaling.mean * scaling.inverse_spread)
    numbers["b0"] = b0 - shift
    numbers["w1"] = w1 / output.reshape(networks, 1, 1)
    return vector()
