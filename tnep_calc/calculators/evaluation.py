"""Evaluate models for the atoms of a calculator: one model, or separate models of energy and dipole in a field."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms

from ..artifact import Artifact
from ..errors import InputError
from ..families import ROLES
from ..neighbors import Edges
from ..threads import sized_for
from .ensemble import combine
from .field import separate_in_field, to_one_branch
from .properties import dipole_properties, energy_properties, properties_of, response_scale


def evaluate(
    model: Artifact,
    role: str,
    symbols: Sequence[str],
    quantities: Sequence[str],
    edges: Edges,
    device: torch.device,
    field: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return raw quantities of a model as numpy arrays.

    Parameters
    ----------
    model : Artifact
    role : str
        Keyword under which the model was given, for messages.
    symbols : sequence of str
        Chemical symbols of the atoms.
    quantities : sequence of str
        Names of the contract in ``tnep_calc.models``, which defines shapes and units.
    edges : Edges
        Neighbour list of the atoms.
    device : torch.device
        Where the model is.
    field : ndarray, shape (3,) or (n_atoms, 3), in V/Å, optional

    Raises
    ------
    InputError
        If the model does not know an element of the structure.
    """
    species = torch.as_tensor(_species_index(symbols, model.metadata.species, role)).to(device)
    centers = torch.arange(len(species), device=device)
    arrays = (edges.offsets, edges.neighbors, edges.vectors)  # tensors on the device if they were found there
    offsets, neighbors, vectors = (torch.as_tensor(array).to(device) for array in arrays)
    electric = None if field is None else torch.from_numpy(field).to(device)
    with sized_for(len(species)):
        results = model(species, centers, offsets, neighbors, vectors, list(quantities), electric)
    found = [results[name].detach() for name in quantities]
    values = found if device.type == "cpu" else copied_at_once(found)
    return {name: value.numpy() for name, value in zip(quantities, values, strict=True)}


def copied_at_once(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return float64 tensors of a device on the CPU, by one copy instead of one for each."""
    if not tensors:
        return []
    together = torch.cat([tensor.reshape(-1) for tensor in tensors]).cpu()
    parts = together.split([tensor.numel() for tensor in tensors])
    return [part.reshape(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def member_properties(
    raw: Sequence[Mapping[str, np.ndarray]],
    models: Sequence[Artifact],
    role: str,
    atoms: Atoms,
    wanted: Collection[str],
    field: np.ndarray | None,
) -> dict[str, Any]:
    """Return the properties of a model, or their means, standard deviations and members for an ensemble.

    Parameters
    ----------
    raw : sequence of mappings
        Raw quantities from each model, see :func:`evaluate`.
    models : sequence of Artifact
    role : str
        Keyword under which the models were given.
    atoms : ase.Atoms
    wanted : collection of str
        Requested properties.
    field : ndarray, shape (3,), in V/Å, or None
        Field in which enthalpy models were evaluated.
    """
    members = [properties_of(out, atoms, wanted, model.metadata) for out, model in zip(raw, models, strict=True)]
    if len(members) == 1:
        return members[0]
    if ROLES[role].field and field is not None:
        to_one_branch(members, atoms.cell.array, atoms.pbc, field)
    return combine(members, atoms.cell.array, atoms.pbc)


def separate_models(
    evaluated: Callable[..., dict[str, np.ndarray]],
    models: Mapping[str, Sequence[Artifact]],
    atoms: Atoms,
    edges: Edges,
    wanted: Collection[str],
    field: np.ndarray,
) -> dict[str, Any]:
    """Return the energy and dipole properties in a field from separate models.

    Parameters
    ----------
    evaluated : callable
        ``TNEPCalculator.evaluate``.
    models : mapping
        Role -> its models; of energy and dipole, and possibly of the susceptibility.
    atoms : ase.Atoms
    edges : Edges
    wanted : collection of str
        Requested properties.
    field : ndarray, shape (3,), in V/Å

    Raises
    ------
    InputError
        If the stress is requested.
    """
    if "stress" in wanted:
        raise InputError(
            "separate models of energy and dipole give no stress in a field, because the derivative of the dipole "
            "with respect to strain is not available: use an enthalpy model"
        )
    charges = ["born_charges"] if "born_effective_charges" in wanted else []
    response = None
    if "susceptibility" in models:
        names = ["polarizability", "polarizabilities", "polarizability_gradient"]
        scale = response_scale(models["susceptibility"][0].metadata, atoms)
        response = {k: scale * v for k, v in evaluated("susceptibility", names, edges).items()}
    potential, dipole = separate_in_field(
        evaluated("energy", ["energies", "energy", "forces"], edges),
        evaluated("dipole", ["dipole", "dipoles", "field_forces", *charges], edges, field=field),
        response,
        field,
    )
    return energy_properties(potential, atoms) | dipole_properties(dipole, atoms)


def check_species(symbols: Collection[str], species: Sequence[str], role: str) -> None:
    """Raise an InputError if a model does not know an element; `role` is the keyword under which it was given."""
    unknown = sorted(set(symbols) - set(species))
    if unknown:
        raise InputError(f"the {role} model knows {' '.join(species)}, but the structure has {' '.join(unknown)}")


def with_descriptors(models: Mapping[str, Sequence[Artifact]]) -> str:
    """Return the keyword of the first model; InputError if it has no descriptors."""
    role, members = next(iter(models.items()))
    known = members[0].metadata
    if "descriptors" not in known.quantities:
        raise InputError(f"only NEP models have descriptors, but {role}= is of family {known.family}")
    return role


def _species_index(symbols, species, role):
    check_species(symbols, species, role)
    numbers = {symbol: k for k, symbol in enumerate(species)}
    return np.array([numbers[s] for s in symbols], dtype=np.int64)
