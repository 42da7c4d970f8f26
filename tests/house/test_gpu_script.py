"""``benchmarks/gpu.py`` runs from start to end, on stand-ins for a GPU."""

import json
import os
import subprocess
import sys

import pytest
import torch

from helpers.emulation import emulated_operators
from helpers.lammps_run import lmp_command
from helpers.paths import ROOT

pytestmark = pytest.mark.slow

PARTS = (
    "environment",
    *(
        f"parity {kind} {dtype}"
        for kind in ("potential", "dipole", "polarizability", "enthalpy")
        for dtype in ("float64", "float32")
    ),
    *(f"repeatable {kind}" for kind in ("potential", "dipole", "polarizability", "enthalpy")),
    *(f"{what} {family}" for what in ("calculator", "batch") for family in ("nep", "enthalpy", "radnet")),
    "LAMMPS, 1 rank",
    "LAMMPS, 2 ranks",
    *(f"memory over 100 {what}" for what in ("forces", "Raman derivative", "enthalpy")),
    "compute-sanitizer memcheck",
    "compute-sanitizer racecheck",
    "training",
    "LAMMPS single",
    "LAMMPS double",
    "neighbour search",
    *(f"born charges {path} {dtype}" for path in ("kernels", "plain torch") for dtype in ("float64", "float32")),
    "enthalpy all plain torch float32",
)


def run(*options):
    script = ROOT / "benchmarks" / "gpu.py"
    return subprocess.run([sys.executable, str(script), *options], capture_output=True, text=True, cwd=ROOT)


def test_all_parts_run(tmp_path, monkeypatch):
    emulated_operators()
    lmp_command(2)
    program = tmp_path / "compute-sanitizer"  # does nothing but run the program
    program.write_text('#!/bin/sh\n[ "$1 $3 $4" = "--tool --error-exitcode 9" ] && shift 4 && exec "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    done = run("--emulated", "--evaluations", "100", "--json", str(tmp_path / "gpu.json"))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    records = json.loads((tmp_path / "gpu.json").read_text())
    assert set(PARTS) <= {record["what"] for record in records}
    assert records[0]["gpu"] == "none: emulated"
    assert not [record for record in records if record["passed"] is False or "left out" in record["what"]]


def test_nothing_runs_without_a_gpu():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = run()
    assert done.returncode == 2 and "no GPU" in done.stdout and "nothing was run" in done.stdout
