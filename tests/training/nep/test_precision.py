"""Single precision is checked at the end of a training: both engines, folders and configurations."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest

from helpers.gpumd_folders import options
from helpers.snes_runs import make_frames
from helpers.structures import LABELS, random_structure
from helpers.training_runs import small_config
from tnep_calc.conventions import STRAIN_ORDER, to_six
from tnep_calc.io.gpumd.xyz import GpumdFrame
from tnep_calc.training.gpumd.folder import RunOptions
from tnep_calc.training.gpumd.reference import evaluate
from tnep_calc.training.gpumd.run import run_directory
from tnep_calc.training.gpumd.snes import precision as snes_module
from tnep_calc.training.gpumd.snes.precision import snes_rounding
from tnep_calc.training.gpumd.snes.trainer import SnesTrainer
from tnep_calc.training.nep.precision import log_rounding, rounding, sample
from tnep_calc.training.nep.run import write_results
from tnep_calc.training.nep.trainer import Trainer


def trained(kind, **optimizer):
    structures = [random_structure(k, s) for k, s in enumerate(("BNNB", "BN", "NNB", "BNB", "NB"))]
    trainer = Trainer(small_config(kind, optimizer=optimizer), structures)
    trainer.run()
    return trainer


@pytest.mark.parametrize("kind", LABELS)
def test_the_share_is_that_of_the_reference_model(kind):
    """Compare the file, evaluated in double precision with neighbours, with the predictions of the trainer."""
    trainer = trained(kind, precision="float32", restarts=2, restart_steps=2)
    shares = rounding(trainer)
    assert set(shares) == set(LABELS[kind]) and all(0 < value < 1e-3 for value in shares.values())
    structures, labels = trainer.parts["train"].structures, trainer.parts["train"].labels
    exact = evaluate(trainer.parameters(), [GpumdFrame(s) for s in structures])
    single = trainer.evaluate("train")
    name = {"potential": "forces"}.get(kind, kind)
    values = exact[name]
    if kind == "polarizability":
        values = to_six(values, STRAIN_ORDER)
    difference = labels.per_atom(name, single[name].double() - single[name].new_tensor(values).double())
    error = labels.error(name, single[name])
    expected = float((difference.square().mean() / error.square().mean()).sqrt())
    assert shares[name] == pytest.approx(expected, rel=0.5)  # the remaining difference is due to the order of sums


def test_double_precision_has_no_rounding_errors():
    assert rounding(trained("dipole")) == {}


@pytest.mark.parametrize(
    ("kind", "atomic"),
    [("potential", False), ("dipole", False), ("dipole", True), ("polarizability", False), ("polarizability", True)],
)
def test_the_evolution_strategy(kind, atomic, monkeypatch):
    given = options(kind, atomic_v=atomic, l_max=(4, 2, 1, 0, 0, 0, 0))
    trainer = SnesTrainer(given, make_frames(atomic=atomic))
    while not trainer.finished:
        trainer.step()
    names = {"energy", "forces", "virial"} if kind == "potential" else {kind}
    shares = snes_rounding(trainer)
    assert set(shares) == names and all(0 < value < 1e-4 for value in shares.values())
    trainer.fitness.q_scaler = trainer.fitness.q_scaler.clone()
    parameters = trainer.parameters()
    monkeypatch.setattr(trainer, "parameters", lambda: replace(parameters, w1=1.01 * parameters.w1))
    wrong = snes_rounding(trainer)  # more would be an error in the kernels
    assert all(value > 20 * shares[name] for name, value in wrong.items())


def test_only_trained_and_known_labels_are_compared():
    trainer = SnesTrainer(options("potential", lambda_f=0.0, lambda_v=0.0), make_frames())
    trainer.step()
    assert set(snes_rounding(trainer)) == {"energy"}
    frames = [replace(f, structure=replace(f.structure, virial=None)) if k else f for k, f in enumerate(make_frames())]
    trainer = SnesTrainer(options("potential"), frames)
    trainer.step()
    assert all(0 < value < 1e-4 for value in snes_rounding(trainer).values())


def test_the_log_warns_of_large_rounding_errors(caplog):
    caplog.set_level(logging.INFO)
    log_rounding({"energy": 0.0123, "virial": float("nan")}, "do something", "one: ")
    log_rounding({"energy": 0.0123, "forces": 0.2}, "do something")
    log_rounding({}, "do something")
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("INFO", "one: float32: rounding error relative to the RMSE: energy 1.2 %"),
        ("WARNING", "float32: rounding error relative to the RMSE: energy 1.2 %, forces 20 %; do something"),
    ]


@pytest.mark.slow
def test_rounding_is_logged_and_written(make, caplog, tmp_path, monkeypatch):
    caplog.set_level(logging.INFO)
    results = write_results(trained("dipole", precision="float32"), tmp_path)
    assert results["rounding_of_rmse"] == json.loads((tmp_path / "results.json").read_text())["rounding_of_rmse"]
    assert set(results["rounding_of_rmse"]) == set(LABELS["dipole"])
    for engine, run in (("gradient", {"precision": "float32"}), ("gradient", {}), ("snes", {})):
        caplog.clear()
        run_directory(make("dipole", name=f"{engine}{len(run)}"), RunOptions(engine=engine, **run))
        logged = [
            line for line in caplog.messages if line.startswith("float32: rounding error relative to the RMSE: dipole")
        ]
        assert len(logged) == (engine == "snes" or bool(run))
    monkeypatch.setattr(snes_module, "share", lambda *_: 0.3)
    run_directory(make("dipole", name="bad"), RunOptions(engine="snes"))
    assert caplog.records[-1].levelname == "WARNING" and "30 %; --engine gradient" in caplog.messages[-1]


def test_the_sample_is_evenly_spaced():
    assert sample(range(5)) == [0, 1, 2, 3, 4]
    many = sample(range(1000))
    assert len(set(many)) == 20 and (many[0], many[-1]) == (0, 999)
    assert np.diff(many).min() > 40
