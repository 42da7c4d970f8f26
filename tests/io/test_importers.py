"""``tnep data``: recognising kinds of files, databases, merging, and the command."""

import gzip

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write

from helpers.paths import DATA
from tnep_calc.cli import main
from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.structures.ase_db import read_ase_db
from tnep_calc.io.structures.extxyz import read_dataset
from tnep_calc.io.structures.read import convert_units, kind_of, read_structures
from tnep_calc.units import EPSILON_0

ABINIT = DATA / "abinit"
CHI = np.array([[1.5, 0.1, 0.0], [0.1, 1.6, 0.0], [0.0, 0.0, 1.7]])


def atoms():
    a = Atoms("BN", positions=[[0, 0, 0], [1.1, 0.9, 1.0]], cell=[3, 3, 4], pbc=True)
    a.calc = SinglePointCalculator(a, energy=-3.5, forces=np.array([[0.1, 0, 0], [-0.1, 0, 0]]))
    return a


@pytest.fixture
def database(tmp_path):
    with connect(tmp_path / "chi.db") as db:
        db.write(atoms(), group="a", data={"chi_dft": CHI.tolist(), "born": np.arange(18.0).reshape(2, 3, 3)})
        db.write(atoms(), tag=1.5, data={"chi_dft": CHI * 2})
    return tmp_path / "chi.db"


def test_database(database):
    first, second = read_ase_db(database, {"susceptibility": "chi_dft"})
    assert first.source == f"{database}, row 1" and second.source.endswith("row 2")
    assert first.energy == -3.5 and first.forces[1, 0] == -0.1
    np.testing.assert_allclose(first.polarizability, EPSILON_0 * 36 * CHI)
    np.testing.assert_allclose(second.polarizability, EPSILON_0 * 36 * CHI * 2)
    with pytest.raises(DataFileError, match=r"row 2: no 'born' \(the key given for born_charges\)"):
        read_ase_db(database, {"born_charges": "born"})
    (database.parent / "no.db").write_text("not a database")
    with pytest.raises(DataFileError, match=r"no\.db: cannot be read as a database"):
        read_ase_db(database.parent / "no.db")
    with pytest.raises(DataFileError, match=r"none\.db: no such file"):
        read_ase_db(database.parent / "none.db")


def test_kinds(tmp_path, database):
    write(tmp_path / "a.extxyz", atoms())
    (tmp_path / "a.xyz.gz").write_bytes(gzip.compress((tmp_path / "a.extxyz").read_bytes()))
    for name, text, kind in [
        ("OUTCAR", " vasp.6.3.0 18Jan22 (build) complex\n", "vasp"),
        ("v.xml", '<?xml version="1.0"?>\n<modeling>\n', "vasp"),
        ("q.xml", '<?xml version="1.0"?>\n<qes:espresso xmlns:qes="x">\n', "espresso"),
    ]:
        (tmp_path / name).write_text(text)
        assert kind_of(tmp_path / name) == kind
    assert kind_of(tmp_path / "a.extxyz") == kind_of(tmp_path / "a.xyz.gz") == "extxyz"
    assert kind_of(database) == "ase-db"
    assert all(kind_of(path) == "abinit" for path in ABINIT.glob("*.xz"))
    with pytest.raises(DataFileError, match=r"README\.md: unknown kind of file"):
        kind_of(ABINIT / "README.md")
    with pytest.raises(DataFileError, match="no such file"):
        kind_of(tmp_path / "none")
    with pytest.raises(InputError, match="unknown kind of file 'cp2k'"):
        read_structures([database], kind="cp2k")
    with pytest.raises(InputError, match="unknown label 'energi'"):
        read_structures([database], require=["energi"])


