"""Training of the hyperpolarizability from structures in a field, against a teacher of third order."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.enthalpy_teacher import CUTOFF, QUANTITIES, RADIAL, SHAPE, SPECIES, ZBL, config, evaluate, geometry
from tnep_calc.errors import InputError
from tnep_calc.models.enthalpy.model import Enthalpy
from tnep_calc.models.enthalpy.sites import EnthalpySites
from tnep_calc.structures import LabelledStructure
from tnep_calc.training.enthalpy.frames import make_frame
from tnep_calc.training.enthalpy.initial import initialise
from tnep_calc.training.enthalpy.prediction import errors, predict
from tnep_calc.training.enthalpy.trainer import EnthalpyTrainer

pytestmark = pytest.mark.slow

SYMBOLS = ("Si", "Si", "O", "O", "O", "O")
RESPONSES = ("dipole", "polarizability")
ONLY_RESPONSES = {name: 0.0 for name in QUANTITIES} | dict.fromkeys(RESPONSES, 1.0)


def displaced(seed):
    """Return a crystal without inversion symmetry, close to one configuration."""
    positions, cell = geometry(1)
    return positions + 0.04 * np.random.default_rng(seed).normal(size=positions.shape), cell


def labelled(model, seed, field=None, names=RESPONSES):
    positions, cell = displaced(seed)
    labels = evaluate(model, positions, cell, names, field) if model else {}
    if "energy" in labels:
        labels["energy"] = float(labels["energy"])
    return LabelledStructure(
        f"frame {seed}", SYMBOLS, positions, cell, np.ones(3, bool), electric_field=field, **labels
    )


def frame_of(structure):
    return make_frame(structure, SPECIES, CUTOFF, RADIAL, torch.float64, zbl=ZBL)


@pytest.fixture(scope="module")
def teacher():
    sites = EnthalpySites(replace(SHAPE, hyperpolarizability=True))
    initialise(sites, [frame_of(labelled(None, seed)) for seed in range(20)], 7)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter, size in ((sites.w3, 0.1), (sites.b3, 0.3)):
            of_field = parameter[..., 2:]  # all except energy and trace
            of_field += size * torch.randn(of_field.shape, generator=generator, dtype=torch.float64)
    return Enthalpy([sites.requires_grad_(False)], SPECIES, CUTOFF, RADIAL, ZBL)


def fields(count, size=1.0):
    drawn = np.random.default_rng(0).normal(size=(count, 3))
    return size * drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def trained(structures, hyperpolarizability):
    trainer = EnthalpyTrainer(
        config(
            data={"validation_fraction": 0.0},
            model={"hyperpolarizability": hyperpolarizability},
            optimizer={"epochs": 30, "lr": 0.02},
            loss=ONLY_RESPONSES,
            output={"report_interval": 30},
        ),
        structures,
    )
    trainer.run()
    return Enthalpy([trainer.average], SPECIES, CUTOFF, RADIAL, ZBL)


def rms(x):
    return float(np.sqrt(np.square(x).mean()))


def test_frames_give_the_predictions_of_the_model(teacher):
    structure = labelled(teacher, 1, fields(1)[0], QUANTITIES)
    frame, directions = frame_of(structure), torch.eye(3, dtype=torch.float64)
    result = predict(teacher.members[0], [frame, frame], directions.expand(2, 3, 3), create_graph=False)
    found = errors(frame, result[1], directions)
    assert set(found) == set(QUANTITIES)
    assert max(float(error.detach().abs().max()) for error in found.values()) < 1e-10
    second = evaluate(teacher, *displaced(1), ["polarizability"])["polarizability"]
    assert np.abs(second - structure.polarizability).max() > 0.1


@pytest.mark.extended
def test_training_recovers_the_nonlinear_response(teacher):
    drawn = fields(8)
    structures = [labelled(teacher, k, scale * drawn[k]) for k in range(8) for scale in (1, 0)]
    models = {order: trained(structures, order == 3) for order in (2, 3)}

    def responses(model, seed, field):
        plus, minus, none = (evaluate(model, *displaced(seed), RESPONSES, s * field) for s in (1.0, -1.0, 0.0))
        curved = plus["dipole"] + minus["dipole"] - 2 * none["dipole"]  # b:EE
        return {"dipole": plus["dipole"], "alpha": plus["polarizability"] - none["polarizability"], "curved": curved}

    def wrong(order, name, seeds, along):
        pairs = [
            (responses(m, s, f)[name] for m in (models[order], teacher)) for s, f in zip(seeds, along, strict=True)
        ]
        found, expected = (np.array(x) for x in zip(*pairs, strict=True))
        return rms(found - expected) / rms(expected)

    seen, unseen = (range(8), drawn), (range(100, 104), fields(4)[::-1])
    assert wrong(3, "dipole", *seen) < 0.5 * wrong(2, "dipole", *seen)
    for name in ("curved", "alpha"):
        assert wrong(2, name, *unseen) == pytest.approx(1)  # a model of second order is linear
        assert wrong(3, name, *seen) < 0.35
        assert wrong(3, name, *unseen) < 0.6


def test_start(teacher):
    """Training begins with the linear response, in the unit of the polarizability over the field."""
    structures = [labelled(teacher, k, 0.5 * field) for k, field in enumerate(fields(3))]
    structures.append(labelled(teacher, 3))
    sites = EnthalpySites(replace(SHAPE, hyperpolarizability=True))
    initialise(sites, [frame_of(s) for s in structures], 0)
    model = Enthalpy([sites], SPECIES, CUTOFF, RADIAL)
    found = evaluate(model, *displaced(0), ["hyperpolarizability", "polarizability"])
    assert not found["hyperpolarizability"].any() and found["polarizability"].any()
    assert float(sites.units[3] / sites.units[2]) == pytest.approx(2.0)


def test_structures_in_a_field_are_needed(teacher):
    on = {"model": {"hyperpolarizability": True}, "loss": ONLY_RESPONSES}
    at_zero = [labelled(teacher, k, np.zeros(3) if k else None) for k in range(4)]
    with pytest.raises(InputError, match=r"hyperpolarizability .* none of the 3 to train on has an electric_field"):
        EnthalpyTrainer(config(**on, data={"validation_fraction": 0.25}), at_zero)
    EnthalpyTrainer(config(**on, data={"validation_fraction": 0.0}), [*at_zero, labelled(teacher, 9, fields(1)[0])])
    with pytest.raises(InputError, match="hyperpolarizability must be true or false, got 3"):
        config(model={"hyperpolarizability": 3})
