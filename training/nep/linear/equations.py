"""Normal equations of a potential that is linear in its coefficients, for energies, forces and virials."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tnep_calc.errors import InputError
from tnep_calc.io.content import read_arrays
from tnep_calc.io.files import atomic_output
from tnep_calc.progress import Progress
from tnep_calc.structures import LabelledStructure

from ...common.labels import Labels, species_counts
from .basis import NepBasis, design

log = logging.getLogger(__name__)

RIDGES = (1e-4, 1e-6, 1e-8, 1e-10, 1e-12)
"""Candidates of the ridge parameter, relative to the mean squares of the rows of each coefficient."""
SAVE_INTERVAL = 10.0
"""Time between two checkpoints in seconds."""
_SAME = 1e-10  # relative size of singular values of the compositions below which species cannot be told apart


@dataclass
class Equations:
    """Least squares for some structures, ``x^T matrix x - 2 x^T vector + square`` for the coefficients x.

    Attributes
    ----------
    matrix, vector, square : arrays, shape (size, size), (size,) and ()
        Of forces, virials and energies of the training structures, each squared error with its weight.  The energies
        are added last, so that checkpoints do not contain them.
    held_matrix, held_vector, held_square : arrays
        The same of the forces of the held-back structures, without weights, as a mean over all components.
    energies : ndarray, shape (n_training, size)
        Energies per atom of the training structures for each coefficient.
    done : int
        Structures so far, first those of the training.
    """

    matrix: np.ndarray
    vector: np.ndarray
    square: float
    held_matrix: np.ndarray
    held_vector: np.ndarray
    held_square: float
    energies: np.ndarray
    done: int

    @classmethod
    def empty(cls, size: int, training: int) -> Equations:
        """Return equations without structures."""
        first, second = (np.zeros((size, size)) for _ in range(2))
        return cls(first, np.zeros(size), 0.0, second, np.zeros(size), 0.0, np.zeros((training, size)), 0)

    def add(self, rows: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> None:
        """Add rows, shape (n, size), of the training with their targets and the weights of their squared errors."""
        weighted = rows.T * weights
        self.matrix += weighted @ rows
        self.vector += weighted @ targets
        self.square += float(targets @ (weights * targets))

    def hold(self, rows: np.ndarray, targets: np.ndarray, share: float) -> None:
        """Add rows of held-back structures, whose squared errors are multiplied by `share`."""
        self.held_matrix += share * (rows.T @ rows)
        self.held_vector += share * (rows.T @ targets)
        self.held_square += share * float(targets @ targets)

    def regularised(self, ridge: float) -> tuple[np.ndarray, np.ndarray]:
        """Return matrix and right-hand side with a ridge relative to the diagonal."""
        diagonal = np.diag(self.matrix)
        floor = 1e-20 * diagonal.max()  # functions that do not change in any structure get the coefficient 0
        return self.matrix + np.diag(ridge * np.maximum(diagonal, floor) + floor), self.vector

    def held_error(self, x: np.ndarray) -> float:
        """Return the root mean square error of the force components of the held-back structures in eV/Å."""
        return float(np.sqrt(max(x @ self.held_matrix @ x - 2 * x @ self.held_vector + self.held_square, 0.0)))


@dataclass(frozen=True)
class Problem:
    """Structures to fit, and what their errors weigh.

    Attributes
    ----------
    basis : NepBasis
    structures, held : sequence of LabelledStructure
        For the fit, and for the choice of the ridge parameter.
    labels : Labels
        Labels ``energy``, ``forces`` or ``virial`` of `structures`.
    factors : mapping of str to float
        Factor of each label; the sum of squares is that of :meth:`tnep_calc.training.common.labels.Labels.square_sum`.
    """

    basis: NepBasis
    structures: Sequence[LabelledStructure]
    labels: Labels
    factors: Mapping[str, float]
    held: Sequence[LabelledStructure] = ()

    def types(self, structure: LabelledStructure) -> np.ndarray:
        """Return the index of the species of each atom."""
        return np.array([self.basis.species.index(symbol) for symbol in structure.symbols])

    @property
    def held_with_forces(self) -> list[LabelledStructure]:
        """Held-back structures that have forces."""
        return [s for s in self.held if s.forces is not None]

    def equations(self, checkpoint: Path | None = None) -> Equations:
        """Return the normal equations of all structures; those of a killed run are taken from its checkpoint.

        Raises
        ------
        DataFileError
            If the checkpoint is damaged.
        """
        key = self._key()
        found = _previous(checkpoint, key) or Equations.empty(self.basis.size, len(self.structures))
        held = self.held_with_forces
        together = [*self.structures, *held]
        components = 3 * sum(map(len, held))
        ends = np.cumsum([0, *map(len, self.structures)])
        progress = Progress(log, "structures in the linear fit", len(together), found.done)
        saved = time.monotonic()
        for k in range(found.done, len(together)):
            structure = together[k]
            made = design(self.basis, self.types(structure), structure.positions, structure.cell, structure.pbc)
            if k < len(self.structures):
                found.energies[k] = made.energies / len(structure)
                self._add(found, k, slice(ends[k], ends[k + 1]), made)
            else:
                found.hold(made.forces, np.asarray(structure.forces).ravel(), 1 / components)
            found.done += 1
            progress.advance()
            if checkpoint is not None and time.monotonic() - saved > SAVE_INTERVAL:
                with atomic_output(checkpoint, force=True) as temporary:
                    np.savez(temporary, key=key, **vars(found))
                saved = time.monotonic()
        self._add_energies(found)
        return found

    def _add(self, found, k, atoms, made):
        """Add the forces and the virial of a training structure."""
        if "forces" in self.factors:
            weights = self.labels.weights["forces"][atoms].expand(-1, 3).numpy().ravel()
            targets = self.labels.targets["forces"][atoms].numpy().ravel()
            found.add(made.forces, targets, self.factors["forces"] / 3 * weights)
        if "virial" in self.factors:
            count = len(self.structures[k])
            weights = self.labels.weights["virial"][k].expand(6).numpy()
            targets = self.labels.targets["virial"][k].numpy() / count
            found.add(made.virials / count, targets, self.factors["virial"] / 6 * weights)

    def _energy_rows(self):
        """Return compositions, energies per atom and weights of the training structures."""
        counts = self.labels.counts.numpy()
        compositions = species_counts(self.labels, len(self.basis.species)).numpy() / counts[:, None]
        weights = self.factors["energy"] * self.labels.weights["energy"][:, 0].numpy()
        return compositions, self.labels.targets["energy"].numpy() / counts, weights

    def _add_energies(self, found):
        """Add the energies, less what constants of the species can explain."""
        if "energy" not in self.factors:
            return
        compositions, targets, weights = self._energy_rows()
        roots = np.sqrt(weights)
        left, sizes, _ = np.linalg.svd(roots[:, None] * compositions, full_matrices=False)
        explained = left[:, sizes > _SAME * sizes[0]]

        def rest(values):
            values = (values - values[0]) * roots.reshape(-1, *[1] * (values.ndim - 1))
            return values - explained @ (explained.T @ values)

        found.add(rest(found.energies), rest(targets), np.ones(len(targets)))

    def constants(self, found: Equations, x: np.ndarray) -> np.ndarray:
        """Return the energy of each species in eV, shape (T,), that fits what the coefficients leave.

        It is 0 without energies.  Species that cannot be told apart, as all structures have the same composition, share
        one constant.
        """
        if "energy" not in self.factors:
            return np.zeros(len(self.basis.species))
        compositions, targets, weights = self._energy_rows()
        left = targets - found.energies @ x
        if np.linalg.matrix_rank(compositions[weights > 0]) <= 1:
            return np.full(len(self.basis.species), np.average(left, weights=weights))
        roots = np.sqrt(weights)
        return np.linalg.lstsq(roots[:, None] * compositions, roots * left, rcond=None)[0]

    def rows(self) -> int:
        """Return the number of numbers that are fitted."""
        return sum(int((self.labels.weights[n] > 0).sum()) * (3 if n == "forces" else 1) for n in self.factors)

    def _key(self) -> str:
        """Return a hash of everything that the normal equations depend on."""
        digest = hashlib.sha256(repr((self.basis, sorted(self.factors.items()))).encode())
        for s in [*self.structures, *self.held_with_forces]:
            digest.update(repr(s.symbols).encode())
            for array in (s.positions, s.cell, s.pbc, s.forces):
                digest.update(np.ascontiguousarray(0.0 if array is None else array).tobytes())
        for name in self.factors:
            for tensor in (self.labels.targets[name], self.labels.weights[name]):
                digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()


def _previous(checkpoint, key: str) -> Equations | None:
    """Return the equations of a checkpoint; None if there is none, or it belongs to other structures or parameters."""
    if checkpoint is None or not Path(checkpoint).exists():
        return None
    values: dict[str, Any] = read_arrays(checkpoint, ("key", *Equations.__annotations__))
    if str(values.pop("key")) != key:
        return None
    numbers = {name: float(values[name]) for name in ("square", "held_square")}
    return Equations(**values | numbers | {"done": int(values["done"])})


def best_ridge(problem: Problem, equations: Equations) -> float:
    """Return the ridge parameter of ``RIDGES`` with the smallest error of held-back forces, and log this error.

    Without held-back forces, generalised cross-validation estimates the error (G. H. Golub, M. Heath and G. Wahba,
    Technometrics 21, 215 (1979)).

    Raises
    ------
    InputError
        If the labels do not depend on any coefficient.
    """
    if not np.diag(equations.matrix).max() > 0:
        raise InputError(
            "no label of the training structures depends on the positions of their atoms: a linear fit needs forces, "
            "or energies of different structures"
        )
    held = bool(problem.held_with_forces)
    errors = {
        ridge: equations.held_error(np.linalg.solve(*equations.regularised(ridge)))
        if held
        else _cross_validation(equations, ridge, problem.rows())
        for ridge in RIDGES
    }
    best = min(errors, key=lambda ridge: errors[ridge])
    if held:
        log.info(
            "linear fit with all %d products: force error of the held-back structures %.4g meV/Å (regularisation %.0e)",
            problem.basis.size,
            1e3 * errors[best],
            best,
        )
    else:
        log.info("linear fit with all %d products: regularisation %.0e by cross-validation", problem.basis.size, best)
    return best


def _cross_validation(equations: Equations, ridge: float, rows: int) -> float:
    """Return the estimate: the squared error over the square of the share of the rows that no coefficient follows."""
    matrix, vector = equations.regularised(ridge)
    x = np.linalg.solve(matrix, vector)
    error = max(x @ equations.matrix @ x - 2 * x @ vector + equations.square, 0.0)
    used = np.trace(np.linalg.solve(matrix, equations.matrix))
    return error / max(1 - used / rows, 1e-3) ** 2