def test_command_merges_and_keeps_everything(tmp_path, database, capsys):
    write(tmp_path / "a.extxyz", [atoms(), atoms()])
    out = tmp_path / "out.extxyz"
    inputs = [tmp_path / "a.extxyz", ABINIT / "bn.abo.xz", database, ABINIT / "bn_DS3_DDB.xz"]
    arguments = ["data", str(out), *map(str, inputs)]
    assert main([*arguments, "--key", "susceptibility=chi_dft"]) == 1  # the extxyz file has no such key
    assert "a.extxyz, structure 0: no 'chi_dft'" in capsys.readouterr().err and not out.exists()
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "2 files (ABINIT" in text and "5 structures in" in text and "1  with born_charges" in text
    written, (direct, _) = read_dataset(out), read_structures(inputs)
    assert [len(s) for s in written] == [2] * 5
    for a, b in zip(written, direct, strict=True):
        for label in (
            "positions",
            "cell",
            "pbc",
            "energy",
            "forces",
            "virial",
            "dipole",
            "born_charges",
            "polarizability",
        ):
            if getattr(b, label) is None:
                assert getattr(a, label) is None
            else:
                np.testing.assert_allclose(getattr(a, label), getattr(b, label), rtol=1e-11, atol=1e-12)
    assert str(tmp_path) not in out.read_text() and 'source="chi.db, row 2"' in out.read_text()


def test_units(tmp_path, capsys):
    a = Atoms("BN", positions=[[0, 0, 0], [1.1, 0.9, 1.0]], cell=[3, 3, 4], pbc=True)
    a.info.update(dipole=[1.0, 2.0, 3.0], pol=2 * CHI)
    a.arrays["adipole"] = np.array([[0.0, 0, 1], [1, 2, 2]])
    write(tmp_path / "train.xyz", a, format="extxyz")
    (s,), _ = read_structures([tmp_path / "train.xyz"])
    (b,) = convert_units([s], {"dipole": "debye", "polarizability": "N*chi"})
    np.testing.assert_allclose(b.dipole, np.array([1, 2, 3]) / 4.80320, rtol=1e-5)
    np.testing.assert_allclose(b.atomic_dipole[1], np.array([1, 2, 2]) / 4.80320, rtol=1e-5)
    np.testing.assert_allclose(b.polarizability, EPSILON_0 * 36 * CHI)
    out = tmp_path / "out.extxyz"
    assert main(["data", str(out), str(tmp_path / "train.xyz"), "--unit", "polarizability=A^3"]) == 0
    (c,) = read_dataset(out)
    np.testing.assert_allclose(c.polarizability, 2 * CHI / 14.39964, rtol=1e-5)
    np.testing.assert_allclose(c.dipole, [1, 2, 3])
    with pytest.raises(InputError, match="unknown unit 'C' of the dipole; known: e[*]A, e[*]bohr, debye"):
        convert_units([s], {"dipole": "C"})
    with pytest.raises(InputError, match="not for 'energy'"):
        convert_units([s], {"energy": "Ry"})
    a.cell, a.pbc = None, False
    write(tmp_path / "train.xyz", a, format="extxyz")
    assert main(["data", str(out), str(tmp_path / "train.xyz"), "--unit", "polarizability=N*chi", "--force"]) == 1
    assert "structure 0: has no cell" in capsys.readouterr().err


def test_command_errors(tmp_path, database, capsys):
    for arguments, message in [
        ([str(database)], "give an output file and at least one input"),
        ([str(tmp_path / "a.txt"), str(database)], "the output comes first"),
        ([str(database), str(database)], "the output comes first"),
        (
            [str(tmp_path / "o.extxyz"), str(database), "--require", "dipole"],
            "row 1: no dipole (looked for dipole, polarization; found",
        ),
        ([str(tmp_path / "o.extxyz"), str(database), "--key", "energy"], "--key must be FIELD=NAME"),
    ]:
        assert main(["data", *arguments]) == 1
        assert message in capsys.readouterr().err
    assert main(["data", str(tmp_path / "o.extxyz"), str(ABINIT / "bn_DS3_DDB.xz"), "--require", "energy"]) == 1
    assert "bn_DS3_DDB.xz: has no energy, which every structure must have" in capsys.readouterr().err
    assert not (tmp_path / "o.extxyz").exists()
    assert main(["data", str(tmp_path / "o.extxyz"), str(database)]) == 0
    assert main(["data", str(tmp_path / "o.extxyz"), str(database)]) == 1
    assert "exists; give another name, or --force" in capsys.readouterr().err
    assert main(["data", str(tmp_path / "o.extxyz"), str(database), "--force"]) == 0
