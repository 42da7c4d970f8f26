"""Checks before training: every error in the data is found at its place, and correct data give no warning."""

import re
from dataclasses import replace

import numpy as np
import pytest

from helpers.harmonic_crystal import BORN, CELL, changed, frames
from helpers.paths import shared_data
from tnep_calc.cli import main
from tnep_calc.datasets.checks import check_before_training, check_structures, summary
from tnep_calc.datasets.pairs import dipole_pairs, energy_pairs, quanta, slope
from tnep_calc.errors import DataFileError
from tnep_calc.io.structures.extxyz import read_dataset, write_dataset
from tnep_calc.training.nep.config import load_config
from tnep_calc.training.nep.data import read_structures
from tnep_calc.units import POLARIZABILITY_TO_BOHR3


def found(structures, check):
    return [f for f in check_structures(structures) if f.check == check]


def test_correct_data_give_no_warning():
    assert check_structures(frames()) == []
    assert check_before_training(frames()) == "data: 40 structures, nothing wrong found"


CASES = [
    ("finite", "error", "forces", 7, {"forces": lambda s: s.forces * np.nan}, "is not finite"),
    (
        "density",
        "error",
        "cell",
        7,
        {"cell": lambda s: s.cell * 1e-3, "pbc": np.array([True] * 3)},
        "atoms per Å³: is it in Å",
    ),
    ("distances", "error", "positions", 7, {"positions": lambda s: s.positions * 0.04}, "atoms . .* are 0.1. Å apart"),
    ("distances", "warning", "positions", 7, {"positions": lambda s: s.positions * 0.4}, "Å apart"),
    ("missing", "warning", "dipole", 7, {"dipole": None}, "missing here, present in 39"),
    ("units", "warning", "forces", 7, {"forces": lambda s: s.forces * 5000}, "eV/Å"),
    ("units", "warning", "energy", 7, {"energy": lambda s: s.energy - 1e8 * len(s)}, "1e.08 eV per atom"),
    ("units", "warning", "dipole", 7, {"dipole": lambda s: s.dipole + 1e6}, "e·Å per atom of a crystal"),
    ("units", "warning", "virial", 7, {"virial": lambda s: s.virial * 160.2}, "is the stress in eV/Å³"),
    ("units", "warning", "born_charges", 7, {"born_charges": lambda s: 0 * s.born_charges}, "all components are zero"),
    (
        "units",
        "warning",
        "polarizability",
        7,
        {"polarizability": lambda s: -s.polarizability},
        "static polarizability is pos",
    ),
    (
        "units",
        "warning",
        "polarizability",
        7,
        {"polarizability": lambda s: s.polarizability * POLARIZABILITY_TO_BOHR3},
        r"bohr³ \(atomic units\)",
    ),
    ("units", "warning", "electric_field", 7, {"electric_field": np.array([0, 0, 51.4])}, "up to 51.4 V/Å"),
    (
        "sum rule",
        "warning",
        "born_charges",
        7,
        {"born_charges": lambda s: s.born_charges + 0.1 * np.eye(3)},
        "the sum over atoms is up to 0.1 e",
    ),
    ("sign", "warning", "born_charges", None, {"born_charges": lambda s: -s.born_charges}, "mean of O is [+]1.90 e"),
    ("outliers", "warning", "energy", 7, {"energy": lambda s: s.energy + 5}, "energy per atom is"),
    ("outliers", "warning", "polarizability", 7, {"polarizability": lambda s: s.polarizability * 2}, "trace per atom"),
    (
        "derivatives",
        "warning",
        "energy",
        None,
        {"forces": lambda s: s.forces / 51.4},
        "51.4 times those expected from the forces",
    ),
    ("derivatives", "warning", "energy", None, {"forces": lambda s: -s.forces}, "another unit or sign"),
    (
        "derivatives",
        "warning",
        "dipole",
        None,
        {"dipole": lambda s: -2 * s.dipole},
        "do not follow from the Born charges",
    ),
    (
        "index order",
        "warning",
        "born_charges",
        None,
        {"born_charges": lambda s: s.born_charges.transpose(0, 2, 1)},
        "better when transposed",
    ),
]


