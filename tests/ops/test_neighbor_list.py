import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list

from tnep_calc.errors import InputError
from tnep_calc.neighbors import NeighborList, VesinSearch
from tnep_calc.ops.neighbors import native_search

SEARCHES = [VesinSearch(), native_search()]


@pytest.fixture(params=SEARCHES, ids=["vesin", "native"])
def search(request):
    if request.param is None:
        pytest.skip("the native library is not built")
    return request.param


def table(centers, neighbors, vectors):
    return sorted(map(tuple, np.round(np.c_[centers, neighbors, vectors], 7) + 0.0))


def reference(atoms, cutoff):
    return table(*neighbor_list("ijD", atoms, cutoff))


def ours(neighbor_list_, atoms, cutoff):
    edges = neighbor_list_.edges(atoms.positions, atoms.cell.array, atoms.pbc)
    centers = np.repeat(np.arange(len(atoms)), np.diff(edges.offsets))
    near = np.linalg.norm(edges.vectors, axis=1) < cutoff
    return table(centers[near], edges.neighbors[near], edges.vectors[near])


@pytest.mark.parametrize("seed", range(12))
def test_any_cell_against_ase(seed, search):
    rng = np.random.default_rng(seed)
    cell = rng.normal(size=(3, 3)) * 2 + np.eye(3) * 3
    n = int(rng.integers(1, 12))
    atoms = Atoms("H" * n, positions=rng.normal(size=(n, 3)) * 6, cell=cell, pbc=rng.random(3) < 0.6)
    assert ours(NeighborList(4.0, search=search), atoms, 4.0) == reference(atoms, 4.0)


def test_molecule_without_a_cell_and_slab(search):
    atoms = Atoms("OHH", positions=[[0, 0, 0], [0.9, 0, 0], [-0.3, 0.9, 0]])
    assert ours(NeighborList(4.0, search=search), atoms, 4.0) == reference(atoms, 4.0)
    slab = Atoms("BN", positions=[[0, 0, 0], [1.2, 0.7, 30]], cell=[2.5, 2.5, 0], pbc=[True, True, False])
    assert ours(NeighborList(4.0, search=search), slab, 4.0) == reference(slab, 4.0)


def test_skin_reuses_the_list_and_stays_exact(search):
    rng = np.random.default_rng(1)
    cell = 8 * np.eye(3) + rng.normal(0, 0.5, (3, 3))
    atoms = Atoms("H40", scaled_positions=rng.random((40, 3)), cell=cell, pbc=True)
    stored = NeighborList(4.0, 0.6, search)
    for step in range(60):
        atoms.positions += rng.normal(0, 0.02, (40, 3))
        if step % 7 == 3:
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(0, 0.004, (3, 3))), scale_atoms=True)
        if step == 40:
            atoms.wrap()
        assert ours(stored, atoms, 4.0) == reference(atoms, 4.0)
    assert 2 < stored.builds < 40
    atoms.pbc = [True, False, True]
    assert ours(stored, atoms, 4.0) == reference(atoms, 4.0)


def test_a_shrinking_cell_forces_a_rebuild(search):
    atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 5]], cell=[20, 20, 10], pbc=True)
    stored = NeighborList(4.0, 0.5, search)
    assert ours(stored, atoms, 4.0) == []
    atoms.set_cell([20, 20, 7.9], scale_atoms=True)
    assert len(ours(stored, atoms, 4.0)) == 4 and stored.builds == 2


def test_no_atoms(search):
    edges = NeighborList(4.0, search=search).edges(np.zeros((0, 3)), np.zeros((3, 3)), False)
    assert edges.offsets.tolist() == [0] and edges.vectors.shape == (0, 3)


@pytest.mark.parametrize(
    ("positions", "cell", "pbc", "message"),
    [
        ([[0.0, 0.0]], np.eye(3), True, r"shape \(n_atoms, 3\), got \(1, 2\)"),
        ([[0.0, 0.0, 0.0], [0, np.nan, 0]], np.eye(3), True, "atom 1 is not finite"),
        ([[0.0, 0.0, 0.0]], np.zeros((3, 3)), True, "vector is zero"),
        ([[0.0, 0.0, 0.0]], [[1, 0, 0], [2, 0, 0], [0, 0, 1]], True, "linearly dependent"),
        ([[0.0, 0.0, 0.0]], np.full((3, 3), np.inf), True, "non-finite"),
        ([[0.0, 0.0, 0.0]], np.eye(2), True, r"cell must have shape \(3, 3\)"),
        ([[0.0, 0.0, 0.0], [0, 0, 1e-5]], 9 * np.eye(3), True, "atoms 0 and 1 coincide"),
    ],
)
def test_bad_input(positions, cell, pbc, message):
    with pytest.raises(InputError, match=message):
        NeighborList(4.0).edges(positions, cell, pbc)


def test_bad_cutoff():
    with pytest.raises(InputError, match="cutoff must be positive"):
        NeighborList(-1.0)
