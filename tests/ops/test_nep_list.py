"""Operators that take positions and a list of neighbours, against those that take edge vectors."""

import numpy as np
import pytest
import torch

from helpers.nep_operators import close, edges, flat, model, random_model, random_structure
from tnep_calc import ops
from tnep_calc.artifact import artifact_from_nep
from tnep_calc.models.nep.model import QUANTITIES

if not ops.load():
    pytest.skip(f"native kernels: {ops.status().detail}", allow_module_level=True)
nep = torch.ops.tnep
KINDS = ("potential", "dipole", "polarizability")
FIELD = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)
OPERATORS = {  # kind of the model; operators with vectors and with a list; their last arguments
    "potential": ("potential", nep.nep_energy, nep.nep_energy_list, (True, True)),
    "dipole": ("dipole", nep.nep_dipole, nep.nep_dipole_list, ()),
    "polarizability": ("polarizability", nep.nep_polarizability, nep.nep_polarizability_list, ()),
    "dipole in a field": ("dipole", nep.nep_field_response, nep.nep_field_response_list, (FIELD, True)),
    "polarizability in a field": ("polarizability", nep.nep_field_response, nep.nep_field_response_list, (FIELD, True)),
}


def with_ghosts(p, skin=1.0, seed=1):
    """Return species, centres, offsets, neighbours (int32) and positions of a random structure with images as atoms."""
    numbers, positions, cell = random_structure(p, n=8, seed=seed)
    species, centers, offsets, neighbors, vectors = edges(p, numbers, positions, cell, skin=0.0)
    wide = edges(p, numbers, positions, cell, skin=skin)
    if skin:
        species, centers, offsets, neighbors, vectors = wide
    origin = np.repeat(centers.numpy(), np.diff(offsets.numpy()))
    points = positions[origin] + vectors.numpy()
    keys, index = np.unique(np.round(points, 6), axis=0, return_inverse=True)
    first = np.unique(index, return_index=True)[1]
    ghosts, owners = points[first], neighbors.numpy()[first]
    everything = np.concatenate([positions, ghosts])
    return (
        torch.cat([species, species[torch.from_numpy(owners)]]),
        centers,
        offsets,
        torch.from_numpy((len(positions) + index.reshape(-1)).astype(np.int32)),
        torch.from_numpy(everything),
    )


def inside(p, species, centers, offsets, neighbors, positions):
    """Return the same edges as vectors, only those within the largest cutoff, computed with numpy."""
    origin = np.repeat(centers.numpy(), np.diff(offsets.numpy()))
    vectors = positions.numpy()[neighbors.numpy()] - positions.numpy()[origin]
    near = np.linalg.norm(vectors, axis=1) < p.cutoff
    counts = [near[a:b].sum() for a, b in zip(offsets[:-1], offsets[1:], strict=True)]
    offsets = torch.tensor([0, *np.cumsum(counts)], dtype=torch.int64)
    return species, centers, offsets, neighbors[torch.from_numpy(near)].long(), torch.from_numpy(vectors[near])


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-13), (torch.float32, 1e-6)])
@pytest.mark.parametrize("n_species", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("name", OPERATORS)
def test_equals_edge_vectors(name, n_species, dtype, tolerance):
    kind, by_vectors, by_list, rest = OPERATORS[name]
    p = random_model(kind, 4, n_species=n_species)
    listed = with_ghosts(p)
    vectors = inside(p, *listed)
    assert 0 < len(vectors[3]) < 0.8 * len(listed[3])  # the skin matters
    packed = model(p, dtype)
    for value, reference in zip(
        flat(by_list(*packed, *listed, *rest)), flat(by_vectors(*packed, *vectors, *rest)), strict=True
    ):
        close(value, reference, tolerance)


@pytest.mark.parametrize("n_species", [1, 2, 9])
def test_any_number_of_edges(n_species):
    """Lists of 0 to 40 edges per centre: full groups of eight and a remainder."""
    p = random_model("potential", 3, n_species=n_species)
    species, _, offsets, neighbors, positions = with_ghosts(p, skin=3.0)
    counts = torch.arange(41)
    assert int(offsets[1]) >= 40
    centers = torch.zeros(41, dtype=torch.int64)
    cut = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    some = torch.cat([neighbors[:n] for n in counts])
    listed = species, centers, cut, some, positions
    for value, reference in zip(
        nep.nep_energy_list(*model(p), *listed, True, True),
        nep.nep_energy(*model(p), *inside(p, *listed), True, True),
        strict=True,
    ):
        close(value, reference, 1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATORS)
def test_opcheck_and_empty(name):
    kind, _, by_list, rest = OPERATORS[name]
    p = random_model(kind, 3)
    species, centers, offsets, neighbors, positions = with_ghosts(p)
    torch.library.opcheck(
        by_list,
        (*model(p), species, centers, offsets, neighbors, positions, *rest),
        test_utils=("test_schema", "test_faketensor"),
    )
    none = torch.zeros(0, dtype=torch.int64)
    out = flat(by_list(*model(p), species, none, none.new_zeros(1), none.int(), positions, *rest))
    assert out[0].shape[0] == (len(species) if "field" in name else 0) and not out[0].any()
    alone = flat(by_list(*model(p), species, centers[:2], none.new_zeros(3), none.int(), positions, *rest))
    assert all(bool(torch.isfinite(t).all()) for t in alone)


def test_wrong_input_is_refused_with_the_received_value():
    p = random_model("potential", 4)
    species, centers, offsets, neighbors, positions = with_ghosts(p)
    good = [*model(p), species, centers, offsets, neighbors, positions]
    beyond, below = neighbors.clone(), neighbors.clone()
    beyond[-1], below[3] = len(species), -1
    wrong = [
        (5, neighbors.long(), "neighbors must be a 1-dimensional int32 tensor on the CPU, got Long"),
        (
            5,
            beyond,
            f"neighbors must be from 0 to n_atoms - 1 = {len(species) - 1}, got values from .* to {len(species)}",
        ),
        (5, below, "neighbors must be from 0 to n_atoms .* got values from -1"),
        (5, neighbors[:-1], "offsets must rise from 0 to the number of edges"),
        (6, positions.float(), "positions must be a float64 tensor of shape .* got Float"),
        (6, positions[:-1], "positions must be a float64 tensor of shape"),
    ]
    for position, value, message in wrong:
        args = list(good)
        args[position] = value
        with pytest.raises(RuntimeError, match=message):
            nep.nep_energy_list(*args, True, False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("native", [True, False])
def test_models_from_positions(kind, native):
    """Native or plain torch, scripted or not: all quantities equal those from vectors."""
    p = random_model(kind, 4)
    module = artifact_from_nep(p).module
    torch.jit.export(type(module).from_positions)  # as save_artifact does
    if not native:
        module.direct = [""]  # nothing from the kernels without edge vectors
    listed = with_ghosts(p)
    names = QUANTITIES[kind]
    field = FIELD * torch.linspace(0.5, 1.5, len(listed[1]), dtype=torch.float64).unsqueeze(1)  # one per centre
    for m in (module, torch.jit.script(module)):
        for quantities in ([names[0]], [n for n in names if n != "descriptors"], names):
            out = m.from_positions(*listed, quantities, field)
            reference = module(*inside(p, *listed), quantities, field)
            for name in quantities:
                close(out[name], reference[name], 1e-12)
