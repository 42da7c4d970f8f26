import numpy as np
import phono3py
import phonopy
import pytest
from ase.build import bulk
from calorine.calculators import CPUNEP
from phonopy.interface.mlp import PhonopyMLP

from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator, write_nep
from tnep_calc.errors import DataFileError, InputError
from tnep_calc.phonons import PolymlpCalculator, force_constants
from tnep_calc.phonons.anharmonic import evaluation
from tnep_calc.phonons.anharmonic.evaluation import evaluate_supercells, workers
from tnep_calc.phonons.anharmonic.force_constants import (
    EVALUATED,
    read_force_constants,
    relative_difference,
    write_force_constants,
)
from tnep_calc.phonons.anharmonic.potential import Potential, potential_of_file

pytestmark = pytest.mark.slow

CUTOFF = 3.0
"""In Å: only pairs of nearest neighbours."""


@pytest.mark.parametrize("cutoff", (None, CUTOFF))
def test_same_as_a_script_of_phono3py(small, potential_file, cutoff):
    ph = phono3py.Phono3py(small.unitcell, small.supercell_matrix, primitive_matrix=small.primitive_matrix)
    ph.generate_displacements(distance=0.01, is_plusminus=True, cutoff_pair_distance=cutoff)
    mlp = PhonopyMLP().load(potential_file)
    zeros = np.zeros((len(ph.supercell), 3))
    ph.forces = [zeros if cell is None else mlp.evaluate([cell])[1][0] for cell in ph.supercells_with_displacements]
    ph.produce_fc3()
    ph.symmetrize_fc3(use_symfc_projector=True, options=f"cutoff = {cutoff}" if cutoff else None)
    ph.symmetrize_fc2(use_symfc_projector=True)
    ours = force_constants(small, PolymlpCalculator(potential_file), cutoff=cutoff)
    assert relative_difference(ours.fc2, ph.fc2) < 1e-10
    assert relative_difference(ours.fc3, ph.fc3) < 1e-6


def test_close_to_the_forces_of_dft(crystal, potential_file):
    dft = force_constants(crystal[0])
    ours = force_constants(
        crystal[0], PolymlpCalculator(potential_file), displacements="random", number=6, amplitude=0.03, seed=1
    )
    assert len(ours.dataset["displacements"]) == 12
    assert np.allclose(np.linalg.norm(ours.displacements, axis=2), 0.03)
    assert relative_difference(ours.fc2, dft.fc2) < 0.02
    assert ours.nac_params["born"][0, 0, 0] == pytest.approx(1.08, abs=0.02)
    large = np.abs(dft.fc3) > 0.5  # eV/Å³
    assert np.allclose(ours.fc3[large], dft.fc3[large], rtol=0.1)


def test_random_displacements_and_fit(small, potential_file, result):
    fitted = force_constants(
        small, PolymlpCalculator(potential_file), displacements="random", number=20, amplitude=0.01, seed=1
    )
    assert relative_difference(fitted.fc2, result.fc2) < 0.001
    assert relative_difference(fitted.fc3, result.fc3) < 0.02


def test_files_are_read_by_phono3py(result, tmp_path, monkeypatch):
    write_force_constants(result, tmp_path)
    monkeypatch.chdir(tmp_path)
    read = phono3py.load("phono3py.yaml", produce_fc=False)  # finds fc2.hdf5 and fc3.hdf5 by their names
    assert np.array_equal(read.fc2, result.fc2) and np.array_equal(read.fc3, result.fc3)
    assert np.allclose(read.nac_params["born"], result.nac_params["born"], atol=1e-8)
    ours = read_force_constants(tmp_path)
    assert np.array_equal(ours.fc3, result.fc3)
    (tmp_path / "fc2.hdf5").unlink(), (tmp_path / "fc3.hdf5").unlink()
    again = phono3py.load(EVALUATED)
    assert relative_difference(again.fc2, result.fc2) < 1e-5  # forces have ten digits in the file
    with pytest.raises(DataFileError, match="fc2.hdf5: no such file"):
        read_force_constants(tmp_path)


def test_nep_through_this_package_and_through_calorine(tmp_path):
    write_nep(tmp_path / "nep.txt", random_nep())
    atoms = bulk("BN", "zincblende", a=3.6)
    potential = potential_of_file(tmp_path / "nep.txt")
    assert potential.role == "energy"
    ours = force_constants(atoms, potential, supercell=2, cutoff=2.0)
    theirs = force_constants(atoms, CPUNEP(str(tmp_path / "nep.txt")), supercell=[2, 2, 2], cutoff=2.0)
    assert relative_difference(ours.fc2, theirs.fc2) < 1e-6
    assert relative_difference(ours.fc3, theirs.fc3) < 1e-6


