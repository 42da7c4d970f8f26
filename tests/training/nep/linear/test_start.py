"""``model.initial = "linear"``: an exactly linear potential is found, and a training starts from the fit."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.nep_reference import reference
from helpers.structures import random_structure
from helpers.training_runs import small_config
from tnep_calc.cli import main
from tnep_calc.conventions import STRAIN_ORDER, from_six
from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_txt import read_nep
from tnep_calc.io.structures.extxyz import write_dataset
from tnep_calc.training.nep.config import load_config
from tnep_calc.training.nep.linear.basis import NepBasis, design
from tnep_calc.training.nep.run import run_training
from tnep_calc.training.nep.trainer import Trainer

pytestmark = pytest.mark.slow

BASIS = NepBasis(("N", "B"), 3.7, 3.0, (3, 2), 2)
CONSTANTS = {"N": -7.0, "B": -4.0}
MODEL = {"n_max": [0, 0], "basis_size": [3, 2], "l_max": [2], "neurons": 1, "initial": "linear"}
NAMES = ("energy", "forces", "virial")


def made_up(count, seed=0):
    """Return structures of three compositions, with the labels of a NEP of rank 1."""
    rng = np.random.default_rng(7)
    x = np.zeros(BASIS.size)
    x[: BASIS.radial_size] = rng.standard_normal(BASIS.radial_size)
    products = x[BASIS.radial_size :].reshape(2, BASIS.l_max, -1)
    for kind in range(2):
        c = rng.standard_normal(BASIS.functions)
        for l in range(BASIS.l_max):
            products[kind, l] = 0.1 * rng.standard_normal() * np.outer(c, c)[np.triu_indices(BASIS.functions)]
    structures = []
    for k in range(count):
        s = random_structure(seed + k, ("BNB", "BN", "NNB")[k % 3], pbc=k % 4 > 0)
        made = design(BASIS, np.array([BASIS.species.index(n) for n in s.symbols]), s.positions, s.cell, s.pbc)
        energy = made.energies @ x + sum(CONSTANTS[n] for n in s.symbols)
        virial = from_six(made.virials @ x, STRAIN_ORDER)
        structures.append(replace(s, energy=energy, forces=(made.forces @ x).reshape(-1, 3), virial=virial))
    return structures


def config(tmp_path, data=None, **tables):
    tables["model"] = MODEL | tables.get("model", {})
    tables["optimizer"] = {"steps": 0, "lbfgs_steps": 0} | tables.get("optimizer", {})
    return small_config("potential", tmp_path, data or {}, **tables)


def deviation(parameters, structures):
    """Return the largest error of energies, forces and virials, relative to the size of each label."""
    found = 0.0
    for s in structures:
        computed = reference(parameters, s, NAMES)
        found = max(found, *(np.abs(computed[n] - getattr(s, n)).max() / np.abs(getattr(s, n)).max() for n in NAMES))
    return found


@pytest.mark.parametrize("validation", [0.0, 0.3])
def test_an_exactly_linear_potential_is_found(tmp_path, validation):
    trainer = Trainer(config(tmp_path, {"validation_fraction": validation}), made_up(24))
    trainer.run()
    assert (trainer.step, trainer.finished) == (0, True)
    assert deviation(trainer.parameters(), made_up(6, seed=100)) < 1e-3  # LINEAR_RANGE squared, and the ridge
    wrong = [replace(s, energy=s.energy + 0.1 * s.symbols.count("B")) for s in made_up(6, seed=100)]
    assert deviation(trainer.parameters(), wrong) > 3e-3
    assert not list((tmp_path / "out").glob("*.npz"))


@pytest.mark.parametrize("left_out", [*NAMES, "both"])
def test_each_label_is_enough(tmp_path, left_out):
    """Without forces only energies and virials are fitted, and so on; missing labels count only where they are known."""
    structures = made_up(60)
    weights = {name: 0.0 for name in NAMES if name == left_out}
    if left_out == "both":  # half of the structures lack forces, the others energies
        structures = [replace(s, **{("forces", "energy")[k % 2]: None}) for k, s in enumerate(structures)]
    trainer = Trainer(config(tmp_path, {"allow_missing": left_out == "both"}, loss=weights), structures)
    parameters, test = trainer.parameters(), made_up(6, seed=100)
    if left_out == "energy":
        test = [replace(s, energy=float(reference(parameters, s, ("energy",))["energy"])) for s in test]
    assert deviation(parameters, test) < 2e-3


def test_other_components_and_neurons_contribute_nothing_until_they_are_trained(tmp_path):
    model = {"n_max": [2, 0], "neurons": 3, "l_max": [2, 2, 1]}
    structures = [replace(s, energy=s.energy + 0.3 * np.sin(s.energy)) for s in made_up(120)]  # not linear any more
    small = Trainer(config(tmp_path, loss={"forces": 0, "virial": 0}), structures)
    more = {"loss": {"forces": 0, "virial": 0}, "model": model}
    large = Trainer(config(tmp_path, optimizer={"lbfgs_steps": 60}, **more), structures)
    for name in NAMES:
        assert np.allclose(
            reference(small.parameters(), structures[1], (name,))[name],
            reference(large.parameters(), structures[1], (name,))[name],
            atol=1e-9,
        )
    assert large.parameters().neurons == 3 + 1 and large.parameters().n_max == (2, 0)  # 1: constants of the species
    assert not large.model.split(large.vector)["w1"][0, :, 1:].any()
    large.report()
    large.run()
    assert large.history[-1]["loss_train"] < 0.9 * large.history[0]["loss_train"]
    assert large.model.split(large.vector)["w1"][0, :, 1:].all()
    assert float(large.objective.penalty(large.objective.center)) == 0


def toml(**optimizer):
    lines = "".join(f"{name} = {value}\n" for name, value in optimizer.items())
    return f"""
