"""A NEP for small displacements by linear least squares, without gradient descent.

Small displacements need few functions but small errors.  The energy is therefore taken as linear in the descriptor, and
the descriptor's coefficients are chosen for the training forces: least squares with all products of angular sums
(:mod:`.nep_basis`), then their best approximation of low rank (:mod:`.low_rank`).  The result is an ordinary
``nep.txt`` with a single neuron per species in its linear range.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...io.content import read_arrays
from ...io.files import atomic_output
from ...io.gpumd.nep_parameters import EXTRA_BLOCKS, NepParameters
from ...io.gpumd.nep_txt import write_nep
from ...io.supercells import SupercellData
from ...models.nep.polynomials import three_body_weights
from ...progress import Progress
from .evaluation import SAVE_INTERVAL
from .low_rank import LowRank, low_rank
from .nep_basis import NepBasis, Sums, design

log = logging.getLogger(__name__)

DEFAULTS: dict[str, Any] = {
    "radial_cutoff": 8.0,
    "angular_cutoff": 5.0,
    "n_max": 7,
    "basis_size": (8, 6),
    "l_max": 4,
}
"""Default parameters of :func:`fit_nep`; ``n_max`` is the angular one."""
REGULARISATIONS = (1e-4, 1e-6, 1e-8, 1e-10, 1e-12)
"""Candidates of the ridge parameter, relative to the mean squares of the forces of each coefficient."""
ENERGY_WEIGHT = 1.0
"""Weight in 1/Å of the error of the energy of a supercell (eV) beside that of a force component (eV/Å)."""
LINEAR_RANGE = 0.01
"""Largest argument of the hyperbolic tangent in the training set; forces deviate by its square from linear ones."""
_SAMPLE = 8  # supercells from which the ranges of the descriptor are taken


def nep_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all parameters of the fit, with those of `given` instead of the defaults.

    Raises
    ------
    InputError
        If a name is unknown or a value has the wrong type.

    Examples
    --------
    >>> nep_settings({"n_max": 5})["n_max"]
    5
    """
    settings = dict(DEFAULTS)
    for name, value in given.items():
        if name not in settings:
            raise InputError(f"the fit of a NEP has no parameter '{name}'; known: {', '.join(settings)}")
        default = settings[name]
        try:
            if isinstance(default, tuple):
                first, second = value
                settings[name] = (int(first), int(second))
            else:
                settings[name] = type(default)(value)
        except (TypeError, ValueError):
            kind = "two integers" if isinstance(default, tuple) else "one number"
            raise InputError(f"parameter '{name}' of the fit of a NEP must be {kind}, got {value}") from None
    if settings["n_max"] < 0:
        raise InputError(f"parameter 'n_max' of the fit of a NEP must not be negative, got {settings['n_max']}")
    return settings


def fit_nep(
    data: SupercellData,
    train: Sequence[int],
    test: Sequence[int],
    path,
    settings: Mapping[str, Any] | None = None,
    checkpoint=None,
) -> NepParameters:
    """Fit a NEP to displaced supercells and write it to a file.

    The regularisation with the smallest force error on the test supercells is chosen, so that this error is slightly
    too small.

    Parameters
    ----------
    data : SupercellData
    train, test : sequence of int
        Indices of the supercells for the fit, and for the choice of the regularisation.
    path : path
        File to write, usually ``nep.txt``.
    settings : mapping, optional
        Parameters by name (``DEFAULTS``).
    checkpoint : path, optional
        File (``.npz``) of the normal equations so far, with which a killed fit resumes.

    Returns
    -------
    NepParameters

    Raises
    ------
    InputError
        If a parameter is unknown or out of range.
    DataFileError
        If the checkpoint is damaged.
    """
    chosen = nep_settings(settings or {})
    species = tuple(dict.fromkeys(data.supercell.symbols))
    basis = NepBasis(species, chosen["radial_cutoff"], chosen["angular_cutoff"], chosen["basis_size"], chosen["l_max"])
    equations = _accumulate(basis, data, train, test, checkpoint)
    ridge, error = _best_ridge(equations)
    result = low_rank(basis, *equations.regularised(ridge), chosen["n_max"] + 1)
    log.info(
        "force error of the test supercells: %.4g meV/Å with all %d products (regularisation %.0e), %.4g with n_max %d",
        1e3 * error,
        basis.size,
        ridge,
        1e3 * equations.test_error(result.coefficients),
        chosen["n_max"],
    )
    parameters = _parameters(basis, data, train, result, equations.changes)
    write_nep(path, parameters, decimals=16)  # large terms cancel: with eight digits the forces get an error
    return parameters


