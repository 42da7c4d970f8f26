"""Small settings and structures of the evolution strategy."""

from dataclasses import replace

import numpy as np

from helpers.structures import random_structure
from tnep_calc.io.gpumd.nep_in import NepInput
from tnep_calc.io.gpumd.xyz import GpumdFrame

SMALL = NepInput(
    ("N", "B"),
    cutoff=((3.7, 3.0),),
    n_max=(2, 2),
    basis_size=(3, 3),
    l_max=(3, 1, 0, 0, 0, 0, 0),
    neuron=4,
    population=12,
    generation=20,
    lambda_v=1.0,
)
KINDS = {"potential": 0, "dipole": 1, "polarizability": 2}


def options(kind, **changes):
    weights = {} if kind == "potential" else {"lambda_e": 0.0, "lambda_f": 0.0}
    return replace(SMALL, model_type=KINDS[kind], **{**weights, **changes})


def make_frames(count=5, atomic=False):
    frames = []
    for seed in range(count):
        s = random_structure(seed, ("BNB", "BN", "NNB", "BB", "NN")[seed % 5])
        rng = np.random.default_rng(100 + seed)
        extra = {"atomic_dipole": rng.normal(size=(len(s), 3)), "atomic_polarizability": rng.normal(size=(len(s), 6))}
        frames.append(GpumdFrame(s, **(extra if atomic else {})))
    return frames
