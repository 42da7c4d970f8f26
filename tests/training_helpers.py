"""Random labelled structures and small configurations for the tests of the trainer."""

import numpy as np

from tnep_calc.structures import LabelledStructure
from tnep_calc.training.nep.config import parse_config

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
        f"random, structure {seed}", tuple(symbols), positions, cell, np.array([pbc] * 3), energy=rng.normal() - 5 * n,
        forces=rng.normal(size=(n, 3)), virial=symmetric[0], dipole=rng.normal(size=3),
        born_charges=rng.normal(size=(n, 3, 3)), polarizability=symmetric[1] + 3 * n * np.eye(3),
        atomic_dipole=of_atoms[:, 0], atomic_polarizability=of_atoms[:, 1:] + of_atoms[:, 1:].transpose(0, 2, 1),
    )  # fmt: skip


def small_config(kind="potential", base=".", data=(), **tables):
    content = {
        "data": {"files": ["data.extxyz"], "validation_fraction": 0.0, "test_fraction": 0.0, **dict(data)},
        "model": {"kind": kind, "species": ["N", "B"], "radial_cutoff": 3.7, "angular_cutoff": 3.0, "n_max": [2, 2],
                  "basis_size": [3, 3], "l_max": [3, 2, 0], "neurons": 5},
        "loss": {"born_charges": 1.0} if kind == "dipole" else {},
        "optimizer": {"steps": 5, "lbfgs_steps": 5},
        "output": {"directory": "out"},
    }  # fmt: skip
    for name, table in tables.items():
        content[name].update(table)
    return parse_config(content, base)


class Stop(Exception):
    """Ends a run where a test wants it."""


def stop_at(run, step):
    """Make a run raise ``Stop`` as soon as it has done so many steps."""
    advance = run.advance

    def stopping():
        if run.step >= step:
            raise Stop
        advance()

    run.advance = stopping
