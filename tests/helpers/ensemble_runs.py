"""Data and configuration of a small ensemble."""

import numpy as np
from ase import Atoms

from helpers.structures import random_structure

TOML = """
[data]
files = ["data.extxyz"]
test_fraction = 0.2
[model]
kind = "polarizability"
species = ["N", "B"]
radial_cutoff = 3.7
angular_cutoff = 3.0
n_max = [2, 2]
basis_size = [3, 3]
l_max = [3, 0, 0]
neurons = 4
[optimizer]
steps = 20
lbfgs_steps = 20
[output]
directory = "out"
report_interval = 5
checkpoint_interval = 5
[ensemble]
n_splits = 3
train_fraction = 0.75
"""


def smooth_structures(n=20):
    """Crystals whose polarizability is a smooth function of the positions."""
    frames = []
    for seed in range(n):
        s = random_structure(seed, "BNNB")
        d = s.positions[:, None] - s.positions
        alpha = 3 * np.eye(3) + np.einsum("ijab,ij->ab", d[..., :, None] * d[..., None, :], np.exp(-(d**2).sum(-1) / 4))
        frames.append(Atoms(s.symbols, s.positions, cell=s.cell, pbc=True, info={"polarizability": alpha}))
    return frames