def test_a_larger_supercell_for_fc2(tmp_path):
    write_nep(tmp_path / "nep.txt", random_nep())
    calculator = TNEPCalculator(energy=tmp_path / "nep.txt")
    both = force_constants(
        bulk("BN", "zincblende", a=3.6), calculator, supercell=2, fc2_supercell=3, cutoff=2.0, amplitude=0.01
    )
    assert both.fc3.shape[1] == 16
    alone = phonopy.Phonopy(both.unitcell, np.diag([3] * 3), primitive_matrix=both.primitive_matrix)
    alone.generate_displacements(distance=0.01, is_plusminus=True)
    alone.forces = evaluate_supercells(alone.supercells_with_displacements, calculator)[1]
    alone.produce_force_constants(calculate_full_force_constants=False)
    assert relative_difference(both.fc2, alone.force_constants) < 1e-3


class Counting:
    """Makes a calculator that counts its evaluations, and stops the run or fails at one of them."""

    def __init__(self, path, stop=10**9, nan=10**9):
        self.path, self.stop, self.nan, self.count = path, stop, nan, 0

    def __call__(self):
        calculator = PolymlpCalculator(self.path)
        evaluate = calculator.calculate

        def calculate(*args, **kwargs):
            if self.count == self.stop:
                raise KeyboardInterrupt
            evaluate(*args, **kwargs)
            if self.count == self.nan:
                calculator.results["forces"][0, 0] = np.nan
            self.count += 1

        calculator.calculate = calculate
        return calculator


def cells_of(data, count):
    cells = []
    for k in range(count):
        cells.append(data.supercell.copy())
        cells[-1].positions = data.supercell.positions + data.displacements[k]
    return cells


def test_a_killed_evaluation_resumes(crystal, potential_file, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "SAVE_INTERVAL", 0.0)
    cells, checkpoint = cells_of(crystal[1], 12), tmp_path / "forces.npz"
    whole = evaluate_supercells(cells, PolymlpCalculator(potential_file))
    with pytest.raises(KeyboardInterrupt):
        evaluate_supercells(cells, Counting(potential_file, stop=6), checkpoint=checkpoint, identity="a")
    second = Counting(potential_file)
    resumed = evaluate_supercells(cells, second, checkpoint=checkpoint, identity="a")
    assert second.count == 12 - evaluation.BATCH  # one batch was complete
    assert all(np.array_equal(a, b) for a, b in zip(whole, resumed, strict=True))
    other = Counting(potential_file)
    evaluate_supercells(cells, other, checkpoint=checkpoint, identity="b")
    assert other.count == 12  # with another potential the checkpoint is not used


def test_processes_give_the_same(crystal, potential_file):
    cells = cells_of(crystal[1], 6)
    source = Potential("polymlp", str(potential_file))
    with workers(2) as (leads, executor):
        assert leads
        parallel = evaluate_supercells(cells, source, executor)
    alone = evaluate_supercells(cells, source)
    assert all(np.array_equal(a, b) for a, b in zip(parallel, alone, strict=True))


def test_refusals(crystal, potential_file, tmp_path):
    found, data = crystal
    calculator = PolymlpCalculator(potential_file)
    with pytest.raises(InputError, match="supercell 3: the potential gives energies or forces that are not finite"):
        evaluate_supercells(cells_of(data, 4), Counting(potential_file, nan=2))
    for options, message in (
        ({"displacements": "random"}, "give the number of supercells for random"),
        ({"number": 5}, "but not for systematic ones"),
        ({"amplitude": 0.0}, "must be positive, got 0 Å"),
        ({"solver": "alm"}, "must be fd or symfc"),
        ({"displacements": "random", "number": 2, "solver": "fd"}, "finite differences need systematic"),
    ):
        with pytest.raises(InputError, match=message):
            force_constants(found, calculator, **options)
    with pytest.raises(InputError, match="needs a supercell matrix and a calculator"):
        force_constants(bulk("NaCl", "rocksalt", a=5.6), calculator)
    with pytest.raises(InputError, match="must be MODULE:NAME"):
        Potential("calculator", "ase.calculators.emt:Nothing")()
    with pytest.raises(InputError, match="no such file; the potential must be polymlp, nep, none, or a file"):
        potential_of_file(tmp_path / "missing.txt")
