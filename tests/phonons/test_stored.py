"""Modes at Gamma that are read back from the results of ``tnep phonons``, and the same modes in a supercell."""

import json

import numpy as np
import pytest

from helpers.polar_crystal import PolarCrystal, wurtzite
from tnep_calc.errors import DataFileError
from tnep_calc.io.images import periodic_images
from tnep_calc.phonons.analysis import Conditions, analyse
from tnep_calc.phonons.results import numbers, write_numbers
from tnep_calc.phonons.stored import modes_in_supercell, read_modes
from tnep_calc.phonons.workflow import Settings, run_phonons
from tnep_calc.units import SQRT_EV_PER_A2_AMU_TO_INV_CM

pytestmark = pytest.mark.slow

pytest.importorskip("phonopy")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("w")
    result = run_phonons(wurtzite(), PolarCrystal(), folder, Settings(length=6), log=lambda line: None)
    conditions = Conditions(bands=False)
    write_numbers(folder / "phonons.json", numbers(result, analyse(result, conditions), conditions, {}))
    return result, folder, read_modes(folder)


def test_modes_are_read_back(stored):
    result, folder, found = stored
    np.testing.assert_array_equal(found.modes.eigenvectors, result.modes.eigenvectors)
    np.testing.assert_array_equal(found.modes.wavenumbers, result.modes.wavenumbers)
    np.testing.assert_allclose(found.primitive.positions, result.phonon.primitive.positions)
    for name in ("sets", "labels", "infrared_active", "raman_active", "point_group", "volume"):
        assert getattr(found.modes, name) == getattr(result.modes, name), name
    np.testing.assert_array_equal(found.modes.external, result.modes.external)
    np.testing.assert_array_equal(read_modes(folder / "phonons.json").modes.masses, result.modes.masses)


def test_energy_of_a_supercell_in_normal_coordinates(stored):
    """Displacements of equal cells, atoms in another order: E = sum w^2 Q^2 / 2, as the calculator gives it."""
    _, _, found = stored
    rng = np.random.default_rng(3)
    shift = 1e-3 * rng.normal(size=(4, 3))
    atoms = found.primitive.repeat((2, 1, 2))
    calculator = PolarCrystal()
    rest = calculator.get_property("energy", atoms)
    equilibrium = atoms.positions.copy()
    atoms.positions += np.tile(shift, (4, 1))
    energy = calculator.get_property("energy", atoms) - rest
    order = rng.permutation(len(atoms))
    atoms, equilibrium = atoms[order], equilibrium[order]
    atoms.positions[:3] += atoms.cell.array[0]  # other images
    equilibrium[:3] += atoms.cell.array[0]
    vectors, positions = modes_in_supercell(found, atoms)
    flat = vectors.reshape(len(vectors), -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(12), atol=1e-12)
    np.testing.assert_allclose(positions, equilibrium, atol=1e-9)
    root = np.sqrt(atoms.get_masses())[:, None]
    q = np.einsum("mia,ia->m", vectors, root * (atoms.positions - positions))
    squared = (found.modes.wavenumbers / SQRT_EV_PER_A2_AMU_TO_INV_CM) ** 2
    squared[found.modes.external] = 0
    assert 0.5 * (squared * q**2).sum() == pytest.approx(energy, rel=0.02)
    assert (q**2).sum() == pytest.approx((root**2 * (atoms.positions - positions) ** 2).sum(), rel=1e-9)


def test_strain_is_no_displacement(stored):
    _, _, found = stored
    atoms = found.primitive.repeat((1, 2, 1))
    atoms.set_cell(atoms.cell.array @ np.diag([1.02, 1.0, 0.99]), scale_atoms=True)
    np.testing.assert_allclose(modes_in_supercell(found, atoms)[1], atoms.positions, atol=1e-9)


def test_errors(stored, tmp_path):
    _, _, found = stored
    turned = found.primitive.copy()
    turned.rotate(30, "x", rotate_cell=True)
    with pytest.raises(DataFileError, match="not a multiple of the primitive cell of 4 atoms"):
        modes_in_supercell(found, turned)
    other = found.primitive.copy()
    other.numbers[:] = 30
    with pytest.raises(DataFileError, match="another structure"):
        modes_in_supercell(found, other)
    (tmp_path / "phonons.json").write_text(json.dumps({"symbols": []}))
    with pytest.raises(DataFileError, match="not of a crystal"):
        read_modes(tmp_path)
    (tmp_path / "phonons.json").write_text("{")
    with pytest.raises(DataFileError, match="damaged, or not phonons.json"):
        read_modes(tmp_path)


def test_origin_may_differ(stored):
    _, _, found = stored
    p = found.primitive
    moved = p.positions[::-1] + [0.3, 0.1, -0.7]
    args = (p.cell.array, moved, p.get_chemical_symbols()[::-1], "file")
    with pytest.raises(DataFileError, match="or another origin"):
        periodic_images(p, *args)
    images = periodic_images(p, *args, shift_origin=True)
    assert [p.symbols[k] for k in images.atoms] == p.get_chemical_symbols()[::-1]
    np.testing.assert_allclose(images.displacements, 0, atol=1e-9)
