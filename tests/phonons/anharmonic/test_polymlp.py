import gzip
import shutil
import sys

import numpy as np
import pytest
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from fuzz.attempts import COUNT, attempt_mutations
from phonopy.interface.mlp import PhonopyMLP

from helpers.rock_salt import SMALL, displaced
from tnep_calc.errors import DataFileError, InputError, MissingComponentError, ModelFileError
from tnep_calc.phonons import PolymlpCalculator
from tnep_calc.phonons.anharmonic import polymlp_fit
from tnep_calc.phonons.anharmonic.accuracy import potential_errors, train_and_test
from tnep_calc.phonons.anharmonic.polymlp import is_polymlp, load_polymlp, polymlp_parameters
from tnep_calc.phonons.anharmonic.polymlp_fit import train_polymlp

pytestmark = pytest.mark.slow


def test_forces_and_stress_are_derivatives_of_the_energy(crystal, potential_file):
    atoms = displaced(crystal[1], 0)[[0, 40, 3, 45, 10, 33, 20, 50]]  # species alternate
    strain = np.eye(3) + 0.03 * np.random.default_rng(1).normal(size=(3, 3))
    atoms.set_cell(0.5 * atoms.cell.array @ strain)
    atoms.set_scaled_positions(
        [
            [0, 0, 0],
            [0.5, 0, 0],
            [0, 0.5, 0.5],
            [0, 0.5, 0],
            [0.5, 0, 0.5],
            [0, 0, 0.5],
            [0.5, 0.5, 0],
            [0.52, 0.5, 0.51],
        ]
    )
    atoms.calc = PolymlpCalculator(potential_file)
    stress = atoms.get_stress()
    assert np.ptp(stress[3:]) > 1e-4  # the order of the shear components matters
    assert np.allclose(calculate_numerical_stress(atoms, eps=1e-4), stress, atol=1e-6)
    numerical = calculate_numerical_forces(atoms, eps=1e-4, iatoms=[0, 7])
    assert np.allclose(numerical, atoms.get_forces()[[0, 7]], atol=1e-6)


def test_same_as_phono3py_for_any_order_of_the_atoms(crystal, potential_file):
    found, data = crystal
    cell = data.supercell.copy()
    cell.positions = data.supercell.positions + data.displacements[3]
    energies, forces, _ = PhonopyMLP().load(potential_file).evaluate([cell])
    order = np.random.default_rng(0).permutation(len(cell))
    atoms = displaced(data, 3)[order]
    atoms.calc = PolymlpCalculator(potential_file)
    assert atoms.calc.cutoff == 5.0 and atoms.calc.elements == ("Na", "Cl")
    assert atoms.get_potential_energy() == pytest.approx(energies[0], abs=1e-9)
    assert np.allclose(atoms.get_forces(), forces[0][order], atol=1e-10)


def test_errors_on_supercells_that_were_not_fitted(crystal, potential_file):
    errors = potential_errors(crystal[1], PolymlpCalculator(potential_file), range(10, 20))
    assert errors.force_spread == pytest.approx(45, abs=2)
    assert errors.force_mae < errors.force_rmse < 0.15  # meV/Å
    assert errors.energy_rmse < 0.001  # meV/atom
    assert errors.row("test").split()[1] == "10"


def test_print_options_and_output_are_not_changed(crystal, potential_file, capfd):
    before = np.get_printoptions()
    PolymlpCalculator(potential_file)
    assert np.get_printoptions() == before
    assert capfd.readouterr().out == ""


def test_names_of_phono3py_3_and_compressed_files(potential_file, tmp_path):
    old, packed = tmp_path / "phono3py.pmlp", tmp_path / "polymlp.yaml.gz"
    old.write_bytes(potential_file.read_bytes())
    packed.write_bytes(gzip.compress(potential_file.read_bytes()))
    for path in (old, packed):
        assert is_polymlp(path)
        assert np.array_equal(load_polymlp(path).coeffs, load_polymlp(potential_file).coeffs)


