"""Radnet models: voxels against a direct sum, derivatives against differences, symmetries, smoothness, contract."""

import math

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, make_supercell

from helpers.random_radnet import SHAPE, calculator_of, displaced, random_artifact, random_sites
from tnep_calc.models.radnet.network import multiplications, paper_network
from tnep_calc.models.radnet.voxels import REACH, Voxels, ending_gaussian, smooth_cutoff

NAMES = ("dipole", "born_effective_charges", "polarizability", "polarizability_gradient", "piezoelectric_tensor")


@pytest.fixture(scope="module")
def calculator():
    return calculator_of(random_artifact())


def values(calculator, atoms):
    return {name: np.array(calculator.get_property(name, atoms)) for name in NAMES}


def test_voxels_are_sums_of_gaussians_by_species_of_the_neighbour():
    """Compare with a sum at every grid point, with an independent formula of the Gaussian and its smooth end."""
    sigma, cutoff, n = 0.6, 3.0, 5
    voxels = Voxels(2, n, 3.0, sigma, cutoff, torch.float64)
    r = torch.tensor([[1.2, -0.3, 0.4], [-0.9, 1.9, 0.1], [0.2, 0.3, -2.5]], dtype=torch.float64)
    cubes = voxels(torch.tensor([1]), torch.tensor([0, 0, 0]), torch.tensor([0, 1, 0]), r).numpy()[0]
    grid = np.linspace(-1.5, 1.5, n)

    def tail(u):  # exp(-u) minus its quadratic expansion about the end
        rest = REACH**2 / 2 - u
        return np.where(rest > 0, np.exp(-u) - np.exp(-(REACH**2) / 2) * (1 + rest + rest**2 / 2), 0.0)

    expected = np.zeros((2, n, n, n))
    for species, place in ((0, r[0]), (1, r[1]), (0, r[2]), (1, torch.zeros(3))):
        distance = float(torch.linalg.vector_norm(place))
        x = 2 * distance / cutoff - 1
        weight = 1.0 if x <= 0 else 0.5 * math.erfc((x - 0.5) / (x * (1 - x)))
        for i, j, k in np.ndindex(n, n, n):
            d = np.array([grid[i], grid[j], grid[k]]) - place.numpy()
            expected[species, i, j, k] += weight * np.prod(tail(d**2 / (2 * sigma**2)))
    assert np.abs(cubes - expected).max() < 1e-12 and expected[0].max() > 0.1
    plain = np.exp(-(grid**2) / (2 * sigma**2))  # far from its end it is the Gaussian of the paper
    assert np.abs(ending_gaussian(torch.from_numpy(grid), sigma).numpy() - plain).max() < 0.06


