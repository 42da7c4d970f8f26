"""Relatives of the field cases: other programs' files, joined runs of different systems, many files of which some are bad."""

import lzma

import numpy as np
import pytest
from ase import Atoms
from ase.db import connect

from helpers.paths import DATA, ROOT
from tnep_calc.cli import main
from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.series.collect import collect_series
from tnep_calc.io.structures.espresso import read_espresso
from tnep_calc.io.structures.extxyz import read_dataset
from tnep_calc.io.structures.problems import Problems
from tnep_calc.io.structures.read import kind_of, read_structures
from tnep_calc.io.structures.trajectory import Trajectory
from tnep_calc.units import HARTREE

OUTCAR = ROOT / "tests/data/field-cases/01-vasp-scf-not-converged/OUTCAR.vasp5"
GOOD = "1\nenergy=-1.5\nH 0 0 0\n"
CELL = np.eye(3) * 10


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\n     Program PWSCF v.7.1 starts\n", "text output of pw.x: give the XML file"),
        ("\n     Program CP v.7.1 starts\n", "output of cp.x"),
        ('<?xml version="1.0"?>\n<Root><HEADER><FORMAT NAME="QEXML" VERSION="1.4.0"/></HEADER></Root>', "before 6.2"),
        ("# nfi  time(ps)  ekinc  Tcell(K)\n 10 1e-3 6e-4 0.0\n", "energies of cp.x"),
        (" CP2K| version string: CP2K version 2024.1\n", "output of CP2K"),
        ("ITEM: TIMESTEP\n0\n", "a dump of LAMMPS"),
        ("LAMMPS (22 Jul 2025)\n", "a log of LAMMPS"),
        (" Entering Gaussian System, Link 0=g16\n", "output of Gaussian"),
    ],
)
def test_files_of_other_programs_are_named(text, words, tmp_path):
    (tmp_path / "a.out").write_text(text)
    with pytest.raises(DataFileError, match=f"a.out: is .*{words}"):
        kind_of(tmp_path / "a.out")


@pytest.mark.parametrize("symbol", ["Xx", "X"])
def test_symbols_that_are_not_of_elements(symbol, tmp_path):
    (tmp_path / "a.xyz").write_text(GOOD.replace("H 0", f"{symbol} 0"))
    with pytest.raises(DataFileError, match=rf"a.xyz, structure 0: '{symbol}' is not the symbol of an element"):
        read_dataset([tmp_path / "a.xyz"])


DATA_OF_CP = """<?xml version="1.0" encoding="UTF-8"?>
<qes:espresso Units="Hartree atomic units" xmlns:qes="http://www.quantum-espresso.org/ns/qes/qes-1.0">
  <!--All quantities are in Hartree atomic units unless otherwise specified-->
  <general_info><xml_format NAME="QEXSD" VERSION="20.04.20">x</xml_format><creator NAME='CP' VERSION="6.6">x</creator>
  </general_info><input/>
  <output><atomic_structure nat="1" alat="9.0"><atomic_positions><atom name="H" index="1">0 0 0</atom></atomic_positions>
  <cell><a1>9 0 0</a1><a2>0 9 0</a2><a3>0 0 9</a3></cell></atomic_structure>
  <total_energy><etot>-1.7e1</etot></total_energy><forces rank="2" dims="3 1" order="F">1e-4 0 0</forces></output>
  <STATUS><STEP ITERATION="30"/></STATUS><status>0</status>
</qes:espresso>
"""


