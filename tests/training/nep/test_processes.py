"""Two processes that share every step give the model of one process."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.several_processes import Forked, in_two_processes
from helpers.structures import random_structure
from helpers.training_runs import Stop, small_config, stop_at
from tnep_calc.cli import main
from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_txt import read_nep
from tnep_calc.io.structures.extxyz import write_dataset
from tnep_calc.training.common import launch, processes
from tnep_calc.training.common.directory import resume
from tnep_calc.training.nep.run import run_ensemble, train_in
from tnep_calc.training.nep.trainer import Trainer

pytestmark = pytest.mark.slow

SPLIT = {"train": np.array([0, 2, 3, 5, 6, 7, 8]), "validation": np.array([1]), "test": np.array([4])}


def structures():
    symbols = ("BNNB", "BN", "NNB", "BNB", "NB", "BNNB", "NBN", "BN", "BNNB")
    return [random_structure(k, s) for k, s in enumerate(symbols)]


def trained(kind, **options):
    own = structures()
    if kind == "dipole":  # some labels are missing
        own[2], own[5] = replace(own[2], born_charges=None), replace(own[5], dipole=None)
    config = small_config(kind, data={"allow_missing": True}, optimizer={"steps": 4, "lbfgs_steps": 3, **options})
    trainer = Trainer(config, own, SPLIT)
    trainer.run()
    predicted = {split: trainer.evaluate(split) for split in trainer.parts}
    return trainer.vector.detach(), trainer.history, predicted, trainer.storage.memory, trainer.max_neighbors


@pytest.mark.parametrize(
    ("kind", "options"),
    [("potential", {"batch": 3}), ("dipole", {"restarts": 2, "restart_steps": 3}), ("polarizability", {})],
)
def test_training_equals_that_of_one_process(kind, options, tmp_path):
    vector, history, predicted, memory, neighbors = trained(kind, **options)
    results = in_two_processes(lambda: trained(kind, **options), tmp_path)
    assert torch.equal(results[0][0], results[1][0])
    for ours in results:
        torch.testing.assert_close(ours[0], vector, rtol=1e-8, atol=1e-9)
        for row, one in zip(ours[1], history, strict=True):
            assert row == {name: pytest.approx(v, rel=1e-7) if name != "stage" else v for name, v in one.items()}
        for split, values in predicted.items():
            for name, value in values.items():
                torch.testing.assert_close(ours[2][split][name], value, rtol=1e-7, atol=1e-9)
        assert ours[3] < 0.75 * memory and ours[4] == neighbors


def test_a_stopped_run_resumes_in_all_processes(tmp_path):
    config = small_config(base=tmp_path, optimizer={"steps": 6, "lbfgs_steps": 0}, output={"checkpoint_interval": 1})
    straight = Trainer(config, structures(), SPLIT)
    straight.run()

    def interrupted():
        trainer = Trainer(config, structures(), SPLIT)
        stop_at(trainer, 3)
        with pytest.raises(Stop):
            trainer.run(None, tmp_path / "out" / "checkpoint.pt")

    def resumed():
        trainer = Trainer(config, structures(), SPLIT)
        if processes.rank() == 0:
            train_in(tmp_path / "out", trainer)
        else:
            checkpoint = resume(tmp_path / "out", trainer)
            assert trainer.step == 3
            trainer.run(None, checkpoint)
        return trainer.vector.detach()

    (tmp_path / "out").mkdir()
    in_two_processes(interrupted, tmp_path)
    (tmp_path / "rendezvous").unlink(missing_ok=True)
    for vector in in_two_processes(resumed, tmp_path):
        torch.testing.assert_close(vector, straight.vector.detach(), rtol=1e-8, atol=1e-9)


def test_ensembles_and_folders_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    config = replace(small_config(base=tmp_path), ensemble=replace(small_config().ensemble, n_splits=2))
    with pytest.raises(InputError, match="an ensemble is trained by one process, but 2 were started"):
        run_ensemble(config)
    assert main(["train", str(tmp_path)]) == 1
    assert "or one GPUMD folder with --engine snes" in capsys.readouterr().err


TOML = """
[data]
files = ["data.extxyz"]
validation_fraction = 0.2
test_fraction = 0.0
[model]
kind = "potential"
species = ["N", "B"]
radial_cutoff = 3.7
angular_cutoff = 3.0
n_max = [2, 2]
basis_size = [3, 3]
l_max = [2, 0, 0]
neurons = 4
[optimizer]
steps = 3
lbfgs_steps = 2
[output]
directory = "out"
"""


def test_command(tmp_path, capfd, monkeypatch):
    """Only the first process writes files and lines."""
    monkeypatch.setattr(launch.subprocess, "Popen", Forked)
    write_dataset(tmp_path / "data.extxyz", structures())
    (tmp_path / "train.toml").write_text(TOML)
    assert main(["train", str(tmp_path / "train.toml"), "--processes", "2"]) == 0
    assert capfd.readouterr().out.count("results in") == 1
    assert read_nep(tmp_path / "out" / "nep.txt").species == ("N", "B")
    assert not list((tmp_path / "out").glob(".*"))


def test_the_reason_of_a_failed_process_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(launch.subprocess, "Popen", Forked)
    with pytest.raises(InputError, match=r"process 1 of the training failed: .*none\.toml does not exist"):
        with launch.launched(2, ["train", str(tmp_path / "none.toml")]):
            raise processes.ProcessLost("no answer")


def test_a_lost_process_is_named(tmp_path):
    def work():
        if processes.rank() == 1:
            return "gone"
        with pytest.raises(processes.ProcessLost, match=r"process 0 of 2 has lost the others \(.+\): one of them has"):
            for _ in range(3):
                processes.add_up(torch.ones(1))
        return "told"

    assert in_two_processes(work, tmp_path) == ["told", "gone"]
