"""Whole runs: errors below a threshold, files, and a killed run that resumes exactly."""

import csv
import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.io import write

from helpers.structures import LABELS, random_structure
from helpers.training_runs import Stop, small_config, stop_at
from tnep_calc.artifact import read_metadata
from tnep_calc.cli import main
from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.gpumd.nep_txt import read_nep
from tnep_calc.training.common.checkpoint import load_checkpoint, save_checkpoint
from tnep_calc.training.common.splits import split_indices
from tnep_calc.training.nep.config import load_config
from tnep_calc.training.nep.run import run_training
from tnep_calc.training.nep.trainer import Trainer

pytestmark = pytest.mark.slow

TOML = """
[data]
files = ["data.extxyz"]
validation_fraction = 0.25
test_fraction = 0.25
[model]
kind = "potential"
species = ["Ne", "Ar"]
radial_cutoff = 5.0
angular_cutoff = 4.0
n_max = [2, 2]
basis_size = [4, 4]
l_max = [2, 0, 0]
neurons = 6
[optimizer]
steps = 40
lbfgs_steps = 60
[output]
directory = "out"
report_interval = 10
checkpoint_interval = 5
"""


def lennard_jones(n=16):
    rng = np.random.default_rng(5)
    frames = []
    for _ in range(n):
        atoms = bulk("Ar", "fcc", a=4.2, cubic=True)
        atoms.set_chemical_symbols(["Ne", "Ar", "Ar", "Ar"])
        atoms.rattle(0.12, rng=rng)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))), scale_atoms=True)
        atoms.calc = LennardJones(epsilon=0.2, sigma=2.6, rc=4.9, smooth=True)
        atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        frames.append(atoms)
    return frames


@pytest.fixture(scope="module", autouse=True)
def figures_are_not_drawn():
    """Draw the figures, other than in the other modules."""


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "data.extxyz", lennard_jones())
    (tmp_path / "config.toml").write_text(TOML)
    return tmp_path


def test_command_trains_and_writes_everything(folder, caplog, capsys):
    with caplog.at_level(logging.INFO):
        assert main(["train", str(folder / "config.toml")]) == 0
    assert f"results in {folder / 'out'}" in capsys.readouterr().out
    assert "step 100/100 lbfgs" in caplog.text and " s left" in caplog.text
    results = json.loads((folder / "out" / "results.json").read_text())
    assert {split: len(indices) for split, indices in results["splits"].items()} == {
        "train": 8,
        "validation": 4,
        "test": 4,
    }
    forces = results["errors"]["test"]["forces"]
    assert forces["rmse"] < 0.1 * forces["spread"], forces
    assert forces["unit"] == "eV/Å" and forces["count"] == 4 * 4 * 3 and forces["r2"] > 0.98
    parameters = read_nep(folder / "out" / "nep.txt")
    assert parameters.species == ("Ne", "Ar") and parameters.max_neighbors[0] >= parameters.max_neighbors[1] > 10
    metadata = read_metadata(folder / "out" / "model.pt")
    assert metadata.provenance["data_sha256"] == results["data"]["data"]
    with open(folder / "out" / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(0, 101, 10))
    assert float(rows[-1]["loss_train"]) < 0.01 * float(rows[0]["loss_train"])
    assert float(rows[-1]["rmse_forces_train"]) < 0.1 * forces["spread"]
    for name in ("loss.png", "parity.png"):
        assert (folder / "out" / name).stat().st_size > 5000
    assert not list((folder / "out").glob(".*")), "temporary files are left"


