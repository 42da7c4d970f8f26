import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from helpers.paths import shared_data
from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator, export_artifact, read_nep, write_nep
from tnep_calc.errors import InputError, ModelFileError
from tnep_calc.units import EPSILON_0


@pytest.fixture
def crystal():
    atoms = bulk("BN", "zincblende", a=3.6, cubic=True)
    atoms.rattle(0.05, seed=3)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + [[0.01, 0.02, 0], [0, -0.02, 0.01], [0, 0, 0.01]]), scale_atoms=True)
    return atoms


def full_calculator(**kwargs):
    return TNEPCalculator(
        energy=random_nep(zbl=True), dipole=random_nep("dipole"), susceptibility=random_nep("polarizability"), **kwargs
    )


def test_all_properties(crystal):
    calc = crystal.calc = full_calculator()
    n = len(crystal)
    assert crystal.get_potential_energy() == pytest.approx(crystal.get_potential_energies().sum())
    assert crystal.get_potential_energy(force_consistent=True) == crystal.get_potential_energy()
    assert np.allclose(crystal.get_forces(), calculate_numerical_forces(crystal, eps=1e-5), atol=1e-4)
    assert np.allclose(crystal.get_stress(), calculate_numerical_stress(crystal, eps=1e-6), atol=1e-5)
    z = calc.get_property("born_effective_charges", crystal)
    assert z.shape == (n, 3, 3) and np.abs(z.sum(0)).max() < 1e-9
    assert np.allclose(calc.get_property("polarization", crystal), crystal.get_dipole_moment() / crystal.get_volume())
    alpha = calc.get_property("polarizability", crystal)
    eps = calc.get_property("dielectric_tensor", crystal)
    assert np.allclose(eps, np.eye(3) + alpha / (EPSILON_0 * crystal.get_volume()))
    assert np.allclose(calc.get_property("susceptibility", crystal), eps - np.eye(3))
    raman = calc.get_property("polarizability_gradient", crystal)
    moved = crystal.copy()
    moved.positions[2, 1] += 1e-5
    numeric = (calc.get_property("polarizability", moved) - alpha) / 1e-5
    assert np.allclose(raman[2, 1], numeric, atol=2e-3 * np.abs(numeric).max())
    assert set(calc.implemented_properties) >= {"energy", "forces", "stress", "dipole", "born_effective_charges"}


def test_results_are_cached_and_updated(crystal):
    calc = crystal.calc = full_calculator()
    calls = []
    evaluate = calc.evaluate
    calc.evaluate = lambda role, *rest: (calls.append(role), evaluate(role, *rest))[1]
    crystal.get_forces(), crystal.get_potential_energy(), crystal.get_stress()
    assert calls == ["energy"]
    before = crystal.get_dipole_moment()
    crystal.get_forces()
    assert calls == ["energy", "dipole"]
    crystal.positions[0] += 0.1
    assert not np.allclose(crystal.get_dipole_moment(), before)
    crystal.get_forces()
    assert calls == ["energy", "dipole", "dipole", "energy"]


def test_nep_txt_and_artifact_agree(tmp_path, crystal):
    write_nep(tmp_path / "nep.txt", random_nep(zbl=True))
    export_artifact(tmp_path / "nep.txt", tmp_path / "nep.pt")
    energies = [
        TNEPCalculator(energy=source).get_potential_energy(crystal)
        for source in (tmp_path / "nep.txt", str(tmp_path / "nep.pt"), read_nep(tmp_path / "nep.txt"))
    ]
    assert np.ptp(energies) < 1e-9


def test_skin_changes_nothing(crystal):
    exact, stored = full_calculator(skin=0.0), full_calculator(skin=1.0)
    for seed in range(4):
        crystal.rattle(0.02, seed=seed)
        assert np.allclose(exact.get_forces(crystal), stored.get_forces(crystal), atol=1e-11)
    assert exact._neighbor_list.builds == 4 and stored._neighbor_list.builds == 1


