"""Inputs from public bug reports: information in a file is used or refused, never ignored."""

import gzip
import logging
import os
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.db import connect
from ase.io import write

from helpers.paths import ROOT
from tnep_calc.calculators.tnep import TNEPCalculator
from tnep_calc.calculators.trajectory import evaluate_trajectory
from tnep_calc.datasets.checks import check_structures
from tnep_calc.errors import DataFileError, InputError, ModelFileError
from tnep_calc.io.files import read_bytes
from tnep_calc.io.gpumd.nep_in import read_nep_in
from tnep_calc.io.gpumd.nep_txt import read_nep
from tnep_calc.io.structures.extxyz import read_dataset
from tnep_calc.io.structures.read import read_structures
from tnep_calc.io.structures.single import read_structure
from tnep_calc.io.structures.trajectory import Trajectory
from tnep_calc.io.structures.vasp import read_vasp

CASES = ROOT / "tests/data/field-cases"


def case(number, name):
    (folder,) = CASES.glob(f"{number}-*")
    return folder / name


def test_steps_without_convergence_are_left_out(caplog):
    found = read_vasp(case("01", "OUTCAR.vasp5"))
    assert [s.energy for s in found] == [-6.7105, -6.7254]
    assert "did not converge in step 0 (NELM reached): this step is left out" in caplog.text


def test_a_run_without_any_converged_step_is_refused(tmp_path):
    text = case("01", "OUTCAR.vasp5").read_text()
    (tmp_path / "OUTCAR").write_text(text.replace("NELM   =     4", "NELM   =     2"))
    with pytest.raises(DataFileError, match="did not converge in step 0, 1, 2"):
        read_vasp(tmp_path / "OUTCAR")


HEADER = 'Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3 energy=-1.5 '


@pytest.mark.parametrize("words", ["converged=F", "scf_converged=false", "Is-Converged=0", 'not_converged="yes"'])
def test_structures_that_are_not_converged_are_left_out(words, tmp_path, caplog):
    good, bad = f"1\n{HEADER}converged=T\nH 0 0 0\n", f"1\n{HEADER}{words}\nH 0 0 0\n"
    (tmp_path / "a.extxyz").write_text(good + bad + good)
    assert len(read_dataset(tmp_path / "a.extxyz")) == 2
    assert "a.extxyz: not converged, as the file says, and left out: structure 1" in caplog.text
    (tmp_path / "a.extxyz").write_text(bad)
    with pytest.raises(DataFileError, match="a.extxyz: no calculation has converged"):
        read_dataset(tmp_path / "a.extxyz")


def test_rows_of_a_database_that_are_not_converged_are_left_out(tmp_path, caplog):
    with connect(tmp_path / "a.db") as rows:
        for converged in (True, False, True):
            rows.write(Atoms("H"), converged=converged)
    found = read_structures([tmp_path / "a.db"])[0]
    assert len(found) == 2 and "left out: structure 2" in caplog.text


def test_a_key_with_two_values(tmp_path, caplog):
    (tmp_path / "a.extxyz").write_text(f"1\n{HEADER}energy=-1.6\nH 0 0 0\n")
    with pytest.raises(DataFileError, match="line 2: energy is given twice, as '-1.5' and '-1.6'"):
        read_dataset(tmp_path / "a.extxyz")
    (tmp_path / "a.extxyz").write_text(f"1\n{HEADER}total_energy=-1.6 E0=-1.5\nH 0 0 0\n")
    assert read_dataset(tmp_path / "a.extxyz")[0].energy == -1.5
    assert "not read: E0 (--key energy=E0 reads it), total_energy (--key" in caplog.text
    caplog.clear()
    (tmp_path / "a.extxyz").write_text(f"1\n{HEADER}total_energy=-1.5\nH 0 0 0\n")
    read_dataset(tmp_path / "a.extxyz")
    assert not caplog.text


def test_empty_lines_between_frames():
    assert [s.energy for s in read_dataset(case("02", "frames.extxyz"))] == [-6.731, -6.711, -6.725]


def series(interval=None, **options):
    trajectory = Trajectory(case("03", "restart.xyz"), interval, **options)
    calculator = TNEPCalculator(dipole=case("03", "dipole-nep.txt"))
    return evaluate_trajectory(trajectory, calculator)[0].dipole, trajectory


