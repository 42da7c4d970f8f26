"""Training of the enthalpy family on a GPU: a step runs entirely there, and results return to the CPU.

A simulated GPU computes on the CPU, so all numbers must be equal bit for bit.  A real GPU is tested if there is one.
"""

import json
import logging
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from helpers.enthalpy_teacher import (
    CUTOFF,
    FIELD,
    QUANTITIES,
    RADIAL,
    SHAPE,
    SPECIES,
    ZBL,
    config,
    geometry,
    labelled,
)
from helpers.grid import grid
from helpers.simulated_gpu import simulated_gpu
from tnep_calc.artifact import load_artifact
from tnep_calc.errors import InputError
from tnep_calc.models.enthalpy.model import Enthalpy
from tnep_calc.models.enthalpy.sites import EnthalpySites
from tnep_calc.training.common.checkpoint import fingerprint
from tnep_calc.training.enthalpy.frames import Frame, make_frame
from tnep_calc.training.enthalpy.run import EnthalpyRun
from tnep_calc.training.enthalpy.trainer import EnthalpyTrainer

pytestmark = pytest.mark.slow

CPU, META = torch.device("cpu"), torch.device("meta")
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
CASES = {
    "ridge": ({"optimizer": {"polarizability": "ridge"}}, None),
    "gradient": ({"optimizer": {"polarizability": "gradient"}}, None),
    "field": ({}, FIELD),
    "third order": ({"model": {"hyperpolarizability": True}}, FIELD),
    "single precision": ({"optimizer": {"precision": "float32"}}, None),
}


def structures_of(model, field):
    """Structures with all or some of the labels, a dipole on another branch, some in a field."""
    made = [labelled(model, k, field if k % 2 else None) for k in range(5)]
    made[1] = replace(made[1], dipole=made[1].dipole + made[1].cell[0] - 2 * made[1].cell[2])
    return [*made, labelled(model, 5, drop=("born_charges", "polarizability")), labelled(model, 6, drop=("dipole",))]


def trainer_of(case, model, **optimizer):
    changes, field = CASES[case]
    changes = changes | {"optimizer": {"epochs": 3, **changes.get("optimizer", {}), **optimizer}}
    return EnthalpyTrainer(config(**changes), structures_of(model, field))


def looked_at(trainer):
    """Return all results of a training as one mapping of arrays."""
    found = {
        f"{split} {name}": np.concatenate([x.ravel() for x in parts])
        for split in trainer.frames
        for name, parts in trainer.compare(split).items()
    }
    for k, row in enumerate(trainer.history):
        found[f"row {k}"] = np.array([row[key] for key in row if key != "seconds"])
    return found


def tensors_in(value):
    if isinstance(value, torch.Tensor):
        return [value]
    if is_dataclass(value):
        value = [getattr(value, f.name) for f in fields(value)]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for item in value for t in tensors_in(item)] if isinstance(value, (list, tuple)) else []


def assert_same(one, other):
    found, wanted = looked_at(one), looked_at(other)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert np.array_equal(found[name], value) and np.isfinite(value).all(), name


@pytest.mark.parametrize("case", grid(CASES, ["ridge", "third order", "single precision"]))
def test_a_whole_run_is_on_the_gpu(teacher, case):
    """Steps, reports (with the ridge fit) and comparisons."""
    plain = trainer_of(case, teacher)
    assert plain.ridge == (CASES[case][1] is None and case != "gradient")
    assert set(plain.compare("train")) == set(QUANTITIES)
    plain.run()
    with simulated_gpu() as gpu:
        there = trainer_of(case, teacher, device="cuda")
        there.run()
        state = there.state()
        assert all(gpu.holds(t) for t in tensors_in([there.pool, state["sites"], state["average"], state["optimizer"]]))
        assert_same(there, plain)


def test_a_run_on_the_gpu_resumes_on_the_cpu(teacher, tmp_path, monkeypatch):
    monkeypatch.setattr(Figure, "savefig", lambda figure, target, **options: getattr(target, "touch", int)())
    plain = trainer_of("ridge", teacher, epochs=6)
    plain.run()
    killed = trainer_of("ridge", teacher, epochs=6)
    with pytest.raises(KeyboardInterrupt):
        killed.run(_interrupt, tmp_path / "checkpoint.pt")
    with simulated_gpu() as gpu:
        there = trainer_of("ridge", teacher, epochs=6, device="auto")
        run = EnthalpyRun(there.config)
        run.train_in(tmp_path, there)
        assert gpu.holds(there.average.w3)
        run.write_results(there, tmp_path, run.predictions(there))
        assert gpu.holds(there.average.w3)
    assert json.loads((tmp_path / "results.json").read_text())["device"] == "cuda:0 (simulated)"
    exported = load_artifact(tmp_path / "model.pt").module.state_dict()
    again = trainer_of("ridge", teacher, epochs=6)
    again.restore(tmp_path / "checkpoint.pt")
    assert again.finished
    assert_same(again, plain)
    for name, value in plain.average.state_dict().items():
        assert torch.equal(exported[f"plain.members.0.{name}"], value), name