[data]
files = ["data.extxyz"]
[model]
kind = "potential"
species = ["N", "B"]
initial = "linear"
radial_cutoff = 3.7
angular_cutoff = 3.0
n_max = [0, 1]
basis_size = [3, 2]
l_max = [2]
neurons = 2
[loss]
virial = 0
[optimizer]
{lines}
[output]
directory = "out"
"""


def test_a_run_without_steps_is_complete_and_can_be_continued(tmp_path, capsys):
    write_dataset(tmp_path / "data.extxyz", made_up(24))
    path = tmp_path / "config.toml"
    path.write_text(toml())
    assert load_config(path).optimizer.lr == 1e-3
    assert main(["train", str(path)]) == 0
    assert (tmp_path / "out" / "checkpoint.pt").exists() and read_nep(tmp_path / "out" / "nep.txt").n_max == (0, 1)
    before = (tmp_path / "out" / "nep.txt").read_bytes()
    assert main(["train", str(path)]) == 0
    assert (tmp_path / "out" / "nep.txt").read_bytes() == before
    path.write_text(toml(lbfgs_steps=5))
    capsys.readouterr()
    assert main(["train", str(path)]) == 0
    assert (tmp_path / "out" / "nep.txt").read_bytes() != before
    results = run_training(load_config(path))
    assert results["steps"] == 5


@pytest.mark.parametrize(
    ("tables", "message"),
    (
        ({"model": {"initial": "zero"}}, "model.initial must be 'random' or 'linear', got 'zero'"),
        ({"model": {"radial_cutoff": [4.0, 5.0]}}, "needs one cutoff for all species"),
        ({"optimizer": {"restarts": 2}}, "restarts must be 1 with model.start or model.initial = 'linear'"),
    ),
)
def test_refusals(tmp_path, tables, message):
    with pytest.raises(InputError, match=message):
        config(tmp_path, **tables)


def test_refusals_of_other_kinds_and_useless_labels(tmp_path):
    with pytest.raises(InputError, match="is for potentials, not for model.kind = 'dipole'"):
        small_config("dipole", tmp_path, model={"initial": "linear"})
    one = [made_up(1)[0]] * 4
    with pytest.raises(InputError, match="no label of the training structures depends on the positions"):
        Trainer(config(tmp_path, loss={"forces": 0, "virial": 0}), one)
