"""Species and pairs that occur in the training structures; parameters of all others have no gradient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..common.splits import extrapolation_warning
from .moments import Moments
from .slots import Group


@dataclass(frozen=True)
class Coverage:
    """Species and pairs that occur in some structures (T species).

    Attributes
    ----------
    species : Tensor of bool, shape (T,)
    radial, angular : Tensor of bool, shape (T, T)
        Whether a centre (first) has a neighbour (second) within the cutoff of the radial and the angular part.
    """

    species: Tensor
    radial: Tensor
    angular: Tensor


def coverage_of(moments: Iterable[Moments], n_species: int) -> Coverage:
    """Return the species and pairs that occur in some moments; stops reading as soon as all have occurred."""
    found = Coverage(*(torch.zeros(shape, dtype=torch.bool) for shape in ((n_species,), *[(n_species,) * 2] * 2)))
    for some in moments:
        found.species[some.species.cpu()] = True
        for group in some.groups:
            near = list(group.near)
            found.radial[group.species, near] |= _has_neighbors(group, "radial").any(1)
            found.angular[group.species, near] |= _has_neighbors(group, "angular").any(1)
        if found.radial.all() and found.angular.all():
            break
    return found


def _has_neighbors(group: Group, part: str) -> Tensor:
    """Whether each centre has neighbours of each species in ``near``: (near, N); some have none in joined groups."""
    values = group.radial[:, 0] if part == "radial" else group.angular
    return values.reshape(len(group.near), -1, group.rows.stop - group.rows.start).any(1).cpu()


@dataclass
class _Unseen:
    """Indices of structures by species or pair that training lacks, and the number of all structures."""

    species: dict[int, set[int]] = field(default_factory=dict)
    pairs: dict[tuple[int, int], set[int]] = field(default_factory=dict)
    total: int = 0


def _unseen(moments: Iterable[Moments], seen: Coverage) -> _Unseen:
    """Find species that `seen` lacks, and pairs of its species within the radial cutoff that it lacks."""
    found = _Unseen()
    for some in moments:
        structures = found.total + some.structure.cpu()
        found.total += some.n_structures
        for t in torch.nonzero(~seen.species).flatten().tolist():
            if len(own := structures[some.species_slices[t]]):
                found.species.setdefault(t, set()).update(own.tolist())
        for group in some.groups:
            near = torch.tensor(group.near)
            new = seen.species[group.species] & seen.species[near] & ~seen.radial[group.species, near]
            if not new.any():
                continue
            for t, has in zip(near[new].tolist(), _has_neighbors(group, "radial")[new], strict=True):
                if has.any():
                    pair = (min(t, group.species), max(t, group.species))
                    found.pairs.setdefault(pair, set()).update(structures[group.rows][has].tolist())
    return found


def unseen_warnings(seen: Coverage, others: Mapping[str, Iterable[Moments]], species: Sequence[str]) -> Iterator[str]:
    """Yield a warning for each split with species or pairs that do not occur in training.

    Pairs are those within the radial cutoff; A-B and B-A are the same pair.

    Parameters
    ----------
    seen : Coverage
        Species and pairs of the training structures.
    others : mapping of str to iterable of Moments
        Moments of the other splits, by name.
    species : sequence of str
        Species of the model.
    """
    for name, moments in others.items():
        found = _unseen(moments, seen)
        lacking = {species[t]: own for t, own in found.species.items()}
        lacking |= {f"{species[a]}-{species[b]}": own for (a, b), own in found.pairs.items()}
        if lacking:
            yield extrapolation_warning(name, lacking, found.total, "radial cutoff")
