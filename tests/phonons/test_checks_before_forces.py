"""Files and options that are used after the forces are checked before the first one."""

import numpy as np
import pytest
from ase.build import molecule
from ase.io import write

from helpers.polar_crystal import PolarCrystal, zincblende
from tnep_calc.cli import loto, main, phonons
from tnep_calc.errors import InputError
from tnep_calc.phonons.workflow import Settings, run_phonons

pytest.importorskip("phonopy")

GOOD = "14.4\n2.5 0 0 0 2.5 0 0 0 2.5\n1.2 0 0 0 1.2 0 0 0 1.2\n-1.2 0 0 0 -1.2 0 0 0 -1.2\n"
TENSORS = (
    '2\nLattice="0 2.3 2.3 2.3 0 2.3 2.3 2.3 0" Properties=species:S:1:pos:R:3 pbc="T T T" '
    'epsilon_inf="2.5 0 0 0 2.5 0.1 0 0.1 2.5"\nZn 0.02 0 0\nO 1.15 1.15 1.15\n'
)
FILES = {
    "good": (GOOD, ""),
    "short": (GOOD[:60], "not a BORN file of this primitive cell"),
    "metal": (GOOD.replace("2.5 0 0 0", "9e9 0 0 0"), "a metal has no LO-TO splitting"),
    "nan": (GOOD.replace("1.2 0", "nan 0"), "Born charges are not all finite"),
    "tensors": (TENSORS, ""),
    "supercell": (TENSORS.replace("0 2.3 2.3 2.3", "0 5.3 2.3 2.3"), "not a multiple of the primitive cell"),
    "words": ("nothing\n", "words"),
    "widths": ("1 2.0 3.0\n", "must have 6 widths, one per mode"),
}


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Return a function that runs a command with a calculator, and the calculator."""
    calculator = PolarCrystal()
    for module in (phonons, loto):
        monkeypatch.setattr(module, "calculator_of", lambda args: (calculator, {"models": {}}))
    zincblende(a=4.55).write(tmp_path / "crystal.extxyz")  # not relaxed
    for name, (text, _) in FILES.items():
        (tmp_path / name).with_suffix(".extxyz" if text.startswith("2\n") else "").write_text(text)
    monkeypatch.chdir(tmp_path)
    return lambda name, *words: main([name, "crystal.extxyz", *words]), calculator


@pytest.mark.parametrize(
    ("words", "message"),
    [
        *((["--born", name], FILES[name][1]) for name in ("short", "metal", "nan", "words")),
        (["--born", "tensors.extxyz"], "nor an output with Born charges"),
        (["--raman-from", "supercell.extxyz"], FILES["supercell"][1]),
        (["--raman-from", "words"], "words"),
        (["--widths", "widths"], FILES["widths"][1]),
        *(([option, "missing"], "missing: no such file") for option in ("--born", "--raman-from", "--widths")),
        (["--md-raman", "words"], "words"),
        (["--porto", "z(zx)-z"], "must be perpendicular"),
        (["--porto", "[1,1](xx)-z", "--lattice-directions"], "[1,1]"),
        (["--polarization-scan", "z"], "needs light and polarization"),
        (["--porto", "z(xx)-z", "--no-raman"], "need Raman tensors"),
        (["--directions", "0", "0", "0"], "not all zero"),
        (["--laser", "-3"], "laser wavelength must be a positive number"),
        (["--temperature", "0"], "temperature must be a positive number"),
        (["--width", "0"], "positive numbers of cm^-1"),
        (["--born", "good", "--no-nac"], "--no-nac does not use the charges of --born"),
        (["--raman-from", "tensors.extxyz", "--no-raman"], "--no-raman does not use the files"),
    ],
)
def test_phonons(command, capsys, words, message):
    run, calculator = command
    assert run("phonons", "-o", "out", "--length", "6", *words) == 1
    assert message in capsys.readouterr().err
    assert calculator.calls == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        *((["--born", name], FILES[name][1]) for name in ("short", "metal")),
        (["--directions", "1", "0"], "three numbers for each direction, got 2"),
        (["--angle", "1", "0", "0", "2", "0", "0"], "two directions that are not parallel"),
        (["--plot", "a.png"], "--plot draws the scan of --angle"),
        (["--plot", "a.txt", "--angle", "1", "0", "0", "0", "0", "1"], "a.txt: give the figure a name"),
        (["--csv", "nowhere/a.csv"], "nowhere does not exist"),
    ],
)
def test_loto(command, capsys, words, message):
    run, calculator = command
    assert run("loto", "--length", "6", *words) == 1
    assert message in capsys.readouterr().err
    assert calculator.calls == 0


def test_usage_errors(tmp_path, capsys):
    (tmp_path / "a.xyz").write_text("nonsense")
    for words, text in (
        (["phonons", "missing.cif", "--energy", "nep.txt", "-o", "x"], "no such file"),
        (["phonons", str(tmp_path / "a.xyz"), "-o", "x"], "forces need a model"),
        (["loto", str(tmp_path / "a.xyz")], "forces need a model"),
    ):
        assert main(words) == 1
        assert text in capsys.readouterr().err


def test_molecule(command, capsys):
    run, calculator = command
    write("crystal.extxyz", molecule("H2O"))
    for words, message in (
        (["--born", "good", "--dim", "2", "2", "2"], "is treated as a molecule: leave out --born, --dim"),
        (["--laser", "0"], "laser wavelength must be a positive number"),
    ):
        assert run("phonons", "-o", "out", *words) == 1
        assert message in capsys.readouterr().err
    assert calculator.calls == 0


def test_previous_results_are_kept_if_a_file_is_damaged(command, capsys):
    run, calculator = command
    assert run("loto", "--length", "6", "--keep", "kept", "--born", "good") == 0
    calls = calculator.calls
    assert calls > 0
    assert run("loto", "--length", "6", "--keep", "kept", "--born", "short", "--restart") == 1
    assert run("loto", "--length", "6", "--keep", "kept", "--born", "good") == 0
    assert calculator.calls == calls + 1  # only the crystal at rest
    capsys.readouterr()


def test_a_folder_without_results_is_free(command, capsys):
    run, calculator = command
    words = ["phonons", "-o", "out", "--no-relax", "--dim", "1", "1", "1"]
    calculator.cutoff = 5.0
    assert run(*words) == 1
    assert "less than twice the cutoff" in capsys.readouterr().err
    assert run(*words, "--symprec", "0.001") == 1  # another calculation, but the first one has no results
    assert "less than twice the cutoff" in capsys.readouterr().err
    assert calculator.calls == 0


def test_arrays(tmp_path):
    calculator = PolarCrystal()
    with pytest.raises(InputError, match=r"shape \(2, 3, 3\) of the primitive cell, got \(3, 3, 3\)"):
        run_phonons(zincblende(), calculator, tmp_path, Settings(length=6), born=(np.zeros((3, 3, 3)), np.eye(3)))
    assert calculator.calls == 0


class Counted(PolarCrystal):
    """Counts the evaluations of all its objects."""

    total = 0

    def calculate(self, *args, **kwargs):
        Counted.total += 1
        super().calculate(*args, **kwargs)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        *((["--born", name], FILES[name][1]) for name in ("metal", "nan")),
        (["--born", "short"], "short: damaged, or not a BORN file"),
        (["--displacements", "random", "--number", "1"], "2 displaced supercells of 16 atoms are too few"),
        (["--supercell", "2", "2"], "supercell"),
        (["--amplitude", "0"], "must be positive"),
    ],
)
def test_fc(command, capsys, monkeypatch, words, message):
    run, _ = command
    monkeypatch.setattr(Counted, "total", 0)
    calculator = ["--calculator", f"{__name__}:Counted"]
    assert run("fc", "-o", "out", "--supercell", "2", *calculator, *words) == 1
    assert message in capsys.readouterr().err
    assert Counted.total == 0
