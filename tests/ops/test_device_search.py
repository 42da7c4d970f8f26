"""The neighbour search on a device finds the pairs of vesin, and a calculator with it gives the same results."""

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator
from tnep_calc.artifact import artifact_from_nep
from tnep_calc.calculators.batch import Batch
from tnep_calc.calculators.evaluation import copied_at_once
from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_txt import write_nep
from tnep_calc.neighbors import NeighborList, VesinSearch
from tnep_calc.ops.device_search import DeviceSearch
from tnep_calc.ops.neighbors import edges_of_all, native_search

CPU = torch.device("cpu")
TRICLINIC = np.array([[4.1, 0.2, -0.3], [1.7, 5.2, 0.4], [-0.8, 1.1, 6.3]])


def pairs(offsets, neighbors, shifts):
    centres = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return sorted(map(tuple, np.column_stack([centres, neighbors, np.asarray(shifts)]).astype(int).tolist()))


def atoms_in(cell, n, seed, spread=1.0):
    rng = np.random.default_rng(seed)
    return (rng.uniform(-spread, 1 + spread, size=(n, 3))) @ cell


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True), (False, False, False)])
@pytest.mark.parametrize(
    ("scale", "n", "radius"), [(1.0, 4, 7.0), (1.0, 1, 4.0), (4.0, 60, 3.5), (6.0, 300, 3.0), (0.5, 2, 5.0)]
)
def test_pairs_are_those_of_vesin(scale, n, radius, pbc):
    """Cells smaller and larger than the radius; atoms lie outside of the cell as well."""
    cell = scale * TRICLINIC
    positions, periodic = atoms_in(cell, n, seed=n), np.array(pbc)
    used = np.where(periodic[:, None], cell, np.eye(3)) if not periodic.all() else cell
    wanted = VesinSearch().find(positions, used, periodic, radius)
    found = DeviceSearch(CPU).find(positions, used, periodic, radius)
    assert pairs(*(a.numpy() for a in found)) == pairs(*wanted)
    assert len(found[1]) > 0 or n == 1
    vectors = DeviceSearch(CPU).vectors(positions, used, *found)
    lengths = vectors.norm(dim=1)
    assert not len(lengths) or float(lengths.max()) < radius
    r = positions[np.repeat(np.arange(n), np.diff(found[0]))]
    np.testing.assert_allclose(vectors, positions[found[1]] + found[2].numpy() @ used - r, atol=1e-12)


def test_planes_chains_and_single_atoms():
    """Directions without any extent have one bin."""
    plane = np.array([[0.0, 0, 0], [1.2, 0, 0], [0, 1.3, 0], [8.0, 8.0, 0]])
    for positions in (plane, plane[:1], plane[:, [2, 2, 0]]):
        wanted = VesinSearch().find(positions, np.eye(3), np.zeros(3, bool), 2.0)
        found = DeviceSearch(CPU).find(positions, np.eye(3), np.zeros(3, bool), 2.0)
        assert pairs(*(a.numpy() for a in found)) == pairs(*wanted)


def test_lists_with_a_skin_and_coincident_atoms():
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True).repeat(2)
    one, other = NeighborList(4.0, 1.0, DeviceSearch(CPU)), NeighborList(4.0, 1.0)
    for step in range(3):
        atoms.rattle(0.1, seed=step)
        ours, wanted = (x.edges(atoms.positions, atoms.cell.array, atoms.pbc) for x in (one, other))
        assert torch.equal(ours.offsets, torch.from_numpy(wanted.offsets))
        for k in range(len(atoms)):
            part = slice(wanted.offsets[k], wanted.offsets[k + 1])
            order = [np.lexsort(np.round(np.asarray(x.vectors[part]), 6).T) for x in (ours, wanted)]
            np.testing.assert_allclose(ours.vectors[part][order[0]], wanted.vectors[part][order[1]], atol=1e-12)
    assert one.builds == other.builds
    atoms.positions[5] = atoms.positions[3]
    with pytest.raises(InputError, match="atoms 3 and 5 coincide"):
        NeighborList(4.0, 0.0, DeviceSearch(CPU)).edges(atoms.positions, atoms.cell.array, atoms.pbc)


