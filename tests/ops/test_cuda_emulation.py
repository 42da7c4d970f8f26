"""The CUDA kernels, compiled for the CPU (csrc/core/cuda/emulation.h), give the results of the CPU kernels.

The emulation runs the code of the kernels with other orders of threads.  Effects of a GPU (memory fences between
blocks, shared memory, speed) are not tested here but by ``benchmarks/gpu.py``.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.emulation import emulated_operators
from helpers.nep_operators import close, edges, flat, model, native, nep, random_model, random_structure
from tnep_calc.io.gpumd.nep_parameters import ZBL

emulated = emulated_operators()

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
KINDS = ["potential", "dipole", "polarizability"]
MOST_L = 4  # larger ones use the same templates, and are left out to keep the build short


def structure(parameters, n=8, seed=1, repeat=1):
    numbers, positions, cell = random_structure(parameters, n, seed)
    shifts = np.array([(i, 0, 0) for i in range(repeat)]) @ cell
    return numbers * repeat, (positions + shifts[:, None]).reshape(-1, 3), np.diag([repeat, 1, 1]) @ cell


def compare(kind, parameters, inputs, dtype, tolerance=None, field=(0.3, -0.2, 0.5)):
    """Compare all quantities of a kind; in single precision with those of the CPU in double precision."""
    field = torch.tensor(field, dtype=torch.float64)
    wanted = native(kind, model(parameters), inputs, field, parameters.dim)
    ours = native(kind, model(parameters, dtype), inputs, field, parameters.dim, emulated)
    assert set(ours) == set(wanted)
    for name, value in wanted.items():
        close(ours[name], value, tolerance or TOLERANCE[dtype])
    return ours


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("l_max", range(1, MOST_L + 1))
@pytest.mark.parametrize("kind", KINDS)
def test_all_quantities_equal_those_of_the_cpu_kernels(kind, l_max, dtype):
    parameters = random_model(kind, l_max, n_species=1 + l_max % 3)
    compare(kind, parameters, edges(parameters, *structure(parameters)), dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_versions_and_short_expansions(kind):
    for version in (3, 5) if kind == "potential" else (3,):
        parameters = random_model(kind, 2, version=version)
        compare(kind, parameters, edges(parameters, *structure(parameters)), torch.float64)
    one = random_model(kind, 3, seed=4)
    one = replace(one, basis_size=(0, 0), c_radial=one.c_radial[:, :1], c_angular=one.c_angular[:, :1])
    compare(kind, one, edges(one, *structure(one)), torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_isolated_atoms_edges_beyond_the_cutoff_and_some_centres(kind):
    parameters = random_model(kind, 4)
    numbers, positions, cell = structure(parameters)
    lone = edges(parameters, numbers[:1], positions[:1], cell, pbc=False)
    compare(kind, parameters, lone, torch.float64, tolerance=1e-10)
    species, centers, offsets, neighbors, vectors = edges(parameters, numbers, positions, cell, skin=1.5)
    compare(kind, parameters, (species, centers, offsets, neighbors, vectors), torch.float64)
    some = slice(0, int(offsets[3]))
    compare(kind, parameters, (species, centers[:3], offsets[:4], neighbors[some], vectors[some]), torch.float64)


def test_repulsion():
    parameters = random_model("potential", 3)
    repelling = replace(parameters, zbl=ZBL(1.5, 3.0))
    numbers, positions, cell = structure(parameters)
    pair = (numbers[:2], [[0, 0, 0], [0.3, 1.2, 1.7]], cell, False)
    for inputs in (edges(parameters, numbers, positions, cell), edges(parameters, *pair)):
        plain = native("potential", model(parameters), inputs, None, parameters.dim)["energies"]
        for dtype in TOLERANCE:
            ours = compare("potential", repelling, inputs, dtype)["energies"]
            assert float((ours - plain).abs().max()) > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_lists_of_neighbours_with_positions(kind):
    parameters = random_model(kind, 3)
    numbers, positions, cell = structure(parameters, n=6)
    species, centers, offsets, neighbors, vectors = edges(parameters, numbers, positions, 20 * np.eye(3), pbc=False)
    packed, r = model(parameters), torch.tensor(positions)
    rest = (True, True) if kind == "potential" else ()
    name = {"potential": "nep_energy_list", "dipole": "nep_dipole_list"}.get(kind, "nep_polarizability_list")
    calls = {name: rest}
    if kind != "potential":
        calls["nep_field_response_list"] = (torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64), True)
    for name, rest in calls.items():
        args = (*packed, species, centers, offsets, neighbors.to(torch.int32), r, *rest)
        for a, b in zip(flat(getattr(emulated, name)(*args)), flat(getattr(nep, name)(*args)), strict=True):
            close(a, b, 1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_results_do_not_depend_on_the_order_of_threads(monkeypatch, kind):
    parameters = random_model(kind, 3)
    inputs = edges(parameters, *structure(parameters))
    field = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    found = {}
    for deterministic in (False, True):
        torch.use_deterministic_algorithms(deterministic)
        try:
            for order in "012":
                monkeypatch.setenv("TNEP_EMULATED_ORDER", order)
                found[deterministic, order] = native(kind, model(parameters), inputs, field, parameters.dim, emulated)
        finally:
            torch.use_deterministic_algorithms(False)
    for (deterministic, _), results in found.items():
        for name, value in results.items():
            if deterministic:
                assert torch.equal(value, found[True, "0"][name]), name
            close(value, found[True, "0"][name], 1e-13)


def test_scratch_memory_in_global_memory():
    """A polarizability of many functions needs more than the shared memory of a block."""
    parameters = random_model("polarizability", 4, n_species=9)
    numbers, positions, cell = structure(parameters, n=8)
    compare("polarizability", parameters, edges(parameters, numbers, positions, cell), torch.float64)


@pytest.mark.parametrize("kind", ["dipole", "polarizability"])
def test_a_different_field_at_every_centre(kind):
    parameters = random_model(kind, 2)
    inputs = edges(parameters, *structure(parameters))
    field = torch.tensor(np.random.default_rng(0).normal(size=(len(inputs[1]), 3)))
    wanted = nep.nep_field_response(*model(parameters), *inputs, field, True)
    ours = emulated.nep_field_response(*model(parameters), *inputs, field, True)
    for a, b in zip(ours, wanted, strict=True):
        close(a, b, 1e-10)


@pytest.mark.parametrize("name", ["neighbors", "species", "centers"])
def test_wrong_indices_stop_the_kernel(name):
    parameters = random_model("potential", 1)
    inputs = dict(
        zip(
            ["species", "centers", "offsets", "neighbors", "vectors"],
            edges(parameters, *structure(parameters)),
            strict=True,
        )
    )
    if name != "centers":
        inputs[name][1] = 1000
        with pytest.raises((RuntimeError, IndexError), match="out of range"):
            emulated.nep_energy(*model(parameters), *inputs.values(), True, False)
    else:
        with pytest.raises(RuntimeError, match="offsets must be"):
            emulated.nep_energy(
                *model(parameters), *(inputs | {"centers": inputs["centers"][1:]}).values(), True, False
            )


def test_wrong_models_are_refused():
    parameters = random_model("dipole", 2)
    inputs = edges(parameters, *structure(parameters))
    with pytest.raises(RuntimeError, match="needs a potential model, got a dipole model"):
        emulated.nep_energy(*model(parameters), *inputs, True, False)
    with pytest.raises(RuntimeError, match="dim must be the descriptor length"):
        emulated.nep_descriptors(*model(parameters), *inputs, parameters.dim + 1)
    header, params = model(parameters)
    with pytest.raises(RuntimeError, match="packed NEP model"):
        emulated.nep_dipole(header, params[:-1], *inputs)
