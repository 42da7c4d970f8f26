"""Time to the same test error: against neppo (gradients, PyTorch), and gradients against the evolution strategy."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import torch
from cases import record
from training_common import HYPER, MOLECULES, QM7B, SPECIES, qm7b, rmse, train

from tnep_calc.io.gpumd.nep_in import read_nep_in
from tnep_calc.io.gpumd.xyz import read_gpumd_xyz
from tnep_calc.training.gpumd.reference import evaluate
from tnep_calc.training.gpumd.snes.trainer import SnesTrainer

SMALL = {
    "radial_cutoff": 6.0,
    "angular_cutoff": 4.0,
    "n_max": [4, 4],
    "basis_size": [8, 8],
    "l_max": [4, 2],
    "neurons": 10,
}
"""Model of neppo: 5,161 parameters.  Ours has the data set's own, larger hyper-parameters."""
LOOKS = (50, 100, 250, 500, 1000)
"""Steps of neppo after which its error is evaluated."""
BUDGETS = (40, 120, 180, 360)
"""Numbers of steps of our runs, each with its own schedule; the fastest run to an error counts."""


def neppo_curve(structures, indices, steps):
    """Return neppo's CPU seconds before the first step, and (step, CPU seconds of the steps, test RMSE)."""
    from neppo import StructureContainer
    from neppo.losses import DipoleLoss
    from neppo.models import TNEP, Descriptor
    from neppo.trainer import Trainer

    torch.manual_seed(0)
    frames = ase.io.read(QM7B / "test.xyz.gz", ":")
    begin = time.process_time()
    descriptor = Descriptor(
        list(SPECIES),
        radial_cutoff=SMALL["radial_cutoff"],
        angular_cutoff=SMALL["angular_cutoff"],
        n_max_radial=4,
        n_max_angular=4,
        n_basis_radial=8,
        n_basis_angular=8,
        l_max_3b=4,
        l_max_4b=2,
    )
    model = TNEP(descriptor, neurons=(SMALL["neurons"],), target="dipole")
    parts = [StructureContainer(model, [frames[k] for k in indices[name]]) for name in ("train", "test")]
    trainer = Trainer(model, DipoleLoss(), *parts, batch_size=50, device="cpu", seed=0)
    preparation = time.process_time() - begin
    n_parameters = sum(p.numel() for p in model.parameters())
    clock = [time.process_time()]
    seconds = []
    report = trainer._report

    def timed(*args, **kwargs):  # the evaluation of a report does not count, as it does not for ours
        now = time.process_time()
        seconds.append((seconds[-1] if seconds else 0.0) + now - clock[0])
        report(*args, **kwargs)
        clock[0] = time.process_time()

    trainer._report = timed
    trainer.train(steps=steps[-1], report_interval=steps[0])
    rows = zip(seconds, trainer.history.itertuples(), strict=True)
    curve = [(int(row.step), s, float(row.rmse_dipole_test)) for s, row in rows]
    return preparation, n_parameters, curve


