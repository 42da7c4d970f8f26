"""The example inputs of lammps_plugin/ run unchanged."""

import numpy as np
import pytest

from helpers.lammps_run import run
from helpers.paths import ROOT
from helpers.toy_models import write_toy

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "lammps_plugin" / "examples"


def test_hybrid(tmp_path):
    write_toy(tmp_path / "energy.pt")
    result = run(tmp_path, (EXAMPLES / "in.hybrid").read_text(), 2)
    assert result.thermo["Step"] == 20


def test_nve_writes_the_series_for_spectra(tmp_path):
    for kind, name in (("potential", "energy"), ("dipole", "dipole"), ("polarizability", "polarizability")):
        write_toy(tmp_path / f"{name}.pt", kind, cutoff=4.0)
    text = "variable steps index 20\nvariable cells index 2\n" + (EXAMPLES / "in.nve").read_text()
    result = run(tmp_path, text, 2)
    assert result.thermo["Step"] == 20
    rows = np.loadtxt(tmp_path / "response.txt")
    assert rows[:, 0].tolist() == [0, 5, 10, 15, 20] and rows.shape[1] == 10
    assert np.abs(np.diff(rows[:, 1:], axis=0)).max() > 0