@pytest.mark.parametrize("atoms", [bulk("BN", "zincblende", a=3.6), molecule("H2O")], ids=["crystal", "molecule"])
def test_calculator(atoms, tmp_path, monkeypatch):
    if len(set(atoms.symbols) - {"B", "N"}):
        atoms.symbols = ["B", "N", "N"]
    write_nep(tmp_path / "nep.txt", random_nep("potential", cutoffs=(3.5, 3.0), l_max=2))
    plain = TNEPCalculator(energy=tmp_path / "nep.txt")
    monkeypatch.setattr("tnep_calc.calculators.tnep.search_on", DeviceSearch)
    ours = TNEPCalculator(energy=tmp_path / "nep.txt")
    assert ours.get_potential_energy(atoms) == pytest.approx(plain.get_potential_energy(atoms), abs=1e-12)
    np.testing.assert_allclose(ours.get_forces(atoms), plain.get_forces(atoms), atol=1e-12)


def structures():
    """Structures of different size, cell and periodicity."""
    cases = [(1.0, 4, "TTT"), (4.0, 60, "TFT"), (1.0, 1, "TTF"), (0.6, 2, "TTT"), (5.0, 80, "FFF"), (1.0, 3, "TTT")]
    made = []
    for scale, n, words in cases:
        pbc = np.array([word == "T" for word in words])
        made.append((atoms_in(scale * TRICLINIC, n, seed=n), scale * TRICLINIC * pbc[:, None], pbc))
    return made


def test_several_structures_at_once(monkeypatch):
    wanted = edges_of_all(structures(), 3.7, CPU)
    monkeypatch.setattr("tnep_calc.ops.neighbors.search_on", DeviceSearch)
    found = edges_of_all(structures(), 3.7, CPU)
    assert torch.equal(found.offsets, torch.from_numpy(wanted.offsets))
    for k in range(len(wanted.offsets) - 1):
        part = slice(wanted.offsets[k], wanted.offsets[k + 1])
        rows = [np.column_stack([e.neighbors[part], e.vectors[part]]) for e in (found, wanted)]
        ours, theirs = (r[np.lexsort(np.round(r, 6).T)] for r in rows)
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_the_wrong_structure_is_named(monkeypatch):
    for search in (native_search(), DeviceSearch(CPU)):
        monkeypatch.setattr("tnep_calc.ops.neighbors.search_on", lambda device, search=search: search)
        close = structures()
        close[1][0][7] = close[1][0][3]
        with pytest.raises(InputError, match="structure 11: atoms 3 and 7 coincide"):
            edges_of_all(close, 3.7, CPU, first=10)
        close[1][0][7] = np.nan
        with pytest.raises(InputError, match="structure 1: position of atom 7 is not finite"):
            edges_of_all(close, 3.7, CPU)


def test_a_batch(monkeypatch):
    frames = [bulk("BN", "zincblende", a=3.6 + 0.1 * k, cubic=k > 0) for k in range(3)]
    for k, atoms in enumerate(frames):
        atoms.rattle(0.05, seed=k)
    calculator = TNEPCalculator(energy=artifact_from_nep(random_nep("potential", cutoffs=(3.5, 3.0), l_max=2)))
    wanted = Batch(calculator, frames).properties(["energy", "forces", "stress"])
    monkeypatch.setattr("tnep_calc.ops.neighbors.search_on", DeviceSearch)
    found = Batch(calculator, frames).properties(["energy", "forces", "stress"])
    for one, other in zip(found, wanted, strict=True):
        for name, value in other.items():
            np.testing.assert_allclose(one[name], value, atol=1e-12)


def test_results_are_copied_at_once():
    tensors = [torch.rand(shape, dtype=torch.float64) for shape in ((), (3, 3), (0, 3), (4,))]
    for one, other in zip(copied_at_once(tensors), tensors, strict=True):
        assert torch.equal(one, other)
    assert copied_at_once([]) == []
