"""The linear fit as initial parameters of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tnep_calc.io.gpumd.nep_parameters import NepParameters

from ...common import processes
from ..config import ModelConfig, TrainingConfig
from ..fine_tuning import vector_of
from ..initial import initial_spreads
from ..loss import Objective
from ..model import NepOnMoments
from ..parts import Part
from .basis import NepBasis
from .equations import Problem
from .fit import LinearNep, fit

CHECKPOINT = "linear.npz"
"""Name of the file in the output directory with the normal equations of a fit that is not finished."""


def linear_vector(
    config: TrainingConfig, model: NepOnMoments, parts: Mapping[str, Part], objective: Objective
) -> Tensor:
    """Return the parameters of the linear fit, and set ``model.scaling``; see :func:`.fit.fit`.

    The squared errors have the weights of the loss.  The weight decay does not enter: the ridge parameter is the one
    with the smallest force error of the validation structures, or that of cross-validation.

    Parameters
    ----------
    config : TrainingConfig
        Its output directory gets a checkpoint of the fit, which is removed at the end.
    model : NepOnMoments
    parts : mapping of str to Part
        The splits.
    objective : Objective
        Weights and spreads of the labels.

    Returns
    -------
    Tensor of float64, shape (n_parameters,), on the device of the model

    Raises
    ------
    InputError
        If there are too many linear coefficients, or the labels do not depend on them.
    DataFileError
        If the checkpoint of a killed fit is damaged.
    """
    m, train = config.model, parts["train"]
    basis = NepBasis(
        tuple(m.species), m.radial_cutoffs[0], m.angular_cutoffs[0], (m.basis_size[0], m.basis_size[1]), m.l_max[0]
    )
    factors = {
        name: weight / (train.labels.rows[name] * objective.spreads[name] ** 2)
        for name, weight in objective.weights.items()
    }
    held = parts["validation"].structures if "validation" in parts else ()
    checkpoint = None
    if processes.rank() == 0:
        config.directory.mkdir(parents=True, exist_ok=True)
        checkpoint = config.directory / CHECKPOINT
    found = fit(Problem(basis, train.structures, train.labels, factors, held), m.n_max[1], checkpoint)
    if checkpoint is not None:
        Path(checkpoint).unlink(missing_ok=True)
    generator = torch.Generator().manual_seed(m.seed)
    vector = vector_of(model, train.blocks, _padded(found, m, generator), found.constants, config.optimizer.method)
    own, spreads = model.split(vector), initial_spreads(model, config.optimizer.method)
    for name in ("w0", "b0"):  # views of the vector; the other neurons have the output weight 0
        drawn = spreads[name] * torch.randn(own[name].shape, generator=generator, dtype=torch.float64)
        own[name][:, :, 1:] = drawn[:, :, 1:].to(own[name].device)
    return vector


def _padded(found: LinearNep, m: ModelConfig, generator: torch.Generator) -> NepParameters:
    """Return the fitted NEP with all components and neurons of a model; the added ones contribute nothing.

    Added descriptor components get random coefficients, and zero weights.
    """
    p = found.parameters
    added, t = m.n_max[0], len(m.species)
    random = torch.randn(added, p.c_radial.shape[1], t, t, generator=generator, dtype=torch.float64)
    c_radial = np.concatenate([p.c_radial, random.numpy() / np.sqrt(p.c_radial.shape[1])])
    extra = (p.n_max[1] + 1) * sum(m.extra)

    def widened(values, fill):
        first, rest = values[..., :1], values[..., 1:]
        between = np.full((*values.shape[:-1], added), fill)
        return np.concatenate([first, between, rest, np.full((*values.shape[:-1], extra), fill)], axis=-1)

    def more_neurons(values):
        shape = list(values.shape)
        shape[2] = m.neurons - 1
        return np.concatenate([values, np.zeros(shape)], axis=2)

    return replace(
        p,
        n_max=(added, p.n_max[1]),
        extra=m.extra,
        neurons=m.neurons,
        c_radial=c_radial,
        q_scaler=widened(p.q_scaler, 1.0),
        w0=more_neurons(widened(p.w0, 0.0)),
        b0=more_neurons(p.b0),
        w1=more_neurons(p.w1),
    )