def test_xml_of_another_program_of_quantum_espresso(tmp_path):
    text = "<qes:espresso xmlns:qes='x'><general_info><creator NAME='{}' VERSION='7.1'/></general_info><output/></qes:espresso>"
    (tmp_path / "a.xml").write_text(text.format("CP"))
    with pytest.raises(DataFileError, match=r"written by the program CP, expected pw.x"):
        read_espresso([tmp_path / "a.xml"])
    layout = DATA_OF_CP.replace("NAME='CP'", "NAME='{}'")  # energy and forces beside each other, as cp.x writes them
    (tmp_path / "a.xml").write_text(layout.format("CP"))
    with pytest.raises(DataFileError, match=r"written by the program CP, expected pw.x"):
        read_structures([tmp_path / "a.xml"])
    (tmp_path / "a.xml").write_text(layout.format("PWSCF"))
    assert read_structures([tmp_path / "a.xml"])[0][0].energy == pytest.approx(-17 * HARTREE)
    (tmp_path / "a.xml").write_text(text.format("PWSCF"))
    with pytest.raises(DataFileError, match="no Cartesian positions"):
        read_espresso([tmp_path / "a.xml"])


def test_outcars_of_different_systems_in_one_file(tmp_path):
    first, rest = OUTCAR.read_text().split("\n", 1)
    two, three = (f"{first}\n   number of ions     NIONS =      {n}\n{rest}" for n in (2, 3))
    (tmp_path / "OUTCAR").write_text(two)
    assert len(read_structures([tmp_path / "OUTCAR"])[0]) == 2
    (tmp_path / "OUTCAR").write_text(two + three)
    with pytest.raises(DataFileError, match=r"different numbers of atoms \(2, 3\) joined in one file"):
        read_structures([tmp_path / "OUTCAR"])


def test_outputs_of_abinit_joined_in_one_file(tmp_path):
    data = lzma.decompress((DATA / "abinit" / "bn.abo.xz").read_bytes())
    (tmp_path / "two.abo").write_bytes(data + data)
    with pytest.raises(DataFileError, match="has 2 runs joined in one file"):
        read_structures([tmp_path / "two.abo"])


def dipoles(header=""):
    return header + "".join(f"{10 * k} 0.1 {k}.5 -0.3\n" for k in range(20))


def test_tables_of_gpumd_of_different_systems(tmp_path):
    block = "# dump_dipole\n# dt_output 5\n# num_atoms {}\n# cell {}\n"
    cells = ["10 0 0 0 10 0 0 0 10", "12 0 0 0 10 0 0 0 10", "10.01 0 0 0 10 0 0 0 10"]
    path = tmp_path / "dipole.out"
    for atoms, cell, words in ((65, cells[0], "64 and 65 atoms"), (64, cells[1], "the cells")):
        path.write_text(dipoles(block.format(64, cells[0])) + dipoles(block.format(atoms, cell)))
        with pytest.raises(DataFileError, match=f"its runs have {words}.*different systems: split the file"):
            collect_series([path], units={"dipole": "e*A"})
    path.write_text(dipoles(block.format(64, cells[0])) + dipoles(block.format(64, cells[2])))
    series, _ = collect_series([path], units={"dipole": "e*A"})  # NPT: nearly the same cell
    assert len(series.dipole.values) == 40


@pytest.mark.parametrize("other, told", [(3.0, True), (0.3, False)])
def test_tables_without_a_header_of_different_systems(other, told, tmp_path):
    """Nothing in the file says that it has two systems; the values do, if they are far enough apart."""
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.normal(size=(400, 3)), axis=0)
    smooth = 0.1 * (smooth - smooth.mean(axis=0)) / smooth.std(axis=0)
    path = tmp_path / "table.txt"
    np.savetxt(path, np.concatenate([smooth[:200], other + smooth[200:]]))
    options = {"file_format": "columns", "time_unit": "none", "interval": 1.0, "units": {"dipole": "e*A"}}
    _, notes = collect_series([path], **options)
    assert any("change suddenly from sample 200 to 201" in note for note in notes) == told
    np.savetxt(path, smooth)
    assert not collect_series([path], **options)[1]


