"""Fine-tuning: the initial predictions are those of the model that it starts from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.nep_reference import reference
from helpers.random_nep import random_nep
from helpers.structures import random_structure
from helpers.training_runs import small_config, start_config
from tnep_calc.conventions import STRAIN_ORDER, to_six
from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_txt import read_nep, write_nep
from tnep_calc.training.nep.architecture import without_constants
from tnep_calc.training.nep.config import TARGETS as LABELS
from tnep_calc.training.nep.config import parse_config
from tnep_calc.training.nep.trainer import Trainer

PER_SPECIES = [[3.7, 3.1], [3.5, 3.0], [3.3, 2.8]]


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("kind", LABELS)
def test_the_start_has_the_predictions_of_the_file(kind, version, tmp_path):
    """Any version, fewer species in another order, a cutoff for each species, several neurons without input."""
    structures = [random_structure(seed, ("BNB", "BN", "NNB")[seed % 3], pbc=seed > 0) for seed in range(4)]
    parameters = random_nep(kind, ("B", "C", "N"), version, PER_SPECIES, (2, 2), (3, 3), 3, neurons=5)
    w0 = parameters.w0.copy()
    w0[:, :, 3] = 0.0  # a neuron without input, which is a constant
    parameters = replace(parameters, w0=w0)
    write_nep(tmp_path / "nep.txt", parameters)
    parameters = read_nep(tmp_path / "nep.txt", kind)
    config = start_config(tmp_path, kind)
    assert config.model.neurons == 4 and config.model.radial_cutoff == (3.3, 3.7)
    trainer = Trainer(config, structures)
    predictions = trainer.evaluate("train")
    again = trainer.parameters()
    start = 0
    for k, structure in enumerate(structures):
        expected = reference(parameters, structure, LABELS[kind])
        saved = reference(again, structure, LABELS[kind])
        for name in LABELS[kind]:
            rows = slice(start, start + len(structure))
            found = predictions[name][k if name in ("energy", "virial", "dipole", "polarizability") else rows].numpy()
            wanted = expected[name]
            np.testing.assert_allclose(saved[name], wanted, rtol=0, atol=1e-9 * max(1, np.abs(wanted).max()))
            if "polarizability" in name or name == "virial":
                wanted = to_six(wanted, STRAIN_ORDER)
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9 * max(1, np.abs(wanted).max()), err_msg=name)
        start += len(structure)
    assert float(trainer.objective.penalty(trainer.vector.detach())) == 0


@pytest.mark.slow
def test_the_descriptor_can_be_kept_and_a_run_resumes(tmp_path):
    structures = [random_structure(seed, "BNB") for seed in range(4)]
    write_nep(tmp_path / "nep.txt", random_nep("dipole", ("N", "B"), 4, (3.7, 3.0), (2, 2), (3, 3), 3))
    for freeze in (False, True):
        trainer = Trainer(start_config(tmp_path, "dipole", freeze_descriptor=freeze), structures)
        before = trainer.parameters()
        trainer.run(checkpoint=tmp_path / f"{freeze}.pt")
        after = trainer.parameters()
        assert np.array_equal(before.c_angular, after.c_angular) == freeze
        assert not np.array_equal(before.w0, after.w0)
        assert trainer.history[-1]["loss_train"] < trainer.history[0]["loss_train"]
    Trainer(start_config(tmp_path, "dipole", freeze_descriptor=True), structures).restore(tmp_path / "True.pt")
    write_nep(tmp_path / "nep.txt", random_nep("dipole", ("N", "B"), 4, (3.7, 3.0), (2, 2), (3, 3), 3, seed=1))
    with pytest.raises(InputError, match="another start"):
        Trainer(start_config(tmp_path, "dipole", freeze_descriptor=True), structures).restore(tmp_path / "True.pt")


def test_another_architecture_is_refused(tmp_path):
    write_nep(tmp_path / "nep.txt", random_nep("potential", ("N", "B"), 4, (3.7, 3.0), (2, 2), (3, 3), 3, zbl=True))
    with pytest.raises(InputError, match="has a ZBL repulsion"):
        start_config(tmp_path, "potential")
    write_nep(tmp_path / "nep.txt", random_nep("potential", ("N", "B"), 4, (3.7, 3.0), (2, 2), (3, 3), 3))
    with pytest.raises(InputError, match=r"nep\.txt: has no C \(it has N B\)"):
        start_config(tmp_path, "potential", ("N", "C"))
    with pytest.raises(InputError, match=r"model\.neurons is 7, but the model to start from, .*nep\.txt, has 6"):
        start_config(tmp_path, "potential", neurons=7)
    with pytest.raises(InputError, match=r"model\.radial_cutoff is 4, but .* has \[3\.7, 3\.7\]"):
        start_config(tmp_path, "potential", radial_cutoff=4)
    assert start_config(tmp_path, "potential", radial_cutoff=3.7, l_max=[3, 2]).model.l_max[:2] == (3, 1)
    with pytest.raises(InputError, match=r"freeze_descriptor needs model\.start"):
        small_config(model={"freeze_descriptor": True})


def test_idle_neurons_become_constants():
    p = random_nep("potential", neurons=3)
    w0 = p.w0.copy()
    w0[:, :, 1] = 0.0
    reduced, constants = without_constants(replace(p, w0=w0))
    assert reduced.neurons == 2 and torch.tensor(reduced.w0).shape[2] == 2
    np.testing.assert_allclose(constants, p.w1[0, :, 1] * np.tanh(-p.b0[0, :, 1]) - p.b1[0])


@pytest.mark.slow
def test_the_default_learning_rate_keeps_a_fitted_model(tmp_path):
    """The default rate of random starts moves a fitted model farther from its data than that of fine-tuning."""
    structures = [random_structure(seed, ("BNB", "BN", "NNB")[seed % 3]) for seed in range(6)]
    only = {"loss": {"born_charges": 0.0}, "optimizer": {"steps": 60, "lbfgs_steps": 60}}
    base = Trainer(small_config("dipole", **only), structures)
    base.run()
    write_nep(tmp_path / "nep.txt", base.parameters())
    largest = []
    for rate in ({}, {"lr": 0.02}):
        tables = start_tables("dipole", {"steps": 20, "lbfgs_steps": 0, **rate})
        trainer = Trainer(parse_config(tables, tmp_path), structures)
        assert trainer.config.optimizer.lr == rate.get("lr", 0.001)
        trainer.run()
        largest.append(max(row["rmse_dipole_train"] for row in trainer.history))
    assert largest[0] < 0.2 * largest[1]
    with pytest.raises(InputError, match="'optimizer' must be a table"):
        parse_config(start_tables("dipole", 3), tmp_path)


def start_tables(kind, optimizer):
    return {
        "data": {"files": ["data.extxyz"], "validation_fraction": 0.0, "test_fraction": 0.0},
        "model": {"start": "nep.txt", "kind": kind, "species": ["N", "B"]},
        "loss": {"born_charges": 0.0},
        "optimizer": optimizer,
        "output": {"directory": "out", "report_interval": 1},
    }
