"""Shared code of the training benchmarks: data, splits, and timed runs of the gradient engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch._dynamo  # the first optimizer of a process would import it while the clock runs
from stand_ins import PUBLISHED, announce, model_file, molecules

from tnep_calc import TNEPCalculator
from tnep_calc.io.gpumd.xyz import read_gpumd_xyz
from tnep_calc.io.structures.extxyz import from_atoms
from tnep_calc.structures import LabelledStructure
from tnep_calc.training.nep.config import parse_config
from tnep_calc.training.nep.joint import JointTrainer
from tnep_calc.training.nep.trainer import Trainer

DATA = PUBLISHED.parent
QM7B = DATA / "tnep" / "qm7b"
SPECIES = ("H", "C", "N", "O", "S", "Cl")
TRAIN, SEED, MOLECULES_OF_QM7B = 1154, 0, 1443
"""Number of training molecules of QM7B, and the seed of their draw; all others are test molecules."""
HYPER = {
    "radial_cutoff": 6.0,
    "angular_cutoff": 4.0,
    "n_max": [6, 6],
    "basis_size": [10, 10],
    "l_max": [4, 2, 1],
    "neurons": 10,
}
"""Hyper-parameters of the data set's own ``nep.in``."""
MOLECULES = {"method": "soap", "batch": 64, "lr": 0.02, "lbfgs_steps": 0}
"""Optimizer of all runs on molecules; the number of steps is added."""


def qm7b(kind: str) -> tuple[list[LabelledStructure], dict[str, np.ndarray]]:
    """Return the molecules (dipole in e bohr or polarizability in bohr^3) and the indices of the splits.

    If the data are absent, the same number of distorted molecules with labels of a shipped model is used: this is
    enough for times, but not for errors.
    """
    if (QM7B / "test.xyz.gz").exists():
        structures = [frame.structure for frame in read_gpumd_xyz(QM7B / "test.xyz.gz", SPECIES, kind)]
    else:
        structures = _labelled(kind)
    order = np.random.default_rng(SEED).permutation(len(structures))
    return structures, splits(order[:TRAIN], order[TRAIN:])


def _labelled(kind):
    announce(f"QM7B {kind}")
    name = "dipole" if kind == "dipole" else "susceptibility"
    calculator = TNEPCalculator(**{name: model_file(f"qm7b/{kind}/nep.txt")})
    made = []
    for k, atoms in enumerate(molecules(MOLECULES_OF_QM7B)):
        label = calculator.get_property(kind, atoms)
        made.append(replace(from_atoms(atoms, f"stand-in {k}"), **{kind: np.asarray(label)}))
    return made


def splits(train: Sequence[int], test: Sequence[int]) -> dict[str, np.ndarray]:
    """Return the indices in the form that a trainer takes."""
    return {"train": np.sort(train), "validation": np.zeros(0, dtype=int), "test": np.sort(test)}


def configuration(model: dict, loss: dict, optimizer: dict, interval: int = 50):
    """Return a training configuration in float32 without data of its own."""
    return parse_config(
        {
            "data": {"files": ["-"], "validation_fraction": 0.0, "test_fraction": 0.0},
            "model": model,
            "loss": loss,
            "optimizer": {"precision": "float32", "memory_gb": 6.0} | optimizer,
            "output": {"directory": ".", "report_interval": interval},
        }
    )


@dataclass
class Run:
    """A finished training run.

    Attributes
    ----------
    trainer : Trainer or JointTrainer
    first : Trainer
        Trainer of the first model.
    preparation, seconds : float
        CPU seconds of the moments, and of the steps (tests excluded).
    curve : list of tuple
        Step, CPU seconds of the steps up to here, and test error of the mean over the models.
    predictions : dict of ndarray, shape (models, rows, ...)
        For the test structures, by label.
    """

    trainer: Trainer | JointTrainer
    first: Trainer
    preparation: float = 0.0
    seconds: float = 0.0
    curve: list[tuple[int, float, float]] = field(default_factory=list)
    predictions: dict[str, np.ndarray] = field(default_factory=dict)

    def error(self, name: str, prediction: np.ndarray) -> np.ndarray:
        """Return prediction minus label of the test structures, per atom for totals."""
        return self.first.parts["test"].labels.error(name, torch.from_numpy(prediction)).numpy()

    def rmse(self, name: str) -> tuple[float, float]:
        """Return the errors of a typical single model and of the mean."""
        values = self.predictions[name]
        single = np.mean([np.square(self.error(name, value)).mean() for value in values])
        return float(np.sqrt(single)), rmse(self.error(name, values.mean(axis=0)))


def rmse(error: np.ndarray) -> float:
    """Return the root mean square of an array."""
    return float(np.sqrt(np.square(error).mean()))


def train(
    structures: Sequence[LabelledStructure],
    indices: dict[str, np.ndarray],
    model: dict,
    loss: dict,
    optimizer: dict,
    *,
    steps: int,
    models: int = 1,
    interval: int = 0,
    watch: str | None = None,
    stop: Callable[[Run], bool] | None = None,
) -> Run:
    """Train one model, or several with different initial parameters together, by SOAP, then by L-BFGS if asked for.

    Parameters
    ----------
    structures, indices
        All structures and the splits.
    model, loss, optimizer : dict
        Tables of the configuration.
    steps : int
        Steps of SOAP.
    models : int, default 1
        Models that are trained together.
    interval : int, default 0
        Steps between two evaluations of the test error of `watch`; 0 = no evaluation.
    watch : str, optional
        Label.
    stop : callable, optional
        Called after each evaluation; training ends if it returns True.
    """
    kind = model["kind"]
    watch = watch or kind
    begin = time.process_time()
    config = configuration(model, loss, optimizer | {"steps": steps})
    if models == 1:
        trainer = first = Trainer(config, structures, indices)
    else:
        configs = [replace(config, model=replace(config.model, seed=k)) for k in range(models)]
        trainer = JointTrainer.of(configs, structures, [indices] * models)
        first = trainer.members[0]
    run = Run(trainer, first, preparation=time.process_time() - begin)
    while not trainer.finished:
        begin, before = time.process_time(), trainer.step
        trainer.advance()
        run.seconds += time.process_time() - begin
        if interval and (trainer.step // interval != before // interval or trainer.finished):
            run.predictions = _predictions(trainer)
            run.curve.append((trainer.step, run.seconds, run.rmse(watch)[1]))
            if stop is not None and stop(run):
                break
    run.predictions = _predictions(trainer)
    return run


def _predictions(trainer):
    members = [trainer]
    if isinstance(trainer, JointTrainer):
        members = trainer.members
        trainer.predict(range(len(members)))
    found = [member.evaluate("test") for member in members]
    return {name: np.stack([of_member[name].numpy() for of_member in found]) for name in found[0]}