def test_molecule_supercell_and_mixed_pbc():
    calc = full_calculator()
    dimer = Atoms("BN", positions=[[0, 0, 0], [0.7, 0.8, 0.9]])
    far = Atoms("BN", positions=dimer.positions, cell=[40, 40, 40], pbc=True)
    slab = Atoms("BN", positions=dimer.positions, cell=[40, 40, 0], pbc=[True, True, False])
    energies = [calc.get_potential_energy(a) for a in (dimer, far, slab)]
    assert np.ptp(energies) < 1e-12
    dimer.calc = calc
    dimer.get_forces()
    with pytest.raises(PropertyNotImplementedError):
        dimer.get_stress()
    primitive = bulk("BN", "zincblende", a=3.6)  # smaller than the cutoff
    e1, d1 = calc.get_potential_energy(primitive), calc.get_property("polarizability", primitive)
    super_ = primitive.repeat((2, 3, 1))
    assert calc.get_potential_energy(super_) == pytest.approx(6 * e1, rel=1e-12)
    assert np.allclose(calc.get_property("polarizability", super_), 6 * d1, rtol=1e-11)


def test_one_atom():
    calc = full_calculator()
    atoms = Atoms("B")
    assert np.isfinite(calc.get_potential_energy(atoms)) and np.allclose(calc.get_forces(atoms), 0)
    assert np.allclose(calc.get_dipole_moment(atoms), 0)


def test_susceptibility_normalisation(crystal):
    """A model trained on N*chi gives chi times N: the same alpha as eps0 V (N chi) / N."""
    p = random_nep("polarizability")
    raw = TNEPCalculator(susceptibility=p).get_property("polarizability", crystal)
    calc = TNEPCalculator(susceptibility=p, susceptibility_unit="N*chi")
    assert np.allclose(calc.get_property("susceptibility", crystal), raw / len(crystal))
    double = crystal.repeat((2, 1, 1))
    assert np.allclose(calc.get_property("dielectric_tensor", double), calc.get_property("dielectric_tensor", crystal))
    with pytest.raises(InputError, match="periodic in three directions"):
        calc.get_property("polarizability", Atoms("BN", positions=[[0, 0, 0], [0, 0, 1.5]]))


def test_published_water_model():
    """An isolated molecule has nearly the dipole (1.85 D) and polarizability (1.45 Å^3) known from experiment."""
    folder = shared_data("tnep/qm7b")
    calc = TNEPCalculator(
        dipole=folder / "dipole/nep.txt",
        susceptibility=folder / "polarizability/nep.txt",
        dipole_unit="e*bohr",
        susceptibility_unit="bohr^3",
    )
    water = molecule("H2O")
    assert np.linalg.norm(calc.get_dipole_moment(water)) == pytest.approx(0.385, rel=0.2)
    assert np.trace(calc.get_property("polarizability", water)) / 3 * 14.3996 == pytest.approx(1.45, rel=0.15)


def test_errors(tmp_path, crystal):
    with pytest.raises(InputError, match="at least one model"):
        TNEPCalculator()
    with pytest.raises(InputError, match="dipole= needs a dipole model, got a potential"):
        TNEPCalculator(dipole=random_nep())
    with pytest.raises(InputError, match="dtype must be"):
        TNEPCalculator(energy=random_nep(), dtype="half")
    with pytest.raises(ModelFileError, match="cannot be read"):
        TNEPCalculator(energy=tmp_path / "no.txt")
    with pytest.raises(InputError, match="the device must be"):
        TNEPCalculator(energy=random_nep(), device="gpu0")
    import torch

    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="finds no GPU"):
            TNEPCalculator(energy=random_nep(), device="cuda")
    export_artifact(random_nep("dipole"), tmp_path / "d.pt", dtype="float32")
    with pytest.raises(InputError, match="stores its unit"):
        TNEPCalculator(dipole=tmp_path / "d.pt", dipole_unit="debye")
    calc = TNEPCalculator(energy=random_nep())
    with pytest.raises(InputError, match="knows B N, but the structure has C"):
        calc.get_potential_energy(bulk("C"))
    crystal.positions[3, 1] = np.nan
    with pytest.raises(InputError, match="atom 3 is not finite"):
        calc.get_potential_energy(crystal)
    with pytest.raises(PropertyNotImplementedError):
        calc.get_property("dipole", bulk("BN", "zincblende", a=3.6))


def test_bec_name_is_in_ase():
    from ase.calculators.calculator import all_properties

    assert {"dielectric_tensor", "born_effective_charges", "polarization"} <= set(all_properties)
