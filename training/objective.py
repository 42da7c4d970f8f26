"""Labels as tensors, errors in physical units, their spread, and the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tnep_calc.conventions import to_six
from tnep_calc.io.dataset import LabelledStructure

from .moments import STRAIN_ORDER

UNITS = {
    "energy": "eV/atom", "forces": "eV/Å", "virial": "eV/atom", "dipole": "e·Å/atom", "born_charges": "e",
    "polarizability": "e·Å²/V/atom",
}  # fmt: skip
"""Units of errors and spreads; energies, virials, dipoles and polarizabilities are per atom."""
_PER_ATOM = {"energy": (), "virial": (6,), "dipole": (3,), "polarizability": (6,)}


@dataclass(frozen=True)
class Labels:
    """Labels of some structures.

    Attributes
    ----------
    targets : dict of Tensor
        By label, shapes as in :meth:`tnep_calc.training.model.NepOnMoments.predict`.
    counts : Tensor, shape (n_structures,)
        Numbers of atoms.
    species : Tensor, shape (n_atoms,)
        Species index of each atom, in the order of the structures.
    fold : tuple of two Tensor, shape (n_structures, 3, 3), or None
        Cells (rows are lattice vectors), and their inverses with zero columns for non-periodic directions, for
        dipoles that are defined modulo e times a lattice vector.
    """

    targets: dict[str, Tensor]
    counts: Tensor
    species: Tensor
    fold: tuple[Tensor, Tensor] | None

    def per_atom(self, name: str, value: Tensor) -> Tensor:
        """Divide a total of each structure by its number of atoms; labels of atoms stay."""
        if name not in _PER_ATOM:
            return value
        return value / self.counts.to(value.dtype).reshape(-1, *[1] * (value.ndim - 1))

    def error(self, name: str, prediction: Tensor) -> Tensor:
        """Return prediction minus label in ``UNITS``; dipoles are folded to the nearest branch."""
        difference = prediction - self.targets[name]
        if name == "dipole" and self.fold is not None:
            cell, inverse = self.fold
            turns = torch.einsum("sa,sab->sb", difference, inverse).round().detach()
            difference = difference - torch.einsum("sb,sba->sa", turns, cell)
        return self.per_atom(name, difference)


def make_labels(
    structures: Sequence[LabelledStructure],
    names: Sequence[str],
    species: Sequence[str],
    fold_dipole: bool = True,
    dtype: torch.dtype = torch.float64,
) -> Labels:
    """Return the labels of structures, which must have them.

    Born charges get the acoustic sum rule imposed: the mean over the atoms of a structure is subtracted from each.
    The dipole model fulfils the rule exactly, so a violation could not be fitted.
    """
    convert = {
        "energy": lambda s: s.energy,
        "forces": lambda s: s.forces,
        "virial": lambda s: to_six(s.virial, STRAIN_ORDER),
        "dipole": lambda s: s.dipole,
        "born_charges": lambda s: s.born_charges - s.born_charges.mean(axis=0),
        "polarizability": lambda s: to_six(s.polarizability, STRAIN_ORDER),
    }
    index = {symbol: k for k, symbol in enumerate(species)}

    def tensor(values):
        return torch.tensor(np.array(values), dtype=dtype)

    targets = {}
    for name in names:
        values = [convert[name](s) for s in structures]
        targets[name] = tensor(values) if name in _PER_ATOM else tensor(np.concatenate(values))
    fold = None
    if "dipole" in names and fold_dipole and any(s.pbc.any() for s in structures):
        cells, inverses = np.zeros((2, len(structures), 3, 3))
        for k, s in enumerate(structures):
            if s.pbc.any():
                cells[k][s.pbc] = s.cell[s.pbc]
                inverses[k] = np.linalg.pinv(cells[k])
        fold = tensor(cells), tensor(inverses)
    return Labels(
        targets,
        torch.tensor([len(s) for s in structures]),
        torch.tensor([index[symbol] for s in structures for symbol in s.symbols]),
        fold,
    )


def site_constants(labels: Labels, name: str, n_species: int) -> Tensor:
    """Return constants per species, shape (T,), that fit a scalar label best (least squares).

    For the polarizability the scalar is a third of the trace.  Where all structures have the same composition, the
    species cannot be told apart and share one constant.
    """
    counts = torch.zeros(len(labels.counts), n_species, dtype=torch.float64)
    structure = torch.repeat_interleave(torch.arange(len(labels.counts)), labels.counts)
    counts.index_put_((structure, labels.species), torch.ones(len(structure), dtype=torch.float64), accumulate=True)
    target = labels.targets[name].to(torch.float64)
    if name == "polarizability":
        target = target[:, :3].mean(dim=1)
    total = counts.sum(dim=1, keepdim=True)
    if torch.linalg.matrix_rank(counts / total) <= 1:
        return ((target / total[:, 0]).mean()).expand(n_species).clone()
    return torch.linalg.lstsq(counts, target[:, None], driver="gelsd").solution[:, 0]


def spreads(labels: Labels, site: Tensor) -> dict[str, float]:
    """Return the standard deviation of each label in ``UNITS``, without what a constant could explain.

    Energies and polarizabilities are taken relative to the constants `site` per species, tensors component by
    component relative to their mean, Born charges relative to the mean tensor of their species.  A label without
    any spread gets its root mean square (or 1).
    """
    out = {}
    for name, target in labels.targets.items():
        value = labels.per_atom(name, target).to(torch.float64)
        if name in ("energy", "polarizability"):
            structure = torch.repeat_interleave(torch.arange(len(labels.counts)), labels.counts)
            constant = torch.zeros(len(labels.counts), dtype=torch.float64)
            constant = constant.index_add(0, structure, site[labels.species]) / labels.counts
            value = value - (constant if name == "energy" else constant[:, None] * value.new_tensor([1, 1, 1, 0, 0, 0]))
        elif name == "dipole":
            value = labels.error(name, torch.zeros_like(target)).to(torch.float64)
        if name == "born_charges":
            mean = torch.stack([value[labels.species == t].mean(dim=0) for t in range(int(labels.species.max()) + 1)])
            value = value - mean[labels.species]
        elif name != "forces":
            value = value - value.mean(dim=0)
        spread = float(value.square().mean().sqrt())
        if spread <= 1e-10 * float(target.abs().max()):
            spread = float(target.square().mean().sqrt()) or 1.0
        out[name] = spread
    return out


@dataclass(frozen=True)
class Objective:
    """The loss: ``sum_q weight_q <error_q^2> / spread_q^2 + weight_decay * sum_p w_p p^2``.

    Attributes
    ----------
    weights, spreads : mapping of str to float
        By label.
    decay : Tensor, shape (n_parameters,)
        ``weight_decay * w``, see :func:`tnep_calc.training.initial.decay_weights`.
    """

    weights: Mapping[str, float]
    spreads: Mapping[str, float]
    decay: Tensor

    def terms(self, labels: Labels, predictions: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the mean squared error of each label in units of its squared spread."""
        return {
            name: labels.error(name, predictions[name]).square().mean() / self.spreads[name] ** 2
            for name in self.weights
        }

    def loss(self, terms: Mapping[str, Tensor], vector: Tensor | None = None) -> Tensor:
        """Return the weighted sum of terms, with the penalty if the parameter vector is given."""
        total = sum(weight * terms[name] for name, weight in self.weights.items())
        if vector is not None:
            total = total + (self.decay * vector.square()).sum()
        return total  # type: ignore[return-value]