@dataclass
class _Equations:
    """Mean normal equations of the training supercells per force component, and those of the test supercells.

    `changes`, shape (training supercells, size), are the energies for each coefficient relative to no displacements.
    """

    train: np.ndarray
    train_vector: np.ndarray
    test: np.ndarray
    test_vector: np.ndarray
    test_square: float
    changes: np.ndarray
    done: int

    @classmethod
    def empty(cls, size: int, training: int) -> _Equations:
        """Return equations without supercells."""
        square = (size, size)
        return cls(
            np.zeros(square), np.zeros(size), np.zeros(square), np.zeros(size), 0.0, np.zeros((training, size)), 0
        )

    def regularised(self, ridge: float) -> tuple[np.ndarray, np.ndarray]:
        """Return matrix and right-hand side with a ridge relative to the diagonal."""
        diagonal = np.diag(self.train)
        floor = 1e-20 * diagonal.max()  # functions that do not change in any supercell get the coefficient 0
        return self.train + np.diag(ridge * np.maximum(diagonal, floor) + floor), self.train_vector

    def test_error(self, x: np.ndarray) -> float:
        """Return the root mean square error of the force components of the test supercells in eV/Å."""
        return float(np.sqrt(max(x @ self.test @ x - 2 * x @ self.test_vector + self.test_square, 0.0)))


def _best_ridge(equations: _Equations) -> tuple[float, float]:
    """Return the regularisation with the smallest test error, and this error."""
    errors = {ridge: equations.test_error(np.linalg.solve(*equations.regularised(ridge))) for ridge in REGULARISATIONS}
    best = min(errors, key=lambda ridge: errors[ridge])
    return best, errors[best]


def _accumulate(basis: NepBasis, data: SupercellData, train, test, checkpoint) -> _Equations:
    """Return the normal equations of all supercells."""
    which = [*train, *test]
    types = _types(basis, data)
    sites, cell = np.array(data.supercell.positions), np.array(data.supercell.cell)
    key = _key(basis, train, test, sites, cell, data.displacements[which], data.forces[which], data.energies[which])
    found = _previous(checkpoint, key) or _Equations.empty(basis.size, len(train))
    undisplaced = design(basis, types, sites, cell)[0]
    progress = Progress(log, "supercells in the fit", len(which), found.done)
    saved = time.monotonic()
    for index in which[found.done :]:
        energies, forces = design(basis, types, sites + data.displacements[index], cell)
        target = data.forces[index].ravel()
        if found.done < len(train):
            found.changes[found.done] = energies - undisplaced
            found.train += forces.T @ forces / (target.size * len(train))
            found.train_vector += forces.T @ target / (target.size * len(train))
        else:
            found.test += forces.T @ forces / (target.size * len(test))
            found.test_vector += forces.T @ target / (target.size * len(test))
            found.test_square += target @ target / (target.size * len(test))
        found.done += 1
        progress.advance()
        if checkpoint is not None and time.monotonic() - saved > SAVE_INTERVAL:
            with atomic_output(checkpoint, force=True) as temporary:
                np.savez(temporary, key=key, **vars(found))
            saved = time.monotonic()
    # differences of energies from their mean, because the energy without displacements is not known
    change = found.changes - found.changes.mean(axis=0)
    share = ENERGY_WEIGHT**2 / (data.forces[0].size * len(train))
    found.train += share * (change.T @ change)
    found.train_vector += share * (change.T @ data.energies[list(train)])
    return found


def _types(basis: NepBasis, data: SupercellData) -> np.ndarray:
    return np.array([basis.species.index(symbol) for symbol in data.supercell.symbols])


