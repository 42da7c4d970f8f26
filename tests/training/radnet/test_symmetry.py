"""The symmetric crystal of displaced structures: operations, formal polarization, predictions of rotated structures."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from helpers.random_radnet import SHAPE, SPECIES, displaced, random_sites
from tnep_calc.conventions import ASE_ORDER, from_six, to_six
from tnep_calc.structures import LabelledStructure
from tnep_calc.training.radnet.data import Edges
from tnep_calc.training.radnet.prediction import predict, six_of, tensor_of
from tnep_calc.training.radnet.symmetry import Crystal, crystals, random_operations, without_formal_polarization


def structure(atoms, **labels):
    return LabelledStructure(
        "made up", tuple(atoms.get_chemical_symbols()), atoms.positions, atoms.cell.array, atoms.pbc, **labels
    )


@pytest.mark.parametrize(
    ("name", "order", "polar"), [("zincblende", 24, False), ("rocksalt", 48, False), ("wurtzite", 12, True)]
)
def test_point_group_of_displaced_structures(name, order, polar):
    made = []
    for k in range(12):
        atoms = bulk("BN", name, a=3.0, **({"c": 4.9} if name == "wurtzite" else {}))
        rng = np.random.default_rng(k)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(0, 0.005, (3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(0, 0.03, atoms.positions.shape) + rng.normal(0, 3, 3)
        made.append(structure(atoms))
    found = crystals(made, 0.1)
    assert len(found[0].operations) == order and found[0].polar is polar and found[3] is found[0]
    products = np.einsum("aij,bjk->abik", found[0].operations, found[0].operations).reshape(-1, 9)
    group = found[0].operations.reshape(-1, 9)
    # a closed group, up to the symmetry of the mean
    assert np.abs(products[:, None] - group[None]).max(2).min(1).max() < 2e-2
    assert np.abs(found[0].operations @ np.swapaxes(found[0].operations, 1, 2) - np.eye(3)).max() < 1e-12


def test_a_molecule_has_no_crystal():
    (crystal,) = crystals([structure(molecule("H2O"))], 0.1)
    assert crystal.operations.shape == (1, 3, 3)


@pytest.mark.parametrize("charges", [True, False])
def test_formal_polarization_of_zinc_blende_is_removed(charges):
    """A quarter of the diagonal, on random branches, is removed; the dipole of the displacements remains."""
    made, induced = [], []
    born = np.array([1.9 * np.eye(3), -1.9 * np.eye(3)])
    for k in range(16):
        atoms = displaced(k, sigma=0.03)
        moved = atoms.positions - bulk("BN", "zincblende", a=3.6).positions
        induced.append(np.einsum("iab,ib->a", born, moved))
        branch = 0.25 + np.random.default_rng(k).integers(-1, 2, 3)
        made.append(
            structure(
                atoms, dipole=branch @ atoms.cell.array + induced[-1], born_charges=born + 0.1 if charges else None
            )
        )
    found, removed = without_formal_polarization(made, crystals(made, 0.1))
    reduced = np.array([(s.dipole - p) @ np.linalg.inv(s.cell) for s, p in zip(found, induced, strict=True)])
    left = reduced - np.rint(reduced)
    assert np.abs(left).max() < (1e-12 if charges else 0.03)
    assert np.abs(np.array(removed["B1N1"]) - 0.25).max() < (1e-12 if charges else 0.03)


def test_formal_polarization_of_a_polar_crystal_is_kept():
    atoms = bulk("BN", "wurtzite", a=2.5, c=4.2)
    made = [structure(atoms, dipole=np.array([0.0, 0.0, 0.7]))] * 3
    found, removed = without_formal_polarization(made, crystals(made, 0.1))
    assert removed == {} and found[0].dipole[2] == 0.7


@pytest.mark.parametrize("augmentation", ["point_group", "rotations"])
def test_predictions_with_operations_equal_those_of_rotated_structures(augmentation):
    """Compare with rotated positions and cell, with dipole, tensor and Born charges rotated back by hand."""
    sites, atoms = random_sites(), displaced(1, (2, 1, 1))
    crystal = crystals([structure(displaced(0))], 0.3)[0]
    assert len(crystal.operations) == 24
    made = [structure(atoms), structure(displaced(2, (2, 1, 1)))]
    rng = np.random.default_rng(5)
    operations = random_operations([crystal, crystal], augmentation, rng)
    edges = Edges.joined([Edges.of(s, SPECIES, SHAPE.cutoff, torch.float64) for s in made])
    axes = {"born_charges": torch.eye(3, dtype=torch.float64).expand(2, 3, 3)}
    axes["polarizability_gradient"] = torch.eye(6, dtype=torch.float64).expand(2, 6, 6)
    found = predict(sites, edges, torch.from_numpy(operations), axes)
    first = {name: value[:1] for name, value in axes.items()}
    for k, (s, r) in enumerate(zip(made, operations, strict=True)):
        turned = replace(s, positions=s.positions @ r.T, cell=s.cell @ r.T)
        plain = predict(sites, Edges.of(turned, SPECIES, SHAPE.cutoff, torch.float64), None, first)
        dipole, alpha = plain["dipole"][0].detach().numpy(), tensor_of(plain["polarizability"][0]).detach().numpy()
        assert np.abs(found["dipole"][k].detach().numpy() - r.T @ dipole).max() < 1e-12
        assert np.abs(found["polarizability"][k].detach().numpy() - to_six(r.T @ alpha @ r, ASE_ORDER)).max() < 1e-12
        born = np.einsum("ba,ibc,cd->iad", r, plain["born_charges"].detach().numpy(), r)
        assert np.abs(found["born_charges"][4 * k : 4 * k + 4].detach().numpy() - born).max() < 1e-12
        slope = from_six(plain["polarizability_gradient"].detach().numpy().transpose(0, 2, 1), ASE_ORDER)
        slope = to_six(np.einsum("ba,ibcd,ce,df->iaef", r, slope, r, r), ASE_ORDER).transpose(0, 2, 1)
        assert np.abs(found["polarizability_gradient"][4 * k : 4 * k + 4].detach().numpy() - slope).max() < 1e-12


def test_random_operations():
    rng = np.random.default_rng(0)
    crystal = Crystal(np.array([np.eye(3), -np.eye(3)]), np.zeros((1, 3)))
    drawn = random_operations([crystal] * 400, "rotations", rng)
    assert np.abs(drawn @ np.swapaxes(drawn, 1, 2) - np.eye(3)).max() < 1e-12
    assert 120 < (np.linalg.det(drawn) > 0).sum() < 280 and np.abs(drawn.mean(0)).max() < 0.15
    some = random_operations([crystal] * 50, "point_group", rng)
    assert {float(x) for x in some[:, 0, 0]} == {1.0, -1.0}
    assert (random_operations([crystal], "none", rng) == np.eye(3)).all()


def test_six_components():
    tensor = torch.tensor([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]])
    assert six_of(tensor).tolist() == [1, 2, 3, 4, 5, 6] and torch.equal(tensor_of(six_of(tensor)), tensor)