def _interrupt(trainer):
    raise KeyboardInterrupt


@pytest.mark.parametrize("order", [2, 3])
def test_the_model_computes_on_the_device_of_its_input(teacher, order):
    sites = EnthalpySites(replace(SHAPE, hyperpolarizability=order == 3))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in sites.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    model = Enthalpy([sites], SPECIES, CUTOFF, RADIAL, ZBL)
    species, centers, edges = torch.tensor([0, 0, 1, 1, 1, 1]), torch.arange(6), edges_of(1)
    arguments = (species, centers, *edges, model.quantities, torch.tensor([0.1, -0.2, 0.3]))
    wanted = model(*arguments)
    with META:
        found = model(*arguments)
    assert set(found) == set(model.quantities)
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name


def edges_of(seed):
    from tnep_calc.neighbors import NeighborList

    edges = NeighborList(CUTOFF, 0.0).edges(*geometry(seed), np.ones(3, bool))
    return [torch.from_numpy(x) for x in (edges.offsets, edges.neighbors, edges.vectors)]


def test_frames_move_as_a_whole(teacher):
    frame = make_frame(labelled(teacher, 1, FIELD), SPECIES, CUTOFF, RADIAL, torch.float64, zbl=ZBL)
    assert frame.to(CPU) is frame
    there, here = tensors_in(frame.to(META)), tensors_in(frame)
    assert [t.shape for t in there] == [t.shape for t in here] and len(here) > 25
    assert {t.device for t in here} == {CPU} and {t.device for t in there} == {META}


def test_members_share_the_frames_on_the_device(teacher):
    structures = structures_of(teacher, None)
    first = EnthalpyTrainer(config(), structures)
    second = EnthalpyTrainer(config(model={"seed": 1}), structures, pool=first.pool)
    assert all(a is b for a, b in zip(first.pool, second.pool, strict=True))


def test_frames_that_exceed_the_memory(teacher, monkeypatch):
    def full(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    structures, words = [labelled(teacher, k) for k in range(5)], "out of memory.; take fewer structures"
    trainer = EnthalpyTrainer(config(), structures)
    monkeypatch.setattr(Frame, "to", full)
    with pytest.raises(InputError, match=words):
        EnthalpyTrainer(config(), structures)
    monkeypatch.setattr(trainer, "train_on", full)
    with pytest.raises(InputError, match=words):
        trainer.run()


def test_names_of_devices(teacher, tmp_path, caplog):
    """The device does not identify a run: its checkpoint resumes on another device."""
    structures = [labelled(teacher, k) for k in range(5)]
    assert "device" not in config().content()["optimizer"]
    assert fingerprint(config(optimizer={"device": "cuda:1"}), structures) == fingerprint(config(), structures)
    with pytest.raises(InputError, match="got 'gpu'"):
        EnthalpyTrainer(config(optimizer={"device": "gpu"}), structures)
    with pytest.raises(InputError, match="optimizer.device must be a string"):
        config(optimizer={"device": 1})
    caplog.set_level(logging.INFO)
    trainer = EnthalpyTrainer(config(optimizer={"device": "auto", "epochs": 1}), structures)
    EnthalpyRun(trainer.config).train_in(tmp_path, trainer)
    assert f"steps per epoch on {trainer.device}" in caplog.text
    assert trainer.device.type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_an_absent_gpu(teacher):
    with pytest.raises(InputError, match="finds no GPU"):
        EnthalpyTrainer(config(optimizer={"device": "cuda"}), [labelled(teacher, k) for k in range(5)])


@GPU
@pytest.mark.parametrize("case", CASES)
def test_a_gpu_gives_the_same_results(teacher, case, tmp_path):
    here, there = trainer_of(case, teacher), trainer_of(case, teacher, device="cuda")
    assert {t.device for t in tensors_in([there.pool, list(there.sites.parameters())])} == {there.device}
    single = case == "single precision"

    def same(tolerance):
        other = looked_at(there)
        for name, value in looked_at(here).items():
            np.testing.assert_allclose(other[name], value, rtol=tolerance, atol=tolerance * np.abs(value).max())

    same(1e-4 if single else 1e-9)
    here.run()
    there.run(checkpoint=tmp_path / "c.pt")
    if not single:  # rounding differences grow during training
        same(1e-3)
    assert {t.device for t in tensors_in(torch.load(tmp_path / "c.pt"))} == {CPU}
    again = trainer_of(case, teacher)
    again.restore(tmp_path / "c.pt")
    for one, other in zip(again.average.parameters(), there.average.parameters(), strict=True):
        assert torch.equal(one, other.cpu())