def _key(basis: NepBasis, train, test, *arrays) -> str:
    """Return a hash of everything that the normal equations depend on."""
    digest = hashlib.sha256(repr((basis, len(train), len(test))).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _previous(checkpoint, key: str) -> _Equations | None:
    """Return the equations of a checkpoint; None if there is none, or it belongs to other supercells or parameters."""
    if checkpoint is None or not Path(checkpoint).exists():
        return None
    values: dict[str, Any] = read_arrays(checkpoint, ("key", *_Equations.__annotations__))
    if str(values.pop("key")) != key:
        return None
    return _Equations(**values | {"test_square": float(values["test_square"]), "done": int(values["done"])})


def _parameters(basis: NepBasis, data: SupercellData, train, result: LowRank, changes: np.ndarray) -> NepParameters:
    """Return the NEP with the energies of a fit, whose constant follows from the mean of the training energies."""
    types = _types(basis, data)
    sites, cell = np.array(data.supercell.positions), np.array(data.supercell.cell)
    radial, descriptors, most = _descriptors(
        basis, types, sites, cell, data.displacements[list(train)[:_SAMPLE]], result
    )
    rank, species = result.c.shape[1], len(basis.species)
    # one radial component, whose weight is one, and the invariants in the order l, n
    weights = np.concatenate([np.ones((species, 1)), result.products.transpose(0, 2, 1).reshape(species, -1)], axis=1)
    spread = np.ptp(descriptors.reshape(-1, descriptors.shape[-1]), axis=0)
    scaler = 1 / np.where(spread > 1e-6 * spread.max(), spread, 1.0)
    means, slopes = np.zeros(species), np.zeros(species)
    for kind in range(species):
        energies = descriptors[:, types == kind] @ weights[kind]
        means[kind] = energies.mean()
        slopes[kind] = LINEAR_RANGE / max(np.abs(energies - means[kind]).max(), 1e-6)
    undisplaced = design(basis, types, sites, cell)[0]
    predicted = (undisplaced + changes) @ result.coefficients - means[types].sum()
    constant = (data.energies[list(train)] - predicted).mean() / len(types)
    angular = result.c.reshape(species, rank, species, -1).transpose(1, 3, 0, 2)
    return NepParameters(
        version=4,
        kind="potential",
        species=basis.species,
        radial_cutoffs=np.full(species, basis.radial_cutoff),
        angular_cutoffs=np.full(species, basis.angular_cutoff),
        max_neighbors=most,
        n_max=(0, rank - 1),
        basis_size=basis.basis_size,
        l_max=basis.l_max,
        extra=(False,) * len(EXTRA_BLOCKS),
        neurons=1,
        w0=(slopes[:, None] * weights / scaler)[None, :, None, :],
        b0=(slopes * means)[None, :, None],
        w1=(1 / slopes)[None, :, None],
        b1=np.array([-constant]),
        c_radial=radial,
        c_angular=angular,
        q_scaler=scaler,
    )


def _descriptors(basis: NepBasis, types, sites, cell, displacements, result: LowRank):
    """Return c of the radial component, descriptors of displaced supercells, and the largest numbers of neighbours.

    Shapes: (1, k, T, T) with the species of centre and neighbour, and (supercells, atoms, components).
    """
    species = len(basis.species)
    radial = result.radial.reshape(species, species, -1).transpose(2, 0, 1)[None]
    weights = three_body_weights(basis.l_max)
    rows, most = [], (0, 0)
    for displacement in displacements:
        sums = Sums(basis, types, sites + displacement, cell)
        of_radial = np.einsum("iJk,kiJ->i", sums.radial.numpy(), radial[0][:, types])
        s = np.einsum("inK,iKs->ins", result.c[types], sums.angular.numpy())
        of_angular = np.einsum("ins,sl->iln", s**2, weights)
        rows.append(np.concatenate([of_radial[:, None], of_angular.reshape(len(types), -1)], axis=1))
        most = max(most[0], sums.most[0]), max(most[1], sums.most[1])
    return radial, np.array(rows), most
