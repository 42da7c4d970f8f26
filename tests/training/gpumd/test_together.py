"""GPUMD folders that are trained together: each gets its own result, and a killed run resumes at any point."""

import logging
import os
import re

import numpy as np
import pytest

from helpers.gpumd_folders import checkpoint_every, rows, write_xyz
from helpers.grid import grid
from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_txt import read_nep
from tnep_calc.training.gpumd import together as module
from tnep_calc.training.gpumd.folder import RunOptions
from tnep_calc.training.gpumd.run import run_directories

pytestmark = pytest.mark.slow

KINDS = ("potential", "dipole", "polarizability")
SETTINGS = {"generation": 16, "output_interval": 4, "save_potential": (8, 0, 0)}


@pytest.fixture
def folders(make):
    """Make three folders whose training structures overlap."""

    def several(kind, group="", **changes):
        made = [make(kind, name=f"{group}{name}", **{**SETTINGS, **changes}) for name in ("full", "one", "two")]
        write_xyz(made[1] / "train.xyz", range(1, 6))
        write_xyz(made[2] / "train.xyz", (0, 2, 4))
        return made

    return several


@pytest.mark.parametrize("kind", KINDS)
def test_each_folder_has_the_same_result_as_alone(folders, caplog, kind):
    caplog.set_level(logging.INFO)
    changes = {"batch": 10, "zbl": 2.0} if kind == "potential" else {"batch": 10}
    group, alone = folders(kind, **changes), folders(kind, "alone ", **changes)
    written = run_directories(group)
    assert "3 folders are trained together" in caplog.text and "full:       16  loss" in caplog.text
    for one, other in zip(group, alone, strict=True):
        run_directories([other])
        np.testing.assert_allclose(rows(one), rows(other), rtol=2e-3, atol=1e-5)
        names = sorted(path.name for path in other.iterdir())
        assert names == sorted(path.name for path in one.iterdir()) and "nep_gen8.txt" in names
        assert {path.name for path in written if path.parent == one} == {
            name for name in names if name in ("nep.txt", "loss.out") or name.endswith(("_train.out", "_test.out"))
        }
        for name in ("nep.txt", "nep_gen8.txt"):
            a, b = read_nep(one / name), read_nep(other / name)
            np.testing.assert_allclose(a.w1, b.w1, rtol=1e-3, atol=1e-4 * np.abs(b.w1).max())


def outcome(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "tnep_checkpoint.pt"}


def run_until(monkeypatch, saved, folders, run=None):
    """Interrupt a run after this many checkpoints, and return their steps."""
    original, steps = module.save_checkpoint, []

    def save(path, state):
        if len(steps) == saved:
            raise KeyboardInterrupt
        steps.append(state["step"])
        original(path, state)

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_checkpoint", save)
        with pytest.raises(KeyboardInterrupt):
            run_directories(folders, run)
    return steps


@pytest.mark.parametrize("saved", grid([1, 2, 5, 7, 9], [2, 7]))
def test_a_kill_between_two_checkpoints(folders, monkeypatch, caplog, saved):
    """Each round of checkpoints has three files; some kills leave files of two rounds."""
    changes = {"generation": 30, "output_interval": 3, "batch": 2}
    whole, killed = folders("potential", "whole ", **changes), folders("potential", "killed ", **changes)
    checkpoint_every(monkeypatch, module, 7)
    run_directories(whole)
    run_until(monkeypatch, saved, killed)
    caplog.set_level(logging.INFO)
    caplog.clear()
    run_directories(killed[::-1])  # and in another order
    steps = re.findall(r"resuming from .* after (\d+) of 30 steps", caplog.text)
    assert len(steps) == min(saved, 3) and len(set(steps)) == 1
    for one, other in zip(whole, killed, strict=True):
        assert outcome(one) == outcome(other)


@pytest.mark.parametrize("saved", grid([10, 23, 28, 40], [10, 28]))
def test_a_kill_while_some_wait_for_others(folders, monkeypatch, saved):
    """Folders that are out of patience wait for L-BFGS; a run that resumes gives the same files."""
    changes = {"generation": 60, "output_interval": 2}
    whole, killed = folders("dipole", "whole ", **changes), folders("dipole", "killed ", **changes)
    for group in (whole, killed):
        write_xyz(group[1] / "test.xyz", (1, 2, 3, 9))
        write_xyz(group[2] / "test.xyz", (0, 2, 4))
    checkpoint_every(monkeypatch, module, 2)
    run_directories(whole, RunOptions(patience=2))
    steps = run_until(monkeypatch, saved, killed, RunOptions(patience=2))
    assert saved < 12 or len(set(steps[-3:])) > 1
    run_directories(killed, RunOptions(patience=2))
    for one, other in zip(whole, killed, strict=True):
        assert outcome(one) == outcome(other)


