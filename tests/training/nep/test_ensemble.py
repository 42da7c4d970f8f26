"""Ensembles trained in one run: members, their splits, shared moments, files, and a killed run that resumes."""

import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import write

from helpers.ensemble_runs import TOML, smooth_structures
from helpers.structures import random_structure
from helpers.training_runs import small_config
from tnep_calc import TNEPCalculator
from tnep_calc.cli import main
from tnep_calc.errors import InputError
from tnep_calc.io.structures.extxyz import read_dataset
from tnep_calc.training.common.config import EnsembleConfig
from tnep_calc.training.common.ensemble import member_config, member_indices, member_splits, panels_of_mean
from tnep_calc.training.common.labels import make_labels, spreads
from tnep_calc.training.nep import run as ensemble
from tnep_calc.training.nep.config import load_config
from tnep_calc.training.nep.run import _Predictions
from tnep_calc.training.nep.trainer import Trainer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with data, configuration, and the finished ensemble in ``out``."""
    path = tmp_path_factory.mktemp("ensemble")
    write(path / "data.extxyz", smooth_structures())
    (path / "config.toml").write_text(TOML)
    assert main(["train", str(path / "config.toml"), "-q"]) == 0
    return path


@pytest.fixture(scope="module")
def summary(folder):
    return json.loads((folder / "out" / "ensemble.json").read_text())


@pytest.mark.parametrize("method", ["bagging", "kfold"])
def test_splits_are_those_of_calorine(method, tmp_path):
    calorine = pytest.importorskip("calorine.nep")
    frames = [Atoms("H", [[0, 0, 0]], cell=[5, 5, 5 + k], pbc=True, info={"pol": np.eye(3)}) for k in range(13)]
    options = EnsembleConfig(3, method, 0.7, seed=7)
    calorine.setup_training(
        {"version": 4, "type": [1, "H"], "model_type": 2},
        frames,
        rootdir=str(tmp_path / "root"),
        mode=method,
        n_splits=3,
        train_fraction=0.7 if method == "bagging" else None,
        seed=7,
    )
    for k, (train, held) in enumerate(member_splits(range(13), options), start=1):
        for name, indices in (("train", train), ("test", held)):
            read = read_dataset(tmp_path / "root" / f"nepmodel_split{k}" / f"{name}.xyz")
            assert [round(s.cell[2, 2] - 5) for s in read] == indices.tolist()


def test_splits_cover_and_do_not_overlap(folder):
    config, structures = load_config(folder / "config.toml"), read_dataset(folder / "data.extxyz")
    for method in ("bagging", "kfold"):
        indices = member_indices(structures, replace(config, ensemble=replace(config.ensemble, method=method)))
        for own in indices:
            assert sorted(np.concatenate([*own.values()])) == list(range(20))
            assert own["test"].tolist() == indices[0]["test"].tolist() and len(own["test"]) == 4
            assert len(own["train"]) == (12 if method == "bagging" else len(own["train"]))
        if method == "kfold":
            assert sorted(np.concatenate([own["validation"] for own in indices]).tolist()) == sorted(
                set(range(20)) - set(indices[0]["test"].tolist())
            )
    for n, options in ((2, EnsembleConfig(3, "kfold")), (3, EnsembleConfig(2, "bagging", 0.1))):
        with pytest.raises(InputError, match="too few"):
            member_splits(range(n), options)


def test_a_member_equals_a_single_run(folder, summary):
    """Shared moments and batched products change nothing: a member equals a model trained alone on its split."""
    config = load_config(folder / "config.toml")
    structures = read_dataset(config.data_files)
    k = 1
    alone = Trainer(member_config(config, k), structures, member_indices(structures, config)[k])
    alone.run()
    found = torch.load(folder / "out" / "checkpoint.pt", weights_only=True)["members"][k]
    expected = alone.evaluate("test")["polarizability"]
    assert found["history"][1]["loss_train"] == pytest.approx(alone.history[1]["loss_train"], rel=1e-9)
    alone.vector = found["vector"]
    torch.testing.assert_close(alone.evaluate("test")["polarizability"], expected, rtol=1e-5, atol=1e-5)
    assert summary["members"][k]["validation"] == alone.indices["validation"].tolist()
    assert summary["members"][0]["directory"] == "member1"


def test_files_and_errors_of_the_mean(folder, summary):
    out = folder / "out"
    assert {p.name for p in out.iterdir()} == {
        "member1",
        "member2",
        "member3",
        "ensemble.json",
        "loss.png",
        "parity.png",
        "parity.npz",
        "checkpoint.pt",
    }
    structures = read_dataset(folder / "data.extxyz")
    calc = TNEPCalculator(susceptibility=[out / f"member{k}" / "model.pt" for k in (1, 2, 3)])
    errors, deviations = [], []
    for k in summary["test"]:
        s = structures[k]
        atoms = Atoms(s.symbols, s.positions, cell=s.cell, pbc=s.pbc)
        six = np.triu_indices(3)
        errors.append((calc.get_property("polarizability", atoms) - s.polarizability)[six] / len(s))
        deviations.append(calc.get_uncertainty("polarizability", atoms)[six] / len(s))
    numbers = summary["errors"]["test"]["polarizability"]
    assert numbers["rmse"] == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-5)
    assert numbers["deviation"] == pytest.approx(np.sqrt(np.mean(np.square(deviations))), rel=1e-5)
    assert numbers["rmse_of_members"] >= numbers["rmse"]
    targets = np.array([structures[k].polarizability[six] / 4 for k in summary["test"]])
    assert numbers["spread"] == pytest.approx((targets - targets.mean(axis=0)).std())
    assert "epsilon_inf" in summary["errors"]["test"] and "validation" in summary["errors"]


def test_dipoles_are_compared_on_the_branch_of_the_first_member():
    """Labels may be on any branch; the table has them on the model's branch, so quanta do not count as spread."""
    rng = np.random.default_rng(4)
    symbols = ("BN", "BNB")
    clean = [random_structure(k, symbols[k % 2]) for k in range(6)]
    structures = [replace(s, dipole=s.dipole + rng.integers(-3, 4, 3) @ s.cell) for s in clean]
    config, collected = small_config("dipole"), _Predictions(structures)
    errors = np.full((2, 6, 3), np.nan)
    for k, chosen in enumerate((np.arange(5), np.arange(1, 6))):
        errors[k, chosen] = rng.normal(scale=0.05, size=(5, 3))
        own = [structures[j] for j in chosen]
        labels = make_labels(own, ["dipole", "born_charges"], config.model.species)
        dipoles = np.array([clean[j].dipole + errors[k, j] + 2 * k * clean[j].cell[1] for j in chosen])
        found = {"dipole": torch.tensor(dipoles), "born_charges": labels.targets["born_charges"] + 0.1}
        collected.add(
            cast(
                Trainer,
                SimpleNamespace(
                    result=lambda: (None, 0),
                    evaluate=lambda *_, found=found: found,
                    indices={"train": chosen},
                    parts={"train": SimpleNamespace(labels=labels)},
                ),
            )
        )
    panels = {panel["name"]: panel["splits"]["train"] for panel in panels_of_mean(structures, collected.values, config)}
    counts = np.array([[len(s)] for s in clean])
    expected = np.array([s.dipole for s in clean])
    expected[5] += 2 * clean[5].cell[1]  # only the second member has it
    dipole = panels["dipole"]
    np.testing.assert_allclose(dipole["target"], expected / counts, atol=1e-12)
    np.testing.assert_allclose(dipole["prediction"] - dipole["target"], np.nanmean(errors, axis=0) / counts, atol=1e-12)
    np.testing.assert_allclose(dipole["deviation"][1:5], errors[:, 1:5].std(axis=0, ddof=1) / counts[1:5], atol=1e-12)
    varied = expected / counts - (expected / counts).mean(axis=0)
    assert dipole["spread"] == pytest.approx(varied.std())
    assert dipole["r2"] == pytest.approx(1 - (np.nanmean(errors, axis=0) ** 2 / counts**2).sum() / (varied**2).sum())
    labels = make_labels(structures, ["born_charges"], config.model.species)
    assert panels["born_charges"]["spread"] == spreads(labels, torch.zeros(2))["born_charges"]


