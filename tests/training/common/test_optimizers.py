"""The learning rate of both families rises, falls as half a cosine, and ends at a hundredth of its largest value."""

from types import SimpleNamespace

import numpy as np
import pytest

from helpers.structures import random_structure
from helpers.training_runs import small_config
from tnep_calc.training.common.optimizers import learning_rate
from tnep_calc.training.enthalpy.trainer import EnthalpyTrainer
from tnep_calc.training.nep.trainer import Trainer

LARGEST = 0.03


def enthalpy_rate(done):
    """The rate of the enthalpy trainer after a share of its steps."""
    options = SimpleNamespace(optimizer=SimpleNamespace(epochs=1000, lr=LARGEST))
    return EnthalpyTrainer.learning_rate(SimpleNamespace(config=options, steps_per_epoch=10), round(done * 10000))


RATES = {"nep": (lambda done: learning_rate(LARGEST, done), 0.1), "enthalpy": (enthalpy_rate, 0.02)}


@pytest.mark.parametrize("family", RATES)
def test_it_ends_at_a_hundredth_of_the_largest(family):
    rate, rise = RATES[family]
    assert rate(1.0) == pytest.approx(0.01 * LARGEST, rel=1e-12)
    assert rate(0.5) == pytest.approx(0.505 * LARGEST, rel=1e-12)  # the mean of largest and smallest
    fall = np.array([rate(done) for done in np.linspace(rise, 1.0, 200)])
    assert (np.diff(fall) < 0).all() and fall[0] > 0.97 * LARGEST
    increase = np.array([rate(done) for done in np.linspace(0.0, rise / 2, 50)])
    assert (np.diff(increase) > 0).all() and 0 < increase[0] <= 0.011 * LARGEST


def test_the_trainer_ends_there():
    config = small_config("polarizability", optimizer={"steps": 20, "lr": LARGEST})
    trainer = Trainer(config, [random_structure(seed, "BN") for seed in range(3)])
    assert trainer.learning_rate(20) == pytest.approx(0.01 * LARGEST, rel=1e-12)
