"""Training of radnet on a simulated GPU (helpers/simulated_gpu.py), and on a real one if there is one."""

import numpy as np
import pytest
import torch

from helpers.simulated_gpu import simulated_gpu
from tnep_calc.training.radnet.trainer import RadnetTrainer

pytestmark = pytest.mark.slow


def changes(**optimizer):
    return {
        "data": {"augmentation": "point_group"},
        "optimizer": {"epochs": 6, "batch": 3, **optimizer},
        "output": {"report_interval": 2, "checkpoint_interval": 2},
    }


def parameters(trainer):
    return [p.detach() for model in (trainer.sites, trainer.average, trainer.result) for p in model.parameters()]


@pytest.mark.parametrize("given", ["structures", "with_gradients"])
def test_a_whole_run_is_on_the_gpu(given, request, config):
    """Steps, reports and predictions, also with the derivative of the polarizability."""
    frames = request.getfixturevalue(given)
    plain = RadnetTrainer(config(**changes()), frames)
    plain.run()
    with simulated_gpu() as gpu:
        there = RadnetTrainer(config(**changes(device="cuda")), frames)
        there.run()
        assert gpu.calls > 100
        assert all(map(gpu.holds, parameters(there)))
        assert all(gpu.holds(p) for p in there.optimizer.state_dict()["state"][0].values() if p.dim())
    for one, other in zip(parameters(there), parameters(plain), strict=True):
        assert torch.equal(one, other)
    for one, other in zip(there.history, plain.history, strict=True):
        assert one | {"seconds": 0.0} == other | {"seconds": 0.0}


@pytest.mark.parametrize("devices", [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_run_resumes_on_another_device(devices, structures, config, tmp_path):
    straight = RadnetTrainer(config(**changes()), structures)
    straight.run()

    def stop(trainer):
        if trainer.epoch == 4:
            raise KeyboardInterrupt

    with simulated_gpu():
        with pytest.raises(KeyboardInterrupt):
            RadnetTrainer(config(**changes(device=devices[0])), structures).run(stop, tmp_path / "c.pt")
        again = RadnetTrainer(config(**changes(device=devices[1])), structures)
        again.restore(tmp_path / "c.pt")
        assert again.epoch == 2
        again.run()
    for one, other in zip(parameters(again), parameters(straight), strict=True):
        assert torch.equal(one, other)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_same_results(structures, config):
    one, other = (RadnetTrainer(config(**changes(device=name)), structures) for name in ("cpu", "cuda"))
    for trainer in (one, other):
        trainer.run()
    for a, b in zip(parameters(one), parameters(other), strict=True):
        np.testing.assert_allclose(b.cpu(), a, rtol=1e-5, atol=1e-7)
