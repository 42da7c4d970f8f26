"""The evolution strategy on a GPU: losses are computed there, random numbers and the state stay on the CPU.

A simulated GPU computes on the CPU, so all numbers must be equal bit for bit.  A real GPU is tested if there is one.
"""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.gpumd_folders import interrupted, write_xyz
from helpers.gpumd_folders import options as folder_options
from helpers.simulated_gpu import simulated_gpu
from helpers.snes_runs import make_frames, options
from tnep_calc.cli import main
from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_in import write_nep_in
from tnep_calc.io.gpumd.nep_txt import format_nep
from tnep_calc.training.common import store
from tnep_calc.training.common.checkpoint import load_checkpoint, save_checkpoint
from tnep_calc.training.gpumd.folder import Folder, RunOptions
from tnep_calc.training.gpumd.snes.run import train_snes
from tnep_calc.training.gpumd.snes.trainer import SnesTrainer
from tnep_calc.training.nep import native
from tnep_calc.training.nep.moments import build_moments

pytestmark = pytest.mark.slow

ALL_BLOCKS = {"l_max": (4, 2, 1, 1, 1, 1, 1)}
SMALL = 2e-5  # GB
RUNS = {
    "energies, forces, virials": ("potential", {"batch": 2}),
    "potential, all blocks and weights": (
        "potential",
        {**ALL_BLOCKS, "force_delta": 0.5, "type_weight": (2.0, 0.5), "lambda_shear": 0.3},
    ),
    "potential, streamed": ("potential", {"batch": 4}),
    "dipole": ("dipole", {"batch": 2}),
    "dipole, computed again": ("dipole", {"full_batch": True, "batch": 3}),
    "polarizability": ("polarizability", {**ALL_BLOCKS, "lambda_shear": 0.3}),
    "dipoles of atoms": ("dipole", {"atomic_v": True}),
    "polarizabilities of atoms, streamed": ("polarizability", {"atomic_v": True}),
}
"""Kind and changes of ``nep.in`` of runs with different data on the device."""


def trainer(name, device="cpu", memory_gb=None):
    kind, changes = RUNS[name]
    frames = make_frames(atomic=changes.get("atomic_v", False))
    frames[1] = replace(frames[1], structure=replace(frames[1].structure, virial=None), weight=2.0)
    little = SMALL if "streamed" in name or "again" in name else 1.0
    return SnesTrainer(options(kind, **changes), frames, memory_gb=memory_gb or little, device=device)


def go_on(run, generations=6):
    for _ in range(generations):
        run.step()
    return run


def outcome(run):
    """Return all results of a run as arrays, which shows that they are on the CPU."""
    arrays = [run.snes.mu.numpy(), run.snes.sigma.numpy(), run.elite.vector.numpy(), run.fitness.q_scaler.numpy()]
    return [run.elite.total, run.train_errors(), format_nep(run.parameters())], arrays


def assert_same(one, other):
    assert one[0] == other[0]
    for a, b in zip(one[1], other[1], strict=True):
        np.testing.assert_array_equal(a, b)


def tensors_of(chunk):
    """Yield the tensors of a chunk that a generation needs."""
    moments = chunk.load()
    yield from (*moments.arrays, moments.structure, moments.atom_row, moments.species, *chunk.targets.values())
    yield from (x for x in (chunk.known, chunk.structure, chunk.counts, chunk.weights, chunk.members))
    yield from (x for x in (moments.pair_center, moments.pair_neighbor, moments.pair_slot) if x is not None)


@pytest.fixture(autouse=True)
def torch_only(monkeypatch):
    """Turn off the native kernels, which only the CPU has, so that a CPU run gives the numbers of another device."""
    monkeypatch.setattr(native, "available", lambda moments: False)


@pytest.fixture(autouse=True)
def disks(request, monkeypatch):
    if "again" in request.node.name:
        monkeypatch.setattr(store, "_SPARE_DISK_GB", 1e9)  # a full disk


@pytest.mark.parametrize("name", RUNS)
def test_a_whole_run_is_on_the_gpu(name):
    plain = go_on(trainer(name))
    with simulated_gpu() as gpu:
        run = go_on(trainer(name, "cuda"))
        there, calls = outcome(run), gpu.calls
        chunks = [chunk for batch in run.fitness._data for chunk in batch]
        assert run.device == torch.device("cuda:0") and calls > 500
        assert all(gpu.holds(x) for chunk in chunks for x in tensors_of(chunk))
        assert not any(gpu.holds(x) for x in run.state()["snes"].values())
    assert_same(there, outcome(plain))
    storage = run.fitness.storage
    assert (storage.disk > 0, storage.computed > 0) == ("streamed" in name, "again" in name)
    assert str(storage) == str(plain.fitness.storage)