def test_another_folder_joins(folders, caplog):
    caplog.set_level(logging.INFO)
    group, other = folders("dipole", batch=10), folders("dipole", "other ", batch=10)
    run_directories(group[:2])
    before = [outcome(folder) for folder in group[:2]]
    run_directories(group)
    assert caplog.text.count("folders are trained together") == 1  # the first two
    assert [outcome(folder) for folder in group[:2]] == before
    run_directories([other[2]])
    np.testing.assert_allclose(rows(group[2]), rows(other[2]), rtol=2e-3, atol=1e-5)


def test_other_settings_are_trained_on_their_own(folders, make, caplog):
    caplog.set_level(logging.INFO)
    group, other = folders("dipole"), make("dipole", name="other", **{**SETTINGS, "lambda_2": 0.5})
    assert len(run_directories([group[0], other, group[1]])) == 12
    assert "2 groups of folders with equal settings" in caplog.text and "2 folders are trained together" in caplog.text


@pytest.mark.parametrize("engine", ["gradient", "snes"])
def test_a_checkpoint_of_another_run_is_an_error_before_any_training(folders, make, engine):
    group, other = folders("dipole"), make("dipole", name="other", **{**SETTINGS, "neuron": 3})
    run_directories([other], RunOptions(engine=engine))
    text = (other / "nep.in").read_text()
    (other / "nep.in").write_text(re.sub(r"neuron +3", "neuron 5", text))
    before = [sorted(folder.iterdir()) for folder in (*group, other)]
    with pytest.raises(InputError, match="other/tnep_checkpoint.pt was written with another"):
        run_directories([*group, other], RunOptions(engine=engine))
    assert [sorted(folder.iterdir()) for folder in (*group, other)] == before


@pytest.mark.parametrize("kind", ["potential", "polarizability"])
def test_too_many_neurons_are_an_error_before_any_training(folders, make, kind):
    group, other = folders(kind), make(kind, name="other", **{**SETTINGS, "neuron": 120})
    with pytest.raises(InputError, match="other/nep.in: 'neuron' is 120, and nep.txt needs one more"):
        run_directories([*group, other])
    assert sorted(path.name for path in group[0].iterdir()) == ["nep.in", "test.xyz", "train.xyz"]


@pytest.mark.parametrize("closed", ["", "loss.out"])
def test_a_read_only_folder_is_an_error_before_any_training(folders, monkeypatch, closed):
    group = folders("dipole")
    (group[2] / "loss.out").write_text("")
    monkeypatch.setattr(os, "access", lambda path, mode: path != group[2] / closed)
    with pytest.raises(InputError, match="two.*: no permission to write there"):
        run_directories(group)
    assert not list(group[0].glob("tnep*"))


def test_the_log_names_folders_and_ends_and_has_common_lines_once(folders, caplog):
    caplog.set_level(logging.INFO)
    group = folders("dipole", population=20, lambda_1=0.1)
    run_directories(group, RunOptions(patience=20, restarts=2))
    lines = caplog.text.splitlines()
    for word in ("population 20: ", "lambda_1 0.1, ", "patience 20: ", "gradient engine: ", "5 + 5 + 3 structures"):
        assert sum(word in line for line in lines) == 1, word
    for name in ("full", "one", "two"):
        for word in ("data: ", "test data: 2 structures", "start ", "done after 16 of 16 steps"):
            assert sum(f"{name}: {word}" in line for line in lines) == 1, (name, word)
    rows = [line for line in lines if "  RMSE train/test: " in line]
    assert len(rows) == 12
    assert [bool(re.search(r", \d+ s left$", line)) for line in rows] == 3 * [False, False, True] + 3 * [False]


@pytest.mark.parametrize("engine", ["gradient", "snes"])
def test_the_end_of_a_single_folder_is_logged(make, caplog, engine):
    caplog.set_level(logging.INFO)
    run_directories([make("dipole", **SETTINGS)], RunOptions(engine=engine))
    rows = [line for line in caplog.messages if "  RMSE train/test: " in line]
    assert [bool(re.search(r"^ +\d+  loss .*, \d+ s left$", line)) for line in rows] == [True, True, True, False]


def test_folders_with_the_same_name_are_logged_by_path(folders, caplog, tmp_path):
    caplog.set_level(logging.INFO)
    one = folders("dipole")[1]
    (tmp_path / "deep").mkdir()
    other = one.rename(tmp_path / "deep" / "two")
    run_directories([other, tmp_path / "two"])
    assert f"{tmp_path / 'deep' / 'two'}: data: 5 structures" in caplog.text
