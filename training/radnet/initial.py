"""Constants and initial parameters of a radnet model from its training structures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tnep_calc.models.radnet.network import initialise as initialise_network
from tnep_calc.models.radnet.sites import RadnetSites

from ..common.labels import Labels, site_constants
from .data import Edges
from .prediction import tensor_of
from .symmetry import Crystal, random_operations

_TURNS = 24  # random operations of each structure for the mean of the voxels
_CHARGE_TO_DIPOLE = 0.3  # Å: an atom's dipole has about the size of its Born charge times this length
_SMALLEST_SPREAD = 1e-3  # of the voxels, relative to the largest mean


@torch.no_grad()
def initialise(
    sites: RadnetSites,
    edges: Sequence[Edges],
    labels: Labels,
    crystals: Sequence[Crystal],
    augmentation: str,
    normalisation: str,
    seed: int,
) -> None:
    """Draw the parameters of the networks, and set the constants from structures and labels.

    Parameters
    ----------
    sites : RadnetSites
    edges, crystals : sequences
        Edges and crystals of the training structures.
    labels : Labels
        Labels of the same structures.
    augmentation, normalisation : str
        See :mod:`tnep_calc.training.radnet.config`.
    seed : int
    """
    generator = torch.Generator().manual_seed(seed)
    for network in (*sites.dipole_networks, *sites.polarizability_networks):
        initialise_network(network, generator)  # type: ignore[arg-type]
    _set_input(sites, edges, crystals, augmentation, seed)
    if sites.has_dipole:
        sites.dipole_scale.copy_(_shared(_dipole_squares(labels), normalisation))
    if sites.has_polarizability and "polarizability" in labels.targets:
        constants = site_constants(labels, "polarizability", sites.n_species)
        sites.polarizability_offset.copy_(constants)
        target = labels.targets["polarizability"].clone()
        target[:, :3] -= torch.zeros(len(target), dtype=target.dtype).index_add(
            0, torch.repeat_interleave(torch.arange(len(target)), labels.counts), constants[labels.species]
        )[:, None]
        rest = (target.square() / labels.counts[:, None])[labels.known["polarizability"]].mean(0)
        sites.polarizability_scale.copy_(_shared(rest, normalisation))


def _set_input(sites, edges, crystals, augmentation, seed):
    """Set mean and standard deviation of the densities over structures and operations, for each species."""
    rng = np.random.default_rng(seed)
    turns = 1 if augmentation == "none" else _TURNS
    cubes: list[list[Tensor]] = [[] for _ in range(sites.n_species)]
    for structure, crystal in zip(edges, crystals, strict=True):
        many = Edges.joined([structure] * turns)
        operations = torch.from_numpy(random_operations([crystal] * turns, augmentation, rng)).to(many.vectors.dtype)
        turned = torch.einsum("eij,ej->ei", operations[many.edges], many.vectors)
        near = sites.voxels.reached(turned)
        found = sites.voxels(many.types, many.centers[near], many.types[many.neighbors[near]], turned[near])
        for s in range(sites.n_species):
            cubes[s].append(found[many.types == s].double())
    for s, parts in enumerate(cubes):
        rows = torch.cat(parts)
        if len(rows):
            mean = rows.mean(0)
            sites.mean[s] = mean.to(sites.mean.dtype)
            spread = max(float((rows - mean).square().mean().sqrt()), _SMALLEST_SPREAD * float(mean.abs().max()))
            sites.spread[s] = spread


def _dipole_squares(labels: Labels) -> Tensor:
    """Mean squares of the components of an atom's dipole: from Born charges if there are any, else from dipoles."""
    if "born_charges" in labels.targets:
        return _CHARGE_TO_DIPOLE**2 * labels.targets["born_charges"][labels.known["born_charges"]].square().mean((0, 2))
    # minus the label, on the branch closest to zero
    errors = labels.error("dipole", torch.zeros_like(labels.targets["dipole"]))
    return (errors.square() * labels.counts[:, None])[labels.known["dipole"]].mean(0)


def _shared(squares: Tensor, normalisation: str) -> Tensor:
    """Return the scale of each component; unless `normalisation` is "component", all are equal."""
    if normalisation == "component":
        return squares.sqrt().clamp(min=1e-6)
    mean = tensor_of(squares).mean() if len(squares) == 6 else squares.mean()
    return mean.sqrt().clamp(min=1e-6).expand(len(squares))
