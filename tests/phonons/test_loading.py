"""Spectra from force constants of phonopy, ph.x and q2r.x, without a model."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from helpers.paths import shared_data
from helpers.ph_x_files import matrix_file, q2r_file
from helpers.polar_crystal import PolarCrystal, wurtzite
from tnep_calc.cli import main
from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.born import write_born
from tnep_calc.io.supercells import read_supercells
from tnep_calc.phonons.loading import is_phonon_file, load_phonon, only_gamma
from tnep_calc.phonons.workflow import Settings, phonons_of, run_phonons
from tnep_calc.units import BOHR, COULOMB, HARTREE

phonopy = pytest.importorskip("phonopy")
pytest.importorskip("phono3py")
from phonopy.file_IO import write_FORCE_SETS  # noqa: E402
from phonopy.structure.atoms import PhonopyAtoms  # noqa: E402

pytestmark = pytest.mark.slow


def silent(line):
    pass


@pytest.fixture(scope="module")
def crystal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("w")
    result = run_phonons(wurtzite(), PolarCrystal(), folder, Settings(length=6, relax=False), log=silent)
    return result, folder


def test_an_existing_phonopy_object_gives_the_same(crystal):
    result, folder = crystal
    result.phonon.save(folder / "phonopy_params.yaml", settings={"force_constants": True})
    found = phonons_of(load_phonon(folder / "phonopy_params.yaml"), gradient=result.gradient, log=silent)
    np.testing.assert_allclose(found.modes.wavenumbers[3:], result.modes.wavenumbers[3:], rtol=1e-6)
    np.testing.assert_allclose(found.charges.used, result.charges.used, atol=1e-6)
    assert found.provenance["space_group"] == "P6_3mc (186)" and found.modes.labels == result.modes.labels
    without = phonons_of(load_phonon(folder / "phonopy_params.yaml"), Settings(nac=None), log=silent)
    assert without.charges is None and without.gradient is None


def test_frequencies_of_q2r_at_any_q(crystal):
    """Force constants written in the layout of q2r.x give the frequencies of phonopy at q away from Gamma."""
    result, folder = crystal
    phonon = phonopy.Phonopy(result.phonon.primitive, np.diag([2, 3, 2]), "P")
    calculator = PolarCrystal()
    phonon.generate_displacements(distance=0.01)
    from tnep_calc.phonons.cells import to_ase

    phonon.forces = [calculator.get_property("forces", to_ase(c)) for c in phonon.supercells_with_displacements]
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants()
    path = folder / "w.fc"
    path.write_text(q2r_file(phonon))
    assert is_phonon_file(path)
    found = load_phonon(path)
    q = [[0, 0, 0], [0.5, 0, 0], [0, 1 / 3, 0.5], [0.21, 0.07, 0.33]]
    expected = phonon.run_qpoints(q).frequencies
    np.testing.assert_allclose(found.run_qpoints(q).frequencies, expected, atol=1e-4)
    path.write_text(q2r_file(phonon, born=result.charges))
    with pytest.raises(InputError, match="without the dipole-dipole part"):
        load_phonon(path)


def test_command_with_results_of_ph_x(tmp_path, capsys):
    """One matrix file gives TO, LO and Raman activity of c-BN; there are no bands."""
    r = json.loads((shared_data("phonons/BN-abinit") / "reference.json").read_text())
    path = tmp_path / "bn.dyn1"
    path.write_text(matrix_file(r))
    out = tmp_path / "out"
    words = ["phonons", str(path), "--raman-from", str(path), "-o", str(out), "--polarization-scan", "z(x)"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "F-43m (216)" in shown and "1 x 1 x 1 unit cells" in shown
    numbers = json.loads((out / "phonons.json").read_text())
    np.testing.assert_allclose(numbers["modes"]["wavenumbers_cm-1"][3:], r["TO_cm1"], atol=6e-4)
    lo = max(numbers["lo_to"][0]["wavenumbers_cm-1"])
    assert lo == pytest.approx(r["LO_cm1_own_asr_charges"], abs=6e-4)
    activity = numbers["raman"]["activity_A4_per_amu"][3:]
    np.testing.assert_allclose(activity, r["raman_activity_S_A4_per_amu_per_mode"], rtol=1e-6)
    assert not (out / "bands.png").exists() and (out / "polarization_z_x.csv").exists()
    assert main(["loto", str(path)]) == 0
    assert f"{r['LO_cm1_own_asr_charges']:.2f}" in capsys.readouterr().out


def test_errors(tmp_path, crystal):
    assert not is_phonon_file(tmp_path / "missing.yaml") and not is_phonon_file(Path(__file__))
    (tmp_path / "a.yaml").write_text("phonopy:\n  version: 4\n")
    with pytest.raises(DataFileError, match="not a file of phonopy|neither force constants"):
        load_phonon(tmp_path / "a.yaml")
    result, folder = crystal
    assert not only_gamma(result.phonon)
    result.phonon.save(tmp_path / "none.yaml", settings={"force_constants": False, "force_sets": False})
    with pytest.raises(DataFileError, match="neither force constants"):
        load_phonon(tmp_path / "none.yaml")


def test_splitting_of_an_unstable_crystal(tmp_path, capsys):
    """With TO at 500i cm^-1, LO is sqrt(d^2 - 500^2) for a shift d^2 of the squares that does not depend on TO."""
    r = json.loads((shared_data("phonons/BN-abinit") / "reference.json").read_text())
    shift = r["LO_cm1_own_asr_charges"] ** 2 - r["TO_cm1"] ** 2
    path = tmp_path / "bn.dyn1"
    path.write_text(matrix_file({**r, "TO_cm1": 500.0}))
    phonon = load_phonon(path)
    phonon.force_constants = -phonon.force_constants
    phonon.save(tmp_path / "unstable.yaml", settings={"force_constants": True})
    assert main(["loto", str(tmp_path / "unstable.yaml")]) == 0
    shown = capsys.readouterr().out
    assert "unstable: T2 at 500.0i cm^-1" in shown and "Lyddane" not in shown
    assert f"{np.sqrt(shift - 500.0**2):.2f}" in shown
    out = tmp_path / "out"
    assert main(["phonons", str(tmp_path / "unstable.yaml"), "-o", str(out)]) == 0
    numbers = json.loads((out / "phonons.json").read_text())
    assert numbers["lo_to"][0]["lyddane_sachs_teller"] is None and "unstable" in numbers["notes"][0]
    assert max(numbers["lo_to"][0]["wavenumbers_cm-1"]) == pytest.approx(np.sqrt(shift - 500.0**2), abs=0.01)
    assert numbers["response"]["eps_static"] is None and (out / "loto_angle.png").exists()


@pytest.fixture
def rock_salt():
    """A phonopy object with forces of springs between neighbours and Born charges, in Å and eV."""
    cell = PhonopyAtoms(symbols=["Na", "Cl"], cell=3 * (1 - np.eye(3)), scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]])
    phonon = phonopy.Phonopy(cell, [2, 2, 2], "P")
    phonon.generate_displacements(distance=0.02)
    phonon.forces = [spring_forces(one, phonon.supercell) for one in phonon.supercells_with_displacements]
    phonon.nac_params = {"born": np.array([np.eye(3), -np.eye(3)]), "dielectric": 2.3 * np.eye(3), "factor": COULOMB}
    return phonon


def spring_forces(moved, rest):
    between = rest.scaled_positions[:, None] - rest.scaled_positions
    near = np.linalg.norm((between - np.round(between)) @ rest.cell, axis=-1) < 3.1
    return (near - np.diag(near.sum(axis=1))) @ (moved.positions - rest.positions)


def test_units_of_other_interfaces_of_phonopy(rock_salt, tmp_path):
    """The same crystal, written as phonopy does for Quantum ESPRESSO (bohr, Ry/bohr), is read in Å and eV/Å."""
    cell = rock_salt.unitcell
    other = phonopy.Phonopy(
        PhonopyAtoms(symbols=cell.symbols, cell=cell.cell / BOHR, scaled_positions=cell.scaled_positions),
        rock_salt.supercell_matrix,
        "P",
        calculator="qe",
    )
    other.dataset = {
        "natom": 16,
        "first_atoms": [
            {
                "number": row["number"],
                "displacement": np.array(row["displacement"]) / BOHR,
                "forces": row["forces"] / (HARTREE / 2 / BOHR),
            }
            for row in rock_salt.dataset["first_atoms"]
        ],
    }
    other.nac_params = rock_salt.nac_params | {"factor": 2.0}
    other.save(tmp_path / "phonopy_params.yaml")
    found = load_phonon(tmp_path / "phonopy_params.yaml")
    assert found.unitcell.volume == pytest.approx(54, rel=1e-6)
    rock_salt.produce_force_constants()
    q = [[0, 0, 0], [0.5, 0, 0], [0.21, 0.07, 0.33]]
    expected = rock_salt.run_qpoints(q).frequencies
    np.testing.assert_allclose(found.run_qpoints(q).frequencies, expected, atol=1e-4)
    read = read_supercells(tmp_path / "phonopy_params.yaml")
    np.testing.assert_allclose(read.dataset["forces"], rock_salt.forces, atol=1e-5)
    text = (tmp_path / "phonopy_params.yaml").read_text().replace("phonopy:", "phono3py:", 1)
    (tmp_path / "phono3py_params.yaml").write_text(text)
    with pytest.raises(DataFileError, match="lengths in au and forces in Ry/au .of qe., expected angstrom"):
        read_supercells(tmp_path / "phono3py_params.yaml")


def test_files_beside_and_in_the_current_folder(rock_salt, tmp_path, monkeypatch, caplog):
    """FORCE_SETS and BORN belong to the YAML file of their folder, not to the folder in which the command runs."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir(), there.mkdir()
    monkeypatch.chdir(here)
    rock_salt.save(there / "phonopy_disp.yaml", settings={"force_sets": False, "born_effective_charge": False})
    write_FORCE_SETS(rock_salt.dataset, filename=here / "FORCE_SETS")
    rock_salt.produce_force_constants()
    write_born(here / "BORN", rock_salt)
    with pytest.raises(DataFileError, match="its folder has no FORCE_CONSTANTS or force_constants.hdf5 or FORCE_SETS"):
        load_phonon(there / "phonopy_disp.yaml")
    for name in ("FORCE_SETS", "BORN"):
        shutil.move(here / name, there / name)
    with caplog.at_level("INFO"):
        found = load_phonon(there / "phonopy_disp.yaml")
    assert "using FORCE_SETS and BORN from the same folder" in caplog.text
    np.testing.assert_allclose(found.nac_params["born"], rock_salt.nac_params["born"], atol=1e-9)
    (there / "FORCE_SETS").write_text("16\n1\n")
    with pytest.raises(DataFileError, match="not a file of phonopy that fits FORCE_SETS and BORN of the same folder"):
        load_phonon(there / "phonopy_disp.yaml")