def test_cutoff_and_gaussian_end_with_value_slope_and_curvature():
    for function, end in ((lambda x: smooth_cutoff(x, 3.0), 3.0), (lambda x: ending_gaussian(x, 0.5), REACH * 0.5)):
        x = torch.tensor([end - 1e-4, end + 1e-4], dtype=torch.float64, requires_grad=True)
        value = function(x)
        (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        (curvature,) = torch.autograd.grad(slope.sum(), x)
        assert float(value.detach().abs().max()) < 1e-10 and float(slope.detach().abs().max()) < 1e-6
        assert float(curvature.abs().max()) < 1e-2
    r = torch.linspace(0, 3, 301, dtype=torch.float64)
    assert float(smooth_cutoff(r, 3.0)[:150].min()) == 1.0 and bool((smooth_cutoff(r, 3.0).diff() <= 0).all())


@pytest.mark.parametrize("architecture", ["compact", "paper"])
def test_derivatives_equal_finite_differences(architecture):
    calculator = calculator_of(random_artifact(architecture=architecture))
    atoms = displaced(1)
    found, h = values(calculator, atoms), 1e-4
    for atom, axis in ((0, 1), (1, 2)):
        sides = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * h
            sides.append(
                {name: np.array(calculator.get_property(name, moved)) for name in ("dipole", "polarizability")}
            )
        for name, exact in (
            ("dipole", found["born_effective_charges"][atom, :, axis]),
            ("polarizability", found["polarizability_gradient"][atom, axis]),
        ):
            difference = (sides[0][name] - sides[1][name]) / (2 * h)
            assert np.abs(difference - exact).max() < 1e-6 * np.abs(exact).max()
    strain = np.zeros((3, 3))
    strain[1, 2] = strain[2, 1] = h
    sides = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.set_cell(atoms.cell.array @ (np.eye(3) + sign * strain), scale_atoms=True)
        sides.append(calculator.get_property("dipole", moved))
    slope = (sides[0] - sides[1]) / (4 * h) / atoms.get_volume()
    assert np.abs(slope - found["piezoelectric_tensor"][:, 1, 2]).max() < 1e-6 * np.abs(slope).max()


def test_translation_permutation_supercell_and_image(calculator):
    atoms = displaced(2, (2, 1, 1))
    found = values(calculator, atoms)
    assert np.abs(found["dipole"]).max() > 1e-2 and np.abs(found["born_effective_charges"]).max() > 0.02
    moved = atoms.copy()
    moved.translate([0.3, -1.7, 0.9])
    image = atoms.copy()
    image.positions[1] += atoms.cell.array[0] - 2 * atoms.cell.array[2]
    order = np.array([2, 0, 3, 1])
    for name, other, rows in (
        ("moved", moved, slice(None)),
        ("image", image, slice(None)),
        ("order", atoms[order], order),
    ):
        for key, value in values(calculator, other).items():
            expected = found[key][rows] if len(found[key]) == len(atoms) and key in NAMES[1::2] else found[key]
            assert np.abs(value - expected).max() < 1e-12, (name, key)
    large = make_supercell(atoms, [[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    twice = values(calculator, large)
    for key in ("dipole", "polarizability"):
        assert np.abs(twice[key] - 2 * found[key]).max() < 1e-12
    assert np.abs(twice["piezoelectric_tensor"] - found["piezoelectric_tensor"]).max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_born_charges_and_raman_derivatives_sum_to_zero(dtype):
    found = values(calculator_of(random_artifact(dtype=dtype)), displaced(3, (2, 2, 1)))
    for name in ("born_effective_charges", "polarizability_gradient"):
        assert np.abs(found[name].sum(0)).max() < 1e-13 and np.abs(found[name]).max() > 1e-2


def test_an_entering_atom_causes_no_jump(calculator):
    """Across the cutoff, the end of a Gaussian along an axis, and the middle between two grid points."""
    half = 0.5 * SHAPE.width
    grid = np.linspace(-half, half, SHAPE.points)
    ends = [SHAPE.cutoff, half, *(x + REACH * SHAPE.sigma for x in grid), 0.5 * (grid[3] + grid[4])]
    for end in ends:
        if not 0.5 < end < 4:
            continue
        sides = []
        for x in (end - 1e-9, end + 1e-9):
            atoms = Atoms("BNN", [[0, 0, 0], [x, 0, 0], [0, 1.2, 0.3]])
            sides.append([np.array(calculator.get_property(n, atoms)) for n in ("dipole", "polarizability")])
            sides[-1].append(np.array(calculator.get_property("born_effective_charges", atoms)))
        for k, tolerance in enumerate((1e-8, 1e-8, 1e-7)):  # slopes change by 2e-9 times the second derivative
            assert np.abs(sides[0][k] - sides[1][k]).max() < tolerance


def test_species_of_neighbours_are_distinguished(calculator):
    one, other = (Atoms(f"B{x}", [[0, 0, 0], [1.5, 0, 0]]) for x in "BN")
    assert (
        np.abs(calculator.get_property("polarizability", one) - calculator.get_property("polarizability", other)).max()
        > 1e-2
    )


def test_subsets_of_centres():
    """Any set of centres gives its part of the sum, as the ranks of LAMMPS need it."""
    from tnep_calc.neighbors import NeighborList

    artifact = random_artifact()
    atoms = displaced(4, (2, 2, 2))
    edges = NeighborList(SHAPE.cutoff).edges(atoms.positions, atoms.cell.array, atoms.pbc)
    species = torch.tensor([0 if s == "B" else 1 for s in atoms.get_chemical_symbols()])
    offsets, neighbors, vectors = map(torch.from_numpy, (edges.offsets, edges.neighbors, edges.vectors))
    names = ["dipoles", "dipole", "born_charges", "polarizabilities", "polarizability_gradient", "field_forces"]
    field = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)
    whole = artifact(species, torch.arange(16), offsets, neighbors, vectors, names, field)
    artifact.module.centers_at_once = 3
    parts = artifact(species, torch.arange(16), offsets, neighbors, vectors, names, field)
    for name in names:
        assert float((whole[name] - parts[name]).abs().max()) < 1e-14
    single = [
        artifact(
            species,
            torch.tensor([c]),
            torch.tensor([0, offsets[c + 1] - offsets[c]]),
            neighbors[offsets[c] : offsets[c + 1]],
            vectors[offsets[c] : offsets[c + 1]],
            names,
            field,
        )
        for c in range(16)
    ]
    assert float((sum(x["born_charges"] for x in single) - whole["born_charges"]).abs().max()) < 1e-14
    assert float((torch.cat([x["dipoles"] for x in single]) - whole["dipoles"]).abs().max()) < 1e-14
    along = torch.einsum("a,iab->ib", field, whole["born_charges"])
    assert float((whole["field_forces"] - along).abs().max()) < 1e-14
    per_centre = artifact(
        species, torch.arange(16), offsets, neighbors, vectors, ["field_forces", "field_virials"], field.expand(16, 3)
    )
    assert float((per_centre["field_forces"] - along).abs().max()) < 1e-14
    piezo = artifact(species, torch.arange(16), offsets, neighbors, vectors, ["piezoelectric"])["piezoelectric"]
    total = torch.einsum("i,iab->ab", field, piezo)
    assert float((per_centre["field_virials"].sum(0) - total).abs().max()) < 1e-13
    with pytest.raises(ValueError, match="field_forces of its dipole only"):
        artifact(species, torch.arange(16), offsets, neighbors, vectors, ["polarizabilities", "field_forces"], field)
    nothing = artifact(species, torch.arange(0), offsets[:1], neighbors[:0], vectors[:0], names, field)
    assert nothing["dipoles"].shape == (0, 3) and float(nothing["born_charges"].abs().max()) == 0.0
    with pytest.raises(ValueError, match="energy"):
        artifact(species, torch.arange(16), offsets, neighbors, vectors, ["energy"])


def test_size_of_the_published_architecture():
    """Eleven convolutions of 27 weights per pair of channels: seven on 15^3 points, five after the stride on 8^3."""
    network = paper_network(1, 15, 6)
    before = 27 * (1 * 64 + 64 * 64 + 64 * 16 + 3 * 16 * 16) * 15**3
    after = 27 * (16 * 64 + 64 * 32 + 3 * 32 * 32) * 8**3
    dense = 8**3 * 32 * 1024 + 1024 * 6
    assert multiplications(network, 15) == before + after + dense
    assert network(torch.zeros(2, 1, 15, 15, 15)).shape == (2, 6)


def test_single_precision_is_close():
    found = [values(calculator_of(random_artifact(dtype=x)), displaced(5)) for x in (torch.float64, torch.float32)]
    for name in NAMES:
        assert np.abs(found[0][name] - found[1][name]).max() < 1e-5 * max(1.0, np.abs(found[0][name]).max())


def test_perfect_crystal_has_equal_atoms():
    sites = random_sites()
    found = values(calculator_of(random_artifact()), bulk("BN", "zincblende", a=3.6).repeat(2))
    assert np.ptp(found["born_effective_charges"][::2], axis=0).max() < 1e-12
    assert sum(p.numel() for p in sites.parameters()) < 10_000