def test_tables_of_lammps_with_other_columns_in_one_file(tmp_path):
    title = "# Time-averaged data for fix d\n# TimeStep {}\n"
    path = tmp_path / "d.dat"
    first = title.format("c_dip[1] c_dip[2] c_dip[3]")
    second = "".join(f"{200 + 10 * k} 0.1 {k}.5 -0.3\n" for k in range(20))
    path.write_text(dipoles(first) + title.format("c_pos[1] c_pos[2] c_pos[3]") + second)
    with pytest.raises(DataFileError, match=r"different columns joined in one file \(c_dip.*then c_pos"):
        collect_series([path], timestep=0.5, cell=CELL)
    path.write_text(dipoles(first) + first + second)
    assert len(collect_series([path], timestep=0.5, cell=CELL)[0].dipole.values) == 40


def test_rounding_is_judged_by_columns_that_vary(tmp_path):
    """The standard deviation of a constant column is not zero but about 1e-17."""
    head = "# Time-averaged data for fix d\n# TimeStep c_dip[1] c_dip[2] c_dip[3]\n"
    path = tmp_path / "d.dat"
    for small, told in ((0, False), (1e-4, True)):
        path.write_text(head + "".join(f"{k} 0.1 {k % 7}.5 {-30.3 + small * (k % 2):.6g}\n" for k in range(400)))
        notes = collect_series([path], timestep=0.5, cell=CELL)[1]
        assert any("rounding noise" in note for note in notes) == told


def test_property_files_of_ipi_with_other_columns_in_one_file(tmp_path):
    head = "# column   1     --> time{{femtosecond}} : x\n# cols.    {}-{} --> dipole{{debye}} : x\n"
    rows = "".join(f"{k}.0 0.1 {k}.5 -0.3 0.2\n" for k in range(5))
    (tmp_path / "p.out").write_text(head.format(2, 4) + rows + head.format(3, 5) + rows)
    with pytest.raises(DataFileError, match="different columns of 'dipole' joined in one file"):
        collect_series([tmp_path / "p.out"], cell=CELL)


def cp2k(atoms, volume, start=0):
    text = f" CP2K| version string: CP2K version 2024.1\n MD| Time step [fs]   0.5\n - Atoms:   {atoms}\n"
    text += f" CELL_TOP| Volume [angstrom^3]:   {volume}\n"
    for k in range(start, start + 5):
        text += f"  Dipole moment [Debye]\n    X= 0.1 Y= {k}.5 Z= 0.3  Total= 1.0\n MD| Step number   {k}\n"
    return text


def test_outputs_of_cp2k_of_different_systems_in_one_file(tmp_path):
    path = tmp_path / "md.out"
    for atoms, volume, words in ((97, 1000, "numbers of atoms"), (96, 1100, "volumes")):
        path.write_text(cp2k(96, 1000) + cp2k(atoms, volume, 5))
        with pytest.raises(DataFileError, match=f"different {words}"):
            collect_series([path], cell=CELL)
    path.write_text(cp2k(96, 1000) + cp2k(96, 1000, 5))
    assert len(collect_series([path], cell=CELL)[0].dipole.values) == 10


def test_labels_of_a_database_that_are_left_out_are_named(tmp_path, caplog):
    connect(tmp_path / "a.json").write(Atoms("H"), data={"dft_energy": -1.5})
    read_structures([tmp_path / "a.json"])
    assert "dft_energy (--key energy=dft_energy reads it)" in caplog.text and "no structure has a label" in caplog.text


@pytest.fixture
def mixed(tmp_path):
    for name in ("a", "c"):
        (tmp_path / f"{name}.xyz").write_text(GOOD)
    (tmp_path / "b.xyz").write_text(GOOD.replace("-1.5", "none"))
    (tmp_path / "d.txt").write_text("not data\n")
    (tmp_path / "OUTCAR").write_text("vasp.6.3.0\nend\n")
    (tmp_path / "bn.abo").write_bytes(lzma.decompress((DATA / "abinit" / "bn.abo.xz").read_bytes())[:5000])
    return [str(tmp_path / name) for name in ("a.xyz", "b.xyz", "c.xyz", "d.txt", "OUTCAR", "bn.abo", "none.xml")]


