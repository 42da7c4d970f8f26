"""A wheel without its native part is complete: it works from an empty folder, without the sources."""

import json
import subprocess
import sys
import zipfile

import pytest

from helpers.paths import ROOT
from helpers.random_nep import random_nep
from tnep_calc.io.gpumd.nep_txt import write_nep

CODE = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
import tnep_calc, tnep_calc.training
from ase.build import bulk
from tnep_calc.cli import main
from tnep_calc.training.nep.config import load_config
assert tnep_calc.__file__.startswith(sys.path[0]) and tnep_calc.training.__file__.startswith(sys.path[0])
assert main(["info"]) in (0, 1) and main(["export", "nep.txt", "model.pt"]) == 0
atoms = bulk("BN", "zincblende", a=3.6)
atoms.calc = tnep_calc.TNEPCalculator(energy="model.pt")
print("energy", repr(float(atoms.get_potential_energy())))
"""


@pytest.mark.slow
def test_wheel_works_from_an_empty_folder(tmp_path):
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-build-isolation",
        "--no-deps",
        "-C",
        "wheel.cmake=false",
        "-C",
        f"build-dir={tmp_path / 'build'}",
        "-w",
        str(tmp_path),
        str(ROOT),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("tnep_calc-*.whl")
    package, empty = tmp_path / "package", tmp_path / "empty"
    zipfile.ZipFile(wheel).extractall(package)
    empty.mkdir()
    write_nep(empty / "nep.txt", random_nep())
    path = [str(package), *(p for p in sys.path if p and not p.startswith(str(ROOT / "tests")) and p != str(ROOT))]
    done = subprocess.run(
        [sys.executable, "-S", "-W", "ignore", "-c", CODE, json.dumps(path)], cwd=empty, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "energy" in done.stdout
    assert {p.name for p in empty.iterdir()} == {"nep.txt", "model.pt"}
