"""The training operators: schemas and fake kernels, checked with the arguments of training runs."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from helpers.structures import random_structure
from helpers.training_runs import small_config
from tnep_calc import ops
from tnep_calc.training.nep.moments import Basis, build_moments
from tnep_calc.training.nep.trainer import Trainer

if not ops.load():
    pytest.skip(f"native kernels: {ops.status().detail}", allow_module_level=True)

STRUCTURES = [random_structure(k, "BNBN"[: 2 + k % 3]) for k in range(4)]
OPERATORS = sorted(s.split("(")[0] for s in ops.schemas() if s.startswith("training_"))


class Recorder(TorchDispatchMode):
    """Record the arguments of calls of training operators, one call for each combination of tensor shapes."""

    def __init__(self):
        super().__init__()
        self.calls = {name: {} for name in OPERATORS}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.removeprefix("tnep::")
        if name in self.calls:
            flat = torch.utils._pytree.tree_leaves(args)
            shapes = str([tuple(a.shape) if isinstance(a, torch.Tensor) else a for a in flat])
            self.calls[name].setdefault(shapes, torch.utils._pytree.tree_map_only(torch.Tensor, torch.clone, args))
        return function(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def calls():
    with Recorder() as recorder:
        for kind in ("potential", "dipole", "polarizability"):
            run = Trainer(small_config(kind, data={"fold_dipole": False}), STRUCTURES)
            run.vector = run.vector.detach().clone().requires_grad_(True)
            run._gradient()
            run.evaluate("train")
        for dtype in (torch.float32, torch.float64):
            for field in (None, "dipole", "strain"):
                basis = Basis(("N", "B"), (5.1, 4.7), (3.9, 4.1), (6, 3), 4)
                build_moments(STRUCTURES, basis, field=field, gradient=True, dtype=dtype)
    return recorder.calls


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATORS)
def test_schema_and_fake_kernel(calls, name):
    operator = getattr(torch.ops.tnep, name)
    assert calls[name], f"no run has called {name}"
    for args in list(calls[name].values())[:4]:
        torch.library.opcheck(operator, args, test_utils=("test_schema", "test_faketensor"))


def test_every_operator_has_a_fake_kernel():
    for schema in ops.schemas():
        name = f"tnep::{schema.split('(')[0]}"
        if not name.endswith("_available"):
            assert torch._C._dispatch_has_kernel_for_dispatch_key(name, "Meta"), name
