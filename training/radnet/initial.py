"""Constants and initial parameters of a radnet model from its training structures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tnep_calc.models.radnet.network import initialise as initialise_network
from tnep_calc.models.radnet.sites import RadnetSites

from .data import Batch, Frame, tensor_of
from .symmetry import random_operations

NORMALISATIONS = ("common", "component")
"""One scale for all components of a target, or one for each of them (which rotations then do not keep)."""
_TURNED = 24  # operations that the mean of the voxels is taken over
_CHARGE_TO_DIPOLE = 0.3  # scale of a dipole in units of charge times Å


@torch.no_grad()
def initialise(
    sites: RadnetSites, frames: Sequence[Frame], groups: Sequence[np.ndarray], augmentation: str, normalisation: str,
    seed: int,
) -> None:  # fmt: skip
    """Draw the parameters of the networks, and set the constants from structures and labels.

    Parameters
    ----------
    sites : RadnetSites
    frames : sequence of Frame
        Those that are trained on.
    groups : sequence of ndarray
        Operations of each frame, see :func:`tnep_calc.training.radnet.symmetry.point_groups`.
    augmentation, normalisation : str
        One of ``AUGMENTATIONS`` and of ``NORMALISATIONS``.
    seed : int
    """
    generator = torch.Generator().manual_seed(seed)
    for network in (*sites.dipole_networks, *sites.polarizability_networks):
        initialise_network(network, generator)  # type: ignore[arg-type]
    _set_input(sites, frames, groups, augmentation, seed)
    if sites.has_dipole:
        sites.dipole_scale.copy_(_dipole_scale(frames, normalisation))
    if sites.has_polarizability:
        offset = _site_constants(frames, sites.n_species)
        sites.polarizability_offset.copy_(offset)
        sites.polarizability_scale.copy_(_polarizability_scale(frames, offset, normalisation))


def _set_input(sites, frames, groups, augmentation, seed):
    """Mean of the densities over structures and operations, and root mean square of what is left, for each species."""
    rng = np.random.default_rng(seed)
    n = sites.n_species
    sums, squares, count = torch.zeros_like(sites.mean, dtype=torch.float64), [0.0] * n, [0] * n
    batch = Batch.of(frames)
    cubes = []
    for _ in range(1 if augmentation == "none" else _TURNED):
        operations = torch.from_numpy(random_operations(groups, augmentation, rng)).to(batch.vectors.dtype)
        turned = torch.einsum("eij,ej->ei", operations[batch.frame_of_edge], batch.vectors)
        near = sites.voxels.reached(turned)
        end = batch.types[batch.neighbors[near]]
        cubes.append(sites.voxels(batch.types, batch.centers[near], end, turned[near]))
    for s in range(n):
        for part in cubes:
            rows = part[batch.types == s].double()
            sums[s] += rows.sum(0)
            count[s] += len(rows)
        if count[s]:
            sites.mean[s] = (sums[s] / count[s]).to(sites.mean.dtype)
            squares[s] = sum(float((part[batch.types == s].double() - sums[s] / count[s]).square().sum()) for part in cubes)
            rms = math.sqrt(squares[s] / (count[s] * sums[s].numel()))
            sites.spread[s] = max(rms, 1e-3 * float(sites.mean[s].abs().max()), 1e-6)


def _dipole_scale(frames, normalisation) -> Tensor:
    """Scale of the dipole of an atom, shape (3,): from Born charges if there are any, else from the dipoles."""
    charges = [f.labels["born_charges"] for f in frames if "born_charges" in f.labels]
    if charges:
        squared = torch.cat(charges).square().mean((0, 2))  # by component of the dipole
        scale = _CHARGE_TO_DIPOLE * squared.sqrt()
    else:
        scale = torch.stack([f.labels["dipole"] / f.n_atoms**0.5 for f in frames if "dipole" in f.labels]).square()
        scale = scale.mean(0).sqrt()
    scale = scale.clamp(min=1e-6)
    return scale if normalisation == "component" else scale.square().mean().sqrt().expand(3)


def _site_constants(frames, n_species) -> Tensor:
    """Least-squares share of each species in a third of the trace of the polarizability."""
    known = [f for f in frames if "polarizability" in f.labels]
    counts = torch.stack([torch.bincount(f.types, minlength=n_species).double() for f in known])
    target = torch.stack([f.labels["polarizability"][:3].mean() for f in known])
    # The minimum-norm solution shares a constant between species that the data cannot tell apart.
    return torch.linalg.lstsq(counts, target[:, None], driver="gelsd").solution[:, 0]


def _polarizability_scale(frames, offset, normalisation) -> Tensor:
    """Root mean square of what the constants leave, for an atom, shape (6,)."""
    rest = []
    for f in frames:
        if "polarizability" in f.labels:
            constant = offset[f.types].sum() * torch.tensor([1.0, 1, 1, 0, 0, 0], dtype=torch.float64)
            rest.append((f.labels["polarizability"] - constant) / f.n_atoms**0.5)
    squared = torch.stack(rest).square()
    if normalisation == "component":
        return squared.mean(0).sqrt().clamp(min=1e-6)
    return tensor_of(squared).mean().sqrt().clamp(min=1e-6).expand(6)
