"""Two processes that share every step give the model of one process."""

import torch

from helpers.several_processes import in_two_processes
from tnep_calc.training.radnet.trainer import RadnetTrainer


def test_training_equals_that_of_one_process(structures, config, tmp_path):
    """A pass has batches of three structures, three, and one; structures are turned at random."""
    made = config(
        data={"augmentation": "point_group", "validation_fraction": 0.3},
        optimizer={"epochs": 2, "batch": 3},
        output={"report_interval": 1},
    )

    def trained():
        trainer = RadnetTrainer(made, structures)
        trainer.run()
        return [p.detach() for p in trainer.result.parameters()]

    parameters = trained()
    for ours in in_two_processes(trained, tmp_path):
        for a, b in zip(ours, parameters, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)
