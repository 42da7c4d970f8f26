"""Damaged and hostile files for the one reader of structures without labels, and limits of what a library may take."""

import os
import signal
import sys
import zipfile

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from fuzz.attempts import COUNT, attempt_mutations, time_limit

from tnep_calc.cli import main
from tnep_calc.errors import DataFileError, TnepError
from tnep_calc.io import trial
from tnep_calc.io.content import read_arrays, read_json
from tnep_calc.io.files import check_members, sha256
from tnep_calc.io.structures.single import read_structure

ATOMS = Atoms("BN", [[0, 0, 0], [1.4, 0.1, 0.2]], cell=[4, 5, 6], pbc=True)
FORMATS = {"POSCAR": "vasp", "a.data": "lammps-data", "a.cif": "cif", "a.json": "json", "a.xyz": "extxyz"}
DATA = (
    "made\n\n{} atoms\n2 atom types\n0 4 xlo xhi\n0 4 ylo yhi\n0 4 zlo zhi\n\nAtoms # atomic\n\n1 1 0 0 0\n2 2 1 1 1\n"
)
POSCAR = "BN\n1.0\n4 0 0\n0 5 0\n0 0 6\nB N\n{} 1\nDirect\n0 0 0\n{} 0.2 0.3\n"


@pytest.mark.parametrize("name", FORMATS)
def test_structures_are_read(name, tmp_path):
    write(tmp_path / name, ATOMS, format=FORMATS[name], **({"masses": True} if name == "a.data" else {}))
    found = read_structure(tmp_path / name)
    assert found.get_chemical_formula() == "BN" and found.get_volume() == pytest.approx(120)
    np.testing.assert_allclose(found.positions, ATOMS.positions, atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_a_result_or_one_line(name, tmp_path):
    write(tmp_path / name, ATOMS, format=FORMATS[name])
    attempt_mutations(name, (tmp_path / name).read_bytes(), read_structure, tmp_path / name, COUNT // 3)


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is limited only on Linux")
@pytest.mark.parametrize(
    ("name", "text"),
    [("POSCAR", POSCAR.format(10**9, 0.1)), ("a.data", DATA.format(10**15)), ("data.bn", DATA.format(10**15))],
)
def test_counts_that_would_take_all_memory(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataFileError, match="damaged: ASE asks for more than 1.1 GB of memory"), time_limit():
        read_structure(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.xyz", f"{10**18}\n\nH 0 0 0\n", "expected the number of atoms"),
        ("POSCAR", POSCAR.format(1, "nan"), "positions have a number above"),
        ("POSCAR", POSCAR.format(1, 0.1).replace("4 0 0", "1e12 0 0"), "have a number above"),
        ("d.lammpstrj", "ITEM: TIMESTEP\n0\nITEM: ATOMS id type x y z\n1 1 0 0 0\n", "no column with the elements"),
        ("a.cif", "", "cannot be read as a structure"),
    ],
)
def test_structures_that_are_refused(name, text, words, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataFileError, match=words) as found, time_limit():
        read_structure(tmp_path / name)
    assert "\n" not in str(found.value)


COMMANDS = {
    "structure of lammps": ["lammps", "model.pt", "--template", "nve", "--structure", "pipe", "-o", "in.nve"],
    "structure of phonons": ["phonons", "pipe", "--energy", "model.pt", "-o", "phonons"],
    "structure of bench": ["bench", "model.pt", "--structure", "pipe"],
    "model": ["predict", "a.xyz", "--energy", "pipe", "-o", "out.xyz"],
    "source of export": ["export", "pipe", "other.pt"],
    "configuration": ["train", "pipe"],
    "trajectory": [
        "series",
        "pipe",
        "-o",
        "a.h5",
        "--interval",
        "1fs",
        "--temperature",
        "300",
        "--dipole-model",
        "d.pt",
    ],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_pipe_is_one_line_of_every_command(name, tmp_path, monkeypatch, capsys):
    from helpers.random_nep import random_nep
    from tnep_calc import export_artifact

    monkeypatch.chdir(tmp_path)
    export_artifact(random_nep("potential"), "model.pt")
    export_artifact(random_nep("dipole"), "d.pt")
    write("a.xyz", ATOMS)
    os.mkfifo("pipe")
    with time_limit():
        assert main(COMMANDS[name]) == 1
    assert (
        capsys.readouterr().err
        == f"tnep {COMMANDS[name][0]}: error: pipe: is a pipe, socket or device, expected a regular file\n"
    )
    with pytest.raises(DataFileError, match="pipe"), time_limit():
        sha256("pipe")


def test_memory_of_a_trial():
    limit = 1 << 26
    assert trial.outcome(lambda: bytearray(limit // 2), 5, limit) is None
    if sys.platform == "linux":
        assert trial.outcome(lambda: bytearray(2 * limit), 5, limit) == "asks for more than 0.067 GB of memory"
    assert trial.outcome(lambda: bytearray(2 * limit), 5) is None


def test_deep_nesting_does_not_overflow_the_stack(tmp_path):
    """A library may have raised the limit of recursion, so each file is read in a process of its own."""
    from tnep_calc.artifact.metadata import Metadata
    from tnep_calc.io.series.spectrum_store import load_spectrum
    from tnep_calc.io.structures.read import read_structures

    deep = "[" * 100000
    for name, text, read in (
        ("a.json", deep, lambda path: read_json(path, "settings")),
        ("s.json", deep, load_spectrum),
        ("rows.json", deep, lambda path: read_structures([path])),
        ("b.json", deep, read_structure),
        ("a.xyz", f"1\nx={deep}\nH 0 0 0\n", read_structure),
        ("metadata", deep, lambda path: Metadata.from_json(path.read_text(), path)),
    ):
        path = tmp_path / name
        path.write_text(text)

        def refused(path=path, read=read):
            sys.setrecursionlimit(10**6)
            try:
                read(path)
            except TnepError:
                return
            os.kill(os.getpid(), signal.SIGKILL)

        assert trial.outcome(refused, 5) is None, name


def test_files_of_previous_runs(tmp_path):
    """An archive of zeros is refused by its declared size; damaged ones and those without an array are named."""
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w") as file,
    ):
        for _ in range(100):
            file.write(bytes(1 << 20))
    with pytest.raises(DataFileError, match="bomb.npz: unpacks to more than 300 times its size"):
        check_members(tmp_path / "bomb.npz")
    np.savez(tmp_path / "a.npz", key="k")
    assert read_arrays(tmp_path / "a.npz")["key"] == "k"
    data = (tmp_path / "a.npz").read_bytes()
    for damaged in (b"", data[:-30], data.replace(b"NUMPY", b"NUMPX")):
        (tmp_path / "b.npz").write_bytes(damaged)
        with pytest.raises(DataFileError, match="b.npz: damaged, or not"):
            read_arrays(tmp_path / "b.npz")
    with pytest.raises(DataFileError, match="a.npz: damaged, or not arrays of a previous run"):
        read_arrays(tmp_path / "a.npz", ["key", "forces"])
    for text in ("", "{", "\x00"):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(DataFileError, match="a.json: damaged, or not settings"):
            read_json(tmp_path / "a.json", "settings")