def test_frames_repeated_by_a_restart_count_once():
    found, trajectory = series()
    assert len(found.values) == 10 and found.dt == 1.0 and trajectory.repeated == 2
    with pytest.raises(InputError, match=r"1 fs apart \(Time=\), but --interval says 5 fs"):
        series(5.0)


def test_gaps_between_frames(tmp_path):
    lines = case("03", "restart.xyz").read_text().splitlines(keepends=True)
    short = tmp_path / "gap.xyz"
    short.write_text("".join(lines[:12] + lines[16:]))
    with pytest.raises(DataFileError, match="frames are missing, the first after frame"):
        list(Trajectory(short))
    gapped = Trajectory(short, allow_gaps=True)
    list(gapped)
    assert len(gapped.starts) == 2


def test_a_crystal_without_a_cell_is_not_a_cluster(tmp_path):
    text = case("03", "restart.xyz").read_text().replace('Lattice="6 0 0 0 6 0 0 0 6" ', "").replace("T T T", "F F F")
    (tmp_path / "a.xyz").write_text(text)
    calculator = TNEPCalculator(dipole=case("03", "dipole-nep.txt"))
    with pytest.raises(InputError, match="--isolated"):
        evaluate_trajectory(Trajectory(tmp_path / "a.xyz"), calculator)
    assert len(evaluate_trajectory(Trajectory(tmp_path / "a.xyz"), calculator, isolated=True)[0].dipole.values) == 10


def test_l_max_with_one_value_keeps_the_default_of_the_others():
    assert read_nep_in(case("04", "nep.in")).l_max == (4, 1, 0, 0, 0, 0, 0)


def test_cutoff_lines_of_other_versions(tmp_path):
    with pytest.raises(ModelFileError, match="trained with use_typewise_cutoff"):
        read_nep(case("06", "typewise.txt"))
    text = case("06", "typewise.txt").read_text()
    for line in ("cutoff 5 4 50 30 -1 -1 -1", "cutoff 5 4"):
        (tmp_path / "nep.txt").write_text(text.replace("cutoff 5 4 50 30 2.5 2 -1", line))
        assert read_nep(tmp_path / "nep.txt").cutoff == 5.0
    with pytest.raises(ModelFileError, match="integers"):
        (tmp_path / "nep.txt").write_text(text.replace("2.5 2 -1", "").replace("n_max 1 1", "n_max 1.9 1"))
        read_nep(tmp_path / "nep.txt")
    with pytest.raises(ModelFileError, match="finite"):
        (tmp_path / "nep.txt").write_text(text.replace("5 4 50 30 2.5 2 -1", "5 nan 50 30"))
        read_nep(tmp_path / "nep.txt")


def test_difficult_outcars():
    (found,) = read_vasp(case("07", "OUTCAR.vdw"))
    assert found.energy == -6.7312 and found.forces.tolist() == [[0, 0, -0.1], [0, 0, 0.1]]
    with pytest.raises(DataFileError, match="at most ten elements; try the vasprun.xml"):
        read_vasp(case("07", "OUTCAR.types12"))


@pytest.mark.slow
def test_damaged_archives(tmp_path):
    with pytest.raises(DataFileError, match=r"damaged.extxyz.gz: damaged, or not a .gz archive"):
        read_dataset(case("08", "damaged.extxyz.gz"))
    with gzip.open(tmp_path / "bomb.extxyz.gz", "wb") as stream:
        for _ in range(100):
            stream.write(bytes(1 << 20))
    with pytest.raises(DataFileError, match="unpacks to more than 300 times"):
        read_bytes(tmp_path / "bomb.extxyz.gz")
    os.mkfifo(tmp_path / "pipe.extxyz")
    with pytest.raises(DataFileError, match="pipe"):
        read_bytes(tmp_path / "pipe.extxyz")


def test_labels_that_are_left_out_are_named(caplog):
    (found,) = read_dataset(case("09", "labels.extxyz"))
    assert found.virial is not None and found.born_charges is not None and found.polarizability is not None
    assert "REF_energy (--key energy=REF_energy reads it)" in caplog.text and "REF_forces" in caplog.text
    (found,) = read_dataset(case("09", "labels.extxyz"), keys={"energy": "REF_energy", "forces": "REF_forces"})
    assert found.energy == -1.5 and found.forces[0].tolist() == [0.1, 0.2, 0.3]


