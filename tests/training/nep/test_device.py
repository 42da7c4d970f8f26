"""Training on a GPU: a step runs entirely there, results return to the CPU, and runs resume on another device.

A simulated GPU computes on the CPU, so all numbers must be equal bit for bit.  A real GPU is tested if there is one.
"""

import json
import logging
import re
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.io import write

from helpers.ensemble_runs import TOML, smooth_structures
from helpers.gpumd_folders import SYMBOLS, options, write_xyz
from helpers.grid import grid
from helpers.simulated_gpu import simulated_gpu
from helpers.structures import random_structure
from helpers.training_runs import small_config, start_config
from tnep_calc.cli import main
from tnep_calc.device import describe, resolve
from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_in import write_nep_in
from tnep_calc.io.gpumd.nep_txt import write_nep
from tnep_calc.training.common import store
from tnep_calc.training.common.checkpoint import load_checkpoint, save_checkpoint
from tnep_calc.training.nep import native
from tnep_calc.training.nep.joint import JointTrainer
from tnep_calc.training.nep.trainer import Trainer

pytestmark = pytest.mark.slow

STRUCTURES = [random_structure(seed, SYMBOLS[seed % 3], pbc=seed != 4) for seed in range(6)]
RUNS = {
    "potential, adam": ("potential", {}),
    "potential, batches and weights": (
        "potential",
        {"loss": {"species_weights": [1.0, 2.0], "force_delta": 0.5, "shear": 2.0}, "optimizer": {"batch": 3}},
    ),
    "potential, streamed": ("potential", {"optimizer": {"memory_gb": 5e-5, "batch": 4, "lbfgs_steps": 12}}),
    "potential, computed again": ("potential", {"optimizer": {"memory_gb": 5e-5, "steps": 2, "lbfgs_steps": 1}}),
    "potential, several starts": (
        "potential",
        {"data": {"validation_fraction": 0.3}, "optimizer": {"restarts": 3, "restart_steps": 3}},
    ),
    "dipole, charges and shares": ("dipole", {"model": {"l_max": [2, 1]}, "loss": {"atomic_dipole": 0.5}}),
    "dipole, soap on batches": ("dipole", {"optimizer": {"method": "soap", "batch": 3, "steps": 8, "lbfgs_steps": 1}}),
    "dipole, soap, several starts": (
        "dipole",
        {"optimizer": {"method": "soap", "steps": 2, "restarts": 2, "restart_steps": 6}},
    ),
    "polarizability, all blocks": (
        "polarizability",
        {
            "model": {"l_max": [4, 1, 1, 1, 1, 1, 1]},
            "loss": {"atomic_polarizability": 1.0},
            "optimizer": {"steps": 2, "lbfgs_steps": 2},
        },
    ),
    "polarizability, single precision": ("polarizability", {"optimizer": {"precision": "float32"}}),
}
"""Kind and tables of runs with different data on the device."""


@pytest.fixture(autouse=True)
def torch_only(monkeypatch):
    """Turn off the native kernels, which only the CPU has, so that a CPU run gives the numbers of another device."""
    monkeypatch.setattr(native, "available", lambda moments: False)


def trainer(name, device="cpu"):
    kind, tables = RUNS[name]
    tables = {
        **tables,
        "model": {"l_max": [2, 0], **tables.get("model", {})},
        "output": {"report_interval": 5},
        "optimizer": {"steps": 4, "lbfgs_steps": 5, "device": device, **tables.get("optimizer", {})},
    }
    return Trainer(small_config(kind, **tables), STRUCTURES)


def outcome(run):
    """Return all results of a run as arrays, which shows that they are on the CPU."""
    vector, step = run.result()
    arrays = [vector.numpy(), *(value.numpy() for value in run.evaluate("train", vector).values())]
    p = run.parameters()
    return step, run.history, [*arrays, p.w0, p.b0, p.w1, p.b1, p.c_radial, p.c_angular, p.q_scaler]