@pytest.mark.parametrize("name", [name for name in RUNS if "again" not in name])  # moments are computed on the CPU
def test_generations_name_the_device_of_their_tensors(name):
    """Tensors made without a device are on "meta", which has no values and cannot be combined with other devices."""
    plain, run = go_on(trainer(name)), trainer(name)
    torch.set_default_device("meta")
    try:
        assert torch.zeros(1).is_meta
        go_on(run)
        run.train_errors()
    finally:
        torch.set_default_device(None)
    assert_same(outcome(run), outcome(plain))


@pytest.mark.parametrize("first, second", [("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")])
@pytest.mark.parametrize("name", ["energies, forces, virials", "dipole", "polarizability", "potential, streamed"])
def test_a_run_resumes_on_another_device(name, first, second, tmp_path):
    plain = go_on(trainer(name), 7)
    with simulated_gpu() as gpu:
        before = go_on(trainer(name, first), 3)
        save_checkpoint(tmp_path / "checkpoint.pt", before.state())
        after = trainer(name, second)
        after.restore(tmp_path / "checkpoint.pt")
        calls = gpu.calls
        go_on(after, 4)
        assert (gpu.calls > calls) == (second == "cuda")
        there = outcome(after)
    assert_same(there, outcome(plain))


def test_a_structure_beyond_the_budget_is_refused():
    with pytest.raises(InputError, match=r"structure 0 \(.* atoms\): its moments need .* GB, more than the 1e-08 GB"):
        trainer("polarizability", memory_gb=1e-8)


@pytest.mark.parametrize("name", ["energies, forces, virials", "dipoles of atoms", "polarizability"])
@pytest.mark.parametrize("where", ["disk", "computed"])
def test_moments_beyond_the_budget_change_only_rounding(name, where, monkeypatch):
    """A batch then has several chunks, whose errors are added."""
    if where == "computed":
        monkeypatch.setattr(store, "_SPARE_DISK_GB", 1e9)
    whole = trainer(name)
    assert all(len(batch) == 1 for batch in whole.fitness._data)
    size = whole.fitness.storage.memory
    little = trainer(name, memory_gb=size)
    storage = little.fitness.storage
    assert storage.memory <= size / 2 and getattr(storage, where) > size / 4
    assert any(len(batch) > 1 for batch in little.fitness._data)
    model = little.fitness._data[-1][-1].load()
    assert model.gigabytes > 0 and model.with_arrays([a.new_empty(0) for a in model.arrays]).gigabytes == 0
    together = build_moments([frame.structure for frame in make_frames()], whole.layout.model.basis)
    assert little.fitness.max_neighbors == whole.fitness.max_neighbors == together.max_neighbors
    go_on(whole, 1)
    go_on(little, 1)
    np.testing.assert_allclose(little.fitness.q_scaler.numpy(), whole.fitness.q_scaler.numpy(), rtol=1e-6)
    _, individuals = whole.snes.ask()
    batches = range(len(whole.fitness.batches))
    (wanted, shift), (found, own) = (run.fitness.errors(individuals, batches) for run in (whole, little))
    assert set(found) == set(wanted)
    for label, errors in wanted.items():
        torch.testing.assert_close(found[label], errors, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(own, shift, rtol=1e-5, atol=1e-5)


# -- folders ---------------------------------------------------------------------------------------------------------

FILES = ("nep.txt", "nep.restart", "loss.out", "dipole_train.out", "dipole_test.out")


def make_folder(path, kind="dipole", **changes):
    path.mkdir()
    write_nep_in(path / "nep.in", folder_options(kind, **changes))
    write_xyz(path / "train.xyz", range(5))
    write_xyz(path / "test.xyz", range(5, 7))
    return str(path)


@pytest.mark.parametrize("kind", ["potential", "dipole", "polarizability"])
def test_gpumd_folders(kind, tmp_path, caplog):
    """Files equal those of the CPU, which can also resume from the checkpoint."""
    plain, there = (make_folder(tmp_path / name, kind) for name in ("plain", "there"))
    assert main(["train", plain, "--engine", "snes", "--quiet"]) == 0
    with simulated_gpu() as gpu, caplog.at_level(logging.INFO):
        assert main(["train", there, "--engine", "snes", "--device", "auto"]) == 0
        assert gpu.calls > 500
    assert sum(r.getMessage() == "device: cuda:0 (simulated)" for r in caplog.records) == 1
    assert "GB in memory; lambda_1" in caplog.text
    names = sorted(path.name for path in (tmp_path / "plain").glob("*.out"))
    assert len(names) == (9 if kind == "potential" else 3)
    for name in ("nep.txt", "nep.restart", *names):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "there" / name).read_bytes(), name
    assert load_checkpoint(tmp_path / "there" / "tnep_checkpoint.pt")["generation"] == 8
    for path in (plain, there):
        write_nep_in(Path(path) / "nep.in", folder_options(kind, generation=12), force=True)
        assert main(["train", path, "--engine", "snes", "--quiet"]) == 0
        assert len((Path(path) / "loss.out").read_text().splitlines()) == 6
    assert (tmp_path / "plain" / "nep.txt").read_bytes() == (tmp_path / "there" / "nep.txt").read_bytes()


