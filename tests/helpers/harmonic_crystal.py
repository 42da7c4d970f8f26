"""A data set without errors, and a function that introduces some."""

from dataclasses import replace

import numpy as np

from tnep_calc.structures import LabelledStructure
from tnep_calc.units import EPSILON_0

CELL = np.array([[4.2, 0, 0], [0.5, 4.0, 0], [-0.3, 0.4, 4.4]])
REST = np.array([[0, 0, 0], [0.5, 0.5, 0.0], [0.5, 0, 0.5], [0, 0.5, 0.5]]) @ CELL
SYMBOLS = ("Mg", "Mg", "O", "O")
BORN = np.array([[[2.0, 0.3, 0.0], [0.0, 1.8, 0.2], [0.1, 0.0, 1.9]]] * 4) * np.array([1, 1, -1, -1])[:, None, None]
SPRING = np.array([3.0, 4.0, 3.0, 4.0])[:, None]


def frames(n=40, seed=0):
    """Return structures with consistent labels: harmonic energies and forces, dipoles linear in the displacements."""
    rng = np.random.default_rng(seed)
    out = []
    for k in range(n):
        u = rng.normal(0, 0.05, (4, 3))
        u -= u.mean(axis=0)
        alpha = np.eye(3) * EPSILON_0 * np.linalg.det(CELL) * (2.0 + 0.05 * rng.normal())
        out.append(
            LabelledStructure(
                f"f.extxyz, structure {k}",
                SYMBOLS,
                REST + u,
                CELL,
                np.array([True] * 3),
                energy=-50.0 + float(np.sum(SPRING * u**2) / 2),
                forces=-SPRING * u,
                virial=np.eye(3) * rng.normal(3, 0.5),
                dipole=np.array([0.2, -0.1, 0.4]) + np.einsum("aij,aj->i", BORN, u),
                born_charges=BORN,
                polarizability=alpha,
            )
        )
    return out


def changed(structures, k, **labels):
    """Return the list with structure k (or all, for None) changed; callables get the structure."""
    out = list(structures)
    for i in range(len(out)) if k is None else [k]:
        out[i] = replace(out[i], **{name: v(out[i]) if callable(v) else v for name, v in labels.items()})
    return out
