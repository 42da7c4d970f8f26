"""Polarizability in closed form: against plain least squares, explicit leave-one-out, and a teacher of the same form."""

import itertools
import logging

import numpy as np
import pytest
import torch

from helpers.enthalpy_teacher import (
    CUTOFF,
    FIELD,
    QUANTITIES,
    RADIAL,
    SHAPE,
    SPECIES,
    config,
    labelled,
)
from tnep_calc import progress
from tnep_calc.errors import InputError
from tnep_calc.models.enthalpy.sites import EnthalpySites
from tnep_calc.progress import Progress
from tnep_calc.training.enthalpy.frames import make_frame
from tnep_calc.training.enthalpy.initial import initialise
from tnep_calc.training.enthalpy.prediction import predict
from tnep_calc.training.enthalpy.readout import _leave_out, by_ridge, fit_polarizability
from tnep_calc.training.enthalpy.trainer import EnthalpyTrainer


def frames_of(structures):
    return [make_frame(s, SPECIES, CUTOFF, RADIAL, torch.float64) for s in structures]


def polarizabilities(sites, frames):
    return torch.stack([predict(sites, [f], None, create_graph=False)[0]["polarizability"].detach() for f in frames])


def test_closed_form_equals_explicit_leave_one_out():
    rng = np.random.default_rng(3)
    features = torch.from_numpy(rng.normal(size=(24, 7)))
    label = torch.from_numpy(rng.normal(size=(8, 3)))
    kernel = features @ features.t()
    found, penalty, dual = _leave_out(kernel, label, Progress(logging.getLogger("test"), "parts", None))
    ridge = penalty * kernel.diagonal().mean()
    for k in range(8):
        rest = torch.ones(24, dtype=torch.bool)
        rest[3 * k : 3 * k + 3] = False
        solution = torch.linalg.solve(kernel[rest][:, rest] + ridge * torch.eye(21), label.flatten()[rest])
        error = label[k] - kernel[~rest][:, rest] @ solution
        assert torch.allclose(found[k], error, atol=1e-10)
    assert torch.allclose(kernel @ dual + ridge * dual, label.flatten(), atol=1e-10)


@pytest.mark.slow
def test_weights_that_made_the_labels_are_recovered(teacher):
    """If the last layer can give the labels exactly, the weights are recovered in all directions with data."""
    frames = frames_of([labelled(teacher, k, drop=("born_charges",)) for k in range(60)])
    sites = EnthalpySites(SHAPE)
    initialise(sites, frames, 5)
    sites.requires_grad_(False)
    with torch.no_grad():
        sites.w3 *= 3
        sites.b2 += 1.0
    exact = polarizabilities(sites, frames)
    for frame, alpha in zip(frames, exact, strict=True):
        frame.labels["polarizability"] = alpha
    before = {name: value.clone() for name, value in sites.state_dict().items()}
    first, last = 2 + sites.n_vectors, 2 + sites.n_vectors + sites.n_tensors
    with torch.no_grad():
        sites.w3[..., [1, *range(first, last)]] = 0
        sites.b3[..., [1, *range(first, last)]] = 7.0
    fit = fit_polarizability(sites, frames[:50])
    spread = float((exact - exact.mean(0)).square().mean().sqrt())
    error = float((polarizabilities(sites, frames) - exact)[50:].square().mean().sqrt())
    assert error < 0.03 * spread and 0.2 * error < fit.error < 5 * error, (error, fit.error, spread)
    for name, value in sites.state_dict().items():
        same = torch.eq(value, before[name])
        if name in ("w3", "b3"):
            same = torch.cat([same[..., :1], same[..., 2:first], same[..., last:]], dim=-1)
        assert bool(same.all()), name


