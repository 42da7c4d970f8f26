"""Labels as tensors, errors of predictions in physical units, and the spread of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tnep_calc.conventions import STRAIN_ORDER, to_six
from tnep_calc.errors import DataFileError
from tnep_calc.structures import LabelledStructure

UNITS = {
    "energy": "eV/atom",
    "forces": "eV/Å",
    "virial": "eV/atom",
    "dipole": "e·Å/atom",
    "born_charges": "e",
    "polarizability": "e·Å²/V/atom",
    "atomic_dipole": "e·Å",
    "atomic_polarizability": "e·Å²/V",
    "polarizability_gradient": "e·Å/V",
}
"""Units of errors and spreads; energies, virials, dipoles and polarizabilities are per atom."""
OF_STRUCTURES: dict[str, tuple[int, ...]] = {"energy": (), "virial": (6,), "dipole": (3,), "polarizability": (6,)}
"""Labels of structures, with the shape of one; errors are divided by the number of atoms."""
OF_ATOMS: dict[str, tuple[int, ...]] = {
    "forces": (3,),
    "born_charges": (3, 3),
    "atomic_dipole": (3,),
    "atomic_polarizability": (6,),
    "polarizability_gradient": (3, 6),
}
"""Labels of atoms, with the shape of one."""
_TENSORS = ("virial", "polarizability", "atomic_polarizability")
WITH_CONSTANTS = ("energy", "polarizability", "atomic_polarizability")
"""Labels to which a constant per species is added (to the diagonal of tensors)."""
ABOUT_SPECIES = ("born_charges", "atomic_dipole", "polarizability_gradient")
"""Labels whose spread is taken about the mean of each species and component."""


@dataclass(frozen=True)
class Weighting:
    """Weights within one label.

    Attributes
    ----------
    shear : float, default 1.0
        Factor on errors of off-diagonal components of tensors; squared errors get its square.
    species : tuple of float, default ()
        Factor on squared force errors of each species; () = 1.
    force_delta : float, default 0.0, in eV/Å
        Squared errors of a force F are divided by ``1 + |F| / force_delta``; 0 = no division.
    """

    shear: float = 1.0
    species: tuple[float, ...] = ()
    force_delta: float = 0.0


@dataclass(frozen=True)
class Labels:
    """Labels of some structures; where a structure lacks a label, the target is 0 and has no weight.

    Attributes
    ----------
    targets : dict of Tensor of float64
        By label, shapes as in :meth:`tnep_calc.training.nep.model.NepOnMoments.predict`.
    known : dict of Tensor of bool, shape ([P,] rows)
        Mask of rows with a label; with a leading axis, the rows that each of P models is trained on.
    weights : dict of Tensor of float64, shape ([P,] rows, 1 or components)
        Factors on the squared errors; 0 where there is no label.
    counts : Tensor, shape (n_structures,)
        Numbers of atoms.
    species : Tensor, shape (n_atoms,)
        Species index of each atom, in the order of the structures.
    fold : tuple of two Tensor, shape (n_structures, 3, 3), or None
        Cells (rows are lattice vectors), and their inverses with zero columns for non-periodic directions, for
        dipoles that are defined modulo e times a lattice vector.
    """

    targets: dict[str, Tensor]
    known: dict[str, Tensor]
    weights: dict[str, Tensor]
    counts: Tensor
    species: Tensor
    fold: tuple[Tensor, Tensor] | None

    @cached_property
    def rows(self) -> dict[str, Any]:
        """Number of known rows of each label; for several models a tensor of float64, shape (P,)."""
        return {
            name: int(known.sum()) if known.ndim == 1 else known.sum(dim=1, dtype=torch.float64)
            for name, known in self.known.items()
        }

    def of_models(self, chosen: Tensor) -> Labels:
        """Return the labels with the masks and weights of several models.

        Parameters
        ----------
        chosen : Tensor of bool, shape (P, n_structures)
            Which structures count for each model.
        """
        of_atoms = torch.repeat_interleave(chosen, self.counts, dim=1)
        rows = {name: chosen if name in OF_STRUCTURES else of_atoms for name in self.targets}
        known = {name: self.known[name] & own for name, own in rows.items()}
        weights = {name: self.weights[name] * own.unsqueeze(-1) for name, own in rows.items()}
        return replace(self, known=known, weights=weights)

    def to(self, device: torch.device) -> Labels:
        """Return the labels on a device."""

        def of(values):
            return {name: value.to(device) for name, value in values.items()}

        fold = None if self.fold is None else (self.fold[0].to(device), self.fold[1].to(device))
        return Labels(
            of(self.targets), of(self.known), of(self.weights), self.counts.to(device), self.species.to(device), fold
        )

    def select(self, structures: Sequence[int]) -> Labels:
        """Return the labels of some structures, in the given order."""
        chosen = torch.as_tensor(structures)
        ends = torch.cumsum(self.counts, 0)
        atoms = torch.cat([torch.arange(int(ends[k] - self.counts[k]), int(ends[k])) for k in chosen])

        def of(values):
            return {name: value[chosen if name in OF_STRUCTURES else atoms] for name, value in values.items()}

        fold = None if self.fold is None else (self.fold[0][chosen], self.fold[1][chosen])
        return Labels(
            of(self.targets), of(self.known), of(self.weights), self.counts[chosen], self.species[atoms], fold
        )

    def per_atom(self, name: str, value: Tensor) -> Tensor:
        """Divide totals of structures by the numbers of atoms; labels of atoms are returned unchanged."""
        if name not in OF_STRUCTURES:
            return value
        return value / self.counts.to(value.dtype).reshape(-1, *[1] * len(OF_STRUCTURES[name]))

    def error(self, name: str, prediction: Tensor) -> Tensor:
        """Return prediction minus label in ``UNITS``, float64; dipoles are folded to the nearest branch."""
        difference = prediction.to(torch.float64) - self.targets[name]
        if name == "dipole" and self.fold is not None:
            cell, inverse = self.fold
            turns = torch.einsum("...sa,sab->...sb", difference, inverse).round().detach()
            difference = difference - torch.einsum("...sb,sba->...sa", turns, cell)
        return self.per_atom(name, difference)

    def known_errors(self, name: str, prediction: Tensor) -> Tensor:
        """Return the errors of the rows that have a label."""
        return self.error(name, prediction)[self.known[name]]

    def square_sum(self, name: str, prediction: Tensor, weighted: bool = True) -> Tensor:
        """Return the sum over all rows of squared errors, averaged over components.

        If a prediction has a leading axis of models, the result has it too.
        """
        squares = self.error(name, prediction).square()
        axes = self.targets[name].ndim - 1
        squares = squares.flatten(-axes) if axes else squares.unsqueeze(-1)
        weights = self.weights[name] if weighted else self.known[name].unsqueeze(-1)
        return (squares * weights).mean(dim=-1).sum(dim=-1)


def label_of(structure: LabelledStructure, name: str) -> np.ndarray | None:
    """Return a label of a structure in the form that the loss uses, or None if it has none.

    Tensors become six components in ``STRAIN_ORDER``.  The acoustic sum rule is imposed on Born charges and derivatives
    of the polarizability: the mean over the atoms is subtracted.  Models fulfil the rule exactly, so a violation could
    not be fitted.
    """
    value = getattr(structure, name)
    if value is None:
        return None
    if name == "born_charges":
        return value - value.mean(axis=0)
    if name == "polarizability_gradient":
        return to_six(value - value.mean(axis=0), STRAIN_ORDER)
    return to_six(value, STRAIN_ORDER) if name in _TENSORS else np.asarray(value)


def check_labels(structures: Sequence[LabelledStructure], names: Sequence[str], allow_missing: bool) -> None:
    """Raise ``DataFileError`` for missing labels.

    Without `allow_missing`, every structure must have every label.  With it, every structure must have one label, and
    every label must occur.
    """
    for s in structures:
        missing = [name for name in names if getattr(s, name) is None]
        if missing and not allow_missing:
            raise DataFileError(
                f"{s.source}: no {' and no '.join(missing)}; to use structures with the labels they have, set "
                "allow_missing = true in [data]"
            )
        if len(missing) == len(names):
            raise DataFileError(f"{s.source}: none of the fitted labels ({', '.join(names)})")
    for name in names:
        if all(getattr(s, name) is None for s in structures):
            raise DataFileError(f"no structure has the label '{name}', which has a weight in the loss")


def check_species(structures: Sequence[LabelledStructure], species: Sequence[str]) -> None:
    """Raise ``DataFileError`` for a structure with an element that the model does not have."""
    for s in structures:
        unknown = sorted(set(s.symbols) - set(species))
        if unknown:
            raise DataFileError(f"{s.source}: has {' '.join(unknown)}, but model.species is {' '.join(species)}")


def make_labels(
    structures: Sequence[LabelledStructure],
    names: Sequence[str],
    species: Sequence[str],
    fold_dipole: bool = True,
    weighting: Weighting | None = None,
) -> Labels:
    """Return the labels of structures, with masks of those that are missing.

    Parameters
    ----------
    structures : sequence of LabelledStructure
    names : sequence of str
        Labels wanted.
    species : sequence of str
        Order of the species indices.
    fold_dipole : bool, default True
        Take dipole errors modulo the polarization quantum.
    weighting : Weighting, optional
    """
    weighting = weighting or Weighting()
    index = {symbol: k for k, symbol in enumerate(species)}
    counts = np.array([len(s) for s in structures])
    types = np.array([index[symbol] for s in structures for symbol in s.symbols])
    targets, known, weights = {}, {}, {}
    for name in names:
        values = [label_of(s, name) for s in structures]
        has = np.array([value is not None for value in values])
        factor = np.array([s.weight for s in structures]) ** 2 * has
        if name in OF_STRUCTURES:
            target = np.array([np.zeros(OF_STRUCTURES[name]) if v is None else v for v in values])
        else:
            target = np.concatenate(
                [np.zeros((n, *OF_ATOMS[name])) if v is None else v for v, n in zip(values, counts, strict=True)]
            )
            has, factor = np.repeat(has, counts), np.repeat(factor, counts)
        if name == "forces" and weighting.species:
            factor = factor * np.array(weighting.species)[types]
        if name == "forces" and weighting.force_delta > 0:
            factor = factor / (1 + np.linalg.norm(target, axis=1) / weighting.force_delta)
        components = np.array([1.0, 1, 1, *[weighting.shear**2] * 3]) if name in _TENSORS else np.ones(1)
        targets[name], known[name] = torch.tensor(target, dtype=torch.float64), torch.tensor(has)
        weights[name] = torch.tensor(factor[:, None] * components)
    fold = None
    if "dipole" in names and fold_dipole and any(s.pbc.any() for s in structures):
        cells = np.array([np.where(s.pbc[:, None], s.cell, 0.0) for s in structures])
        fold = torch.tensor(cells), torch.tensor(np.linalg.pinv(cells))
    return Labels(targets, known, weights, torch.tensor(counts), torch.tensor(types), fold)


def species_counts(labels: Labels, n_species: int) -> Tensor:
    """Return the number of atoms of each species in each structure, shape (n_structures, T), float64."""
    counts = torch.zeros(len(labels.counts), n_species, dtype=torch.float64)
    structure = torch.repeat_interleave(torch.arange(len(labels.counts)), labels.counts)
    return counts.index_put((structure, labels.species), torch.ones(1, dtype=torch.float64), accumulate=True)


def site_constants(labels: Labels, name: str, n_species: int) -> Tensor:
    """Return constants per species, shape (T,), that fit a scalar label best (least squares).

    For polarizabilities the scalar is a third of the trace.  Where all structures have the same composition, the
    species cannot be told apart and share one constant.
    """
    target, known = labels.targets[name], labels.known[name]
    if name != "energy":
        target = target[:, :3].mean(dim=1)
    if name in OF_STRUCTURES:
        counts = species_counts(labels, n_species)
    else:
        counts = torch.nn.functional.one_hot(labels.species, n_species).to(torch.float64)
    counts, target = counts[known], target[known]
    total = counts.sum(dim=1, keepdim=True)
    if torch.linalg.matrix_rank(counts / total) <= 1:
        return ((target / total[:, 0]).mean()).expand(n_species).clone()
    return torch.linalg.lstsq(counts, target[:, None], driver="gelsd").solution[:, 0]


def spreads(labels: Labels, site: Tensor) -> dict[str, float]:
    """Return the standard deviation of each label in ``UNITS``, after removing what constants explain.

    Energies and polarizabilities are taken relative to the constants per species.  Born charges and atomic dipoles are
    taken relative to the mean of each species and component; all other labels except forces, relative to the mean of
    each component.  A label without any spread gets its root mean square (or 1).

    Parameters
    ----------
    labels : Labels
    site : Tensor, shape (T,)
        Constants per species, see :func:`site_constants`.
    """
    out = {}
    for name, target in labels.targets.items():
        known = labels.known[name]
        value = labels.per_atom(name, target)
        if name in WITH_CONSTANTS:
            constant = site[labels.species]
            if name in OF_STRUCTURES:
                constant = species_counts(labels, len(site)) @ site / labels.counts
            value = value - (constant if name == "energy" else constant[:, None] * value.new_tensor([1, 1, 1, 0, 0, 0]))
        elif name == "dipole":
            value = labels.error(name, torch.zeros_like(target))
        value = value[known]
        if name in ABOUT_SPECIES:
            species = labels.species[known]
            means = [value[species == t].mean(dim=0) for t in range(int(labels.species.max()) + 1)]
            value = value - torch.stack(means)[species]
        elif name != "forces":
            value = value - value.mean(dim=0)
        spread = float(value.square().mean().sqrt())
        if not spread > 1e-10 * float(target.abs().max()):
            spread = float(target[known].square().mean().sqrt()) or 1.0
        out[name] = spread
    return out
