"""Fixtures: a teacher model of the same form, which gives exact labels, and configurations."""

from dataclasses import replace

import pytest

from helpers.random_radnet import SPECIES, calculator_of, displaced, labelled, random_artifact
from tnep_calc.training.radnet.config import parse_radnet_config


@pytest.fixture(scope="session")
def structures():
    calculator = calculator_of(random_artifact())
    return [labelled(calculator, displaced(k, sigma=0.05), f"teacher, structure {k}") for k in range(10)]


@pytest.fixture(scope="session")
def with_gradients():
    """Return structures that also have the derivative of the polarizability."""
    calculator = calculator_of(random_artifact())
    made = []
    for k in range(4):
        atoms = displaced(k, sigma=0.05)
        slope = calculator.get_property("polarizability_gradient", atoms)
        structure = labelled(calculator, atoms, f"teacher with gradients, structure {k}")
        made.append(replace(structure, polarizability_gradient=slope))
    return made


@pytest.fixture
def config():
    """Return a function that makes a small configuration, with changes by table."""

    def make(**changes):
        tables = {
            "data": {
                "files": ["none.extxyz"],
                "validation_fraction": 0.2,
                "test_fraction": 0.0,
                "augmentation": "none",
            },
            "model": {
                "kind": "radnet",
                "species": list(SPECIES),
                "cutoff": 3.4,
                "points": 5,
                "width": 3.6,
                "sigma": 0.6,
                "filters": 4,
                "hidden": 8,
            },
            "optimizer": {"epochs": 12, "batch": 4, "precision": "float64"},
            "output": {"directory": "out", "report_interval": 3, "checkpoint_interval": 3},
        }
        for name, table in changes.items():
            tables[name] = {**tables.get(name, {}), **table}
        return parse_radnet_config(tables)

    return make
