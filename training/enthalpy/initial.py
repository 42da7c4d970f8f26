"""Initial parameters of the enthalpy model, and the constants that scale all trained numbers to order one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tnep_calc.models.enthalpy.sites import L_MAX, PATHS_1, PATHS_2, EnthalpySites

from .frames import Frame

_SMALLEST_MODE = 1.0  # added to the size of a mode of the density, relative to the largest: small modes are rough
_SMALLEST_SPREAD = 1e-3  # of an invariant, relative to its mean
_HEAD = 0.1  # size of the last layer: outputs start small
_GAIN = (0.3, 1.0)  # of the hidden layers: nearly linear at first, bent only as far as the labels require
_DAMPING = (1.0, 0.3, 0.1)  # of 3-, 4- and 5-body invariants


@torch.no_grad()
def initialise(sites: EnthalpySites, frames: Sequence[Frame], seed: int) -> None:
    """Draw random parameters and set the constants from the densities and labels of the frames.

    A hyperpolarizability starts at zero.
    """
    generator = torch.Generator().manual_seed(seed)
    dtype = sites.w1.dtype

    def draw(parameter, scale):
        values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.copy_((scale * values).to(dtype))

    features = sites.contraction.shape[2]
    q, h = sites.w1.shape[1:]
    draw(sites.contraction, 1 / math.sqrt(features))
    draw(sites.mixing, 1 / math.sqrt(sites.k))
    draw(sites.w1, _GAIN[0] / math.sqrt(q))
    draw(sites.w2, _GAIN[1] / math.sqrt(h))
    draw(sites.w3, _HEAD / math.sqrt(h))
    sites.w3[..., 2 + sites.n_vectors + sites.n_tensors :] = 0
    for parameter in (sites.b1, sites.b2, sites.b3, sites.linear):
        parameter.zero_()
    for s in range(sites.w1.shape[0]):
        density = [frame.densities[s] for frame in frames if frame.densities[s].shape[1]]
        if not density:
            continue
        total = torch.cat(density, dim=1)
        for l in range(L_MAX + 1):
            sites.whitening[s, l] = _whitening(total[l * l : (l + 1) ** 2].reshape(-1, features)).to(dtype)
        values, weighted = sites.basis(s, total)
        values = values.double()
        mean = values.mean(0)
        spread = torch.maximum((values - mean).square().mean(0).sqrt(), _SMALLEST_SPREAD * mean.abs())
        sites.offset[s] = mean.to(dtype)
        size = torch.where(spread > 0, 1 / spread, torch.ones_like(spread))
        sites.spread[s] = (size * _damping(sites)).to(dtype)
        sizes = torch.cat([x.double().square().sum(0).mean(0) for x in weighted]).sqrt()
        sites.gain[s] = (1 / sizes.clamp(min=1e-6 * float(sizes.max()))).to(dtype)
    sites.site.copy_(torch.stack([_site_constants(frames, "energy"), _site_constants(frames, "polarizability")], 1))
    sites.units.copy_(_units(frames, sites.site)[: len(sites.units)].to(dtype))


def _damping(sites: EnthalpySites) -> Tensor:
    """Return the weight of every invariant: products of many factors are rough functions of the positions."""
    k, q = sites.k, sites.w1.shape[1]
    three = k + L_MAX * (k * (k + 1) // 2)
    order = ["4"] * (len(PATHS_1) + len(PATHS_2)) + ["5"] * (len(sites.pairs1[0]) + len(sites.pairs2[0]))
    per_channel = [_DAMPING[1] if o == "4" else _DAMPING[2] for o in order]
    weights = torch.ones(q, dtype=torch.float64)
    weights[k:three] = _DAMPING[0]
    weights[three:] = torch.tensor(per_channel, dtype=torch.float64).repeat_interleave(k)
    return weights


def _whitening(rows: Tensor) -> Tensor:
    """Return W such that the columns of ``rows @ W`` are uncorrelated and scaled; small modes are not scaled up."""
    rows = rows.double()
    gram = rows.t() @ rows / len(rows)
    size, modes = torch.linalg.eigh(gram)
    size = size.clamp(min=0) + _SMALLEST_MODE * size.max() + torch.finfo(torch.float64).tiny
    return modes / size.sqrt()


def _site_constants(frames: Sequence[Frame], name: str) -> Tensor:
    """Least-squares constant of each species for the energy or a third of the trace of the polarizability."""
    known = [frame for frame in frames if name in frame.labels]
    t = len(frames[0].centers)
    if not known:
        return torch.zeros(t, dtype=torch.float64)
    counts = torch.tensor([[len(rows) for rows in frame.centers] for frame in known], dtype=torch.float64)
    target = torch.stack(
        [frame.labels[name].diagonal().mean() if name == "polarizability" else frame.labels[name] for frame in known]
    )
    # The minimum-norm solution shares a constant between species that the data cannot tell apart.
    return torch.linalg.lstsq(counts, target[:, None], driver="gelsd").solution[:, 0]


def _units(frames: Sequence[Frame], site: Tensor) -> Tensor:
    """Return the sizes of energies, dipoles, polarizabilities and hyperpolarizabilities of a site.

    A hyperpolarizability of this size changes the polarizability, in the fields of the frames, by the latter's size.
    """

    def rms(values, fallback):
        return float(torch.cat([v.flatten() for v in values]).square().mean().sqrt()) if values else fallback

    forces = rms([f.labels["forces"] for f in frames if "forces" in f.labels], 0.0)
    energy = rms(
        [
            (f.labels["energy"] - sum(len(r) * site[s, 0] for s, r in enumerate(f.centers))) / f.n_atoms**0.5
            for f in frames
            if "energy" in f.labels
        ],
        1.0,
    )
    charges = [f.labels["born_charges"] for f in frames if "born_charges" in f.labels]
    dipole = 0.3 * rms(charges, 0.0) or rms([f.labels["dipole"] / f.n_atoms for f in frames if "dipole" in f.labels], 1)
    alpha = [f.labels["polarizability"] / f.n_atoms for f in frames if "polarizability" in f.labels]
    polarizability = 0.1 * rms(alpha, 1.0) or 1.0
    field = rms([torch.linalg.vector_norm(f.field) for f in frames if f.field.any()], 1.0)
    return torch.tensor([0.2 * forces or energy or 1.0, dipole or 1.0, polarizability, polarizability / field])