@pytest.mark.parametrize("check, level, field, k, labels, message", CASES)
def test_each_mistake_is_found(check, level, field, k, labels, message):
    findings = found(changed(frames(), k, **labels), check)
    (finding,) = [f for f in findings if f.field == field]
    assert finding.level == level and re.search(message, finding.message), finding
    if k is not None:
        assert finding.sources[0] == "f.extxyz, structure 7" and str(finding).startswith(
            f"{level}: f.extxyz, structure 7: "
        )


def test_outlier_of_an_atom():
    z = np.array(BORN)
    z[2] *= 3
    z[3] = -(z[0] + z[1] + z[2])
    jittered = [replace(s, born_charges=s.born_charges * (1 + 0.001 * k)) for k, s in enumerate(frames())]
    (finding,) = [f for f in found(changed(jittered, 7, born_charges=z), "outliers")]
    assert finding.field == "born_charges" and "f.extxyz, structure 7, atom 2" in finding.sources


def test_duplicates():
    s = frames()
    twice = [*s, replace(s[3], source="g.extxyz, structure 0")]
    (finding,) = found(twice, "duplicates")
    assert finding.level == "warning" and finding.sources == ("g.extxyz, structure 0",)
    assert "same geometry as f.extxyz, structure 3" in finding.message
    twice[-1] = replace(twice[-1], energy=s[3].energy + 0.4)
    (finding,) = found(twice, "duplicates")
    assert finding.field == "energy" and "differs by 100 meV/atom" in finding.message
    twice[-1] = replace(twice[-1], electric_field=np.array([0.01, 0, 0]))  # another field is another structure
    assert not found(twice, "duplicates")


def test_quantum_jumps_are_noted_and_folded():
    s = changed(changed(frames(), 5, dipole=lambda s: s.dipole + CELL[1]), 6, dipole=lambda s: s.dipole - 2 * CELL[2])
    (finding,) = check_structures(s)
    assert (finding.level, finding.check, finding.field) == ("note", "quantum", "dipole")
    pairs = dipole_pairs(s)
    whole = quanta(pairs.change - pairs.expected, pairs.cells)
    involved = {k for pair, n in zip(pairs.indices, whole, strict=True) if n.any() for k in pair}
    assert {5, 6} <= involved and abs(whole).max() == 2
    ratio, correlation = slope(energy_pairs(s).change, energy_pairs(s).expected)
    # exact, as the crystal is harmonic
    assert ratio == pytest.approx(1, abs=1e-9) and correlation == pytest.approx(1, abs=1e-9)


FIELD = np.array([0.01, -0.02, 0.005])


def in_field(s):
    """Return the structure in a field, with linear response: H = U(0) + E.dP/2 - E.P."""
    change = s.polarizability @ FIELD
    forces = s.forces + np.einsum("i,aij->aj", FIELD, s.born_charges)
    return replace(
        s,
        source="h.extxyz, structure 0",
        electric_field=FIELD,
        dipole=s.dipole + change,
        forces=forces,
        virial=None,
        energy=s.energy + FIELD @ change / 2 - FIELD @ (s.dipole + change),
        born_charges=None,
        polarizability=None,
    )


@pytest.mark.parametrize(
    "field, labels",
    [
        ("energy", {"energy": lambda s: s.energy + FIELD @ CELL[0]}),  # a quantum between enthalpy and dipole
        ("energy", {"energy": lambda s: s.energy + FIELD @ s.dipole}),  # U in place of the enthalpy
        ("dipole", {"electric_field": -FIELD}),
        ("forces", {"forces": lambda s: s.forces[::-1]}),
    ],
)
def test_labels_in_a_field(field, labels):
    s = frames()
    assert check_structures([*s, in_field(s[3])]) == []
    shifted = replace(
        in_field(s[3]), dipole=in_field(s[3]).dipole + CELL[1], energy=in_field(s[3]).energy - FIELD @ CELL[1]
    )
    assert check_structures([*s, shifted]) == []  # another branch, but for both labels
    wrong = found(changed([*s, in_field(s[3])], 40, **labels), "field")
    assert field in [f.field for f in wrong] and wrong[0].sources == ("h.extxyz, structure 0",)


