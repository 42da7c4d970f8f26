"""``--json``: every command that prints numbers gives them on stdout as strict JSON, and its text on stderr."""

import json

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator, export_artifact
from tnep_calc.cli import COMMANDS, WITHOUT_NUMBERS, build_parser, main
from tnep_calc.io.gpumd.nep_txt import write_nep
from tnep_calc.io.numbers import plain
from tnep_calc.io.series.spectrum_text import read_spectrum


def refuse(word):
    raise AssertionError(f"{word} is not strict JSON")


def numbers(capsys, *words, status=0):
    """Run a command with ``--json``; return its numbers and the text on stderr."""
    assert main([words[0], "--json", *map(str, words[1:])]) == status
    out, err = capsys.readouterr()
    return json.loads(out, parse_constant=refuse), err


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_with_numbers_has_the_option(command):
    import argparse

    action = next(a for a in build_parser(command)._actions if isinstance(a, argparse._SubParsersAction))
    assert ("--json" in action.choices[command].format_help()) == (command not in WITHOUT_NUMBERS)


def test_info_and_export(folder, capsys):
    found, text = numbers(capsys, "info")
    assert "  python" in text and {"tnep_calc", "python", "torch"} <= set(found["installed"])
    write_nep(folder / "nep.txt", random_nep("dipole"))
    found, text = numbers(capsys, "export", "nep.txt", "dipole.pt", "--unit", "debye")
    assert (found["kind"], found["species"], found["cutoff"]) == ("dipole", ["B", "N"], 5.0)
    assert "dipole.pt: nep dipole" in text


def test_data_and_predict(folder, capsys):
    export_artifact(random_nep(), "energy.pt")
    frames = [bulk("BN", "zincblende", a=3.6, cubic=True) for _ in range(3)]
    for k, atoms in enumerate(frames):
        atoms.rattle(0.05, seed=k)
        atoms.info["energy"] = float(k)
    write("in.extxyz", frames)
    found, text = numbers(capsys, "data", "all.extxyz", "in.extxyz")
    assert found["structures"] == 3 and found["labels"] == {"energy": 3} and "3 structures in all.extxyz" in text
    found, _ = numbers(capsys, "data", "--check", "all.extxyz", "all.extxyz", status=0)
    assert found["structures"] == 6 and "duplicates" in {finding["check"] for finding in found["findings"]}
    found, text = numbers(capsys, "predict", "all.extxyz", "--energy", "energy.pt")
    calc = TNEPCalculator(energy="energy.pt")
    errors = [(calc.get_potential_energy(atoms) - k) / 8 for k, atoms in enumerate(frames)]
    (row,) = found["errors"]
    assert row["quantity"] == "energy" and row["unit"] == "eV/atom" and "RMSE" in text
    assert row["rmse"] == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-6)


def test_bench_and_select(folder, capsys):
    for k in (1, 2):
        write_nep(folder / f"{k}.txt", random_nep(seed=k))
    found, text = numbers(capsys, "bench", "1.txt", "--seconds", "0.01", "--atoms", "8", "--device", "cpu")
    assert [row["dtype"] for row in found["microseconds_per_atom"]] == ["float64", "float32"] and "us per atom" in text
    frames = [bulk("BN", "zincblende", a=3.6, cubic=True) for _ in range(5)]
    for k, atoms in enumerate(frames):
        atoms.rattle(0.1, seed=k)
    write("md.extxyz", frames)
    found, _ = numbers(capsys, "select", "md.extxyz", "--models", "1.txt", "2.txt", "--n", "2", "-o", "out.extxyz")
    assert len(found["selected"]) == 2 and found["unit"].startswith("eV")


def test_spectra(folder, capsys):
    steps = np.arange(6000)
    noise = np.cumsum(np.random.default_rng(0).normal(scale=0.05, size=(6000, 3)), axis=0)
    values = np.cos(2 * np.pi * 2.99792458e-5 * 800 * steps[:, None] + noise)  # 800 cm^-1, sampled every fs
    header = "Time-averaged data\nTimeStep c_dip[1] c_dip[2] c_dip[3]"
    np.savetxt("dipole.dat", np.column_stack([steps, values]), fmt="%d %.10g %.10g %.10g", header=header)
    options = ("--timestep", "1", "--temperature", "300", "--volume", "1000")
    found, _ = numbers(capsys, "series", "dipole.dat", "-o", "run.h5", *options)
    assert found["dipole"] == {"samples": 6000, "interval_fs": 1.0, "pieces": 1} and found["volume_A3"] == 1000
    found, text = numbers(capsys, "ir", "run.h5", "-o", "ir.txt", "--resolution", "30", "--fit", "lorentzian")
    assert found["parameters"] == plain(read_spectrum("ir.txt").parameters)
    (peak,) = found["peaks"]["absorption"]["peaks"]
    assert peak["position"] == pytest.approx(800, abs=15) and peak["area"] > 0 and "fitted with lorentzian" in text
    found, _ = numbers(capsys, "dielectric", "run.h5", "-o", "eps.txt", "--resolution", "30", "--eps-inf", "2")
    assert found["static_dielectric"]["mean"] > 2 and "loss" in found["peaks"]
    found, _ = numbers(capsys, "compare", "ir.txt", "--reference", "ir.txt")
    assert found["ir"]["overlap"] == pytest.approx(1.0)


def test_errors_leave_stdout_empty(folder, capsys):
    assert main(["export", "--json", "missing.txt", "m.pt"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("tnep export: error:")


def test_completion_knows_commands_options_and_choices(capsys):
    pytest.importorskip("shtab")
    for shell in ("bash", "zsh", "tcsh"):
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out
        assert all(word in script for word in ("phonons", "--enthalpy", "gaussian")), shell