def test_a_killed_run_on_the_gpu_resumes_bit_for_bit(tmp_path):
    whole, killed = (make_folder(tmp_path / name) for name in ("whole", "killed"))
    assert main(["train", whole, "--engine", "snes", "--quiet"]) == 0
    interrupted(killed, 3, "cuda", simulated_gpu)
    assert load_checkpoint(tmp_path / "killed" / "tnep_checkpoint.pt")["generation"] == 4
    with simulated_gpu():
        assert main(["train", killed, "--engine", "snes", "--device", "cuda", "--quiet"]) == 0
    for name in FILES:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name


def test_absent_devices(tmp_path, monkeypatch, capsys):
    folder = make_folder(tmp_path / "run")
    with simulated_gpu():
        with pytest.raises(InputError, match="device 'cuda:1': there is no such GPU; there are cuda:0"):
            trainer("dipole", "cuda:1")
        assert main(["train", folder, "--engine", "snes", "--device", "cuda:1"]) != 0
        assert "device 'cuda:1': there is no such GPU" in capsys.readouterr().err
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name, words in (("cuda", "finds no GPU"), ("gpu", "the device must be 'cpu', 'cuda', a numbered one")):
        assert main(["train", folder, "--engine", "snes", "--device", name]) != 0
        assert words in capsys.readouterr().err
        with pytest.raises(InputError, match=words):
            trainer("dipole", name)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"nep.in", "train.xyz", "test.xyz"}
    assert trainer("dipole", "auto").device == torch.device("cpu")


@pytest.mark.parametrize("name", ["_chunks", "errors", "find_q_scaler"])
def test_a_full_gpu_says_what_to_do(name, tmp_path, monkeypatch):
    from tnep_calc.training.gpumd.snes.fitness import Fitness

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")

    monkeypatch.setattr(Fitness, name, full)
    words = "CUDA out of memory. Tried .* 2 GiB.; lower --memory, .* use a smaller population or 'batch' in nep.in, or"
    with pytest.raises(InputError, match=words):
        train_snes(Folder(make_folder(tmp_path / "run")), RunOptions(engine="snes"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("name", RUNS)
def test_a_real_gpu(name, tmp_path):
    """Scaling and losses of a population equal those of the CPU; a run resumes there."""
    cpu, gpu = trainer(name), trainer(name, "cuda")
    assert {x.device for batch in gpu.fitness._data for chunk in batch for x in tensors_of(chunk)} == {gpu.device}
    go_on(cpu, 1)
    go_on(gpu, 1)
    assert torch.equal(gpu.snes.mu, cpu.snes.mu) and torch.equal(gpu.snes.sigma, cpu.snes.sigma)
    torch.testing.assert_close(gpu.fitness.q_scaler, cpu.fitness.q_scaler, rtol=1e-4, atol=0)
    _, individuals = gpu.snes.ask()
    (wanted, shift), (found, own) = (run.fitness.errors(individuals, [0]) for run in (cpu, gpu))
    for label, errors in wanted.items():
        torch.testing.assert_close(found[label], errors, rtol=1e-3, atol=1e-4 * float(errors.max()))
    torch.testing.assert_close(own, shift, rtol=1e-4, atol=1e-4)
    go_on(gpu)
    save_checkpoint(tmp_path / "checkpoint.pt", gpu.state())
    cpu.restore(tmp_path / "checkpoint.pt")
    assert cpu.train_errors() == pytest.approx(gpu.train_errors(), rel=1e-3)
    go_on(cpu, 1)
