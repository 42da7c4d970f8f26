"""Lines about the progress of reading and preparation, and the number of threads of a training."""

import io
import logging

import pytest
import torch

from helpers.structures import random_structure
from helpers.training_runs import small_config
from tnep_calc import progress, threads
from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.xyz import read_gpumd_xyz
from tnep_calc.io.structures.extxyz import read_dataset, write_dataset
from tnep_calc.progress import Progress, tracked
from tnep_calc.training.enthalpy.config import parse_enthalpy_config
from tnep_calc.training.enthalpy.data import frames_of
from tnep_calc.training.enthalpy.trainer import EnthalpyTrainer
from tnep_calc.training.nep.trainer import Trainer

STRUCTURES = [random_structure(k, "BN") for k in range(4)]


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def at_once(monkeypatch, caplog):
    """Every line of progress is due at once."""
    monkeypatch.setattr(progress, "FIRST", -1.0)
    caplog.set_level(logging.INFO)
    return caplog


def test_lines_come_by_time(clock, caplog):
    caplog.set_level(logging.INFO)
    run = Progress(logging.getLogger("test"), "files", 100)
    for clock[0] in range(1, 32):
        run.advance()
    lines = [record.message.strip() for record in caplog.records]
    assert lines == [
        "5 of 100 files, about 95 s left",
        "15 of 100 files, about 85 s left",
        "25 of 100 files, about 75 s left",
    ]


def test_work_of_unknown_length(clock, caplog):
    caplog.set_level(logging.INFO)
    for clock[0], _ in zip(range(4, 9), tracked(range(9), logging.getLogger("test"), "frames"), strict=False):
        pass
    assert [record.message.strip() for record in caplog.records] == ["2 frames so far"]


class Terminal(io.StringIO):
    """Text that a terminal would show."""

    def isatty(self):
        return True


def test_a_terminal_shows_a_bar_in_place_of_lines(monkeypatch, at_once):
    monkeypatch.setattr(progress.sys, "stderr", terminal := Terminal())
    monkeypatch.setattr(progress, "FIRST", 0.0)
    run = Progress(logging.getLogger("test"), "files", 4, done=1)
    for _ in range(3):
        run._bar.mininterval = 0.0
        run.advance()
    shown = [part.strip() for part in terminal.getvalue().split("\r") if part.strip()]
    assert shown[0].startswith("files:  25%") and any("3/4" in part for part in shown)
    assert terminal.getvalue().endswith("\r") and run._bar.disable  # the bar is gone
    assert [record.message.strip() for record in at_once.records] == ["1 of 4 files were done in a previous run"]
    list(zip(range(2), tracked(range(9), logging.getLogger("test"), "frames"), strict=False))  # ends early
    logging.getLogger("quiet").setLevel(logging.WARNING)
    assert Progress(logging.getLogger("quiet"), "files", 4)._bar is None


def test_files_are_read_with_progress(tmp_path, at_once):
    write_dataset(tmp_path / "a.extxyz", STRUCTURES)
    read_dataset(tmp_path / "a.extxyz")
    assert "structures of a.extxyz read so far" in at_once.text
    at_once.clear()
    read_gpumd_xyz(tmp_path / "a.extxyz", ["B", "N"], "dipole")
    assert "structures of a.extxyz read so far" in at_once.text


def test_structures_are_prepared_with_progress(at_once):
    Trainer(small_config("dipole", optimizer={"batch": 1}), STRUCTURES)
    assert "1 of 4 structures prepared" in at_once.text
    at_once.clear()
    tables = {
        "data": {"files": ["x"]},
        "model": {"kind": "enthalpy", "species": ["B", "N"], "n_radial": 2, "channels": 2, "hidden": 2},
        "output": {"directory": "out"},
    }
    frames_of(parse_enthalpy_config(tables), STRUCTURES)
    assert "1 of 4 structures prepared" in at_once.text


def test_structures_are_predicted_with_progress(at_once):
    trainer = Trainer(small_config("dipole", optimizer={"batch": 1}), STRUCTURES)
    at_once.clear()
    trainer.report()
    assert "1 of 4 parts of the structures predicted" in at_once.text
    at_once.clear()
    tables = {
        "data": {"files": ["x"], "validation_fraction": 0.0, "test_fraction": 0.0},
        "model": {"kind": "enthalpy", "species": ["B", "N"], "n_radial": 2, "channels": 2, "hidden": 2},
        "output": {"directory": "out"},
    }
    EnthalpyTrainer(parse_enthalpy_config(tables), STRUCTURES).compare("train")
    assert "1 of 4 structures predicted" in at_once.text


@pytest.mark.parametrize("asked, atoms, expected", [(0, 300, 1), (0, 4100, 2), (0, 1e6, 4), (3, 10, 3)])
def test_threads_follow_the_atoms_of_a_step(monkeypatch, asked, atoms, expected):
    monkeypatch.setattr(threads, "_at_start", 4)
    monkeypatch.setattr(threads, "_state", {"threaded": False, "unusable": False})
    try:
        assert threads.set_threads(asked, atoms) == torch.get_num_threads() == expected
        assert threads._state["threaded"] == (expected > 1)
    finally:
        torch.set_num_threads(1)


def test_a_training_says_how_many_threads_it_uses(monkeypatch):
    monkeypatch.setattr(threads, "_at_start", 4)
    monkeypatch.setattr(threads, "_state", {"threaded": False, "unusable": False})
    monkeypatch.setattr(threads, "ATOMS_PER_THREAD", 4)
    try:
        assert Trainer(small_config("dipole"), STRUCTURES).threads == 2  # 8 atoms in all
        assert Trainer(small_config("dipole", optimizer={"batch": 2}), STRUCTURES).threads == 1
        assert Trainer(small_config("dipole", optimizer={"threads": 3}), STRUCTURES).threads == 3
    finally:
        torch.set_num_threads(1)
    with pytest.raises(InputError, match="optimizer.threads must be from 0 to 1,024, got -1; usual: 0, which follows"):
        small_config("dipole", optimizer={"threads": -1})
