"""Blocks of moments: in memory, streamed, recomputed; mini-batches, several starts, early stopping."""

from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.structures import random_structure
from helpers.training_runs import Stop, small_config, stop_at
from tnep_calc.errors import InputError
from tnep_calc.training.common import store
from tnep_calc.training.nep import parts as blocks
from tnep_calc.training.nep.shared_parts import MomentPool
from tnep_calc.training.nep.trainer import Trainer

KINDS = ("potential", "dipole", "polarizability")


@pytest.fixture(scope="module")
def structures():
    return [random_structure(seed, ("BNB", "BN", "NNB")[seed % 3], pbc=seed % 4 > 0) for seed in range(12)]


def flat_history(trainer):
    return torch.tensor([[v for v in row.values() if not isinstance(v, str)] for row in trainer.history])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["disk", "computed"])
def test_a_small_budget_gives_the_same_result(kind, where, structures, tmp_path, monkeypatch):
    """Blocks that do not fit in memory are streamed from a file, or recomputed if the disk is full."""
    whole = Trainer(small_config(kind, optimizer={"steps": 3, "lbfgs_steps": 0}), structures)
    assert len(whole.parts["train"].blocks) == 1 and whole.storage.disk == whole.storage.computed == 0
    if where == "computed":
        usage = namedtuple("usage", "free")(1e9)
        monkeypatch.setattr(store.shutil, "disk_usage", lambda path: usage)
    budget = whole.storage.memory
    config = small_config(kind, optimizer={"steps": 3, "lbfgs_steps": 0, "memory_gb": budget, "scratch": str(tmp_path)})
    small = Trainer(config, structures)
    storage = small.storage
    assert len(small.parts["train"].blocks) > 3
    assert storage.memory <= budget / 2 and getattr(storage, where) > budget / 3
    assert storage.memory + storage.disk + storage.computed == pytest.approx(whole.storage.memory, rel=0.1)
    assert ("streamed from a temporary file" if where == "disk" else "recomputed in every step") in str(storage)
    for trainer in (whole, small):
        trainer.run()
    torch.testing.assert_close(small.vector, whole.vector, rtol=0, atol=1e-9)
    torch.testing.assert_close(flat_history(small), flat_history(whole), rtol=1e-9, atol=1e-12)
    predictions = small.evaluate("train")
    for name, value in whole.evaluate("train").items():
        torch.testing.assert_close(predictions[name], value, rtol=0, atol=1e-8)
    assert not list(tmp_path.iterdir())


def test_a_structure_larger_than_the_budget_is_refused_at_once(structures, monkeypatch):
    """No block is smaller than a structure, so without the error the budget would be exceeded silently."""
    some = [structures[0], replace(random_structure(3, "BNBN"), source="x.xyz, structure 2")]
    sizes = [Trainer(small_config(), [s]).storage.memory for s in some]
    assert sizes[1] > sizes[0]
    fits = Trainer(small_config(optimizer={"memory_gb": 1.01 * sizes[1]}), some)
    assert len(fits.parts["train"].blocks) == 2 and fits.storage.disk > 0
    monkeypatch.setattr(blocks, "assemble", lambda *_, **__: pytest.fail("moments are computed"))
    small = 0.99 * sizes[1]
    words = rf"x\.xyz, structure 2 \(4 atoms\): .* need {sizes[1]:.3g} GB, more than the {small:.3g} GB .*: raise .*--memory"
    with pytest.raises(InputError, match=words):
        Trainer(small_config(optimizer={"memory_gb": small}), some[::-1])


def test_a_missing_scratch_folder_is_named(structures, tmp_path):
    config = small_config(optimizer={"scratch": "fast/disk"}, base=tmp_path)
    with pytest.raises(InputError, match=rf"no folder {tmp_path}/fast/disk .*optimizer\.scratch.*: make it"):
        Trainer(config, structures)


def test_single_precision_is_accurate_enough(structures):
    """Gradients from float32 moments equal those from float64 to a few parts in a million."""
    for kind in KINDS:
        double, single = (
            Trainer(small_config(kind, optimizer={"precision": p}), structures) for p in ("float64", "float32")
        )
        assert single.storage.memory == pytest.approx(double.storage.memory / 2)
        with torch.no_grad():
            single.vector.copy_(double.vector)
        single.model.scaling = double.model.scaling
        losses = [float(trainer._gradient()) for trainer in (double, single)]
        assert losses[1] == pytest.approx(losses[0], rel=2e-6)
        error = (single.vector.grad - double.vector.grad).norm() / double.vector.grad.norm()
        assert float(error) < 1e-5, kind


def interrupted(config, structures, stop, path):
    """Stop a run at a step, and return a new trainer that has resumed from its checkpoint."""
    first = Trainer(config, structures)
    stop_at(first, stop)
    with pytest.raises(Stop):
        first.run(checkpoint=path)
    second = Trainer(config, structures)
    second.vector.data += 1.0
    second.restore(path)
    assert second.step == stop
    return second


