"""The evolution strategy in two processes, each of which evaluates a share of every population."""

import shutil

import pytest
import torch

from helpers.gpumd_folders import options as folder_options
from helpers.gpumd_folders import rows, write_xyz
from helpers.several_processes import Forked, in_two_processes
from helpers.snes_runs import make_frames, options
from tnep_calc.cli import main
from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_in import write_nep_in
from tnep_calc.io.gpumd.training_output import read_restart
from tnep_calc.training.common import launch, processes
from tnep_calc.training.gpumd.folder import RunOptions
from tnep_calc.training.gpumd.run import run_directories
from tnep_calc.training.gpumd.snes.fitness import Fitness
from tnep_calc.training.gpumd.snes.trainer import SnesTrainer

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("kind", "population"), [("potential", 11), ("dipole", 12), ("polarizability", 12)])
def test_generations_equal_those_of_one_process(kind, population, tmp_path, monkeypatch):
    counts = []
    original = Fitness._errors_of

    def errors_of(self, individuals, *rest):
        counts.append(len(individuals))
        return original(self, individuals, *rest)

    monkeypatch.setattr(Fitness, "_errors_of", errors_of)

    def trained():
        trainer = SnesTrainer(options(kind, population=population), make_frames())
        for _ in range(6):
            trainer.step()
        return trainer.snes.mu, trainer.snes.sigma, trainer.elite.total, trainer.train_errors(), list(counts)

    mu, sigma, total, errors, _ = trained()
    counts.clear()
    results = in_two_processes(trained, tmp_path)
    assert torch.equal(results[0][0], results[1][0])
    for k, ours in enumerate(results):
        torch.testing.assert_close(ours[0], mu, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(ours[1], sigma, rtol=1e-5, atol=1e-6)
        assert ours[2] == pytest.approx(total, rel=1e-5) and ours[3] == pytest.approx(errors, rel=1e-4)
        assert ours[4] == [population // 2 if k == 0 else -(-population // 2)] * 5 + [1]  # the first has no errors


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "one").mkdir()
    write_nep_in(tmp_path / "one" / "nep.in", folder_options("dipole", generation=8), force=True)
    write_xyz(tmp_path / "one" / "train.xyz", range(6))
    write_xyz(tmp_path / "one" / "test.xyz", range(6, 8))
    return tmp_path / "one"


def test_command_and_resume(folder, capfd, monkeypatch, caplog):
    monkeypatch.setattr(launch.subprocess, "Popen", Forked)
    two = folder.with_name("two")
    shutil.copytree(folder, two)
    caplog.set_level("INFO")
    assert main(["train", str(folder), "--engine", "snes"]) == 0
    capfd.readouterr()
    write_nep_in(two / "nep.in", folder_options("dipole", generation=4), force=True)
    command = ["train", str(two), "--engine", "snes", "--processes", "2"]
    assert main(command) == 0
    assert capfd.readouterr().out.count("loss.out") == 1
    write_nep_in(two / "nep.in", folder_options("dipole", generation=8), force=True)
    assert main(command) == 0
    assert "resuming from" in caplog.text
    for ours, wanted in zip(rows(two), rows(folder), strict=True):
        assert ours == pytest.approx(wanted, rel=1e-3, abs=2e-5)
    assert sorted(path.name for path in two.iterdir()) == sorted(path.name for path in folder.iterdir())
    n = folder_options("dipole").n_parameters
    for ours, wanted in zip(*(read_restart(own / "nep.restart", n) for own in (two, folder)), strict=True):
        assert ours == pytest.approx(wanted, rel=1e-4, abs=1e-5)


def test_other_trainings_of_folders_are_refused(folder, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="or one GPUMD folder with --engine snes"):
        run_directories([folder], RunOptions(engine="gradient"))
    assert processes.size() == 1
