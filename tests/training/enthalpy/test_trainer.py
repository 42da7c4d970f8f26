"""Training of the enthalpy family: against a teacher of the same form, whose labels are exact."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.enthalpy_teacher import CUTOFF, FIELD, QUANTITIES, RADIAL, SPECIES, ZBL, config, labelled
from helpers.grid import grid
from helpers.training_runs import Stop, stop_at
from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.structures.extxyz import write_dataset
from tnep_calc.training.common import loop
from tnep_calc.training.common.optimizers import SOAP
from tnep_calc.training.enthalpy.frames import make_frame
from tnep_calc.training.enthalpy.prediction import errors, predict
from tnep_calc.training.enthalpy.trainer import EnthalpyTrainer

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("field", [None, FIELD])
def test_frames_give_the_predictions_of_the_model(teacher, field):
    structure = labelled(teacher, 1, field)
    frame = make_frame(structure, SPECIES, CUTOFF, RADIAL, torch.float64, zbl=ZBL)
    directions = torch.eye(3, dtype=torch.float64)
    result = predict(teacher.members[0], [frame, frame], directions.expand(2, 3, 3), create_graph=False)
    found = errors(frame, result[1], directions)
    assert set(found) == set(QUANTITIES)
    # labels of Born charges have the sum rule imposed, which the teacher obeys
    assert max(float(error.detach().abs().max()) for error in found.values()) < 1e-10
    assert float(frame.repulsion[0]) > 1e-3 and float(frame.repulsion[1].abs().max()) > 1e-3


def test_training_approaches_the_teacher(teacher):
    structures = [labelled(teacher, k, FIELD if k % 4 == 0 else None) for k in range(8)]
    trainer = EnthalpyTrainer(
        config(data={"validation_fraction": 0.0}, optimizer={"epochs": 36, "lr": 0.02}), structures
    )
    trainer.run()
    first, last = trainer.history[0], trainer.history[-1]
    ratios = [last[f"mae_{name}_train"] / first[f"mae_{name}_train"] for name in QUANTITIES]
    assert np.prod(ratios) < 0.3 ** len(QUANTITIES) and max(ratios[:3]) < 0.5, dict(
        zip(QUANTITIES, ratios, strict=True)
    )


def test_resume_is_exact(teacher, tmp_path):
    structures = [labelled(teacher, k) for k in range(6)]
    straight = EnthalpyTrainer(config(), structures)
    straight.run()
    killed = EnthalpyTrainer(config(), structures)
    with pytest.raises(KeyboardInterrupt):
        killed.run(_interrupt, tmp_path / "c.pt")
    again = EnthalpyTrainer(config(), structures)
    again.restore(tmp_path / "c.pt")
    assert 0 < again.epoch < 6
    again.run()
    for a, b in zip(straight.average.parameters(), again.average.parameters(), strict=True):
        assert torch.equal(a, b)
    other = EnthalpyTrainer(config(model={"seed": 1}), structures)
    with pytest.raises(InputError, match="another configuration"):
        other.restore(tmp_path / "c.pt")


@pytest.mark.parametrize("steps", grid([1, 7, 13], [7]))
def test_resume_within_a_pass_is_exact(teacher, tmp_path, monkeypatch, steps):
    """A checkpoint by time can fall between any two steps; a pass has 5 steps."""
    structures = [labelled(teacher, k) for k in range(6)]
    made = config(optimizer={"batch": 1})
    straight = EnthalpyTrainer(made, structures)
    straight.run()
    assert straight.steps_per_epoch == 5 and [row["epoch"] for row in straight.history] == [3, 6]
    killed = EnthalpyTrainer(made, structures)
    monkeypatch.setattr(loop, "CHECKPOINT", 0.0)
    stop_at(killed, steps)
    with pytest.raises(Stop):
        killed.run(checkpoint=tmp_path / "c.pt")
    again = EnthalpyTrainer(made, structures)
    again.restore(tmp_path / "c.pt")
    assert again.step == steps
    again.run()
    for a, b in zip(straight.average.parameters(), again.average.parameters(), strict=True):
        assert torch.equal(a, b)
    without_time = [[{k: v for k, v in row.items() if k != "seconds"} for row in x.history] for x in (straight, again)]
    assert without_time[0] == without_time[1]


def test_a_run_is_made_longer(teacher, tmp_path):
    """From then on it equals a run of the new length: the learning rate is that of the longer schedule."""
    structures = [labelled(teacher, k) for k in range(6)]
    short = EnthalpyTrainer(config(optimizer={"epochs": 2}), structures)
    short.run(checkpoint=tmp_path / "c.pt")
    longer = EnthalpyTrainer(config(output={"report_interval": 1, "checkpoint_interval": 9}), structures)
    longer.restore(tmp_path / "c.pt")
    assert longer.epoch == 2 and not longer.finished
    assert longer.learning_rate(longer.step) == pytest.approx(0.01 * (0.505 + 0.495 * np.cos(np.pi / 3)), rel=1e-12)
    longer.run()
    assert [row["epoch"] for row in longer.history] == [2, 3, 4, 5, 6]
    again = EnthalpyTrainer(config(optimizer={"epochs": 1}), structures)  # fewer than done: finished
    again.restore(tmp_path / "c.pt")
    assert again.finished


def _interrupt(trainer):
    raise KeyboardInterrupt


def test_frames_may_lack_labels(teacher):
    structures = [
        labelled(teacher, k, drop=("born_charges", "polarizability") if k % 2 else ("forces",)) for k in range(5)
    ]
    trainer = EnthalpyTrainer(config(data={"validation_fraction": 0.0}), structures)
    trainer.run()
    assert all(f"mae_{name}_train" in trainer.history[-1] for name in QUANTITIES)


def test_folded_dipole(teacher):
    """A label on another branch, in a field also with energy and virial of that branch, is the same label."""
    field = np.array([0.02, -0.05, 0.03])
    structure, shifted = (labelled(teacher, 2, field) for _ in range(2))
    quantum = structure.cell[0] - 2 * structure.cell[2]
    torque = np.outer(field, quantum)
    structure = replace(structure, virial=(structure.virial + structure.virial.T) / 2)
    shifted = replace(
        shifted,
        dipole=shifted.dipole + quantum,
        energy=shifted.energy - field @ quantum,
        virial=structure.virial + (torque + torque.T) / 2,
    )
    found = []
    for s in (structure, shifted):
        frame = make_frame(s, SPECIES, CUTOFF, RADIAL, torch.float64)
        result = errors(frame, predict(teacher.members[0], [frame], None, False)[0], None)
        found.append(torch.cat([result["dipole"], result["energy"][None], result["virial"].flatten()]).detach())
    np.testing.assert_allclose(found[0], found[1], atol=1e-10)
    exact = make_frame(structure, SPECIES, CUTOFF, RADIAL, torch.float64, zbl=ZBL)  # its label has no torque
    error = errors(exact, predict(teacher.members[0], [exact], None, False)[0], None)["virial"]
    assert float(error.detach().abs().max()) < 1e-10


def test_weights_of_structures(teacher):
    def trained(*weights):
        structures = [replace(labelled(teacher, k), weight=w) for k, w in enumerate(weights)]
        optimizer = {"epochs": 2, "polarizability": "gradient"}  # as the weights require
        trainer = EnthalpyTrainer(config(data={"validation_fraction": 0.0}, optimizer=optimizer), structures)
        trainer.run()
        return trainer.sites.w1.detach()

    plain = trained(1.0, 1.0, 1.0)
    assert torch.equal(trained(2.0, 2.0, 2.0), plain)  # errors are relative to their running average
    assert not torch.equal(trained(1.0, 1.0, 4.0), plain)
    with pytest.raises(InputError, match="structures have weights"):
        EnthalpyTrainer(
            config(optimizer={"polarizability": "ridge"}),
            [replace(labelled(teacher, k), weight=1.0 + k) for k in range(5)],
        )


def test_a_field_without_the_branch_of_the_dipole(teacher, tmp_path):
    frames = [labelled(teacher, k, FIELD if k == 2 else None, ("dipole",) if k == 2 else ()) for k in range(4)]
    write_dataset(tmp_path / "data.extxyz", frames)
    with pytest.raises(DataFileError, match="structure 2: has an energy or a stress in a field but no dipole"):
        EnthalpyTrainer(config(data={"files": [str(tmp_path / "data.extxyz")]}))
    frames[2] = replace(frames[2], energy=None, virial=None)
    write_dataset(tmp_path / "other.extxyz", frames)
    EnthalpyTrainer(config(data={"files": [str(tmp_path / "other.extxyz")]}))


def test_bad_input(teacher):
    structure = labelled(teacher, 3)
    with pytest.raises(DataFileError, match="frame 3: has O"):
        make_frame(structure, ("Si", "N"), CUTOFF, RADIAL, torch.float64)
    with pytest.raises(DataFileError, match="closer than the cutoff"):
        make_frame(structure, SPECIES, 0.5, RADIAL, torch.float64)
    with pytest.raises(InputError, match="memory_gb"):
        EnthalpyTrainer(config(data={"validation_fraction": 0.0}, optimizer={"memory_gb": 1e-6}), [structure] * 5)
    few = [labelled(teacher, k, drop=("polarizability", "forces")) for k in range(5)]
    with pytest.raises(InputError, match="has forces, polarizability: set loss.forces = 0, loss.polarizability = 0"):
        EnthalpyTrainer(config(), few)
    with pytest.raises(InputError, match="unknown key 'chanels'"):
        config(model={"chanels": 3})


def test_soap_solves_a_badly_scaled_problem_faster_than_adam():
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(12, 12, generator=generator).double() for _ in range(2))
    left, right = (x @ torch.diag(torch.logspace(0, -2, 12).double()) for x in (left, right))
    target = left @ torch.randn(12, 12, generator=generator).double() @ right

    def left_over(cls, **options):
        x = torch.zeros(12, 12, dtype=torch.float64, requires_grad=True)
        optimizer = cls([x], lr=0.02, **options)
        for _ in range(400):
            optimizer.zero_grad()
            loss = (left @ x @ right - target).square().sum()
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    assert left_over(SOAP) < 0.5 * left_over(torch.optim.Adam)