@pytest.mark.slow
@pytest.mark.parametrize("stop", [3, 8, 14])
def test_batches_and_starts_resume_bit_for_bit(structures, tmp_path, stop):
    config = small_config(
        "dipole",
        data={"validation_fraction": 0.25},
        output={"checkpoint_interval": 1, "report_interval": 2},
        optimizer={"steps": 10, "lbfgs_steps": 5, "batch": 4, "restarts": 3, "restart_steps": 6},
    )
    whole = Trainer(config, structures)
    assert whole.vector.shape == (3, whole.model.n_parameters) and whole.total_steps == 21
    batches = whole.parts["train"].batches
    assert [sum(len(b.structures) for b in batch) for batch in batches] == [3, 3, 3]
    whole.run()
    second = interrupted(config, structures, stop, tmp_path / "c.pt")
    assert second.stage == ("restarts" if stop == 3 else "adam")
    second.run()
    assert torch.equal(whole.vector, second.vector) and whole.history == second.history
    assert torch.equal(whole.result()[0], second.result()[0])
    assert [row["stage"] for row in whole.history] == ["restarts"] * 3 + ["adam"] * 5 + ["lbfgs"] * 4


def test_an_epoch_takes_every_batch_once(structures):
    trainer = Trainer(small_config("dipole", optimizer={"batch": 3}), structures)
    epochs = []
    for epoch in range(6):
        taken = []
        for k in range(4):
            trainer.step = 4 * epoch + k
            taken += [int(s) for block in trainer.batch(trainer.parts["train"]) for s in block.structures]
        assert sorted(taken) == list(range(12))
        epochs.append(tuple(taken))
    assert len(set(epochs)) > 2


def test_the_best_start_is_chosen(structures):
    """Starts are trained as if alone, each from its own seed, and the best on validation data is kept."""
    optimizer = {"steps": 1, "lbfgs_steps": 0, "restarts": 3, "restart_steps": 7}
    config = small_config("polarizability", data={"validation_fraction": 0.25}, optimizer=optimizer)
    together = Trainer(config, structures)
    for _ in range(6):
        together.advance()
    together._choose = lambda: None
    together.advance()
    losses = []
    for k in range(3):
        seed = config.model.seed + 1_000_003 * k
        alone = Trainer(
            replace(
                config, model=replace(config.model, seed=seed), optimizer=replace(config.optimizer, restarts=1, steps=7)
            ),
            structures,
        )
        alone.run()
        torch.testing.assert_close(together.vector[k], alone.vector, rtol=0, atol=1e-8)
        losses.append(alone.history[-1]["loss_validation"])
    chosen = Trainer(config, structures)
    for _ in range(7):
        chosen.advance()
    best = int(np.argmin(losses))
    torch.testing.assert_close(chosen.vector.detach(), together.vector[best].detach(), rtol=0, atol=0)
    with torch.no_grad():
        predictions = chosen.evaluate("validation")
    terms = chosen.objective.terms(chosen.parts["validation"].labels, predictions)
    assert float(chosen.objective.loss(terms)) == pytest.approx(min(losses), rel=1e-6)


def test_patience(structures):
    """With random labels, the validation loss soon stops falling, and the run stops."""
    config = small_config(
        "dipole",
        data={"validation_fraction": 0.5},
        output={"report_interval": 2},
        optimizer={"steps": 400, "lbfgs_steps": 0, "patience": 5},
    )
    trainer = Trainer(config, structures)
    trainer.run()
    assert trainer.step < 400 and trainer.step == trainer.best["step"] + 10
    assert trainer.result()[1] == trainer.best["step"]


@pytest.mark.slow
def test_lbfgs_starts_from_the_best_parameters_when_patience_runs_out(structures):
    config = small_config(
        "dipole",
        data={"validation_fraction": 0.5},
        output={"report_interval": 2},
        optimizer={"steps": 400, "lbfgs_steps": 300, "patience": 5},
    )
    trainer = Trainer(config, structures)
    starts, original = [], trainer.lbfgs_step

    def lbfgs_step(gradient):
        starts.append((trainer.step, trainer.vector.detach().clone(), trainer.best))
        original(gradient)

    trainer.lbfgs_step = lbfgs_step
    trainer.run()
    adam, lbfgs = ([row for row in trainer.history if row["stage"] == stage] for stage in ("adam", "lbfgs"))
    step, vector, best = starts[0]
    assert step == 400 and torch.equal(vector, best["vector"]) and adam[-1]["step"] == best["step"] + 10 < 400
    assert lbfgs[0]["step"] == 402 and lbfgs[-1]["step"] == trainer.step < 700
    assert trainer.step == max(trainer.best["step"], 400) + 10


def test_patience_needs_validation_data():
    with pytest.raises(InputError, match="patience needs validation data"):
        small_config("dipole", optimizer={"patience": 5})


def test_speed_counts_bytes_and_operations(structures):
    trainer = Trainer(small_config("dipole", optimizer={"steps": 3, "lbfgs_steps": 0}), structures)
    trainer.run()
    speed = trainer.speed()
    assert speed["gigabytes"] == pytest.approx(2 * trainer.storage.memory)
    assert speed["gigaflops"] == pytest.approx((10 * 3 + 4 * 3) / 4 * trainer.storage.memory / 8)
    assert 0 < speed["seconds"] < 5
    assert speed["gigabytes_per_second"] == pytest.approx(speed["gigabytes"] / speed["seconds"])


def test_many_models_have_smaller_blocks():
    assert [store.Storage(4.0, models=n).block_gb for n in (1, 8)] == [store.BLOCK_GB] * 2
    assert store.Storage(4.0, models=80).block_gb == pytest.approx(store.BLOCK_GB / 10)
    config = small_config("polarizability", optimizer={"restarts": 4})
    own = [random_structure(k, "BN") for k in range(3)]
    assert Trainer(small_config("dipole", optimizer={"restarts": 16}), own).storage.block_gb == store.BLOCK_GB / 2
    assert MomentPool(config, [own] * 4).storage.block_gb == store.BLOCK_GB / 2
