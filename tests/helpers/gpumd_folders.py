"""Small training folders of GPUMD, and runs in them."""

import os
import signal
from contextlib import nullcontext
from dataclasses import replace
from multiprocessing import get_context

import numpy as np

from helpers.structures import random_structure
from tnep_calc.io.gpumd.nep_in import NepInput
from tnep_calc.training.gpumd import folder as folder_module
from tnep_calc.training.gpumd.run import run_directory

SMALL = NepInput(
    ("N", "B"),
    cutoff=((3.7, 3.0),),
    n_max=(2, 2),
    basis_size=(3, 3),
    l_max=(3, 1, 0, 0, 0, 0, 0),
    neuron=4,
    population=10,
    generation=8,
    batch=2,
    output_interval=2,
)
SYMBOLS = ("BNB", "BN", "NNB")


def options(kind, **changes):
    model_type = ("potential", "dipole", "polarizability").index(kind)
    weights = {"lambda_e": 0.0, "lambda_f": 0.0, "lambda_v": 1.0} if model_type else {}
    return replace(SMALL, model_type=model_type, **weights, **changes)


def write_xyz(path, seeds, virial=True, weight=1, labels=True):
    def words(array):
        return " ".join(f"{value:.8f}" for value in np.ravel(array))

    text = ""
    for seed in seeds:
        s = random_structure(seed, SYMBOLS[seed % 3])
        text += f'{len(s)}\nLattice="{words(s.cell)}" pbc="F F F" weight={weight} '
        if labels:
            text += f'energy={s.energy:.8f} dipole="{words(s.dipole)}" pol="{words(s.polarizability)}" '
            text += f'virial="{words(s.virial)}" ' if virial else ""
        text += "Properties=species:S:1:pos:R:3:force:R:3:adipole:R:3\n"
        for symbol, r, f in zip(s.symbols, s.positions, s.forces, strict=True):
            text += f"{symbol} {words(r)} {words(f)} {words(f)}\n"
    path.write_text(text)


def checkpoint_every(monkeypatch, module, steps):
    """Make a module that trains by gradients write a checkpoint every `steps` steps."""
    original = module.gradient_config

    def config(folder, run):
        config = original(folder, run)
        return replace(config, output=replace(config.output, checkpoint_interval=steps))

    monkeypatch.setattr(module, "gradient_config", config)


def rows(folder):
    return [[float(word) for word in line.split()] for line in (folder / "loss.out").read_text().splitlines()]


def interrupted(folder, row, device="cpu", within=nullcontext):
    """Run in a process that is killed after it has written a row of loss.out.

    The process is a fork of this one, so it does not import torch again.
    """

    def train():
        write, count = folder_module.append_row, []

        def append_row(path, text):
            write(path, text)
            count.append(text)
            if len(count) == row:
                os.kill(os.getpid(), signal.SIGKILL)

        folder_module.append_row = append_row
        with within():
            run_directory(str(folder), folder_module.RunOptions(engine="snes", device=device))

    process = get_context("fork").Process(target=train)
    process.start()
    process.join(timeout=300)
    assert process.exitcode == -signal.SIGKILL


HISTORY = "100     0.50000    0.10000    0.10000    0.30000      0.30000      \n"
