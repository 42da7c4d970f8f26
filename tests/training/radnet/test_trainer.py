"""Training of the radnet family: against a teacher of the same form, exact resume, plateaus, early stopping."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.random_radnet import random_sites
from helpers.training_runs import Stop, stop_at
from tnep_calc.errors import InputError
from tnep_calc.training.common import loop
from tnep_calc.training.radnet.trainer import RadnetTrainer

pytestmark = pytest.mark.slow


def test_training_approaches_the_teacher(structures, config):
    trainer = RadnetTrainer(config(optimizer={"epochs": 90, "lr": 0.01}, output={"report_interval": 10}), structures)
    trainer.run()
    first, last = trainer.history[0], trainer.history[-1]
    for name in ("dipole", "born_charges", "polarizability"):
        assert last[f"rmse_{name}_train"] < 0.5 * first[f"rmse_{name}_train"], name
    assert last["loss_train"] < 0.15 * first["loss_train"]


@pytest.mark.parametrize("steps", [1, 5])
def test_resume_within_a_pass_is_exact(structures, config, tmp_path, monkeypatch, steps):
    """A checkpoint by time can fall between any two steps."""
    made = config(data={"augmentation": "point_group"}, optimizer={"epochs": 4, "batch": 3})
    straight, killed, again = (RadnetTrainer(made, structures) for _ in range(3))
    straight.run()
    assert straight.steps_per_epoch == 3
    monkeypatch.setattr(loop, "CHECKPOINT", 0.0)
    stop_at(killed, steps)
    with pytest.raises(Stop):
        killed.run(checkpoint=tmp_path / "c.pt")
    again.restore(tmp_path / "c.pt")
    assert again.step == steps
    again.run()
    for a, b in zip(straight.average.parameters(), again.average.parameters(), strict=True):
        assert torch.equal(a, b)


def test_resume_is_exact(structures, config, tmp_path):
    made = config(data={"augmentation": "point_group"}, optimizer={"patience": 0, "lr": 0.05})
    straight = RadnetTrainer(made, structures)
    straight.run()
    killed = RadnetTrainer(made, structures)

    def interrupt(trainer):
        if trainer.epoch == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed.run(interrupt, tmp_path / "c.pt")
    again = RadnetTrainer(made, structures)
    again.restore(tmp_path / "c.pt")
    assert again.epoch == 6 and len(again.history) == 2
    again.run()
    for name in ("sites", "average", "result"):
        for a, b in zip(getattr(straight, name).parameters(), getattr(again, name).parameters(), strict=True):
            assert torch.equal(a, b)
    assert [row["lr"] for row in straight.history] == [row["lr"] for row in again.history]
    with pytest.raises(InputError, match="another configuration"):
        RadnetTrainer(config(model={"seed": 1}), structures).restore(tmp_path / "c.pt")


def test_plateaus_and_early_stopping(structures, config):
    """Without improvement the learning rate is reduced by the factor, and training ends after `early_stopping` reports."""
    options = {
        "epochs": 60,
        "lr": 1e-9,
        "min_lr": 2e-10,
        "patience": 1,
        "factor": 0.5,
        "early_stopping": 4,
        "average": 0.0,
    }
    made = config(optimizer=options, output={"report_interval": 1}, loss={"weight_decay": 0.0})
    trainer = RadnetTrainer(made, structures)
    trainer.run()
    rates = [row["lr"] for row in trainer.history]
    assert rates == pytest.approx([1e-9, 1e-9, 1e-9, 5e-10, 5e-10]) and trainer.stopped
    assert trainer.epoch == 5  # the first report, and four that are not smaller by a thousandth


def test_result_is_the_best_report(structures, config):
    made = config(optimizer={"epochs": 6, "lr": 0.05, "average": 0.0, "patience": 50}, output={"report_interval": 1})
    trainer = RadnetTrainer(made, structures)
    trainer.run()
    judged = [row["loss_validation"] for row in trainer.history]
    assert int(np.argmin(judged)) < len(judged) - 1
    labels = trainer.pool.labels.select(trainer.indices["validation"])
    found = trainer.evaluate("validation")
    loss = sum(
        float((labels.known_errors(name, value) / trainer.spreads[name]).square().mean())
        for name, value in found.items()
    )
    assert loss == pytest.approx(min(judged), rel=1e-6)


def test_dipoles_on_other_branches_are_the_same_labels(structures, config):
    shifted = [replace(s, dipole=s.dipole + np.array([1, -2, 0]) @ s.cell) for s in structures]
    one, other = (RadnetTrainer(config(), x) for x in (structures, shifted))
    one.run()
    other.run()
    for a, b in zip(one.result.parameters(), other.result.parameters(), strict=True):
        assert float((a - b).abs().max()) < 1e-9


def test_structures_may_lack_labels(structures, config):
    some = [
        replace(s, **{name: None})
        for s, name in zip(structures, ["dipole", "born_charges", "polarizability"] * 4, strict=False)
    ]
    trainer = RadnetTrainer(config(data={"validation_fraction": 0.0}), some)
    trainer.run()
    assert all(np.isfinite(trainer.history[-1][f"rmse_{name}_train"]) for name in trainer.weights)
    with pytest.raises(InputError, match=r"no structure has polarizability: set loss.polarizability = 0"):
        RadnetTrainer(config(), [replace(s, polarizability=None) for s in structures])


def test_one_target_and_normalisation_by_component(structures, config):
    made = config(model={"targets": ["polarizability"], "normalisation": "component"}, optimizer={"epochs": 2})
    trainer = RadnetTrainer(made, structures)
    trainer.run()
    assert len(trainer.sites.dipole_networks) == 0 and set(trainer.evaluate("train")) == {"polarizability"}
    assert len(set(trainer.sites.polarizability_scale.tolist())) == 6
    common = RadnetTrainer(config(), structures).sites
    assert len(set(common.polarizability_scale.tolist())) == len(set(common.dipole_scale.tolist())) == 1


def test_the_teacher_has_no_error(with_gradients, config):
    """The labels, among them the derivatives of the polarizability, are those of the teacher."""
    made = config(
        loss={"polarizability_gradient": 1.0, "weight_decay": 0.0},
        data={"validation_fraction": 0.0, "fold_dipole": False},
    )
    trainer = RadnetTrainer(made, with_gradients)
    for sites in (trainer.sites, trainer.average):
        sites.load_state_dict(random_sites().state_dict())
    trainer.report()
    errors = [trainer.history[0][f"rmse_{name}_train"] for name in trainer.weights]
    assert len(errors) == 4 and max(errors) < 1e-12 and trainer.spreads["polarizability_gradient"] > 1e-3
    trainer.train_on(np.arange(4))
    assert max(float(p.grad.abs().max()) for p in trainer.sites.parameters()) < 1e-9


def test_derivatives_of_the_polarizability_are_learned(with_gradients, config):
    weights = {"polarizability": 0.0, "polarizability_gradient": 1.0}
    made = config(
        model={"targets": ["polarizability"]},
        loss=weights,
        data={"validation_fraction": 0.0},
        optimizer={"epochs": 60, "lr": 0.02, "average": 0.0},
        output={"report_interval": 20},
    )
    trainer = RadnetTrainer(made, with_gradients)
    trainer.report()
    trainer.run()
    errors = [row["rmse_polarizability_gradient_train"] for row in trainer.history]
    assert errors[-1] < 0.3 * errors[0]
    with pytest.raises(InputError, match="no structure has polarizability_gradient"):
        RadnetTrainer(made, [replace(s, polarizability_gradient=None) for s in with_gradients])


def test_untrained_model_gives_the_mean_of_the_polarizability(structures, config):
    """Initial constants scale everything to order one: voxels have mean zero, outputs are close to the constants."""
    trainer = RadnetTrainer(config(), structures)
    found = trainer.evaluate("train")["polarizability"]
    labels = trainer.pool.labels.select(trainer.indices["train"]).targets["polarizability"]
    rest = labels - labels[:, :3].mean() * labels.new_tensor([1, 1, 1, 0, 0, 0])
    assert float((found - labels).square().mean()) < 1.3 * float(rest.square().mean())
    assert abs(float(found[:, :3].mean() - labels[:, :3].mean())) < 0.5 * float(rest.std())


@pytest.mark.parametrize(
    ("table", "values", "message"),
    [
        ("model", {"architecture": "large"}, "model.architecture must be 'compact' or 'paper', got 'large'"),
        ("model", {"targets": ["energy"]}, "model.targets must be dipole or polarizability or both, got energy"),
        (
            "data",
            {"augmentation": "all"},
            "data.augmentation must be 'point_group' or 'rotations' or 'none', got 'all'",
        ),
        ("loss", {"dipole": 0.0, "born_charges": 0.0, "polarizability": 0.0}, "needs a positive weight"),
        ("optimizer", {"factor": 1.0}, "optimizer.factor must be from 0.001 to 0.999, got 1"),
    ],
)
def test_configurations_that_cannot_work(config, table, values, message):
    with pytest.raises(InputError, match=message):
        config(**{table: values})
