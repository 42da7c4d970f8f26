"""A real signal stops a real training of each kind: the state is saved, a message says so, and it resumes exactly."""

import csv
import json
import os
import signal
import subprocess
import sys

import pytest
from ase.io import write

from helpers.gpumd_folders import options, write_xyz
from helpers.structures import random_structure
from tnep_calc.cli import main
from tnep_calc.io.gpumd.nep_in import write_nep_in
from tnep_calc.io.structures.extxyz import write_dataset

pytestmark = pytest.mark.slow

TABLES = """
[data]
files = ["data.extxyz"]
validation_fraction = 0.0
test_fraction = 0.0
{}
[output]
directory = "out"
report_interval = 10000
checkpoint_interval = 10000
"""
KINDS = {
    "enthalpy": """[model]
kind = "enthalpy"
species = ["N", "B"]
cutoff = 3.0
channels = 3
hidden = 6
[optimizer]
epochs = {}
""",
    "potential": """[model]
kind = "potential"
species = ["N", "B"]
radial_cutoff = 3.7
angular_cutoff = 3.0
n_max = [2, 2]
basis_size = [3, 3]
neurons = 5
[optimizer]
steps = {}
lbfgs_steps = 0
""",
}
# The process signals itself after some steps, so the test needs no timing.
CODE = """
import os, signal, sys
import {module} as module
from tnep_calc.cli import main
original, count = module.{name}.{method}, []
def step(self, *arguments):
    original(self, *arguments)
    count.append(1)
    if len(count) == 3:
        os.kill(os.getpid(), signal.{signal})
module.{name}.{method} = step
sys.exit(main(sys.argv[1:]))
"""
WHERE = {
    "enthalpy": ("tnep_calc.training.enthalpy.trainer", "EnthalpyTrainer", "advance"),
    "potential": ("tnep_calc.training.nep.trainer", "Trainer", "advance"),
    "snes": ("tnep_calc.training.gpumd.snes.trainer", "SnesTrainer", "step"),
}


def stopped(kind, number, *words):
    module, name, method = WHERE[kind]
    code = CODE.format(module=module, name=name, method=method, signal=number.name)
    done = subprocess.run(
        [sys.executable, "-c", code, "train", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 128 + number, done.stderr
    return done.stderr


@pytest.mark.parametrize("kind, number", [("enthalpy", signal.SIGTERM), ("potential", signal.SIGINT)])
def test_a_configuration(kind, number, tmp_path):
    write_dataset(tmp_path / "data.extxyz", [random_structure(k, "BN") for k in range(4)])
    (tmp_path / "run.toml").write_text(TABLES.format(KINDS[kind].format(6)))
    run, whole, cut = str(tmp_path / "run.toml"), tmp_path / "whole", tmp_path / "cut"
    assert main(["train", run, "-q", "-o", str(whole)]) == 0
    output = stopped(kind, number, run, "-o", str(cut))
    done = "1.5 of 6 epochs" if kind == "enthalpy" else "3 of 6 steps"
    assert f"stopped after {done}, and the state is saved: the same command, without --restart, resumes" in output
    assert sorted(path.name for path in cut.iterdir() if path.name != "log.csv") == ["checkpoint.pt"]
    assert main(["train", run, "-q", "-o", str(cut)]) == 0
    rows = [list(csv.DictReader((folder / "log.csv").open())) for folder in (whole, cut)]
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in rows[0]] == [
        {k: v for k, v in row.items() if k != "seconds"} for row in rows[1]
    ]
    errors = [json.loads((folder / "results.json").read_text())["errors"] for folder in (whole, cut)]
    assert errors[0] == errors[1]


def test_a_folder_of_the_evolution_strategy(tmp_path):
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
        write_nep_in(tmp_path / name / "nep.in", options("dipole", generation=6, output_interval=4))
        write_xyz(tmp_path / name / "train.xyz", range(5))
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert main(["train", str(whole), "--engine", "snes", "-q"]) == 0
    output = stopped("snes", signal.SIGTERM, str(cut), "--engine", "snes")
    assert "stopped after 3 of 6 generations, and the state is saved" in output
    assert main(["train", str(cut), "--engine", "snes", "-q"]) == 0
    for name in ("nep.txt", "nep.restart", "loss.out", "dipole_train.out"):
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name


def test_before_anything_is_saved(tmp_path, monkeypatch, capsys):
    import tnep_calc.training.enthalpy.run as module

    write(tmp_path / "data.extxyz", [])
    (tmp_path / "run.toml").write_text(TABLES.format(KINDS["enthalpy"].format(1)))

    def stop(config):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "EnthalpyTrainer", stop)
    assert main(["train", str(tmp_path / "run.toml"), "-q"]) == 130
    assert "nothing has been saved yet: the same command starts from scratch" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
