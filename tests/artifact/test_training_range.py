"""Artifacts store the range of their training data, and calculator and commands say when a structure is outside."""

import json
import logging
import zipfile
from itertools import combinations_with_replacement

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from helpers.random_enthalpy import CUTOFF, RADIAL, SPECIES, random_sites
from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator
from tnep_calc.artifact import METADATA_FILE, export_artifact, export_enthalpy, export_mean, in_precision, load_artifact
from tnep_calc.artifact.training_range import POWERS, TrainingRange, describe, environments, is_range
from tnep_calc.cli import main
from tnep_calc.errors import InputError
from tnep_calc.io.structures.extxyz import from_atoms, write_dataset
from tnep_calc.neighbors import NeighborList


def crystal(seed=0, scale=1.0):
    atoms = bulk("BN", "zincblende", a=3.6 * scale, cubic=True)
    atoms.rattle(0.05, seed=seed)
    return atoms


def structures(count=12):
    return [from_atoms(crystal(seed), f"structure {seed}") for seed in range(count)]


def known(count=12, cutoff=5.0):
    return TrainingRange.of(structures(count), ("B", "N"), cutoff)


def edges_of(atoms, cutoff=5.0):
    return NeighborList(cutoff).edges(atoms.positions, atoms.cell.array, atoms.pbc)


def test_environments_agree_with_sums_over_images():
    atoms, cutoff = crystal(3), 4.5
    index = np.array([{"B": 0, "N": 1}[s] for s in atoms.get_chemical_symbols()])
    found = environments(edges_of(atoms, cutoff + 1.0), index, 2, cutoff)
    shifts = np.array([[a, b, c] for a in range(-2, 3) for b in range(-2, 3) for c in range(-2, 3)]) @ atoms.cell.array
    for i in range(len(atoms)):
        r = np.linalg.norm(atoms.positions[None] + shifts[:, None] - atoms.positions[i], axis=2)
        for t in range(2):
            near = r[:, index == t]
            near = near[(near > 1e-6) & (near < cutoff)]
            expected = [near.min(), *(((1 - near / cutoff) ** power).sum() for power in POWERS)]
            np.testing.assert_allclose(found[i, t], expected, rtol=1e-12)


def test_training_structures_are_inside_and_others_are_not():
    for structure in structures():
        atoms = Atoms(structure.symbols, structure.positions, cell=structure.cell, pbc=True)
        assert known().outside(edges_of(atoms), structure.symbols).atoms == 0
    dense = known().outside(edges_of(crystal(1, 0.9)), crystal().get_chemical_symbols())
    assert dense.atoms == dense.total == 8 and dense.excess > 0.1 and "8 of 8 atoms" in describe(dense)
    close = crystal()
    close.positions[1] = close.positions[0] + [0.9, 0, 0]
    found = known().outside(edges_of(close), close.get_chemical_symbols())
    assert found.atoms == 6 and found.words.startswith("the nearest N of N is 1.27 Å away, there at least 2.3")


def test_a_species_or_pair_that_the_data_lack():
    boron = TrainingRange.of(structures(), ("B", "N", "C"), 5.0)
    carbon = crystal()
    carbon.symbols[0] = "C"
    found = boron.outside(edges_of(carbon), carbon.get_chemical_symbols())
    assert found.words == "they have no C" and np.isinf(found.excess)
    molecules = [from_atoms(Atoms(pair, [[0, 0, 0], [1.5, 0, 0]]), pair) for pair in ("B2", "N2")]
    mixed = TrainingRange.of(molecules, ("B", "N"), 5.0).outside(
        edges_of(Atoms("BN", [[0, 0, 0], [1.5, 0, 0]])), ["B", "N"]
    )
    assert mixed.words == "B has a neighbour N, which it never has there"
    with pytest.raises(InputError, match="has C, but the model knows B N"):
        known().outside(edges_of(carbon), carbon.get_chemical_symbols())


def test_the_table_keeps_the_range_and_damage_is_refused():
    table = json.loads(json.dumps(known().table()))
    again = TrainingRange.from_table(table, ("B", "N"))
    np.testing.assert_allclose([again.low, again.high], [known().low, known().high], rtol=1e-6)
    assert is_range(table) and is_range(None)
    for change in ({"low": 3}, {"cutoff": "x"}, {"powers": [1]}, {"high": {}}, {"low": {"B": [[0]]}}):
        assert not is_range({**table, **change})
    both = TrainingRange.of(structures(3), ("B", "N"), 5.0).union(TrainingRange.of(structures(12), ("B", "N"), 5.0))
    np.testing.assert_array_equal(both.low, known().low)


