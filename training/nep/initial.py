"""Draw initial parameters, and compute the constants that scale all trained numbers to order one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..common.labels import WITH_CONSTANTS, Labels, site_constants
from .coverage import Coverage
from .model import NepOnMoments
from .parts import Block
from .scaling import Scaling

_SMALLEST_SPREAD = 1e-3  # of a descriptor, relative to its mean
# Neurons start almost linear in the (standardised) descriptor and bend only as far as the labels require.  With a
# gain of order one the response to unseen displacements is dominated by random curvature.
_GAIN, _BIAS = 0.05, 0.3
# Added to the size of each mode of the radial functions, as a fraction of the largest size.  SOAP steps equally far
# along all modes, so the small ones, which are the rough ones, must stay small.
_SMALLEST_MODE = {"adam": 1e-3, "soap": 0.1}
# Spread of the scaled descriptor.  The smaller it is, the larger are the weights of the first layer.  SOAP steps
# equally far along all directions, so with small weights its first steps would overshoot, most of all for rare species.
_SPREAD = {"adam": 1.0, "soap": 0.2}


def initialise(
    model: NepOnMoments,
    blocks: Sequence[Block],
    labels: Labels,
    spreads: Mapping[str, float],
    seen: Coverage,
    seed: int,
    method: str = "adam",
) -> Tensor:
    """Draw random parameters, set ``model.scaling`` to fit them and the labels, and return the vector.

    Parameters without a gradient start at zero and stay there: coefficients of pairs, and output weights of species,
    that no training structure has.  In other structures such neighbours and atoms then contribute nothing instead of
    random values.

    Parameters
    ----------
    model : NepOnMoments
    blocks : sequence of Block
        Blocks of the training structures.
    labels : Labels
        Labels of all training structures.
    spreads : mapping
        Spread of each label.
    seen : Coverage
        Species and pairs of the training structures.
    seed : int
    method : {"adam", "soap"}
        Method of the first-order steps.

    Returns
    -------
    Tensor of float64, shape (n_parameters,)
        On the device of the model.  The numbers are drawn on the CPU, so they are the same for all devices.
    """
    generator = torch.Generator().manual_seed(seed)
    t = len(model.config.species)
    numbers = {
        name: spread * torch.randn(model.shapes[name], generator=generator, dtype=torch.float64)
        for name, spread in initial_spreads(model, method).items()
    }
    numbers["c_radial"][~seen.radial] = 0.0
    numbers["c_angular"][~seen.angular] = 0.0
    numbers["w1"][:, ~seen.species] = 0.0
    vector = torch.cat([block.flatten() for block in numbers.values()]).to(model.device)

    radial, angular = whitening(model, blocks, method)
    ones = torch.ones(t, model.dim, dtype=torch.float64)
    outputs = torch.ones(model.networks, dtype=torch.float64)
    model.scaling = Scaling(radial, angular, 0 * ones, ones, outputs, torch.zeros(t, dtype=torch.float64))
    model.scaling = replace(model.scaling, **descriptor_scaling(model, vector, blocks, method))
    for network in range(model.networks):
        only = torch.zeros(model.networks, dtype=torch.float64)
        only[network] = 1.0
        model.scaling = replace(model.scaling, output=only)
        outputs[network] = _output_unit(model, vector, blocks, spreads)
    site = torch.zeros(t, dtype=torch.float64)
    if (name := next((name for name in WITH_CONSTANTS if name in spreads), None)) is not None:
        site = site_constants(labels, name, t)
    model.scaling = replace(model.scaling, output=outputs, site=site)
    return vector


def initial_spreads(model: NepOnMoments, method: str) -> dict[str, float]:
    """Return the standard deviation of the initial numbers of each parameter block."""
    own = {"b1": 0.0, "b0": _BIAS, "w0": _GAIN / _SPREAD[method] / math.sqrt(model.dim)}
    return {name: own.get(name, 1.0 / math.sqrt(shape[-1])) for name, shape in model.shapes.items()}


def decay_weights(model: NepOnMoments, method: str) -> Tensor:
    """Return the weights w, shape (n_parameters,), of the penalty ``sum_p w_p p^2``.

    The penalty is the mean square of the parameters in units of their initial spreads.  Biases are not penalised.
    """
    parts = [
        torch.full((math.prod(model.shapes[name]),), 0.0 if name in ("b0", "b1") else spread**-2, dtype=torch.float64)
        for name, spread in initial_spreads(model, method).items()
    ]
    weights = torch.cat(parts).to(model.device)
    return weights / (weights > 0).sum()


def whitening(model, blocks, method):
    """Return matrices that make the radial functions (nearly) uncorrelated and of equal size over the data.

    Chebyshev functions times the cutoff function are almost linearly dependent on real distances.  Trained coefficients
    therefore refer to the eigenvectors of their Gram matrix.  Modes much smaller than the largest are the roughest
    ones, so they are not scaled up to its size.  The eigenvectors are always computed on the CPU, as their signs are
    arbitrary.

    Returns
    -------
    list of Tensor of float64, shape (k, k)
        For the radial and the angular part, see :class:`tnep_calc.training.nep.scaling.Scaling`.
    """
    shapes = {"radial": model.basis.n_radial, "angular": model.basis.angular_shape[0]}
    grams = {part: torch.zeros(k, k, dtype=torch.float64, device=model.device) for part, k in shapes.items()}
    counts = dict.fromkeys(shapes, 0)
    for block in blocks:
        for group in block.load().groups:
            for part, k in shapes.items():
                values = group.radial[:, 0] if part == "radial" else group.angular
                values = values.to(torch.float64).reshape(len(group.near), k, -1)
                grams[part] += (values @ values.transpose(1, 2)).sum(0)
                counts[part] += values.shape[0] * values.shape[2]
    matrices = []
    for part, gram in grams.items():
        size, modes = torch.linalg.eigh(gram.cpu() / max(1, counts[part]))
        size = size.clamp(min=0) + _SMALLEST_MODE[method] * size.max() + torch.finfo(torch.float64).tiny
        matrices.append((modes / size.sqrt()).t().contiguous())
    return matrices


def descriptor_scaling(model, vector, blocks, method):
    """Return ``mean`` and ``inverse_spread`` of the descriptor, shape (T, dim), on the CPU.

    ``inverse_spread`` is the wanted spread over that of the data.
    """
    by_species: list[list[Tensor]] = [[] for _ in model.config.species]
    with torch.no_grad():
        for block in blocks:
            moments = block.load()
            q = model.descriptors(vector, moments).to("cpu", torch.float64)
            for own, rows in zip(by_species, moments.species_slices, strict=True):
                own.append(q[rows])
    means, inverses = [], []
    for parts in by_species:
        q = torch.cat(parts)
        if len(q) == 0:
            q = torch.zeros(1, model.dim, dtype=torch.float64)
        mean = q.mean(dim=0)
        spread = (q - mean).square().mean(dim=0).sqrt()
        spread = torch.maximum(spread, _SMALLEST_SPREAD * mean.abs())
        means.append(mean)
        inverses.append(torch.where(spread > 0, _SPREAD[method] / spread, torch.ones_like(spread)))
    return {"mean": torch.stack(means), "inverse_spread": torch.stack(inverses)}


def _output_unit(model, vector, blocks, spreads):
    """Return the factor that gives predictions the size of the labels (the smallest one, if there are several)."""
    values: dict[str, list[Tensor]] = {name: [] for name in spreads}
    targets: dict[str, list[Tensor]] = {name: [] for name in spreads}
    with torch.no_grad():
        for block in blocks:
            for name, prediction in model.predict(vector, block.load(), list(spreads)).items():
                known = block.labels.known[name]
                values[name].append(block.labels.per_atom(name, prediction).to(torch.float64)[known])
                targets[name].append(block.labels.targets[name][known])
    ratios = []
    for name, spread in spreads.items():
        value = torch.cat(values[name])
        size = float((value - value.mean(dim=0)).square().mean().sqrt())
        if name == "born_charges":  # a site constant cannot give their mean, so it counts
            spread = float(torch.cat(targets[name]).square().mean().sqrt())
        if size > 0:
            ratios.append(spread / size)
    return min(ratios, default=1.0)