def test_damaged_files(potential_file, tmp_path):
    attempt_mutations("polymlp", potential_file.read_bytes(), load_polymlp, tmp_path / "polymlp.yaml", COUNT // 3)


def test_refusals(crystal, potential_file, tmp_path, monkeypatch):
    bad = tmp_path / "polymlp.yaml"
    bad.write_text("feature_type: nonsense\n")
    with pytest.raises(ModelFileError, match="not a potential that pypolymlp reads"):
        load_polymlp(bad)
    atoms = displaced(crystal[1], 0)
    atoms.symbols[0] = "K"
    atoms.calc = PolymlpCalculator(potential_file)
    with pytest.raises(InputError, match="knows Na, Cl, not K"):
        atoms.get_forces()
    atoms = displaced(crystal[1], 0)
    atoms.pbc = [True, True, False]
    atoms.calc = PolymlpCalculator(potential_file)
    with pytest.raises(InputError, match="periodic in three directions"):
        atoms.get_forces()
    with pytest.raises(InputError, match="no parameter 'cutof'; known: cutoff, "):
        polymlp_parameters({"cutof": 6})
    with pytest.raises(InputError, match="needs 3 numbers"):
        polymlp_parameters({"gaussian_params2": [0, 4]})
    wrong = [("cutoff", "far"), ("cutoff", None), ("cutoff", float("nan")), ("max_p", 2.5), ("gtinv_maxl", ["a"])]
    wrong += [("atom_energies", 3.0), ("atom_energies", {"Na": "low"}), ("gaussian_params1", [[1], 1, 7])]
    for name, value in wrong:
        with pytest.raises(InputError, match=f"parameter '{name}' of pypolymlp must be"):
            polymlp_parameters({name: value})
    monkeypatch.setitem(sys.modules, "pypolymlp", None)
    with pytest.raises(MissingComponentError, match="pypolymlp is not installed: pip install .*cmeel-eigen"):
        PolymlpCalculator(potential_file)


def test_training_and_test_supercells():
    train, test = train_and_test(100, None, None)
    assert train.tolist() == list(range(90)) and test.tolist() == list(range(90, 100))
    with pytest.raises(InputError, match="disp.yaml: has 100 supercells, but 95 for training and 10"):
        train_and_test(100, 95, 10, "disp.yaml")
    with pytest.raises(InputError, match="at least one supercell each, got 0 and 1 of 1"):
        train_and_test(1, None, None)


def test_a_killed_fit_resumes(crystal, tmp_path, monkeypatch):
    """Batches of four: three of the ten training supercells, and one of the test supercells."""
    from pypolymlp.mlp_dev.core import data_sequential

    monkeypatch.setattr(polymlp_fit, "SAVE_INTERVAL", 0.0)
    monkeypatch.setattr(polymlp_fit, "_threads", lambda: 1)
    arguments = (crystal[1], range(10), (20, 21))
    train_polymlp(*arguments, tmp_path / "whole.yaml", SMALL)
    compute, path, batches = data_sequential.compute_features, tmp_path / "polymlp.yaml", []

    def fit(stop, *others):
        def stopping(*given, **options):
            if len(batches) == stop:
                raise KeyboardInterrupt
            batches.append(len(options["datasets"].structures))
            return compute(*given, **options)

        batches.clear()
        monkeypatch.setattr(data_sequential, "compute_features", stopping)
        train_polymlp(*(others or arguments), path, SMALL)

    for stop, expected in ((1, [4]), (1, [4]), (1, [2])):  # then without the test supercells
        with pytest.raises(KeyboardInterrupt):
            fit(stop)
        assert batches == expected and not path.exists()
    (tmp_path / "polymlp-train.npz").rename(tmp_path / "kept.npz")
    shutil.copy(tmp_path / "kept.npz", tmp_path / "polymlp-train.npz")
    fit(9)
    assert batches == [2]
    assert np.array_equal(load_polymlp(path).coeffs, load_polymlp(tmp_path / "whole.yaml").coeffs)
    assert sorted(file.name for file in tmp_path.glob("*.npz")) == ["kept.npz"]
    shutil.copy(tmp_path / "kept.npz", tmp_path / "polymlp-train.npz")
    fit(9, crystal[1], range(1, 11), (20, 21))
    assert batches == [4, 4, 2, 2]  # of other supercells
    (tmp_path / "polymlp-train.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(DataFileError, match="polymlp-train.npz: damaged"):
        fit(9)
