"""Programs that use the calculator or read our files: ASE's vibrations, Euphonic, hiphive, dynasor."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.io import write
from ase.md.verlet import VelocityVerlet

from helpers.polar_crystal import PolarCrystal, zincblende
from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator
from tnep_calc.phonons.export import write_exports
from tnep_calc.phonons.modes import gamma_modes
from tnep_calc.phonons.molecule import vibrations
from tnep_calc.phonons.raman import activity, invariants
from tnep_calc.phonons.workflow import Settings, run_phonons
from tnep_calc.units import THZ_TO_INV_CM

pytestmark = pytest.mark.slow

MISSING = "{} is not installed: pip install 'tnep_calc[doors]'"
SMALL = {"n_max": (2, 2), "basis_size": (3, 3), "l_max": 2, "extra": (False,) * 6, "cutoffs": (4.0, 3.5)}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """Return phonons of a crystal, and a folder with their exports."""
    folder = tmp_path_factory.mktemp("phonons")
    found = run_phonons(zincblende(), PolarCrystal(), folder, Settings(length=6), log=lambda line: None)
    write_exports(found.phonon, folder)
    return found, folder


def test_static_raman_of_ase(tmp_path):
    """ASE wants the polarizability in e^2 A^2/eV, which is our e A^2/V; activities as in our own vibrations."""
    from ase.vibrations.placzek import PlaczekStatic
    from ase.vibrations.raman import StaticRamanCalculator

    molecule = Atoms("OZnO", [[1.9, 0.3, 0.1], [0, 0, 0], [-0.9, 1.7, -0.2]])
    found = vibrations(molecule, PolarCrystal(), fmax=1e-6)
    atoms = found.atoms.copy()
    atoms.calc = PolarCrystal()
    atoms.center(vacuum=6.0)

    def polarizability():
        return lambda displaced: displaced.calc.get_property("polarizability", displaced)

    name = str(tmp_path / "raman")
    StaticRamanCalculator(atoms, polarizability, name=name, delta=0.01).run()
    raman = PlaczekStatic(atoms, name=name, delta=0.01)
    intensities = raman.get_absolute_intensities()[6:]
    np.testing.assert_allclose(intensities, activity(invariants(found.tensors))[6:], rtol=5e-3, atol=1e-6)


def test_phonons_of_ase(tmp_path):
    """Frequencies at the zone boundary equal those of phonopy with the same model."""
    phonopy = pytest.importorskip("phonopy")
    from ase.phonons import Phonons

    crystal = bulk("BN", "zincblende", a=3.6)
    crystal.calc = TNEPCalculator(energy=random_nep(**SMALL))
    own = Phonons(crystal, crystal.calc, supercell=(3, 3, 3), delta=1e-3, name=str(tmp_path / "phonons"))
    own.run()
    own.read(acoustic=False, symmetrize=0)
    q = [1 / 3, 0, 1 / 3]
    energies = np.asarray(own.band_structure([q], verbose=False))[0]
    other = phonopy.Phonopy(
        phonopy.structure.atoms.PhonopyAtoms(
            symbols=crystal.get_chemical_symbols(), cell=crystal.cell.array, positions=crystal.positions
        ),
        3 * np.eye(3, dtype=int),
        primitive_matrix="P",
    )
    other.generate_displacements(distance=1e-3)
    forces = []
    for cell in other.supercells_with_displacements:
        atoms = Atoms(cell.symbols, cell=cell.cell, positions=cell.positions, pbc=True, calculator=crystal.calc)
        forces.append(atoms.get_forces())
    other.forces = forces
    other.produce_force_constants()
    expected = other.run_qpoints([q]).frequencies[0]  # THz; imaginary ones are negative
    squared = np.sort(np.sign(energies) * energies**2) / (1e12 * units._hplanck / units._e) ** 2
    np.testing.assert_allclose(squared, np.sort(np.sign(expected) * expected**2), rtol=1e-3, atol=1e-3)


def test_euphonic_reads_the_exports(result):
    euphonic = pytest.importorskip("euphonic", reason=MISSING.format("euphonic"))
    found, folder = result
    constants = euphonic.ForceConstants.from_phonopy(path=folder, summary_name="phonopy_params.yaml")
    modes = constants.calculate_qpoint_phonon_modes(np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.0]]), asr="realspace")
    frequencies = modes.frequencies.to("1/cm").magnitude
    assert frequencies[0, 3:5] == pytest.approx(gamma_modes(found.phonon).wavenumbers[3:5], rel=1e-3)
    expected = found.phonon.run_qpoints([[0.5, 0.5, 0.0]]).frequencies[0] * THZ_TO_INV_CM
    np.testing.assert_allclose(frequencies[1], expected, rtol=1e-3)
    np.testing.assert_allclose(constants.born.to("e").magnitude, found.charges.used, atol=1e-6)


def test_hiphive_reads_force_constants_and_uses_the_calculator(result):
    hiphive = pytest.importorskip("hiphive", reason=MISSING.format("hiphive"))
    from hiphive.utilities import prepare_structures

    found, folder = result
    cell = found.phonon.supercell
    supercell = Atoms(cell.symbols, cell=cell.cell, scaled_positions=cell.scaled_positions, pbc=True)
    constants = hiphive.ForceConstants.read_phonopy(supercell, str(folder / "FORCE_CONSTANTS"), format="text")
    np.testing.assert_allclose(constants.get_fc_array(order=2), found.phonon.force_constants, atol=1e-8)
    ideal = bulk("BN", "zincblende", a=3.6).repeat(2)
    moved = ideal.copy()
    moved.rattle(0.01, seed=0)
    calc = TNEPCalculator(energy=random_nep(**SMALL))
    (prepared,) = prepare_structures([moved], ideal, calc)
    moved.calc = calc
    np.testing.assert_allclose(prepared.arrays["forces"], moved.get_forces(), atol=1e-10)


def test_dynasor_reads_a_trajectory(tmp_path):
    """A file that 'tnep series' reads: positions and velocities of an MD run."""
    dynasor = pytest.importorskip("dynasor", reason=MISSING.format("dynasor"))
    atoms = bulk("BN", "zincblende", a=3.6, cubic=True).repeat(2)
    atoms.rattle(0.02, seed=0)
    atoms.calc = TNEPCalculator(energy=random_nep(**SMALL))
    dynamics = VelocityVerlet(atoms, 0.1 * units.fs)
    frames = []
    dynamics.attach(lambda: frames.append(atoms.copy()))
    dynamics.run(4)
    write(tmp_path / "md.extxyz", frames, format="extxyz")
    trajectory = dynasor.Trajectory(str(tmp_path / "md.extxyz"), "extxyz", length_unit="Angstrom", time_unit="fs")
    seen = list(trajectory)
    assert len(seen) == 5 and trajectory.n_atoms == 64
    positions = seen[-1].get_positions_as_array({"X": list(range(64))})
    np.testing.assert_allclose(positions, frames[-1].positions, atol=1e-7)
