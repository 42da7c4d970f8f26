"""Active learning: select the structures of a trajectory that an ensemble of models would learn most from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from ..calculators.batch import Batch, batches
from ..calculators.ensemble import STD
from ..calculators.tnep import TNEPCalculator
from ..errors import InputError

MEASURES = {
    "energy": ("forces", "eV/Å", "largest standard deviation of a force"),
    "dipole": ("dipole", "e·Å/atom", "standard deviation of the dipole per atom"),
    "susceptibility": ("polarizability", "e·Å²/V/atom", "standard deviation of the polarizability per atom"),
}
"""By role of the model: the property whose spread is the uncertainty, its unit, and a description of the measure."""
_FLAT = 1e-9  # descriptor components with a smaller spread, relative to the largest spread, count as constant


@dataclass(frozen=True)
class Survey:
    """Uncertainties of an ensemble for a list of structures, and their descriptors.

    Attributes
    ----------
    uncertainty : ndarray, shape (n,)
        In the unit of ``MEASURES``.
    descriptors : ndarray, shape (n, T * dim)
        Sums of the descriptors of the atoms of each of the T species of the model, divided by the number of all atoms.
    """

    uncertainty: np.ndarray
    descriptors: np.ndarray


def survey(frames: Iterable[Atoms], calculator: TNEPCalculator) -> Survey:
    """Evaluate an ensemble on structures.

    The uncertainty of a potential is the standard deviation (norm) of the force of the atom where it is largest.  That
    of other models is the norm of the standard deviation of dipole or polarizability, per atom.  The descriptors are
    those of the first member.

    Parameters
    ----------
    frames : iterable of ase.Atoms
    calculator : TNEPCalculator
        With one ensemble of models of the NEP family.

    Raises
    ------
    InputError
        If there is no frame, or if the calculator does not have exactly one ensemble of NEP models.
    """
    roles = list(calculator.models)
    if len(roles) != 1 or roles[0] not in MEASURES or len(calculator.models[roles[0]]) < 2:
        raise InputError("selection needs two or more NEP models of one kind: potentials, dipoles or polarizabilities")
    role = roles[0]
    name = MEASURES[role][0]
    species = calculator.models[role][0].metadata.species
    uncertainty: list[float] = []
    descriptors = []
    for part in batches(frames):
        batch = Batch(calculator, part, first=len(uncertainty))
        for atoms, found, q in zip(part, batch.properties([name]), batch.descriptors(), strict=True):
            deviation = found[name + STD]
            if role == "energy":
                uncertainty.append(float(np.linalg.norm(deviation, axis=1).max()))
            else:
                uncertainty.append(float(np.linalg.norm(deviation)) / len(atoms))
            symbols = np.array(atoms.get_chemical_symbols())
            descriptors.append(np.concatenate([q[symbols == s].sum(axis=0) for s in species]) / len(atoms))
    if not uncertainty:
        raise InputError("there are no structures to select from")
    return Survey(np.array(uncertainty), np.array(descriptors))


def select_structures(candidates: Survey, n: int, known: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Choose structures that are uncertain and different from each other.

    The choice is greedy.  Each structure has the largest product of uncertainty and distance to the nearest structure
    that is chosen already or known.  Without `known`, the first one is the most uncertain.  Distances are Euclidean
    distances of descriptors, each component in units of its standard deviation over the candidates.  A copy of a chosen
    structure is therefore never chosen.

    Parameters
    ----------
    candidates : Survey
    n : int
        Number of structures to choose. Fewer are returned if the others repeat chosen structures.
    known : ndarray, shape (m, T * dim), optional
        Descriptors of structures that have labels already.

    Returns
    -------
    chosen : ndarray of int, shape (n_chosen,)
        Indices of the candidates in the order of choice.
    distance : ndarray, shape (n_chosen,)
        Distance of each to the nearest structure that was chosen before it or known, in units of standard deviations.
        Without `known`, that of the first is infinite.

    Raises
    ------
    InputError
        If n is not positive.

    Examples
    --------
    >>> q = np.array([[0.0], [0.01], [1.0], [2.0]])
    >>> select_structures(Survey(np.array([1.0, 0.99, 0.3, 0.5]), q), 2)[0].tolist()
    [0, 3]
    """
    if n < 1:
        raise InputError(f"the number of structures to select must be positive, got {n}")
    q = candidates.descriptors
    spread = q.std(axis=0)
    used = spread > _FLAT * spread.max(initial=0.0)
    scaled = q[:, used] / spread[used]
    nearest = np.full(len(q), np.inf)
    for row in () if known is None else known[:, used] / spread[used]:
        nearest = np.minimum(nearest, np.linalg.norm(scaled - row, axis=1))
    chosen: list[int] = []
    distance: list[float] = []
    while len(chosen) < min(n, len(q)):
        first = np.isinf(nearest).all()
        score = candidates.uncertainty if first else candidates.uncertainty * nearest
        best = int(score.argmax())
        if not score[best] > 0:
            break
        chosen.append(best)
        distance.append(float(nearest[best]))
        nearest = np.minimum(nearest, np.linalg.norm(scaled - scaled[best], axis=1))
    return np.array(chosen, dtype=int), np.array(distance)
