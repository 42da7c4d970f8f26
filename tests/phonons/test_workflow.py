"""The workflow and the commands: restart, MPI, errors, files, molecules."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

from helpers.paths import shared_data
from helpers.polar_crystal import PolarCrystal, wurtzite, zincblende
from helpers.random_nep import random_nep
from helpers.ranks import on_two_ranks
from tnep_calc.cli import main
from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.born import read_born, write_born
from tnep_calc.phonons import lo_to
from tnep_calc.phonons.analysis import Conditions, analyse
from tnep_calc.phonons.bands import band_structure, density_of_states
from tnep_calc.phonons.export import write_exports
from tnep_calc.phonons.infrared import intensities, widths_of_phono3py
from tnep_calc.phonons.molecule import vibrations
from tnep_calc.phonons.nac import charges_of
from tnep_calc.phonons.raman import activity, invariants
from tnep_calc.phonons.raman_crystal import electro_optic_tensor
from tnep_calc.phonons.raman_source import gradient_from_files
from tnep_calc.phonons.workflow import Settings, run_phonons
from tnep_calc.units import EPSILON_0

pytestmark = pytest.mark.slow

phonopy = pytest.importorskip("phonopy")
SMALL = Settings(length=6)


def silent(line):
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("calculation")


@pytest.fixture(scope="module")
def result(folder):
    return run_phonons(zincblende(), PolarCrystal(), folder, SMALL, log=silent)


class Killed(Exception):
    pass


class Mortal(PolarCrystal):
    """A calculator that fails after some calls."""

    def __init__(self, life):
        super().__init__()
        self.life = life

    def calculate(self, *args, **kwargs):
        self.life -= 1
        if self.life < 0:
            raise Killed
        super().calculate(*args, **kwargs)


def test_a_killed_run_resumes(tmp_path):
    whole = run_phonons(wurtzite(), PolarCrystal(), tmp_path / "whole", SMALL, log=silent)
    settings, life = SMALL, 60
    counter = PolarCrystal()
    run_phonons(wurtzite(), counter, tmp_path / "count", settings, log=silent)
    life = counter.calls - 4  # within the forces
    with pytest.raises(Killed):
        run_phonons(wurtzite(), Mortal(life), tmp_path / "killed", settings, log=silent)
    (file,) = (tmp_path / "killed").glob("forces-*.npz")
    there = len(np.load(file)["supercells"])
    assert 0 < there < 4
    again = PolarCrystal()
    resumed = run_phonons(wurtzite(), again, tmp_path / "killed", settings, log=silent)
    assert again.calls <= 4 - there + 3  # missing displacements, the supercell at rest, charges, Raman derivative
    np.testing.assert_array_equal(resumed.phonon.force_constants, whole.phonon.force_constants)
    with pytest.raises(InputError, match="another calculation"):
        run_phonons(wurtzite(a=3.2), again, tmp_path / "killed", settings, log=silent)
    file.write_bytes(file.read_bytes()[:200])
    again = PolarCrystal()
    with pytest.raises(DataFileError, match=f"{file.name}: damaged"):
        run_phonons(wurtzite(), again, tmp_path / "killed", settings, log=silent)
    assert again.calls == 1  # the supercell at rest
    run_phonons(zincblende(), again, tmp_path / "killed", settings, restart=True, log=silent)


def test_two_ranks_share_the_displacements(tmp_path, result):
    calculators = [PolarCrystal(), PolarCrystal()]
    found = on_two_ranks(
        lambda comm: run_phonons(zincblende(), calculators[comm.rank], tmp_path, SMALL, comm=comm, log=silent)
    )
    for one in found:
        np.testing.assert_array_equal(one.phonon.force_constants, result.phonon.force_constants)
    assert 2 <= calculators[1].calls <= 5


def test_an_error_on_one_rank_is_raised_on_all(tmp_path):
    calculators = [PolarCrystal(), Mortal(2)]
    found = on_two_ranks(
        lambda comm: run_phonons(zincblende(), calculators[comm.rank], tmp_path, SMALL, comm=comm, log=silent)
    )
    assert all(isinstance(one, Killed) for one in found)


def test_random_displacements_give_the_same_modes(tmp_path, result):
    settings = Settings(length=6, random=12, displacement=0.003)
    found = run_phonons(zincblende(), PolarCrystal(), tmp_path, settings, log=silent)
    np.testing.assert_allclose(found.modes.wavenumbers[3:], result.modes.wavenumbers[3:], rtol=1e-3)


class Broken(PolarCrystal):
    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        if len(self.atoms) > 2:
            self.results["forces"] = self.results["forces"] * np.nan


def test_errors(tmp_path, result):
    with pytest.raises(InputError, match="not a finite number"):
        run_phonons(zincblende(), Broken(), tmp_path / "a", Settings(length=6, relax=False), log=silent)
    with pytest.raises(InputError, match="periodic in three directions"):
        run_phonons(no_cell(), PolarCrystal(), tmp_path / "b", SMALL, log=silent)
    with pytest.raises(InputError, match="no space group|coincide"):
        twice = zincblende(symbols="ZnZn")
        twice.positions[1] = twice.positions[0]
        run_phonons(twice, PolarCrystal(), tmp_path / "c", Settings(length=6, relax=False), log=silent)
    with pytest.raises(InputError, match="has not reached"):
        run_phonons(wurtzite(u=0.40), PolarCrystal(), tmp_path / "d", Settings(length=6, steps=1), log=silent)
    with pytest.raises(InputError, match="hyperpolarizability"):
        electro_optic_tensor(zincblende(), PolarCrystal())
    for wrong in ({"fmax": 0}, {"nac": "ewald"}, {"dim": (0, 1, 1)}, {"random": 0}, {"symprec": np.nan}):
        with pytest.raises(InputError):
            Settings(**wrong)
    with pytest.raises(InputError, match="widths"):
        analyse(result, Conditions(widths=np.ones(4), bands=False))
    with pytest.raises(InputError, match="positive numbers of cm"):
        analyse(result, Conditions(widths=0.0, bands=False))


def no_cell():
    atoms = zincblende()
    atoms.pbc = [True, True, False]
    return atoms


def test_missing_charges_are_reported(tmp_path):
    without = PolarCrystal(without=("born_effective_charges",))
    found = run_phonons(zincblende(), without, tmp_path, SMALL, log=silent)
    assert any("no Born charges" in note for note in found.notes) and found.charges is None
    analysis = analyse(found, Conditions())
    assert analysis.infrared == {} and analysis.raman is not None and analysis.bands is not None
    with pytest.raises(InputError, match="no Born charges"):
        lo_to(found.phonon, [[1, 0, 0]])


def test_bands_and_density_of_states(result):
    bands = band_structure(result.phonon, spacing=0.03)
    assert bands.ends[0] == ("GAMMA", "X")
    to, lo = result.modes.wavenumbers[-1], lo_to(result.phonon, [[1, 0, 0]])[0, -1]
    assert bands.wavenumbers[0][0, -1] == pytest.approx(lo, abs=1e-3)  # Gamma of a segment has its own direction
    assert bands.wavenumbers[0][0, -2] == pytest.approx(to, abs=1e-3)
    # the path of seekpath in this cell: X is a zone face, half a reciprocal lattice vector
    x = bands.qpoints[0][-1] @ np.linalg.inv(result.phonon.primitive.cell).T
    a = result.phonon.unitcell.cell[0, 0]
    assert np.linalg.norm(x) == pytest.approx(1 / a, rel=1e-6)
    dos = density_of_states(result.phonon, length=20)
    assert np.trapezoid(dos.total, dos.wavenumbers) == pytest.approx(6, rel=1e-3)
    np.testing.assert_allclose(sum(dos.elements.values()), dos.total)


def test_exports_are_read_back(tmp_path, result):
    names = write_exports(result.phonon, tmp_path)
    assert set(names) == {"phonopy_params.yaml", "FORCE_CONSTANTS", "BORN", "qpoints.yaml", "pdielec"}
    q = [[1, 0, 0], [1, 1, 1]]
    again = phonopy.load(tmp_path / "phonopy_params.yaml", log_level=0)
    np.testing.assert_allclose(lo_to(again, q)[:, 3:], lo_to(result.phonon, q)[:, 3:], atol=1e-3)
    by_hand = phonopy.Phonopy(result.phonon.unitcell, result.phonon.supercell_matrix, result.phonon.primitive_matrix)
    by_hand.force_constants = phonopy.file_IO.parse_FORCE_CONSTANTS(tmp_path / "FORCE_CONSTANTS")
    by_hand.nac_params = phonopy.file_IO.parse_BORN(by_hand.primitive, filename=tmp_path / "BORN")
    np.testing.assert_allclose(lo_to(by_hand, q)[:, 3:], lo_to(result.phonon, q)[:, 3:], atol=1e-3)


def test_born_files(tmp_path, result):
    write_born(tmp_path / "BORN", result.phonon)
    charges, eps = read_born(tmp_path / "BORN", result.phonon)
    np.testing.assert_allclose(charges, charges_of(result.phonon).used, atol=1e-8)
    np.testing.assert_allclose(eps, result.charges.dielectric, atol=1e-8)
    (tmp_path / "short").write_text("14.4\n1 0 0 0 1 0 0 0 1\n1 2 3\n")
    with pytest.raises(DataFileError, match="not a BORN file of this primitive cell"):
        read_born(tmp_path / "short", result.phonon)


def test_born_of_abinit():
    """The DDB of cubic boron nitride: charges and eps_inf of the reference, for any order of atoms."""
    from helpers.paths import DATA

    r = json.loads((shared_data("phonons/BN-abinit") / "reference.json").read_text())
    cell = phonopy.structure.atoms.PhonopyAtoms(
        cell=r["cell"], symbols=r["symbols"], scaled_positions=r["scaled_positions"]
    )
    found = None
    for name in ("bn_DS3_DDB.xz", "bn.abo.xz"):
        try:
            found = read_born(DATA / "abinit" / name, phonopy.Phonopy(cell, np.eye(3), "P"))
        except DataFileError:
            continue
    assert found is not None and found[0].shape == (2, 3, 3)
    assert found[0][0, 0, 0] > 1.5 and found[0][1, 0, 0] < -1.5 and found[1][0, 0] > 4


def test_raman_derivative_from_files(tmp_path):
    """Dielectric tensors of displaced structures in a file: the Raman element of DFPT, with one atom displaced."""
    r = json.loads((shared_data("phonons/BN-abinit") / "reference.json").read_text())
    cell = phonopy.structure.atoms.PhonopyAtoms(
        cell=r["cell"], symbols=r["symbols"], scaled_positions=r["scaled_positions"]
    )
    phonon = phonopy.Phonopy(cell, np.eye(3), "P")
    lattice, rest = np.array(r["cell"]), cell.positions
    text = ""
    for entry in r["eps_at_displaced"]:
        positions = rest.copy()
        positions[0, 0] += entry["u_x_atom0_A"]
        text += (
            f'2\nLattice="{" ".join(map(str, lattice.ravel()))}" Properties=species:S:1:pos:R:3 pbc="T T T" '
            f'epsilon_inf="{" ".join(str(x) for x in np.ravel(entry["epsilon_inf"]))}"\n'
        )
        order = (1, 0)  # another order of the atoms, and another image
        text += "".join(
            f"{r['symbols'][k]} {' '.join(f'{x:.12f}' for x in positions[k] + lattice[2] * k)}\n" for k in order
        )
    (tmp_path / "displaced.extxyz").write_text(text)
    gradient = gradient_from_files([tmp_path / "displaced.extxyz"], phonon)
    slope = EPSILON_0 * r["volume_A3"] * r["d_eps_yz_du_x_atom0_per_A"]
    assert gradient[0, 0, 1, 2] == pytest.approx(slope, rel=1e-6)
    np.testing.assert_allclose(gradient[1], -gradient[0], atol=1e-10)
    (tmp_path / "large.extxyz").write_text(text.replace("2\n", "2\n", 1).replace(str(lattice[0, 1]), "3.0"))
    with pytest.raises(DataFileError, match="not a multiple of the primitive cell"):
        gradient_from_files([tmp_path / "large.extxyz"], phonon)


def test_widths_of_phono3py(tmp_path):
    import h5py

    with h5py.File(tmp_path / "kappa.hdf5", "w") as file:
        file["temperature"] = [0.0, 300.0]
        file["qpoint"] = [[0, 0, 0], [0.5, 0, 0]]
        file["gamma"] = np.arange(24.0).reshape(2, 2, 6)
    widths = widths_of_phono3py(tmp_path / "kappa.hdf5", 300.0)
    np.testing.assert_allclose(widths, 2 * 33.3564095198 * np.arange(12.0, 18.0))
    with pytest.raises(InputError, match="no temperature of 250"):
        widths_of_phono3py(tmp_path / "kappa.hdf5", 250.0)


def bent():
    from ase import Atoms

    atoms = Atoms("OZnO", [[1.9, 0.3, 0.1], [0, 0, 0], [-0.9, 1.7, -0.2]])
    return atoms


def test_molecule_against_ase(tmp_path):
    from ase.vibrations import Infrared

    found = vibrations(bent(), PolarCrystal(), fmax=1e-6)
    assert found.modes.external.sum() == 6 and (found.modes.wavenumbers[6:] > 10).all()
    atoms = found.atoms.copy()
    atoms.calc = PolarCrystal()
    infrared = Infrared(atoms, name=str(tmp_path / "ir"), delta=0.01)
    infrared.run()
    np.testing.assert_allclose(found.modes.wavenumbers[6:], infrared.get_frequencies().real[6:], rtol=1e-3)
    np.testing.assert_allclose(
        intensities(found.charges, "D2/A2/amu")[6:],
        infrared.intensities[6:],
        rtol=5e-3,
        atol=1e-4 * infrared.intensities.max(),
    )
    numerical = vibrations(
        bent(), PolarCrystal(without=("born_effective_charges", "polarizability_gradient")), fmax=1e-6
    )
    np.testing.assert_allclose(intensities(numerical.charges)[6:], intensities(found.charges)[6:], rtol=1e-3)
    np.testing.assert_allclose(
        activity(invariants(numerical.tensors))[6:], activity(invariants(found.tensors))[6:], rtol=1e-3
    )
    with pytest.raises(InputError, match="pbc=False"):
        vibrations(zincblende(), PolarCrystal())


def test_command(tmp_path, monkeypatch, capsys):
    """Everything in one command, for wurtzite; then again, which resumes."""
    import tnep_calc.cli.phonons as command

    monkeypatch.setattr(command, "calculator_of", lambda args: (PolarCrystal(), {"models": {}}))
    wurtzite().write(tmp_path / "w.extxyz")
    words = [
        "phonons",
        str(tmp_path / "w.extxyz"),
        "-o",
        str(tmp_path / "out"),
        "--length",
        "6",
        "--porto",
        "z(xx)-z",
        "--directions",
        "1",
        "0",
        "0",
        "1",
        "0",
        "1",
    ]
    assert main([*words, "--json"]) == 0
    printed, shown = capsys.readouterr()
    assert "P6_3mc (186)" in shown and "E1" in shown and "[1 0 1]" in shown
    out = tmp_path / "out"
    names = {path.name for path in out.iterdir()}
    assert {
        "phonons.html",
        "phonons.json",
        "modes.csv",
        "loto.csv",
        "lst.csv",
        "porto.csv",
        "bands.csv",
        "dos.csv",
        "BORN",
        "infrared_x.txt",
        "infrared_z.txt",
        "raman_powder.txt",
        "phonopy_params.yaml",
        "bands.png",
    } <= names
    numbers = json.loads((out / "phonons.json").read_text())
    assert json.loads(printed) == numbers
    assert numbers["modes"]["irreps"][1:] == ["B1", "E2", "B1", "E2", "A1", "E1"]
    assert numbers["provenance"]["space_group"].startswith("P6_3mc")
    assert abs(numbers["lo_to"][0]["lyddane_sachs_teller"]["deviation"]) < 1e-6
    rows = list(csv.reader(open(out / "modes.csv")))
    assert len(rows) == 7 and rows[0][0] == "cm^-1"
    page = (out / "phonons.html").read_text()
    assert page.count("<img") == 6 and "LO-TO splitting" in page
    assert (
        main(
            [
                "loto",
                str(out / "phonopy_params.yaml"),
                "--json",
                "--angle",
                "0",
                "0",
                "1",
                "1",
                "0",
                "0",
                "--csv",
                str(tmp_path / "scan.csv"),
            ]
        )
        == 0
    )
    printed, shown = capsys.readouterr()
    assert "Lyddane-Sachs-Teller" in shown
    found = json.loads(printed)
    np.testing.assert_allclose(found["eps_static"], numbers["response"]["eps_static"], rtol=1e-6, atol=1e-9)
    assert len(found["scan"]) == 46
    assert len((tmp_path / "scan.csv").read_text().splitlines()) == 47


def test_a_model_of_an_unstable_crystal(tmp_path, capsys):
    """With a random potential, imaginary modes are listed with advice, and there are no spectra."""
    from tnep_calc import TNEPCalculator, write_nep

    small = {"cutoffs": (3.0, 3.0), "n_max": (2, 1), "basis_size": (2, 1), "l_max": 2, "extra": (False,) * 6}
    unstable = None
    for seed in range(6):
        model = random_nep(seed=seed, **small)
        calculator = TNEPCalculator(energy=model)
        settings = Settings(relax=False, length=6.1)
        found = run_phonons(bulk("BN", "zincblende", a=3.6), calculator, tmp_path / str(seed), settings, log=silent)
        if found.modes.imaginary():
            unstable = found
            break
    assert unstable is not None
    assert "unstable" in unstable.notes[0] and "T2" in unstable.notes[0] and "relax" in unstable.notes[0]
    analysis = analyse(unstable, Conditions(bands=False))
    assert analysis.infrared == {} and analysis.raman is None
    write_nep(tmp_path / "nep.txt", model)
    bulk("BN", "zincblende", a=3.6).write(tmp_path / "bn.cif")
    words = [
        "phonons",
        str(tmp_path / "bn.cif"),
        "--energy",
        str(tmp_path / "nep.txt"),
        "-o",
        str(tmp_path / "0"),
        "--no-relax",
    ]
    assert main(words) == 1
    assert "another calculation" in capsys.readouterr().err
    assert main([*words, "--restart", "--dim", "1", "1", "1"]) == 1
    error = capsys.readouterr().err
    assert "less than twice the cutoff" in error and "--length" in error


def test_oriented_spectra_need_raman_tensors(result):
    for wanted in ({"porto": ("z(xx)-z",)}, {"polarization_scans": ("z(x)",)}):
        with pytest.raises(InputError, match="need Raman tensors: add a susceptibility"):
            analyse(replace(result, gradient=None), Conditions(bands=False, **wanted))


def test_metals(tmp_path):
    """One atom per cell has no optical modes; bcc copper of EMT is unstable away from Gamma."""
    from ase.calculators.emt import EMT

    found = run_phonons(bulk("Cu", "bcc", a=2.85), EMT(), tmp_path, Settings(length=8, relax=False), log=silent)
    assert any("A metal has none" in note for note in found.notes) and not found.modes.imaginary()
    analysis = analyse(found)
    assert any("one atom" in note for note in analysis.notes)
    (note,) = [note for note in analysis.notes if "imaginary away from Gamma" in note]
    lowest = min(w.min() for w in analysis.bands.wavenumbers)
    assert f"{-lowest:.1f}i cm^-1" in note and "larger supercell" in note
