"""Time to train the members of an ensemble together, compared with one after the other."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from cases import record
from training_common import HYPER, MOLECULES, SPECIES, configuration, qm7b

from tnep_calc.training.nep.joint import JointTrainer
from tnep_calc.training.nep.trainer import Trainer

MEMBERS, FRACTION = 5, 0.9
"""As in calorine's tutorial."""


def bagging(indices):
    """Return the splits of the members; structures that a member does not train on are its validation set."""
    rng = np.random.default_rng(2)
    count = round(FRACTION * len(indices["train"]))
    drawn = [rng.permutation(indices["train"]) for _ in range(MEMBERS)]
    return [indices | {"train": np.sort(order[:count]), "validation": np.sort(order[count:])} for order in drawn]


def ensemble(quick: bool) -> list[dict]:
    """Train five members of bagging both ways; CPU time with preparation, reports and validation."""
    records = []
    for kind in ("dipole", "polarizability"):
        structures, indices = qm7b(kind)
        splits = bagging(indices)
        model = {"kind": kind, "species": list(SPECIES)} | HYPER
        steps = 10 if quick else 80
        options = MOLECULES | {"steps": steps, "lbfgs_steps": steps // 2}
        config = configuration(model, {"weight_decay": 1e-6}, options, interval=20)
        configs = [replace(config, model=replace(config.model, seed=k)) for k in range(MEMBERS)]
        begin = time.process_time()
        together = JointTrainer.of(configs, structures, splits)
        together.run()
        middle = time.process_time()
        alone = []
        for own, split in zip(configs, splits, strict=True):
            alone.append(Trainer(own, structures, split))
            alone[-1].run()
        ours, theirs = middle - begin, time.process_time() - middle
        errors = [
            np.mean([run.history[-1][f"rmse_{kind}_validation"] for run in runs]) for runs in (together.members, alone)
        ]
        print(
            f"QM7B {kind}, {MEMBERS} members of {100 * FRACTION:.0f} %, {steps} steps of SOAP and {steps // 2} of "
            f"L-BFGS: together {ours:.0f} CPU s, one after the other {theirs:.0f}, ratio {theirs / ours:.2f}; mean "
            f"validation RMSE {errors[0]:.4f} and {errors[1]:.4f}"
        )
        records.append(
            record(f"QM7B {kind}, {MEMBERS} members", "training", "one after the other", ours, theirs, "CPU s")
        )
    return records
