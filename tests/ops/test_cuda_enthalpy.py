"""The CUDA kernels of enthalpy models on the emulation give the results of the CPU kernels; see test_cuda_emulation.py."""

import pytest
import torch

from helpers.emulation import emulated_operators
from helpers.enthalpy_operators import CUTOFF, FIELD, SPECIES, ZBL, close, edges, model
from helpers.random_enthalpy import silica
from tnep_calc.ops.enthalpy import NativeEnthalpy

emulated, cpu = emulated_operators().enthalpy, torch.ops.tnep.enthalpy

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
EVERY = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
RESULTS = ("energies", "dipoles", "polarizabilities", "gradients", "strain", "virials")


def packed(m):
    return m.header, m.params, m.constants


def compare(ours, reference, inputs, field=None, seeds=(0, 1, 2, 3), order=2, tolerance=1e-10):
    """Compare all results of two models, of the emulation and of the CPU."""
    rest = (field, list(seeds), 0 in seeds[:1], order)
    found, wanted = emulated(*packed(ours), *inputs, *rest), cpu(*packed(reference), *inputs, *rest)
    for name, value, expected in zip(RESULTS, found, wanted, strict=True):
        if name in ("gradients", "strain"):  # one scale for each seed
            assert value.shape == expected.shape
            for one, other in zip(value, expected, strict=True):
                close(one, other, tolerance)
        else:
            close(value, expected, tolerance, 0.0 if not expected.numel() else None)
    return found


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("sizes", [(10, 16, 32), (5, 4, 8), (1, 1, 1), (7, 19, 33)])
def test_all_quantities_equal_those_of_the_cpu_kernels(sizes, dtype):
    ours, reference, inputs = model(*sizes, dtype=dtype), model(*sizes), edges(silica())
    tolerance = 5e-5 if dtype == torch.float32 and max(sizes) == 1 else TOLERANCE[dtype]  # its dipoles nearly cancel
    local = torch.randn(len(inputs[1]), 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for field in (None, FIELD, local):
        seeds = [s for s in EVERY if s != 4 or field is not None]
        compare(ours, reference, inputs, field, seeds, tolerance=tolerance)


@pytest.mark.parametrize(("seeds", "order"), [([0], 0), ([1, 2, 3], 1), ([], 2), ([], 0)])
def test_some_quantities(seeds, order):
    m, inputs = model(), edges(silica())
    compare(m, m, inputs, None, seeds, order)
    compare(m, m, inputs, FIELD, seeds, order)


def test_mean_of_members_ghost_atoms_and_isolated_atoms():
    members = [member for seed in range(3) for member in model(seed=seed).plain.members]
    m = NativeEnthalpy(members, SPECIES[:2], CUTOFF, 5, ZBL)
    species, centers, offsets, neighbors, vectors = inputs = edges(silica())
    compare(m, m, inputs, FIELD)
    some = slice(0, int(offsets[4]))
    compare(m, m, (species, centers[:4], offsets[:5], neighbors[some], vectors[some]), FIELD)
    none = torch.empty(0, dtype=torch.long), torch.empty(0, 3, dtype=torch.float64)
    alone = emulated(*packed(m), species[:1], centers[:1], torch.tensor([0, 0]), *none, None, [0], True, 2)
    wanted = cpu(*packed(m), species[:1], centers[:1], torch.tensor([0, 0]), *none, None, [0], True, 2)
    close(alone[0], wanted[0], 1e-10)
    assert not alone[3].any() and alone[3].shape == wanted[3].shape


def test_results_do_not_depend_on_the_order_of_threads(monkeypatch):
    m, inputs = model(6, 5, 12), edges(silica())
    for deterministic in (True, False):
        torch.use_deterministic_algorithms(deterministic)
        try:
            found = []
            for order in "012":
                monkeypatch.setenv("TNEP_EMULATED_ORDER", order)
                found.append(emulated(*packed(m), *inputs, FIELD, [0, 1, 5], True, 2))
        finally:
            torch.use_deterministic_algorithms(False)
        for other in found[1:]:
            for a, b in zip(found[0], other, strict=True):
                assert torch.equal(a, b) if deterministic else torch.allclose(a, b, rtol=1e-13, atol=1e-13)


def test_scratch_memory_in_global_memory():
    """With 96 channels a block needs more than the shared memory."""
    m, inputs = model(3, 96, 8), edges(silica())
    compare(m, m, inputs, FIELD, [0, 1], tolerance=1e-9)


def test_wrong_input_is_refused():
    m = model()
    species, centers, offsets, neighbors, vectors = edges(silica())
    rest = (None, [0], False, 2)
    wrong = neighbors.clone()
    wrong[3] = 9
    with pytest.raises((RuntimeError, IndexError), match="out of range"):
        emulated(*packed(m), species, centers, offsets, wrong, vectors, *rest)
    with pytest.raises(RuntimeError, match="species must be from 0 to .* = 1, got 2"):
        emulated(*packed(m), species + 1, centers, offsets, neighbors, vectors, *rest)
    with pytest.raises(RuntimeError, match="field must be"):
        emulated(*packed(m), species, centers, offsets, neighbors, vectors, FIELD[:2], [0], False, 2)
    with pytest.raises(RuntimeError, match="seeds must be from 0 to 10"):
        emulated(*packed(m), species, centers, offsets, neighbors, vectors, None, [11], False, 2)
    with pytest.raises(RuntimeError, match="constants must have 1"):
        emulated(m.header, m.params, m.constants[:3], species, centers, offsets, neighbors, vectors, *rest)