@pytest.mark.slow
def test_the_polarizability_does_not_affect_the_hidden_layers(teacher):
    structures = [labelled(teacher, k) for k in range(8)]
    trainers = {}
    for name, loss in (("with", {}), ("without", {"polarizability": 0.0})):
        trainers[name] = EnthalpyTrainer(config(loss=loss), structures)
        trainers[name].run()
    assert trainers["with"].ridge and not trainers["without"].ridge
    a, b = (trainers[name].average for name in ("with", "without"))
    first = 2 + a.n_vectors
    for name, value in a.state_dict().items():
        other = b.state_dict()[name]
        if name in ("w3", "b3"):
            assert not torch.equal(value[..., first:], other[..., first:])
            value, other = (torch.cat([x[..., :1], x[..., 2:first]], -1) for x in (value, other))
        elif name == "site":
            value, other = value[:, 0], other[:, 0]
        assert torch.allclose(value, other, rtol=1e-9, atol=1e-12), name
    history = trainers["with"].history
    assert history[-1]["rmse_polarizability_validation"] > 0


def test_the_fit_says_how_far_it_is(teacher, monkeypatch, caplog):
    """Each of the 3 structures counts once per species, and each of 5 kernels 13 times."""
    frames = frames_of([labelled(teacher, k) for k in range(3)])
    sites = EnthalpySites(SHAPE)
    initialise(sites, frames, 5)
    caplog.set_level(logging.INFO)
    fit_polarizability(sites, frames)
    assert not caplog.records  # it is fast
    monkeypatch.setattr(progress.time, "monotonic", itertools.count(0, 11).__next__)
    fit_polarizability(sites, frames)
    lines = [record.message.split(",")[0].strip() for record in caplog.records]
    assert lines == [f"{k} of 71 parts of the ridge regression" for k in range(1, 71)]


def test_conditions_of_ridge_regression(teacher, caplog):
    plain = [labelled(teacher, k) for k in range(3)]
    caplog.set_level(logging.INFO)
    assert by_ridge(config(), plain)
    assert "by ridge regression" in caplog.text and "3 structures" in caplog.text
    assert not by_ridge(config(optimizer={"polarizability": "gradient"}), plain)
    in_field = [*plain, labelled(teacher, 4, FIELD)]
    only = config(loss={"energy": 0, "forces": 0, "virial": 0, "dipole": 0, "born_charges": 0})
    without = [labelled(teacher, k, drop=("polarizability",)) for k in range(3)]
    cases = [
        (config(), in_field, "in a field"),
        (only, plain, "nothing else to learn"),
        (config(), [*without, plain[0]], "1 training structures"),
        (config(), plain * 167, "501 training structures"),
        (config(model={"hyperpolarizability": True}), plain, "hyperpolarizability"),
    ]
    many = plain * 34
    assert by_ridge(config(), many[:100]) and not by_ridge(config(), many[:101])
    assert by_ridge(config(optimizer={"polarizability": "ridge"}), many)
    for made, structures, words in cases:
        caplog.clear()
        assert not by_ridge(made, structures)
        assert words in caplog.text
        tables = {"loss": vars(made.loss), "model": vars(made.model), "optimizer": {"polarizability": "ridge"}}
        with pytest.raises(InputError, match=words):
            by_ridge(config(**tables), structures)
    with pytest.raises(InputError, match="'auto' or 'ridge' or 'gradient', got 'rigde'"):
        config(optimizer={"polarizability": "rigde"})


@pytest.mark.slow
def test_steps_without_a_label_that_is_fitted_by_gradients(teacher):
    """Structures that have only a polarizability make batches without a label for a gradient step."""
    structures = [labelled(teacher, k) for k in range(2)]
    structures += [labelled(teacher, k, drop=QUANTITIES[:-1]) for k in range(2, 4)]
    trainer = EnthalpyTrainer(config(data={"validation_fraction": 0.0}, optimizer={"batch": 1}), structures)
    trainer.run()
    assert trainer.ridge and trainer.step == 24
    assert np.isfinite(trainer.history[-1]["rmse_polarizability_train"])
