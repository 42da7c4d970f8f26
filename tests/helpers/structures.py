"""Random labelled structures for training tests."""

import numpy as np

from tnep_calc.structures import LabelledStructure

CELL = np.array([[3.1, 0, 0], [0.5, 3.4, 0], [-0.4, 0.3, 3.7]])  # smaller than twice every cutoff used here
LABELS = {
    "potential": ("energy", "forces", "virial"),
    "dipole": ("dipole", "born_charges"),
    "polarizability": ("polarizability",),
}


def random_structure(seed, symbols, pbc=True, cell=CELL):
    rng = np.random.default_rng(seed)
    n = len(symbols)
    cell = cell + rng.normal(scale=0.1, size=(3, 3)) if pbc else np.zeros((3, 3))
    fractions = np.array([[0.1, 0.1, 0.1], [0.6, 0.55, 0.1], [0.1, 0.6, 0.6], [0.6, 0.1, 0.55]])[:n]
    positions = (fractions + rng.normal(scale=0.03, size=(n, 3))) @ CELL
    symmetric = rng.normal(size=(2, 3, 3))
    of_atoms = np.random.default_rng(seed + 1000).normal(size=(n, 4, 3))
    symmetric = symmetric + symmetric.transpose(0, 2, 1)
    return LabelledStructure(
        f"random, structure {seed}",
        tuple(symbols),
        positions,
        cell,
        np.array([pbc] * 3),
        energy=rng.normal() - 5 * n,
        forces=rng.normal(size=(n, 3)),
        virial=symmetric[0],
        dipole=rng.normal(size=3),
        born_charges=rng.normal(size=(n, 3, 3)),
        polarizability=symmetric[1] + 3 * n * np.eye(3),
        atomic_dipole=of_atoms[:, 0],
        atomic_polarizability=of_atoms[:, 1:] + of_atoms[:, 1:].transpose(0, 2, 1),
    )