def test_killed_run_resumes_exactly(folder, caplog):
    """A real SIGKILL in L-BFGS; result and log equal those of an uninterrupted run."""
    config = str(folder / "config.toml")
    assert main(["train", config, "--quiet", "--output", str(folder / "whole")]) == 0
    code = "import sys; from tnep_calc.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "train", config, "--output", "killed"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    for line in process.stderr:
        if "step 70/" in line:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert not (folder / "killed" / "nep.txt").exists()
    step = load_checkpoint(folder / "killed" / "checkpoint.pt")["step"]
    assert 60 <= step < 100
    with caplog.at_level(logging.INFO):
        assert main(["train", config, "--output", str(folder / "killed")]) == 0
    assert f"resuming from {folder / 'killed' / 'checkpoint.pt'} after {step} of 100 steps" in caplog.text
    for name in ("nep.txt", "log.csv"):
        assert (folder / "killed" / name).read_bytes() == (folder / "whole" / name).read_bytes(), name


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("stop", [7, 25], ids=["adam", "lbfgs"])
def test_state_is_complete(tmp_path, kind, stop):
    """Every kind resumes bit for bit from any checkpoint, also within L-BFGS (history and line search)."""
    structures = [random_structure(seed, "BNB") for seed in range(6)]
    config = small_config(
        kind,
        tmp_path,
        data={"validation_fraction": 0.34},
        optimizer={"steps": 10, "lbfgs_steps": 40, "lbfgs_history": 8},
        output={"checkpoint_interval": 1, "report_interval": 10},
    )

    whole = Trainer(config, structures)
    whole.run()
    first = Trainer(config, structures)
    stop_at(first, stop)
    with pytest.raises(Stop):
        first.run(checkpoint=tmp_path / "c.pt")
    second = Trainer(config, structures)
    second.vector.data += 1.0  # the initial parameters of the new trainer must not matter
    second.restore(tmp_path / "c.pt")
    assert stop <= second.step < 50
    second.run()
    assert torch.equal(whole.vector, second.vector)
    assert torch.equal(whole.result()[0], second.result()[0]) and whole.result()[1] == second.result()[1]
    assert whole.history == second.history


def test_finished_run_only_writes_results_again(folder, caplog):
    config = load_config(folder / "config.toml")
    config = replace(config, optimizer=replace(config.optimizer, steps=5, lbfgs_steps=0))
    run_training(config)
    (folder / "out" / "nep.txt").unlink()
    with caplog.at_level(logging.INFO):
        run_training(config)
    assert "after 5 of 5 steps" in caplog.text and "step 0/" not in caplog.text
    assert (folder / "out" / "nep.txt").exists()