def test_all_bad_inputs_are_named_at_once_and_nothing_is_written(mixed, tmp_path, capsys):
    out = tmp_path / "out.extxyz"
    assert main(["data", str(out), *mixed]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 6 and "5 inputs cannot be used (listed above), so nothing was written" in lines[-1]
    for name in ("b.xyz", "d.txt", "OUTCAR", "bn.abo", "none.xml"):
        assert sum(f"{name}:" in line or f"{name}, " in line for line in lines) == 1
    assert not out.exists()
    with pytest.raises(DataFileError, match="5 inputs cannot be used: .*d.txt.*bn.abo"):
        read_structures(mixed)


def test_skip_bad_goes_on_with_the_others(mixed, tmp_path, capsys):
    out = tmp_path / "out.extxyz"
    assert main(["data", str(out), *mixed, "--skip-bad"]) == 0
    assert len(read_dataset(out)) == 2
    assert capsys.readouterr().err.count("cannot be used: ") == 5
    assert main(["data", str(tmp_path / "o.extxyz"), mixed[1], "--skip-bad"]) == 1
    assert "no input can be used" in capsys.readouterr().err


def test_bad_structures_of_required_labels_are_collected(tmp_path):
    (tmp_path / "a.xyz").write_text(GOOD + GOOD.replace("energy=-1.5", "x=1"))
    problems = Problems()
    structures, _ = read_structures([tmp_path / "a.xyz"], require=["energy"], problems=problems)
    assert len(problems.messages) == 1 and not structures


def test_a_dump_without_elements_says_how_to_write_them(tmp_path):
    text = "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n0 4\n0 4\n0 4\n"
    path = tmp_path / "d.lammpstrj"
    path.write_text(text + "ITEM: ATOMS id type x y z\n1 5 0 0 0\n")
    with pytest.raises(DataFileError, match="no column with the elements .*dump_modify ID element B N"):
        list(Trajectory(path, 1.0))
    path.write_text(text + "ITEM: ATOMS id type element x y z\n1 1 N 0 0 0\n")
    (atoms,) = Trajectory(path, 1.0)
    assert atoms.get_chemical_symbols() == ["N"]


def dump(steps):
    head = "ITEM: TIMESTEP\n{}\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n0 4\n0 4\n0 4\n"
    return "".join(head.format(k) + f"ITEM: ATOMS id element x y z\n1 N 0 0 0.{k % 997}\n" for k in steps)


def test_repeated_and_missing_frames_of_a_dump(tmp_path):
    path = tmp_path / "d.lammpstrj"
    path.write_text(dump([0, 10, 20, 30, 20, 30, 40, 50]))
    trajectory = Trajectory(path, 5.0)
    assert len(list(trajectory)) == 6 and trajectory.repeated == 2 and trajectory.dt == pytest.approx(5.0)
    path.write_text(dump([0, 10, 20, 50, 60]))
    with pytest.raises(DataFileError, match="2 frames are missing"):
        list(Trajectory(path, 5.0))
    gapped = Trajectory(path, 5.0, allow_gaps=True)
    assert len(list(gapped)) == 5 and gapped.starts == [0, 3]
    path.write_text(dump([0, 10, 25, 35]))
    with pytest.raises(DataFileError, match="a series needs equal steps"):
        list(Trajectory(path, 5.0))
    with pytest.raises(InputError, match="add --interval"):
        trajectory = Trajectory(path)
        list(trajectory)
        _ = trajectory.dt


def test_times_in_the_comments_of_cp2k(tmp_path):
    frame = "1\n i = {0}, time = {0}.500, E = -17.2\nN 0 0 0.{0}\n"
    (tmp_path / "pos.xyz").write_text("".join(frame.format(k) for k in (1, 2, 3, 3, 4)))
    trajectory = Trajectory(tmp_path / "pos.xyz")
    assert len(list(trajectory)) == 4 and trajectory.dt == 1.0 and trajectory.repeated == 1
