"""The parameters of a NEP from a linear fit: regularisation, low rank, and the constants of its file."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tnep_calc.io.gpumd.nep_parameters import EXTRA_BLOCKS, NepParameters
from tnep_calc.models.nep.polynomials import three_body_weights

from .basis import Sums
from .equations import Problem, best_ridge
from .low_rank import LowRank, low_rank

log = logging.getLogger(__name__)

LINEAR_RANGE = 0.01
"""Largest argument of the hyperbolic tangent in the training set; forces deviate by its square from linear ones."""
_SAMPLE = 64  # structures from which the ranges of the descriptor are taken


@dataclass(frozen=True)
class LinearNep:
    """A NEP whose energy is linear in the descriptor, without the constants of the species.

    Attributes
    ----------
    parameters : NepParameters
        One radial component, one neuron per species, no output bias.
    constants : ndarray, shape (n_species,)
        Energy in eV to be added for each atom of a species.
    """

    parameters: NepParameters
    constants: np.ndarray


def fit(problem: Problem, n_max: int, checkpoint: Path | None = None) -> LinearNep:
    """Fit a NEP by linear least squares.

    Parameters
    ----------
    problem : Problem
        Structures, labels and functions.
    n_max : int
        Angular ``n_max`` of the NEP.
    checkpoint : path, optional
        File (``.npz``) of the normal equations so far, with which a killed fit resumes.

    Raises
    ------
    InputError
        If the labels do not depend on any coefficient.
    DataFileError
        If the checkpoint is damaged.
    """
    equations = problem.equations(checkpoint)
    ridge = best_ridge(problem, equations)
    result = low_rank(problem.basis, *equations.regularised(ridge), n_max + 1)
    if problem.held_with_forces:
        error = 1e3 * equations.held_error(result.coefficients)
        log.info("their approximation of low rank (n_max %d): force error %.4g meV/Å", n_max, error)
    parameters, means = _parameters(problem, result)
    return LinearNep(parameters, means + problem.constants(equations, result.coefficients))


def _parameters(problem: Problem, result: LowRank) -> tuple[NepParameters, np.ndarray]:
    """Return the NEP, and the mean energies of the species that its neurons subtract."""
    basis = problem.basis
    radial, descriptors, types, most = _descriptors(problem, result)
    rank, species = result.c.shape[1], len(basis.species)
    # one radial component, whose weight is one, and the invariants in the order l, n
    weights = np.concatenate([np.ones((species, 1)), result.products.transpose(0, 2, 1).reshape(species, -1)], axis=1)
    spread = np.ptp(descriptors, axis=0)
    scaler = 1 / np.where(spread > 1e-6 * spread.max(), spread, 1.0)
    means, slopes = np.zeros(species), np.ones(species)
    for kind in np.unique(types):
        energies = descriptors[types == kind] @ weights[kind]
        means[kind] = energies.mean()
        slopes[kind] = LINEAR_RANGE / max(np.abs(energies - means[kind]).max(), 1e-6)
    angular = result.c.reshape(species, rank, species, -1).transpose(1, 3, 0, 2)
    parameters = NepParameters(
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
        b1=np.zeros(1),
        c_radial=radial,
        c_angular=angular,
        q_scaler=scaler,
    )
    return parameters, means


def _descriptors(problem: Problem, result: LowRank):
    """Return c of the radial component, descriptors and species of atoms, and the largest numbers of neighbours.

    Shapes: (1, k, T, T) with the species of centre and neighbour, (atoms, components), and (atoms,).
    """
    basis, species = problem.basis, len(problem.basis.species)
    radial = result.radial.reshape(species, species, -1).transpose(2, 0, 1)[None]
    weights = three_body_weights(basis.l_max)
    rows, kinds, most = [], [], (0, 0)
    last = len(problem.structures) - 1
    for k in np.unique(np.linspace(0, last, _SAMPLE).round().astype(int)):
        structure = problem.structures[k]
        types = problem.types(structure)
        sums = Sums(basis, types, structure.positions, structure.cell, structure.pbc)
        of_radial = np.einsum("iJk,kiJ->i", sums.radial.numpy(), radial[0][:, types])
        s = np.einsum("inK,iKs->ins", result.c[types], sums.angular.numpy())
        of_angular = np.einsum("ins,sl->iln", s**2, weights)
        rows.append(np.concatenate([of_radial[:, None], of_angular.reshape(len(types), -1)], axis=1))
        kinds.append(types)
        most = max(most[0], sums.most[0]), max(most[1], sums.most[1])
    return radial, np.concatenate(rows), np.concatenate(kinds), most