def test_other_configuration_or_data_is_refused(tmp_path):
    structures = [random_structure(seed, "BN") for seed in range(4)]
    trainer = Trainer(small_config(), structures)
    trainer.run(checkpoint=tmp_path / "c.pt")
    with pytest.raises(
        InputError, match="another configuration or another engine: train in another folder, or use --restart"
    ):
        Trainer(small_config(model={"neurons": 6}), structures).restore(tmp_path / "c.pt")
    changed = [replace(structures[0], energy=structures[0].energy + 1e-9), *structures[1:]]
    with pytest.raises(InputError, match="another data"):
        Trainer(small_config(), changed).restore(tmp_path / "c.pt")
    Trainer(small_config(output={"directory": "elsewhere"}), structures).restore(tmp_path / "c.pt")
    content = (tmp_path / "c.pt").read_bytes()
    (tmp_path / "c.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataFileError, match=r"c\.pt: cannot be read as a checkpoint .*--restart"):
        trainer.restore(tmp_path / "c.pt")
    torch.save({"format": 0}, tmp_path / "c.pt")
    with pytest.raises(DataFileError, match="expected a checkpoint of format 3, found 0"):
        trainer.restore(tmp_path / "c.pt")


def test_model_of_another_run_is_not_overwritten(tmp_path):
    write(tmp_path / "data.extxyz", lennard_jones(4))
    config = small_config(base=tmp_path, model={"species": ["Ne", "Ar"]})
    config.directory.mkdir()
    (config.directory / "nep.txt").write_text("precious")
    with pytest.raises(InputError, match="nep.txt exists, but no checkpoint"):
        run_training(config)
    run_training(config, restart=True)
    assert read_nep(config.directory / "nep.txt").species == ("Ne", "Ar")


def test_missing_labels_name_file_structure_and_field(tmp_path):
    write(tmp_path / "data.extxyz", lennard_jones(3))
    config = small_config("polarizability", tmp_path, model={"species": ["Ne", "Ar"]})
    with pytest.raises(DataFileError, match=r"data\.extxyz, structure 0: no polarizability"):
        Trainer(config)


def test_best_on_validation_is_kept():
    structures = [
        random_structure(seed, "BNB") for seed in range(8)
    ]  # random labels: more steps increase the validation error
    config = small_config(
        data={"validation_fraction": 0.5}, optimizer={"steps": 5, "lbfgs_steps": 60}, output={"report_interval": 5}
    )
    trainer = Trainer(config, structures)
    trainer.run()
    losses = {row["step"]: row["loss_validation"] for row in trainer.history}
    vector, step = trainer.result()
    assert step < trainer.step and losses[step] == min(losses.values())
    assert not torch.equal(vector, trainer.vector)
    last = Trainer(replace(config, output=replace(config.output, keep_best=False)), structures)
    last.run()
    assert last.result()[1] == last.step


def test_splits():
    config = small_config(data={"validation_fraction": 0.2, "test_fraction": 0.3})
    structures = [random_structure(seed, "BN") for seed in range(10)]
    splits = split_indices(structures, config)
    assert {name: len(indices) for name, indices in splits.items()} == {"train": 5, "validation": 2, "test": 3}
    assert sorted(np.concatenate(list(splits.values()))) == list(range(10))
    other = split_indices(structures, replace(config, data=replace(config.data, seed=1)))
    assert any((splits[name] != other[name]).any() for name in splits)
    with pytest.raises(InputError, match="too few"):
        split_indices(structures[:1], small_config(data={"validation_fraction": 0.9}))


def test_loss_that_is_not_finite_is_an_error():
    structures = [random_structure(seed, "BN") for seed in range(3)]
    config = small_config()
    object.__setattr__(config.optimizer, "lr", 1e300)  # a configuration file cannot have it
    trainer = Trainer(config, structures)
    with pytest.raises(InputError, match="loss is not finite after"):
        trainer.run()


def test_mixed_periodicity_trains():
    """A molecule and a crystal in one data set; Ne is in the species list but in no structure."""
    structures = [random_structure(1, "BN"), random_structure(2, "BN", pbc=False), random_structure(3, "BNB")]
    config = small_config("dipole", model={"species": ["N", "Ne", "B"]})
    trainer = Trainer(config, structures)
    trainer.run()
    assert trainer.history[-1]["loss_train"] < trainer.history[0]["loss_train"]
    assert np.isfinite(trainer.parameters().w0).all() and np.isfinite(trainer.parameters().q_scaler).all()


@pytest.mark.parametrize("kind", ["potential", "dipole"])
def test_structures_are_used_with_the_labels_they_have(tmp_path, kind):
    """Some structures have labels of atoms, others totals: the loss is that of both sets separately."""
    whole, of_atoms = ("energy", "forces") if kind == "potential" else ("dipole", "born_charges")
    structures = [random_structure(seed, ("BNB", "BN")[seed % 2]) for seed in range(6)]
    mixed = [
        replace(s, **{whole if k < 2 else of_atoms: None if k < 4 else getattr(s, whole if k < 2 else of_atoms)})
        for k, s in enumerate(structures)
    ]
    names = {name: 0.0 for name in LABELS[kind]} | {whole: 1.0, of_atoms: 0.7}
    with pytest.raises(DataFileError, match=f"random, structure 0: no {whole}; .*allow_missing"):
        Trainer(small_config(kind, loss=names), mixed)
    config = small_config(kind, data={"allow_missing": True}, loss=names)
    trainer = Trainer(config, mixed)
    trainer.run()
    assert trainer.history[-1]["loss_train"] < trainer.history[0]["loss_train"]
    rows = trainer.history[-1]
    errors = {
        name: trainer.parts["train"].labels.known_errors(name, value)
        for name, value in trainer.evaluate("train").items()
    }
    assert len(errors[whole]) == 4 and len(errors[of_atoms]) == sum(map(len, mixed[:2] + mixed[4:]))
    for name, error in errors.items():
        assert rows[f"rmse_{name}_train"] == pytest.approx(float(error.square().mean().sqrt()))
    expected = sum(
        weight * (rows[f"rmse_{name}_train"] / trainer.objective.spreads[name]) ** 2
        for name, weight in {whole: 1.0, of_atoms: 0.7}.items()
    )
    assert rows["loss_train"] == pytest.approx(expected)


def test_structures_without_labels_are_left_out(tmp_path, caplog):
    """They change neither the splits nor the indices of the other structures."""
    config = small_config("dipole", data={"allow_missing": True, "validation_fraction": 0.3, "test_fraction": 0.3})
    structures = [random_structure(seed, ("BNB", "BN")[seed % 2]) for seed in range(10)]
    whole = Trainer(config, structures).indices
    gone = [int(whole[split][0]) for split in whole]
    mixed = [replace(s, dipole=None, born_charges=None) if k in gone else s for k, s in enumerate(structures)]
    trainer = Trainer(config, mixed)
    for split, own in whole.items():
        assert trainer.indices[split].tolist() == own.tolist()[1:]
        assert len(trainer.parts[split].structures) == len(own) - 1
    with pytest.raises(DataFileError, match="no dipole"):
        Trainer(replace(config, data=replace(config.data, allow_missing=False)), mixed)
    mixed = [replace(s, dipole=None, born_charges=None) if k in whole["train"] else s for k, s in enumerate(structures)]
    with pytest.raises(InputError, match="none of the 4 training structures has any of the fitted labels"):
        Trainer(config, mixed)
    mixed = [replace(s, dipole=None, born_charges=None) for s in structures]
    with pytest.raises(DataFileError, match="no structure has the label 'dipole'"):
        Trainer(config, mixed)


@pytest.mark.parametrize("batch", [0, 3])
def test_soap_lowers_the_loss_and_resumes_exactly(batch, tmp_path):
    structures = [random_structure(seed, ("BNB", "BN", "NNB")[seed % 3]) for seed in range(12)]

    def trained(stop=None):
        config = small_config(optimizer={"method": "soap", "batch": batch, "steps": 60, "lbfgs_steps": 0})
        trainer = Trainer(config, structures)
        while trainer.step < (stop or trainer.total_steps):
            trainer.advance()
        if stop is not None:
            save_checkpoint(tmp_path / "checkpoint.pt", trainer.state())
            trainer = Trainer(config, structures)
            trainer.restore(tmp_path / "checkpoint.pt")
        trainer.run()
        return trainer

    start = Trainer(small_config(), structures)
    start.report()
    whole, resumed = trained(), trained(stop=33)
    assert torch.equal(whole.vector, resumed.vector)
    assert whole.history[-1]["loss_train"] < 0.7 * start.history[-1]["loss_train"]
    with pytest.raises(InputError, match="optimizer.method must be 'adam' or 'soap'"):
        small_config(optimizer={"method": "sgd"})


def test_soap_trains_several_models_like_one():
    structures = [random_structure(seed, ("BNB", "BN", "NNB")[seed % 3]) for seed in range(12)]
    options = {"method": "soap", "batch": 4, "lbfgs_steps": 0}
    one = Trainer(small_config(optimizer={**options, "steps": 20}), structures)
    several = Trainer(small_config(optimizer={**options, "restarts": 3, "restart_steps": 20}), structures)
    for _ in range(15):
        one.advance()
        several.advance()
    torch.testing.assert_close(several.vector[0], one.vector, rtol=0, atol=1e-7)
    assert (several.vector[1] - several.vector[0]).abs().max() > 0.1


@pytest.mark.parametrize("options", [{}, {"method": "soap"}, {"restarts": 2, "restart_steps": 10}])
def test_folded_dipoles_wait_for_the_born_charges(options):
    """They are left out of the first steps, unless they are not folded or training starts from a model."""
    structures = [random_structure(seed, "BNB") for seed in range(4)]
    shifted = [replace(s, dipole=s.dipole + 0.4) for s in structures]

    def vectors(steps, **tables):
        config = small_config("dipole", optimizer={"steps": 10, "lbfgs_steps": 0, **options}, **tables)
        for own in (structures, shifted):
            trainer = Trainer(config, own)
            trainer.objective = replace(trainer.objective, spreads={"dipole": 1.0, "born_charges": 1.0})
            for _ in range(steps):
                trainer.advance()
            yield trainer.vector.detach()

    assert torch.equal(*vectors(3))
    assert not torch.equal(*vectors(6))
    assert not torch.equal(*vectors(3, data={"fold_dipole": False}))
    assert not torch.equal(*vectors(3, loss={"born_charges": 0.0}))


def test_no_step_of_soap_overshoots_the_initial_parameters():
    """Its steps are equally large in all directions, so all weights, also of the first layer, must have one size."""
    structures = [random_structure(seed, ("BNB", "BN", "NNB")[seed % 3]) for seed in range(12)]
    trainer = Trainer(small_config(optimizer={"method": "soap", "steps": 10}), structures)
    before = trainer.model.split(trainer.vector.detach().clone())
    for _ in range(2):  # the first step only starts the preconditioner
        trainer.advance()
    after = trainer.model.split(trainer.vector.detach())
    for name in ("c_radial", "c_angular", "w0"):
        change = (after[name] - before[name]).norm() / before[name].norm()
        assert 0.02 < float(change) < 0.4, name