def test_before_training():
    s = changed(frames(), 4, electric_field=np.array([0.0, 0, 0.01]))
    with pytest.raises(
        DataFileError, match="^f.extxyz, structure 4: electric_field: labels in a field, which this kind"
    ):
        check_before_training(s)
    assert check_before_training(s, in_field=True).startswith("data: 40 structures")
    overlap = changed(frames(), 9, positions=lambda s: s.positions * 0.04)
    with pytest.raises(DataFileError, match="^f.extxyz, structure 9: positions: atoms"):
        check_before_training(overlap)
    bad = changed(frames(), None, polarizability=lambda s: s.polarizability * POLARIZABILITY_TO_BOHR3)
    assert "1 warning: units (polarizability)" in check_before_training(bad)
    assert check_before_training(bad, units=False).endswith("nothing wrong found")
    assert summary(1, []) == "data: 1 structure, nothing wrong found"


def test_molecules_and_empty_sets():
    molecule = replace(
        frames()[0], cell=np.zeros((3, 3)), pbc=np.array([False] * 3), virial=None, polarizability=np.eye(3) * 0.3
    )
    assert check_structures([molecule]) == [] and check_structures([]) == []
    (finding,) = check_structures([replace(molecule, polarizability=np.eye(3) * 60)])
    assert "Å³ per atom if in e·Å²/V per cell" in finding.message


@pytest.mark.parametrize("name, count", [("BaTiO3", 65)])
def test_published_data(name, count):
    """In DFT labels, only the jumps by quanta are reported."""
    findings = check_structures(read_dataset(shared_data(f"enthalpy/{name}.extxyz.gz")))
    assert [(f.level, f.check) for f in findings] == [("note", "quantum")]


def test_command(tmp_path, capsys):
    path = tmp_path / "f.extxyz"
    write_dataset(path, frames())
    assert main(["data", "--check", str(path)]) == 0
    assert capsys.readouterr().out == "data: 40 structures, nothing wrong found\n"
    write_dataset(path, changed(frames(), 3, born_charges=lambda s: s.born_charges + np.eye(3)), force=True)
    assert main(["data", "--check", str(path)]) == 0
    assert f"warning: {path}, structure 3: born_charges: the sum over" in capsys.readouterr().out
    write_dataset(path, changed(frames(), 3, positions=lambda s: s.positions * 0.04), force=True)
    assert main(["data", "--check", str(path)]) == 1
    assert f"error: {path}, structure 3: positions: atoms" in capsys.readouterr().out


TOML = """
[data]
files = ["f.extxyz"]
[model]
kind = "{kind}"
species = ["Mg", "O"]
[output]
directory = "out"
"""


def test_training_starts_with_the_checks(tmp_path, caplog, capsys):
    (tmp_path / "a.toml").write_text(TOML.format(kind="dipole"))
    caplog.set_level("INFO")
    config = load_config(tmp_path / "a.toml")
    write_dataset(tmp_path / "f.extxyz", changed(frames(), 3, born_charges=lambda s: s.born_charges + 0.1 * np.eye(3)))
    assert len(read_structures(config)) == 40
    assert "data: 40 structures, 1 warning: sum rule (born_charges); 'tnep data --check' lists them" in caplog.text
    write_dataset(tmp_path / "f.extxyz", [*frames(), in_field(frames()[3])], force=True)
    assert main(["train", str(tmp_path / "a.toml")]) == 1
    assert "f.extxyz, structure 40: electric_field: labels in a field" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
