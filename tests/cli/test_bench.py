"""``tnep bench``: the measurements, and the advice that follows from them."""

import pytest
import torch
from ase.build import bulk

from helpers.random_nep import random_nep
from tnep_calc.cli import main
from tnep_calc.cli.bench import advice
from tnep_calc.io.gpumd.nep_txt import write_nep


def row(evaluation, dtype="float64", device="cpu", search=1.0):
    return {"device": device, "dtype": dtype, "atoms": 1000, "edges": 50.0, "list": search, "evaluation": evaluation}


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "nep.txt"
    write_nep(path, random_nep("dipole", cutoffs=(3.5, 3.0), l_max=2))
    return path


def test_table_of_sizes_and_precisions(model, tmp_path, capsys):
    bulk("BN", "zincblende", a=3.6).write(tmp_path / "bn.xyz", format="extxyz")
    options = ["--device", "cpu", "--seconds", "0.01", "--atoms", "16", "2"]
    assert main(["bench", str(model), "--structure", str(tmp_path / "bn.xyz"), *options]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    table = [line for line in lines if line[0] == "cpu"]
    assert [line[1:3] for line in table] == [["float64", "2"], ["float64", "16"], ["float32", "2"], ["float32", "16"]]
    assert {line[3] for line in table} == {"28.0"}  # 4, 12 and 12 neighbours within 3.5 A: 1.56, 2.55 and 2.98 A
    assert all(float(time) > 0 for line in table for time in line[4:6])
    assert any("RTX 3080 (published)" in " ".join(line) for line in lines)


def test_atoms_without_a_structure(model, capsys):
    options = ["--device", "cpu", "--dtype", "float32", "--seconds", "0.01", "--atoms", "27"]
    assert main(["bench", str(model), *options]) == 0
    assert " 27 " in capsys.readouterr().out


def test_wrong_input_is_one_line(model, tmp_path, capsys):
    bulk("Si").write(tmp_path / "si.xyz", format="extxyz")
    assert main(["bench", str(model), "--device", "cpu", "--structure", str(tmp_path / "si.xyz")]) == 1
    assert "does not know Si; it knows B, N" in capsys.readouterr().err
    assert main(["bench", str(model), "--atoms", "0"]) == 1
    assert "must be positive" in capsys.readouterr().err


def test_advice(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert advice([row(2.0), row(1.9, "float32")], "nep") == []
    assert "float32 is 2.0 times as fast on cpu" in advice([row(2.0), row(1.0, "float32")], "nep")[0]
    assert "larger skin" in advice([row(1.0, search=4.0)], "nep")[0]
    assert "plain torch on a GPU" in advice([row(1.0, device="cuda:0")], "radnet")[0]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert "1 of 4 cores" in advice([row(1.0)], "nep")[0]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert "8 threads share 4 cores" in advice([row(1.0)], "nep")[0]
