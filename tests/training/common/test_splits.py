"""Random splits: structures of one geometry stay together; without such structures, splits are plain random draws."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.paths import shared_data
from helpers.structures import random_structure
from helpers.training_runs import small_config
from tnep_calc.errors import InputError
from tnep_calc.io.structures.espresso import read_espresso
from tnep_calc.io.structures.extxyz import read_dataset, write_dataset
from tnep_calc.io.structures.finite_field import geometry_key
from tnep_calc.training.common.checkpoint import fingerprint
from tnep_calc.training.common.config import EnsembleConfig
from tnep_calc.training.common.ensemble import member_indices, member_splits
from tnep_calc.training.common.splits import geometry_groups, split_indices
from tnep_calc.training.enthalpy.config import parse_enthalpy_config
from tnep_calc.training.enthalpy.trainer import EnthalpyTrainer
from tnep_calc.training.nep.run import run_training
from tnep_calc.training.nep.trainer import Trainer

FIELDS = 0.01 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])


def runs(count, sizes=(4,)):
    """Return structures of `count` geometries, shuffled, so that those of one geometry are not adjacent."""
    found = [random_structure(k, "BN") for k in range(count) for _ in range(sizes[k % len(sizes)])]
    found = [replace(s, energy=s.energy + 0.01 * j, electric_field=FIELDS[j % 4]) for j, s in enumerate(found)]
    return [found[k] for k in np.random.default_rng(3).permutation(len(found))]


def without_fields(structures):
    return [replace(s, electric_field=None) for s in structures]


def config_of(test=0.0, validation=0.0, seed=0, **tables):
    return small_config(data={"test_fraction": test, "validation_fraction": validation, "seed": seed}, **tables)


def with_members(config, **options):
    return replace(config, ensemble=EnsembleConfig(**options))


def are_together(structures, indices):
    """Return whether every structure, and every geometry, is in exactly one part."""
    assert sorted(np.concatenate([*indices.values()])) == list(range(len(structures)))
    keys = [
        {geometry_key(structures[k].symbols, structures[k].positions, structures[k].cell) for k in part}
        for part in indices.values()
    ]
    return sum(map(len, keys)) == len(set().union(*keys))


def sizes_of(indices):
    return tuple(len(indices[name]) for name in ("test", "validation", "train"))


def test_geometry_depends_on_elements_positions_and_cell():
    first = random_structure(0, "BN")
    others = [
        first,
        replace(first, symbols=("N", "B")),
        replace(first, energy=0.0, electric_field=FIELDS[1]),
        replace(first, positions=first.positions + 1e-3),
        replace(first, cell=first.cell * 1.001),
        replace(first, positions=first.positions + 1e-9),
    ]
    assert geometry_groups(others).tolist() == [0, 1, 0, 2, 3, 0]
    zero = replace(first, positions=np.zeros((2, 3)))
    assert geometry_groups([zero, replace(zero, positions=np.full((2, 3), -1e-9))]).tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_a_geometry_is_in_one_split(seed):
    structures = runs(10)
    indices = split_indices(structures, config_of(0.2, 0.1, seed))
    assert are_together(structures, indices) and sizes_of(indices) == (8, 4, 28)
    mixed = runs(30, (1, 4, 2))
    indices = split_indices(mixed, config_of(0.2, 0.3, seed))
    assert are_together(mixed, indices)
    np.testing.assert_allclose(sizes_of(indices), (14, 21, 35), atol=1)


def test_parts_are_as_large_as_whole_geometries_allow():
    """12 structures of 3 geometries: a part for one structure gets one geometry, and the rest is for training."""
    structures = runs(3)
    for fractions, sizes in {
        (0.1, 0.1): (4, 4, 4),
        (0.04, 0.0): (0, 0, 12),
        (0.4, 0.0): (4, 0, 8),
        (0.6, 0.04): (8, 0, 4),
    }.items():
        assert sizes_of(split_indices(structures, config_of(*fractions))) == sizes
    for seed in range(5):  # the geometry of many structures is too large for a part of three
        assert sizes_of(split_indices(runs(12, (9, *[1] * 11)), config_of(0.15, 0.0, seed))) == (3, 0, 17)
    with pytest.raises(InputError, match="8 structures of 2 geometries are too few .* none is left to train on"):
        split_indices(runs(2), config_of(0.1, 0.1))


@pytest.mark.parametrize("seed", range(3))
def test_single_structures_are_drawn_at_random(seed):
    structures = [random_structure(k, "BN") for k in range(23)]
    config = config_of(0.1, 0.3, seed)
    order = np.random.default_rng(seed).permutation(23)
    expected = {"test": order[:2], "validation": order[2:9], "train": order[9:]}
    for name, indices in split_indices(structures, config).items():
        assert indices.tolist() == sorted(expected[name])

    rest = np.sort(order[2:])
    draws = np.random.RandomState(seed)
    for own in member_indices(structures, with_members(config, n_splits=3, train_fraction=0.7, seed=seed)):
        train = rest[np.sort(draws.choice(21, size=14, replace=False))]
        assert own["train"].tolist() == train.tolist() and own["test"].tolist() == sorted(order[:2])
        assert own["validation"].tolist() == sorted({*rest} - {*train})

    folds = np.arange(21)
    np.random.RandomState(seed).shuffle(folds)
    members = member_indices(structures, with_members(config, n_splits=4, method="kfold", seed=seed))
    for own, fold in zip(members, np.array_split(folds, 4), strict=True):
        assert own["validation"].tolist() == rest[np.sort(fold)].tolist()


@pytest.mark.parametrize("method", ["bagging", "kfold"])
def test_members_hold_back_whole_geometries(method):
    structures = runs(10)
    members = member_indices(structures, with_members(config_of(0.2), n_splits=4, method=method, train_fraction=0.75))
    for own in members:
        assert are_together(structures, own) and sizes_of(own) == (8, 8, 24)
        assert own["test"].tolist() == members[0]["test"].tolist()
    held = [own["validation"].tolist() for own in members]
    assert len({*map(tuple, held)}) > 1
    if method == "kfold":
        assert sorted(sum(held, [])) == sorted({*range(40)} - {*members[0]["test"].tolist()})


def test_few_geometries_of_members():
    groups = np.repeat([0, 1], 4)
    for train, held in member_splits(groups, EnsembleConfig(3, train_fraction=0.9)):
        assert len(train) == len(held) == 4
    for train, held in member_splits(
        groups[:4], EnsembleConfig(3, train_fraction=1.0)
    ):  # members differ in their seeds
        assert len(train) == 4 and not len(held)
    for labels, options in ((groups, EnsembleConfig(3, "kfold")), (groups[:4], EnsembleConfig(2, train_fraction=0.9))):
        with pytest.raises(InputError, match=r"structures of \d geometr.* are too few"):
            member_splits(labels, options)


def test_runs_of_one_geometry_in_fields(tmp_path):
    """Imported runs written to a file and read again still have one geometry."""
    folder = shared_data("enthalpy/qe_example")
    structures = [
        s for name in ("SiO2-T300", "BaTiO3") for s in read_espresso([folder / f"{name}-E{k}-0.xml.xz" for k in "0xyz"])
    ]
    write_dataset(tmp_path / "data.extxyz", structures)
    for found in (structures, read_dataset(tmp_path / "data.extxyz")):
        assert geometry_groups(found).tolist() == [0] * 4 + [1] * 4
        indices = split_indices(found, config_of(0.25))
        assert {*map(tuple, (indices["test"], indices["train"]))} == {(0, 1, 2, 3), (4, 5, 6, 7)}


@pytest.mark.slow
def test_trainers_and_log(tmp_path, caplog):
    """The message is logged once per run, only if geometries repeat and a split is drawn."""
    structures = runs(4)
    enthalpy = parse_enthalpy_config(
        {
            "data": {"files": ["data.extxyz"], "test_fraction": 0.25, "validation_fraction": 0.25},
            "model": {
                "kind": "enthalpy",
                "species": ["B", "N"],
                "cutoff": 3.0,
                "n_radial": 3,
                "channels": 2,
                "hidden": 3,
            },
            "optimizer": {"epochs": 1},
            "output": {"directory": "out"},
        },
        tmp_path,
    )
    write_dataset(tmp_path / "data.extxyz", structures)
    message = "16 structures of 4 geometries: structures of one geometry stay in the same split"
    with caplog.at_level(logging.INFO):
        indices = EnthalpyTrainer(enthalpy).indices
    assert are_together(structures, indices) and sizes_of(indices) == (4, 4, 8) and caplog.messages.count(message) == 1

    write_dataset(tmp_path / "data.extxyz", without_fields(structures), force=True)
    for fraction, count in ((0.25, 1), (0.0, 0)):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            indices = Trainer(small_config("dipole", tmp_path, data={"test_fraction": fraction})).indices
        assert are_together(structures, indices) and caplog.messages.count(message) == count


@pytest.mark.slow
def test_resume_and_checkpoints_of_another_draw(tmp_path):
    """A checkpoint resumes; one of a draw by structures has no hash of the geometries, and is refused."""
    write_dataset(tmp_path / "data.extxyz", without_fields(runs(4)))
    config = small_config("dipole", tmp_path, data={"test_fraction": 0.25})
    first = run_training(config)
    assert run_training(config)["splits"] == first["splits"] and len(first["splits"]["test"]) == 4
    path = config.directory / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    del state["fingerprint"]["split"]
    torch.save(state, path)
    with pytest.raises(InputError, match="another split"):
        run_training(config)
    single = [random_structure(k, "BN") for k in range(4)]
    assert set(fingerprint(config, single)) == {"configuration", "data"}