def test_the_calculator_warns_once(tmp_path, caplog):
    export_artifact(random_nep(), tmp_path / "m.pt", training_range=known().table())
    calc = TNEPCalculator(energy=tmp_path / "m.pt")
    atoms = crystal(1)
    atoms.calc = calc
    atoms.get_forces()
    assert not caplog.records
    atoms.set_cell(0.9 * atoms.cell.array, scale_atoms=True)
    for _ in range(120):
        atoms.rattle(0.001)
        atoms.get_forces()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "energy model: 8 of 8 atoms are outside the range of the training data" in record.getMessage()


def test_models_without_a_range_stay_silent(tmp_path, caplog):
    export_artifact(random_nep(), tmp_path / "m.pt")
    with zipfile.ZipFile(tmp_path / "m.pt") as old, zipfile.ZipFile(tmp_path / "old.pt", "w") as new:
        for name in old.namelist():  # as an earlier version wrote it: without the entry
            data = old.read(name)
            if name.endswith(METADATA_FILE):
                content = json.loads(data)
                assert content.pop("training_range") is None
                data = json.dumps(content)
            new.writestr(name, data)
    for model in (tmp_path / "m.pt", tmp_path / "old.pt", random_nep()):
        atoms = crystal(1, 0.7)
        atoms.calc = TNEPCalculator(energy=model)
        atoms.get_forces()
    assert not caplog.records


@pytest.mark.slow
def test_means_and_other_precisions_keep_the_range(tmp_path):
    ranges = []
    for k in range(2):
        atoms = [Atoms("SiO2", [[0, 0, 0], [1.6 + 0.1 * k, 0, 0], [0, 1.7, 0]])]
        own = TrainingRange.of([from_atoms(a, "molecule") for a in atoms], SPECIES, CUTOFF)
        ranges.append(own)
        export_enthalpy(
            [random_sites(seed=k)], SPECIES, CUTOFF, RADIAL, 0.0, tmp_path / f"{k}.pt", training_range=own.table()
        )
    export_mean([tmp_path / "0.pt", tmp_path / "1.pt"], tmp_path / "mean.pt")
    mean = load_artifact(tmp_path / "mean.pt")
    found = TrainingRange.from_table(mean.metadata.training_range, SPECIES)
    np.testing.assert_allclose(found.low, ranges[0].union(ranges[1]).low, rtol=1e-6)
    assert in_precision(mean, "float32").metadata.training_range == mean.metadata.training_range


def test_export_with_data_and_predict(tmp_path, capsys):
    from tnep_calc import write_nep

    write_nep(tmp_path / "nep.txt", random_nep())
    write_dataset(tmp_path / "train.xyz", structures())
    far = [*structures(2), from_atoms(crystal(0, 0.9), "dense")]
    write_dataset(tmp_path / "far.xyz", far)
    model = str(tmp_path / "model.pt")
    assert main(["export", str(tmp_path / "nep.txt"), model, "--data", str(tmp_path / "train.xyz")]) == 0
    assert "range      of 12 training structures" in capsys.readouterr().out
    assert main(["predict", str(tmp_path / "far.xyz"), "--energy", model]) == 0
    assert (
        "1 of 3 structures are outside the range of the training data, furthest structure 2" in capsys.readouterr().out
    )
    assert main(["predict", str(tmp_path / "train.xyz"), "--energy", model]) == 0
    assert "outside" not in capsys.readouterr().out
    again = str(tmp_path / "again.pt")
    assert main(["export", model, again, "--data", str(tmp_path / "far.xyz")]) == 0
    assert load_artifact(again).metadata.training_range["structures"] == 3
    energies = []
    for path in (model, again):
        atoms = crystal(5)
        atoms.calc = TNEPCalculator(energy=path)
        energies.append(atoms.get_potential_energy())
    assert energies[0] == energies[1]
    assert main(["export", model, model, "--force", "--data", str(tmp_path / "far.xyz")]) == 1
    assert "is a file that is read" in capsys.readouterr().err


def test_export_of_an_artifact_in_another_precision(tmp_path, capsys):
    single, double = str(tmp_path / "single.pt"), str(tmp_path / "double.pt")
    export_enthalpy([random_sites()], SPECIES, CUTOFF, RADIAL, 1.5, single, "float32")
    assert main(["export", single, double, "--dtype", "float64"]) == 0
    atoms = Atoms("SiO2", [[0, 0, 0], [1.6, 0, 0], [0, 1.7, 0]])
    found = []
    for path in (single, double):
        atoms.calc = TNEPCalculator(enthalpy=path, dtype="float64")
        found.append(atoms.get_forces())
    np.testing.assert_allclose(*found, atol=1e-12)
    assert load_artifact(double).metadata.dtype == "float64"
    assert main(["export", single, str(tmp_path / "x.pt")]) == 1
    assert "--dtype or --data" in capsys.readouterr().err


def test_the_pairs_of_species_are_complete():
    table = known().table()
    for a, b in combinations_with_replacement(range(2), 2):
        assert len(table["low"]["BN"[a]][b]) == 1 + len(POWERS)