def assert_same(one, other):
    assert one[:2] == other[:2]
    for a, b in zip(one[2], other[2], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", RUNS)
def test_a_whole_run_is_on_the_gpu(name, monkeypatch):
    if "again" in name:
        monkeypatch.setattr(store, "_SPARE_DISK_GB", 1e9)  # a full disk
    plain = trainer(name)
    plain.run()
    with simulated_gpu() as gpu:
        run = trainer(name, "cuda")
        run.run()
        on_gpu = outcome(run)
        assert run.device == torch.device("cuda:0") and gpu.calls > 500
        assert gpu.holds(run.vector) and gpu.holds(run.parts["train"].blocks[0].load().groups[0].radial)
        assert gpu.holds(run.parts["train"].blocks[0].labels.counts)
    assert (run.storage.disk > 0, run.storage.computed > 0) == ("streamed" in name, "again" in name)
    assert_same(outcome(plain), on_gpu)


@contextmanager
def default_device(name):
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize("name", RUNS)
def test_steps_name_the_device_of_their_tensors(name):
    """Tensors made without a device are on "meta", which has no values and cannot be combined with other devices."""
    plain, run = trainer(name), trainer(name)
    run.advance()  # torch puts the counter of Adam on the default device
    with default_device("meta"):
        assert torch.zeros(1).is_meta
        if run.choice_step:
            while run.step < run.choice_step:
                run.advance()
        else:
            while run.stage != "lbfgs":
                run.advance()
    if run.choice_step:  # a new Adam
        run.advance()
    with default_device("meta"):
        while not run.finished:
            run.advance()
        run.evaluate("train")
        run.report()
    while not plain.finished:
        plain.advance()
    plain.report()
    assert_same(outcome(plain), outcome(run))


@pytest.mark.parametrize("first, second", grid([("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")], [("cuda", "cpu")]))
@pytest.mark.parametrize(
    "name, stop",
    [
        ("potential, adam", 2),
        ("potential, several starts", 2),
        ("dipole, soap on batches", 6),
        ("potential, streamed", 14),
    ],
)
def test_a_run_resumes_on_another_device(name, stop, first, second, tmp_path):
    plain = trainer(name)
    plain.run()
    with simulated_gpu():
        run = trainer(name, first)
        run.report()
        while run.step < stop:
            run.advance()
        save_checkpoint(tmp_path / "checkpoint.pt", run.state())
        other = trainer(name, second)
        other.restore(tmp_path / "checkpoint.pt")
        other.run()
        resumed = outcome(other)
    assert stop <= run.step < plain.total_steps
    np.testing.assert_array_equal(outcome(plain)[2][0], resumed[2][0])
    assert plain.history[-1] == other.history[-1]


def test_missing_labels_and_unseen_pairs(caplog):
    """Masks of labels, and the search for unseen pairs in the moments, work on the device."""
    structures = [replace(s, forces=None) if k % 2 else s for k, s in enumerate(STRUCTURES[:6])]
    structures += [random_structure(seed, "BN", pbc=False) for seed in (20, 21)]
    indices = {"train": np.array([6, 7]), "validation": np.arange(6), "test": np.arange(0)}
    found = []
    for device in ("cpu", "cuda"):
        config = small_config(data={"allow_missing": True}, optimizer={"device": device})
        caplog.clear()
        if device == "cpu":
            run = Trainer(config, structures, indices)
            run.run()
        else:
            with simulated_gpu():
                run = Trainer(config, structures, indices)
                run.run()
        found.append((run.history, [r.getMessage() for r in caplog.records if "extrapolation" in r.getMessage()]))
    assert found[0] == found[1] and "B-B" in found[0][1][0]


def test_a_start_from_a_file(tmp_path):
    parameters = trainer("dipole, charges and shares").parameters()
    write_nep(tmp_path / "nep.txt", parameters)
    config = start_config(tmp_path, "dipole", freeze_descriptor=True)
    plain = Trainer(config, STRUCTURES)
    plain.run()
    with simulated_gpu():
        run = Trainer(replace(config, optimizer=replace(config.optimizer, device="cuda")), STRUCTURES)
        run.run()
        on_gpu = outcome(run)
    assert_same(outcome(plain), on_gpu)


def test_an_ensemble_and_its_files(tmp_path, caplog):
    write(tmp_path / "data.extxyz", smooth_structures(10))
    text = TOML.replace("steps = 20", "steps = 4").replace("n_splits = 3", "n_splits = 2")
    (tmp_path / "config.toml").write_text(text)
    assert main(["train", str(tmp_path / "config.toml")]) == 0
    (tmp_path / "gpu.toml").write_text(text.replace("[optimizer]", '[optimizer]\ndevice = "auto"'))
    with simulated_gpu(), caplog.at_level(logging.INFO):
        assert main(["train", str(tmp_path / "gpu.toml"), "--output", str(tmp_path / "gpu")]) == 0
    assert "device: cuda:0 (simulated)" in caplog.text
    for k in (1, 2):
        names = [tmp_path / folder / f"member{k}" for folder in ("out", "gpu")]
        assert len({(name / "nep.txt").read_bytes() for name in names}) == 1
        assert [json.loads((n / "results.json").read_text())["device"] for n in names] == ["cpu", "cuda:0 (simulated)"]
    errors = [json.loads((tmp_path / folder / "ensemble.json").read_text())["errors"] for folder in ("out", "gpu")]
    assert errors[0] == errors[1]


def test_gpumd_folders(tmp_path):
    """Two folders with shared moments; the CPU resumes from the checkpoint of the first."""
    for name in ("a", "b", "plain"):
        (tmp_path / name).mkdir()
        write_nep_in(tmp_path / name / "nep.in", options("potential", generation=10))
        write_xyz(tmp_path / name / "train.xyz", range(5))
        write_xyz(tmp_path / name / "test.xyz", range(5, 7))
    folders = [str(tmp_path / name) for name in ("a", "b")]
    with simulated_gpu() as gpu:
        assert main(["train", *folders, "--steps", "5", "--device", "cuda:0", "--quiet"]) == 0
        assert gpu.calls > 500
    assert main(["train", str(tmp_path / "plain"), "--steps", "5", "--quiet"]) == 0
    for file in ("nep.txt", "loss.out", "force_train.out", "energy_test.out"):
        assert len({(tmp_path / name / file).read_bytes() for name in ("a", "b", "plain")}) == 1, file
    state = load_checkpoint(tmp_path / "a" / "tnep_checkpoint.pt")
    assert not state["vector"].requires_grad and state["step"] == 10
    assert main(["train", folders[0], "--steps", "5", "--quiet"]) == 0


def test_unknown_and_absent_devices(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve("cpu") == resolve("auto") == torch.device("cpu") and describe(resolve("auto")) == "cpu"
    for name in ("gpu", "cuda:x", "meta", "mps", ""):
        with pytest.raises(
            InputError,
            match=re.escape(
                f"the device must be 'cpu', 'cuda', a numbered one such as 'cuda:1', or 'auto' (a GPU if there is one); got '{name}'"
            ),
        ):
            resolve(name)
    with pytest.raises(InputError, match=r"device 'cuda:1': PyTorch .* finds no GPU.*; install .* or use 'cpu'"):
        Trainer(small_config(optimizer={"device": "cuda:1"}), STRUCTURES)
    with simulated_gpu():
        assert str(resolve("cuda")) == str(resolve("auto")) == "cuda:0"
        with pytest.raises(InputError, match="device 'cuda:1': there is no such GPU; there are cuda:0"):
            resolve("cuda:1")
    write_nep_in(tmp_path / "nep.in", options("potential"))
    write_xyz(tmp_path / "train.xyz", range(5))
    assert main(["train", str(tmp_path), "--device", "cuda"]) != 0
    assert "finds no GPU" in capsys.readouterr().err
    (tmp_path / "config.toml").write_text(TOML)
    assert main(["train", str(tmp_path / "config.toml"), "--device", "cpu"]) != 0
    assert "--device is for GPUMD folders; a configuration has its own keys" in capsys.readouterr().err


def test_a_full_gpu_says_what_to_do(monkeypatch):
    run = trainer("potential, adam")

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")

    monkeypatch.setattr(run.model, "predict", full)
    with pytest.raises(
        InputError, match=r"little memory: CUDA out of memory. Tried .* 2 GiB.; lower optimizer.memory_gb"
    ):
        run.run()


@pytest.mark.parametrize(
    "words, fill",
    [
        (
            "DefaultCPUAllocator: .*tried to allocate 8000000000000000 bytes.*",
            lambda: torch.empty(10**15, dtype=torch.float64),
        ),
        ("Unable to allocate .* PiB .*", lambda: np.empty(10**15)),
    ],
)
def test_a_full_computer_says_what_to_do(words, fill, monkeypatch):
    run = trainer("potential, adam")
    monkeypatch.setattr(run.model, "predict", lambda *_: fill())
    with pytest.raises(
        InputError, match=f"computer has too little memory: {words}; lower optimizer.memory_gb.*fewer atoms"
    ):
        run.run()
    monkeypatch.setattr(run.model, "predict", lambda *_: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="inconsistent|size"):
        run.run()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("name", RUNS)
def test_a_real_gpu(name, tmp_path):
    """Gradients and predictions are those of the CPU; a run resumes there."""
    cpu, gpu = trainer(name), trainer(name, "cuda")
    size = 1e-4 if "single" in name else 1e-9
    torch.testing.assert_close(gpu.vector.detach().cpu(), cpu.vector.detach(), rtol=size, atol=size)
    assert gpu._gradient() == pytest.approx(cpu._gradient(), rel=100 * size)
    scale = float(cpu.vector.grad.abs().max())
    torch.testing.assert_close(gpu.vector.grad.cpu(), cpu.vector.grad, rtol=0, atol=100 * size * scale)
    gpu.run(checkpoint=tmp_path / "checkpoint.pt")
    assert gpu.history[-1]["loss_train"] < gpu.history[0]["loss_train"]
    cpu.restore(tmp_path / "checkpoint.pt")
    for label, value in gpu.evaluate("train").items():
        torch.testing.assert_close(
            value, cpu.evaluate("train")[label], rtol=0, atol=1e3 * size * float(value.abs().max())
        )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"memory_gb": 5e-5},
        {"batch": 3, "method": "soap"},
        {"restarts": 2, "restart_steps": 3},
    ],
)
def test_models_together_are_on_the_gpu(options):
    """L-BFGS runs in threads, which the simulated GPU does not track; its gradients do not."""
    splits = [
        {"train": np.array(t), "validation": np.array(v), "test": np.zeros(0, dtype=int)}
        for t, v in (([0, 1, 3, 5], [2, 4]), ([2, 3, 4], [0]))
    ]

    def together(device):
        tables = {"model": {"l_max": [2, 0]}, "optimizer": {"steps": 4, "lbfgs_steps": 5, "device": device, **options}}
        config = small_config("dipole", **tables)
        return JointTrainer.of([config, config], STRUCTURES, splits)

    plain = together("cpu")
    plain.run()
    with simulated_gpu() as gpu:
        run = together("cuda")
        run.run()
        assert all(gpu.holds(member.vector) for member in run.members) and gpu.calls > 500
        on_gpu = [outcome(member) for member in run.members]
    for member, found in zip(plain.members, on_gpu, strict=True):
        assert_same(outcome(member), found)