def test_a_file_without_labels_is_a_warning(tmp_path, caplog):
    (tmp_path / "a.xyz").write_text("1\n\nH 0 0 0\n")
    with caplog.at_level(logging.WARNING):
        read_dataset(tmp_path / "a.xyz")
    assert "no structure has a label" in caplog.text


def test_units_in_the_header(tmp_path):
    (found,) = read_dataset(case("10", "hartree.extxyz"))
    assert found.energy == pytest.approx(-13.605693) and found.forces[0, 0] == pytest.approx(0.5142207)
    text = case("10", "hartree.extxyz").read_text()
    (tmp_path / "a.extxyz").write_text(text.replace("energy-unit=hartree", "energy-unit=furlong"))
    with pytest.raises(DataFileError, match="line 2: unknown unit 'furlong' of the energy"):
        read_dataset(tmp_path / "a.extxyz")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("epsilon_unit", "F/m", "epsilon_unit is 'F/m'"),
        ("stress-unit", "GPa", "stress-unit is 'GPa'"),
        ("polarizability_unit", "bohr^3", "tnep data --unit polarizability=UNIT"),
        ("bec_units", "a.u.", "bec_units is 'a.u.'"),
        ("lattice_unit", "bohr", "lattice_unit is 'bohr'"),
        ("REF_energy_unit", "hartree", "ref_energy_unit is 'hartree'"),
        ("efield_unit", "a.u.", "efield_unit is 'a.u.'"),
        ("units", "real", "units=real is not eV and Å"),
        ("stress_unit", "eV/Angstrom^3", None),
        ("units", "metal", None),
        ("mass_unit", "kg", None),
    ],
)
def test_units_of_every_quantity_in_the_header(key, value, words, tmp_path):
    (tmp_path / "a.xyz").write_text(f"1\nenergy=-1.5 {key}={value}\nH 0 0 0\n")
    if words is None:
        assert read_dataset(tmp_path / "a.xyz")[0].energy == -1.5
        return
    with pytest.raises(DataFileError, match=f"a.xyz, line 2: .*{words}"):
        read_dataset(tmp_path / "a.xyz")


@pytest.mark.parametrize("key", ["unit_energy", "energy_units"])
def test_units_that_are_converted(key, tmp_path):
    (tmp_path / "a.xyz").write_text(f"1\nenergy=-0.5 {key}=hartree\nH 0 0 0\n")
    assert read_dataset(tmp_path / "a.xyz")[0].energy == pytest.approx(-13.605693)


@pytest.mark.parametrize("name", ["pbc-lower.extxyz", "properties-lower.extxyz"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_letter_case_and_byte_order_marks(tmp_path, name, mark):
    (tmp_path / name).write_bytes(mark + case("12", name).read_bytes())
    (found,) = read_dataset(tmp_path / name)
    assert found.pbc.tolist() == [True, True, False] and found.energy == -1.5
    assert np.array_equal(found.forces[0], [0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("tests/data/field-cases/12-extxyz-case/pbc-lower.extxyz", read_structures),
        ("tests/data/field-cases/01-vasp-scf-not-converged/OUTCAR.vasp5", read_structures),
    ],
)
def test_marks_and_encodings_of_recognized_files(name, read, tmp_path):
    content = (ROOT / name).read_bytes()
    path = tmp_path / Path(name).name
    path.write_bytes(b"\xef\xbb\xbf" + content)
    assert len(read([path])[0]) == len(read([ROOT / name])[0])
    path.write_bytes(content.decode().encode("utf-16"))
    with pytest.raises(DataFileError, match=f"{path.name}: is text in UTF-16, expected UTF-8"):
        read([path])


@pytest.mark.parametrize("kind", ["vasp", "cif", "proteindatabank", "gen"])
def test_marks_before_structures(kind, tmp_path):
    path = tmp_path / {"vasp": "POSCAR", "cif": "a.cif", "proteindatabank": "a.pdb", "gen": "a.gen"}[kind]
    write(path, bulk("NaCl", "rocksalt", a=5.6), format=kind)
    expected = read_structure(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_structure(path) == expected


def test_dipoles_of_charged_systems():
    findings = check_structures(read_dataset(case("13", "cation.extxyz")))
    assert [f.check for f in findings if f.field == "dipole"] == ["charge"]
