"""A command refuses an output that is one of its inputs, also through a link, and leaves it as it was."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from helpers.random_nep import random_nep
from tnep_calc import write_nep
from tnep_calc.cli import main
from tnep_calc.io.series.timeseries import Sampled, TimeSeries, write_timeseries


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for k in range(2):
        write_nep(f"d{k}.txt", random_nep("dipole", seed=k))
    frames = [Atoms("BN", [[0, 0, 0], [1.4 + 0.01 * k, 0, 0]], cell=[8, 8, 8], pbc=True) for k in range(3)]
    write("md.extxyz", frames)
    values = np.random.default_rng(0).normal(size=(200, 3))
    write_timeseries("run.h5", TimeSeries(dipole=Sampled(values, 1.0), temperature=300.0, cell=np.eye(3) * 8))
    Path("spectrum.txt").write_text("# cm^-1 x\n1 2\n3 4\n")
    return tmp_path


COMMANDS = {
    "data": ("data md.extxyz md.extxyz --force", "md.extxyz"),
    "data through a link": ("data link.extxyz md.extxyz --force", "md.extxyz"),
    "report": ("data --report md.extxyz md.extxyz --force", "md.extxyz"),
    "export": ("export d0.txt d0.txt --force", "d0.txt"),
    "predict": ("predict md.extxyz --dipole d0.txt -o md.extxyz --force", "md.extxyz"),
    "predict over the model": ("predict md.extxyz --dipole d0.txt -o d0.txt --force", "d0.txt"),
    "select": ("select md.extxyz --models d0.txt d1.txt -o md.extxyz --force", "md.extxyz"),
    "series": ("series md.extxyz -o md.extxyz --interval 1 --dipole-model d0.txt --force", "md.extxyz"),
    "ir": ("ir run.h5 -o run.h5 --force", "run.h5"),
    "ir figure": ("ir run.h5 -o new.txt --plot run.h5.png --force", "run.h5"),
    "lammps": ("lammps m.pt --template nve --structure md.extxyz --data md.extxyz --force", "md.extxyz"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_an_output_that_is_an_input_is_refused(name, folder, capsys):
    command, path = COMMANDS[name]
    os.symlink("md.extxyz", "link.extxyz")
    os.symlink("run.h5", "run.h5.png")
    if name == "lammps":
        from tnep_calc import export_artifact

        export_artifact(random_nep(), "m.pt")
    before = Path(path).read_bytes()
    assert main(command.split()) == 1
    assert "is a file that is read; give another name for the output" in capsys.readouterr().err
    assert Path(path).read_bytes() == before


@pytest.mark.slow
def test_names_that_are_not_utf8(folder):
    """In a process of its own: xdist cannot send captured output that is not UTF-8."""
    name = os.fsdecode(b"\xff.extxyz")
    try:
        Path(name).write_bytes(Path("md.extxyz").read_bytes())
    except OSError:
        pytest.skip("this file system allows only UTF-8 names")
    script = """
import os
import subprocess
import sys
from tnep_calc.cli import main
name = os.fsdecode(b"\\xff.extxyz")
assert main(["data", "--check", name]) == 0
assert main(["data", "out.extxyz", name]) in (0, 1)
assert main(["series", name, "-o", "out.h5", "--interval", "1", "--dipole-model", "d0.txt"]) in (0, 1)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert run.returncode == 0 and b"Traceback" not in run.stderr, run.stderr.decode(errors="replace")