def against_neppo(quick: bool) -> list[dict]:
    """Run neppo once and ours with several schedules, and compare CPU seconds to the same test error."""
    structures, indices = qm7b("dipole")
    looks = LOOKS if not quick else (25, 50)
    preparation, count, curve = neppo_curve(structures, indices, looks)
    model, loss = {"kind": "dipole", "species": list(SPECIES)} | HYPER, {"weight_decay": 1e-2}
    runs = []
    for steps in BUDGETS if not quick else BUDGETS[:1]:
        options = MOLECULES | {"batch": 32, "lr": 0.03}
        runs.append(train(structures, indices, model, loss, options, steps=steps, interval=5))
    ours = runs[0].first.model.n_parameters
    print(
        f"QM7B dipole, {len(indices['train'])} molecules; neppo 1.0 ({count} parameters): {preparation:.0f} CPU s "
        f"before the first step; ours ({ours}): {runs[0].preparation:.1f}"
    )
    for run, steps in zip(runs, BUDGETS, strict=False):
        print(f"  ours, {steps} steps: " + ", ".join(f"{s:.1f} s {e:.5f}" for _, s, e in run.curve[-1::-4][::-1]))
    records = []
    for step, seconds, error in curve:
        if step not in looks:
            continue
        reached = [s for run in runs for _, s, e in run.curve if e <= error]
        words = f"  neppo, {step} steps: RMSE {error:.5f} after {seconds:.0f} CPU s"
        if not reached:
            print(words + "; ours: not reached")
            continue
        own, whole = min(reached), min(reached) + runs[0].preparation
        print(
            words + f"; ours {own:.1f} s, {seconds / own:.0f} times as fast "
            f"({(seconds + preparation) / whole:.1f} with preparation)",
            flush=True,
        )
        case = f"QM7B dipole, to neppo's RMSE {error:.5f} of {step} steps"
        records.append(record(case, "training", "neppo 1.0", own, seconds, "CPU s"))
        whole_theirs = seconds + preparation
        records.append(record(case, "preparation and training", "neppo 1.0", whole, whole_theirs, "CPU s"))
    return records


def against_snes(quick: bool, limit: float = 60.0) -> list[dict]:
    """Run the evolution strategy for some CPU seconds and gradients to its test errors on the same molecules."""
    _, indices = qm7b("dipole")
    frames = read_gpumd_xyz(QM7B / "test.xyz.gz", SPECIES, "dipole")
    train_frames, test_frames = ([frames[k] for k in indices[name]] for name in ("train", "test"))
    rng = np.random.default_rng(2)
    some = np.sort(rng.choice(len(train_frames), size=len(train_frames) // 4, replace=False))
    with tempfile.TemporaryDirectory() as folder:
        text = (QM7B / "dipole" / "nep.in").read_text()
        (Path(folder) / "nep.in").write_text(text)
        options = replace(read_nep_in(Path(folder) / "nep.in"), seed=0)
    trainer = SnesTrainer(options, [train_frames[k] for k in some], memory_gb=6.0)
    limit, curve, spent = (limit if not quick else 10.0), [], 0.0
    look = limit / 8
    while spent < limit:
        begin = time.process_time()
        trainer.step()
        spent += time.process_time() - begin
        if spent >= look * (len(curve) + 1):
            curve.append((trainer.generation, spent, _dipole_rmse(trainer.parameters(), test_frames)))
    structures = [frame.structure for frame in frames]
    own = {**indices, "train": indices["train"][some]}
    model, loss = {"kind": "dipole", "species": list(SPECIES)} | HYPER, {"weight_decay": 1e-4}
    run = train(
        structures,
        own,
        model,
        loss,
        MOLECULES | {"batch": 32},
        steps=200,
        interval=2,
        stop=lambda run: run.curve[-1][2] <= curve[-1][2],
    )
    print(
        f"QM7B dipole, {len(some)} molecules: evolution strategy (GPUMD's definitions, population "
        f"{options.population}), {trainer.generation} generations in {spent:.0f} CPU s"
    )
    records = []
    for generation, seconds, error in curve:
        reached = [s for _, s, e in run.curve if e <= error]
        if reached:
            print(
                f"  {generation} generations, {seconds:.0f} s: test RMSE {error:.5f}; gradients: {reached[0]:.2f} s, "
                f"{seconds / reached[0]:.0f} times as fast"
            )
            records.append(
                record(
                    f"QM7B dipole, {len(some)} molecules, RMSE {error:.5f}",
                    "training",
                    "own SNES",
                    reached[0],
                    seconds,
                    "CPU s",
                )
            )
    return records


def _dipole_rmse(parameters, frames):
    totals = evaluate(parameters, frames)["dipole"]
    targets = np.array([frame.structure.dipole for frame in frames])
    return rmse((totals - targets) / np.array([len(frame) for frame in frames])[:, None])
