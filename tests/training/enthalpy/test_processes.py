"""Two processes that share every step give the model of one process."""

import pytest
import torch

from helpers.enthalpy_teacher import config, labelled
from helpers.several_processes import in_two_processes
from tnep_calc.training.enthalpy.trainer import EnthalpyTrainer

pytestmark = pytest.mark.slow


def test_training_equals_that_of_one_process(teacher, tmp_path):
    """The batches have three structures and one; some have no Born charges or no dipole."""
    own = [labelled(teacher, k, drop=("born_charges",) if k % 3 else ("dipole",)) for k in range(5)]
    made = config(data={"validation_fraction": 0.2}, optimizer={"epochs": 3, "batch": 3})

    def trained():
        trainer = EnthalpyTrainer(made, own)
        trainer.advance()
        gradients = [p.grad.clone() for p in trainer.sites.parameters() if p.grad is not None]
        trainer.run()
        return gradients, [p.detach() for p in trainer.average.parameters()], trainer.history[-1]

    gradients, parameters, last = trained()
    for first, ours, row in in_two_processes(trained, tmp_path):
        for a, b in zip(first, gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
        for a, b in zip(ours, parameters, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)  # SOAP enlarges rounding errors
        del row["seconds"]
        assert row == {name: pytest.approx(last[name], rel=1e-5) for name in row}