def test_a_killed_ensemble_resumes_exactly(folder):
    config = str(folder / "config.toml")
    code = "import sys; from tnep_calc.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "train", config, "-o", "killed"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    for line in process.stderr:
        if "step 30/" in line:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL and not (folder / "killed" / "ensemble.json").exists()
    assert main(["train", config, "-q", "-o", str(folder / "killed")]) == 0
    for k in (1, 2, 3):
        a, b = ((folder / name / f"member{k}" / "nep.txt").read_bytes() for name in ("out", "killed"))
        assert a == b
    a, b = (json.loads((folder / name / "ensemble.json").read_text()) for name in ("out", "killed"))
    assert a["errors"] == b["errors"]


def test_the_log_names_members(folder, tmp_path, caplog):
    text = TOML.replace("steps = 20\nl", "steps = 40\nlr = 0.3\npatience = 1\nrestarts = 2\nrestart_steps = 5\nl")
    (tmp_path / "config.toml").write_text(text.replace("data.extxyz", str(folder / "data.extxyz")))
    with caplog.at_level(logging.INFO):
        assert main(["train", str(tmp_path / "config.toml")]) == 0
    lines = [record.getMessage() for record in caplog.records]
    starts = [line for line in lines if line.endswith("is the best after 5 steps")]
    assert [line.split(": ")[0] for line in starts] == ["member 1", "member 2", "member 3"]
    assert any(line.startswith("3 polarizability models of ") for line in lines)
    assert [line for line in lines if line.startswith("errors of ")] == [
        *(f"errors of member {k}:" for k in (1, 2, 3)),
        "errors of the mean of the 3 members:",
    ]
    summary = json.loads((tmp_path / "out" / "ensemble.json").read_text())
    steps = {}
    for k, member in enumerate(summary["members"], start=1):
        results = json.loads((tmp_path / "out" / member["directory"] / "results.json").read_text())
        steps[k] = results["steps"]
        ends = [line for line in lines if line.startswith(f"member {k}: no smaller") and "stopping after" in line]
        assert len(ends) == (results["steps"] < 65)
        assert all(f"stopping after {results['steps']} of 65" in line for line in ends)
    assert min(steps.values()) < max(steps.values())
    assert f"step {max(steps.values())}/65" in [line for line in lines if " step " in line and "/65" in line][-1]


def test_another_split_is_refused(folder, capsys):
    (folder / "other.toml").write_text(TOML + "seed = 1\n")
    assert main(["train", str(folder / "other.toml"), "-q"]) == 1
    assert "another split" in capsys.readouterr().err


def test_too_little_memory_for_moments_says_what_to_do(folder, monkeypatch, capsys):
    monkeypatch.setattr(ensemble.JointTrainer, "of", lambda *_, **__: np.empty(10**15))
    assert main(["train", str(folder / "config.toml"), "-q"]) == 1
    assert "the computer has too little memory: Unable to allocate" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["n_splits = 1", 'method = "jackknife"', "train_fraction = 0.0", "seed = -1"])
def test_bad_tables(tmp_path, line):
    (tmp_path / "config.toml").write_text(TOML.split("[ensemble]")[0] + "[ensemble]\n" + line)
    with pytest.raises(InputError, match="ensemble."):
        load_config(tmp_path / "config.toml")
