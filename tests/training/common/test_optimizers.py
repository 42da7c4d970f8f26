"""The learning rate of both families rises, falls as half a cosine, and ends at a hundredth of its largest value."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.structures import random_structure
from helpers.training_runs import small_config
from tnep_calc.training.enthalpy.trainer import EnthalpyTrainer
from tnep_calc.training.nep.trainer import Trainer

LARGEST, STEPS = 0.03, 10_000


@functools.cache
def nep_trainer():
    config = small_config("polarizability", optimizer={"steps": STEPS, "lr": LARGEST})
    return Trainer(config, [random_structure(seed, "BN") for seed in range(3)])


def nep_rate(done):
    """The rate of the NEP trainer after a share of its first-order steps."""
    return nep_trainer().learning_rate(round(done * STEPS))


def enthalpy_rate(done):
    """The rate of the enthalpy trainer after a share of its steps."""
    options = SimpleNamespace(optimizer=SimpleNamespace(epochs=STEPS, lr=LARGEST))
    return EnthalpyTrainer.learning_rate(SimpleNamespace(config=options, total_steps=STEPS), round(done * STEPS))


RATES = {"nep": (nep_rate, 0.1), "enthalpy": (enthalpy_rate, 0.02)}
"""Rate after a share of the steps, and the share in which it rises."""


@pytest.mark.parametrize("family", RATES)
def test_rate_ends_at_a_hundredth_of_the_largest(family):
    rate, rise = RATES[family]
    assert rate(1.0) == pytest.approx(0.01 * LARGEST, rel=1e-12)
    assert rate(0.5) == pytest.approx(0.505 * LARGEST, rel=1e-12)  # the mean of largest and smallest
    fall = np.array([rate(done) for done in np.linspace(rise, 1.0, 200)])
    assert (np.diff(fall) < 0).all() and fall[0] > 0.97 * LARGEST
    increase = np.array([rate(done) for done in np.linspace(0.0, rise / 2, 50)])
    assert (np.diff(increase) > 0).all() and 0 < increase[0] <= 0.011 * LARGEST
