"""The native neighbour search against vesin, and wrong input."""

import numpy as np
import pytest
import torch
import vesin

from tnep_calc import ops

if not ops.load():
    pytest.skip(f"native kernels: {ops.status().detail}", allow_module_level=True)
op = torch.ops.tnep


def search(positions, cell, pbc, cutoff):
    found = op.neighbor_list(*(torch.tensor(np.ascontiguousarray(a)) for a in (positions, cell, pbc)), cutoff)
    return [t.numpy() for t in found]


def as_set(center, neighbor, shift):
    pairs = sorted(map(tuple, np.column_stack([center, neighbor, shift]).astype(int).tolist()))
    assert len(set(pairs)) == len(pairs)
    return pairs


def random_case(seed):
    """Return cells from much smaller to much larger than the cutoff, skewed, with atoms outside, and any periodicity."""
    rng = np.random.default_rng(seed)
    n, scale = int(rng.integers(1, 40)), rng.choice([1.5, 3.0, 6.0, 15.0])
    while True:
        cell = np.diag(scale * rng.uniform(0.5, 2, 3))
        if seed % 3:
            cell = cell + rng.normal(scale=0.3 * scale, size=(3, 3))
        if abs(np.linalg.det(cell)) > 0.1 * scale**3:
            break
    pbc = rng.random(3) < (0.0, 1.0, 0.5, 1.0)[seed % 4]
    return rng.uniform(-1, 2, (n, 3)) @ cell, cell, pbc, rng.uniform(1, 5)


@pytest.mark.parametrize("seed", range(48))
def test_equals_vesin(seed):
    positions, cell, pbc, cutoff = random_case(seed)
    offsets, neighbors, shifts, vectors = search(positions, cell, pbc, cutoff)
    centers = np.repeat(np.arange(len(positions)), np.diff(offsets))
    i, j, s = vesin.NeighborList(cutoff=cutoff, full_list=True).compute(positions, cell, pbc, quantities="ijS")
    assert as_set(centers, neighbors, shifts) == as_set(i, j, s)
    expected = positions[neighbors] + shifts @ cell - positions[centers]
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-12)
    again = op.edge_vectors(*(torch.tensor(a) for a in (positions, cell, offsets, neighbors, shifts)))
    np.testing.assert_allclose(again.numpy(), expected, rtol=0, atol=1e-12)


def test_large_system_and_threads():
    rng = np.random.default_rng(0)
    positions, cell, pbc = rng.uniform(0, 24, (1500, 3)), 24 * np.eye(3), np.ones(3, dtype=bool)
    positions[:200] *= 0.1  # dense: more edges than the first estimate
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = search(positions, cell, pbc, 4.0)
        torch.set_num_threads(3)
        three = search(positions, cell, pbc, 4.0)
    finally:
        torch.set_num_threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(one, three, strict=True))
    i, j, s = vesin.NeighborList(cutoff=4.0, full_list=True).compute(positions, cell, pbc, quantities="ijS")
    centers = np.repeat(np.arange(1500), np.diff(one[0]))
    assert as_set(centers, one[1], one[2]) == as_set(i, j, s)


def test_coincident_atoms_are_edges_but_self_is_not():
    offsets, neighbors, _, vectors = search(np.zeros((2, 3)), 10 * np.eye(3), np.ones(3, dtype=bool), 2.0)
    assert neighbors.tolist() == [1, 0] and offsets.tolist() == [0, 1, 2]
    assert not vectors.any()


def test_no_atoms():
    offsets, neighbors, shifts, vectors = search(np.zeros((0, 3)), np.eye(3), np.ones(3, dtype=bool), 2.0)
    assert (offsets.tolist(), neighbors.shape, shifts.shape, vectors.shape) == ([0], (0,), (0, 3), (0, 3))


def test_wrong_input_is_refused():
    r, c, p = torch.zeros(2, 3, dtype=torch.float64), torch.eye(3, dtype=torch.float64), torch.ones(3, dtype=torch.bool)
    for args, message in [
        ((r.float(), c, p, 1.0), "positions must be a float64 tensor .* got Float"),
        ((r, c[:2], p, 1.0), r"cell must be a float64 tensor of shape \(3, 3\)"),
        ((r, c, p.int(), 1.0), "pbc must be a bool tensor"),
        ((r, c * 0, p, 1.0), "the cell has no volume"),
        ((r, c, p, -1.0), "cutoff must be positive and finite, got -1"),
        ((r + torch.tensor([0, float("nan"), 0]), c, p, 1.0), "position of atom 0 is not finite"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            op.neighbor_list(*args)
    offsets, neighbors, shifts, _ = op.neighbor_list(r, c, p, 1.5)
    for args, message in [
        ((offsets[:-1], neighbors, shifts), "offsets must be int64 of shape"),
        ((offsets, neighbors + 1, shifts), "neighbors must be from 0"),
        ((offsets, neighbors, shifts[:-1]), "shifts must be int32 of shape"),
        ((offsets + 1, neighbors, shifts), "offsets must rise from 0"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            op.edge_vectors(r, c, *args)


@pytest.mark.slow
def test_opcheck():
    positions, cell, pbc, cutoff = random_case(1)
    r, c, p = torch.tensor(positions), torch.tensor(cell), torch.tensor(pbc)
    utils = ("test_schema", "test_faketensor")
    torch.library.opcheck(op.neighbor_list, (r, c, p, cutoff), test_utils=utils)
    torch.library.opcheck(op.edge_vectors, (r, c, *op.neighbor_list(r, c, p, cutoff)[:3]), test_utils=utils)
