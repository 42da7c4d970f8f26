"""Commands of lattice dynamics on the real ranks of ``mpiexec``, with a relaxation, which one rank does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ase.build import molecule
from ase.io import write

from helpers.polar_crystal import PolarCrystal, zincblende
from tnep_calc.cli import loto, main

pytestmark = pytest.mark.slow
pytest.importorskip("mpi4py", reason="mpi4py is not installed")
pytest.importorskip("phonopy")

CODE = """
import sys
from helpers.polar_crystal import PolarCrystal
from tnep_calc.cli import loto, main, phonons
loto.calculator_of = phonons.calculator_of = lambda args: (PolarCrystal(), {"models": {}})
sys.exit(main(sys.argv[1:]))
"""


def on_two_ranks(*words):
    """Return what a command prints on two ranks."""
    program = Path(sys.executable).parent / "mpiexec"
    paths = os.pathsep.join([str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    command = [str(program), "-n", "2", sys.executable, "-c", CODE, *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_a_crystal(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loto, "calculator_of", lambda args: (PolarCrystal(), {"models": {}}))
    zincblende(a=4.55).write("crystal.extxyz")
    words = ["loto", "crystal.extxyz", "--length", "6"]
    assert main(words) == 0
    shared = on_two_ranks(*words, "--keep", "kept")
    assert shared == capsys.readouterr().out
    assert len(list(Path("kept").glob("forces-*.npz"))) == 2


def test_a_molecule(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("water.extxyz", molecule("H2O"))
    assert on_two_ranks("phonons", "water.extxyz", "-o", "out", "--no-relax").count("tables: out/modes.csv") == 1
