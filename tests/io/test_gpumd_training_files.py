"""Our files in the formats of GPUMD's nep program against files that it has written itself."""

import gzip

import numpy as np
import pytest

from helpers.paths import shared_data
from tnep_calc.errors import DataFileError
from tnep_calc.io.gpumd.nep_in import read_nep_in
from tnep_calc.io.gpumd.nep_txt import read_nep
from tnep_calc.io.gpumd.training_output import (
    append_row,
    loss_row,
    parity_tables,
    read_restart,
    table_errors,
    write_parity,
    write_restart,
)
from tnep_calc.io.gpumd.xyz import read_gpumd_xyz
from tnep_calc.training.gpumd.reference import evaluate


def table(path):
    return np.loadtxt(path, ndmin=2)


def compare(folder, data, kind, names, tmp_path, split, structures=None, tolerance=3e-6, **options):
    """Write our table of the published model and compare it with the published one; return it."""
    species = read_nep_in(folder / "nep.in").species
    frames = read_gpumd_xyz(data, species, kind, **options)[:structures]
    atomic = options.get("atomic", False)
    tables = parity_tables(kind, frames, evaluate(read_nep(folder / "nep.txt"), frames), atomic)
    paths = write_parity(tmp_path, split, tables)
    assert [path.name for path in paths] == [f"{name}_{split}.out" for name in names]
    for path in paths:
        ours, theirs = table(path), table(folder / f"{path.name}.gz")[: len(table(path))]
        half = ours.shape[1] // 2
        np.testing.assert_allclose(ours[:, half:], theirs[:, half:], rtol=1.1e-5, atol=1e-9)  # %g of a float32
        scale = np.abs(theirs[:, :half]).max()
        assert np.abs(ours[:, :half] - theirs[:, :half]).max() < tolerance * max(scale, 1), path.name
    return tables


@pytest.mark.parametrize(("kind", "tolerance"), [("dipole", 6e-6), ("polarizability", 2e-5)])
def test_molecules_of_qm7b(tmp_path, kind, tolerance):
    folder = shared_data("tnep/qm7b")
    compare(folder / kind, folder / "test.xyz.gz", kind, [kind], tmp_path, "test", 60, tolerance)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("qm7b/dipole", "dipole"),
        ("qm7b/polarizability", "polarizability"),
        ("atomic_dipole_water", "dipole"),
        ("atomic_polarizability_water", "polarizability"),
    ],
)
def test_errors_are_those_of_the_published_loss(name, kind):
    folder = shared_data(f"tnep/{name}")
    rows = table(folder / f"{kind}_test.out.gz")
    half = rows.shape[1] // 2
    errors = table_errors({kind: (rows[:, :half], rows[:, half:])}, "atomic" in name)
    last = gzip.open(folder / "loss.out.gz", "rt").read().splitlines()[-1]
    assert errors[kind] == pytest.approx(float(last.split()[5]), abs=6e-6)


def test_energies_forces_and_virials_of_lead_telluride(tmp_path):
    folder = shared_data("tnep/pbte")
    tables = compare(
        folder,
        folder / "train.xyz.gz",
        "potential",
        ["energy", "force", "virial", "stress"],
        tmp_path,
        "train",
        structures=1,
        tolerance=2e-5,
    )
    assert table_errors(tables)["virial"] == 0 and (tables["stress"][1] == -1e6).all()  # the data have no virials


@pytest.mark.parametrize("kind", ["dipole", "polarizability"])
def test_atomic_targets_in_water(tmp_path, kind):
    folder = shared_data(f"tnep/atomic_{kind}_water")
    tables = compare(folder, folder / "test.xyz.gz", kind, [kind], tmp_path, "test", 1, 1e-5, atomic=True)
    assert len(tables[kind][0]) == 192


def test_a_molecule_without_target_is_predicted(tmp_path):
    folder = shared_data("tnep/qm7b/dipole")
    data = folder / "new_molecule/train.xyz"
    species = read_nep_in(folder / "nep.in").species
    frames = read_gpumd_xyz(data, species, "dipole", prediction=True)
    tables = parity_tables("dipole", frames, evaluate(read_nep(folder / "nep.txt"), frames))
    path = write_parity(tmp_path, "train", tables)
    ours, theirs = path[0].read_text().split(), (folder / "new_molecule/dipole_train.out").read_text().split()
    assert ours[3:] == theirs[3:] == ["-1e+06"] * 3
    np.testing.assert_allclose(np.array(ours, float), np.array(theirs, float), atol=2e-6)
    with pytest.raises(DataFileError, match=r"train.xyz, structure 0: no dipole, which training a dipole model needs"):
        read_gpumd_xyz(data, species, "dipole")


def test_published_rows_of_loss_out_are_reproduced_to_the_character(tmp_path):
    for name, published in (("qm7b/dipole", 2000), ("pbte", 200)):
        lines = gzip.open(shared_data(f"tnep/{name}/loss.out.gz"), "rt").readlines()[-5:]
        for line in lines:
            generation, total, l1, l2, *errors = line.split()
            row = loss_row(int(generation), float(total), float(l1), float(l2), [float(e) for e in errors])
            assert row == line
            append_row(tmp_path / "loss.out", row)
        assert int(generation) == 100 * published
    assert len((tmp_path / "loss.out").read_text().splitlines()) == 10


def test_restart_round_trip(tmp_path):
    text = gzip.open(shared_data("tnep/pbte/nep.restart.gz"), "rt").read()
    (tmp_path / "published").write_text(text)
    mu, sigma = read_restart(tmp_path / "published", 3033)
    write_restart(tmp_path / "nep.restart", mu, sigma)
    assert (tmp_path / "nep.restart").read_text() == text
    for bad, message in ((text[:-40], "needs 3033 rows|two columns"), ("a b\n", "two columns"), ("1 -1\n", "3033")):
        (tmp_path / "bad").write_text(bad)
        with pytest.raises(DataFileError, match=message):
            read_restart(tmp_path / "bad", 3033)
    (tmp_path / "bad").write_text("1 -1\n")
    with pytest.raises(DataFileError, match="widths finite and not negative"):
        read_restart(tmp_path / "bad", 1)


WATER = """3
 LATTICE = " 5 0 0 0 6 0 0 0 7 " Energy=-3.5 pbc="F F F" VIRIAL="1 2 3 2.5 5 6 3.5 6.5 9" stress="1 0 0 0 1 0 0 0 1" \
Weight=2 dipole="1 2 3" pol="1 2 3 2.5 5 6 3.5 6.5 9" Properties=id:I:1:species:S:1:Pos:R:3:forces:R:3:apol:R:9:adipole:R:3
0 O 0 0 0 1 2 3 1 2 3 4 5 6 7 8 9 1 1 1
1 H 1 0 0 4 5 6 1 2 3 4 5 6 7 8 9 2 2 2
2 H 0 1 0 7 8 9 1 2 3 4 5 6 7 8 9 3 3 3
"""


def read(tmp_path, text, kind="potential", **options):
    path = tmp_path / "train.xyz"
    path.write_text(text)
    return read_gpumd_xyz(path, ("O", "H"), kind, **options)


def test_token_rules(tmp_path):
    (frame,) = read(tmp_path, WATER)
    s = frame.structure
    assert s.symbols == ("O", "H", "H") and s.pbc.all() and s.energy == -3.5 and frame.weight == 2
    np.testing.assert_array_equal(s.cell, np.diag([5.0, 6, 7]))
    np.testing.assert_array_equal(s.positions, [[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(s.forces, np.arange(1.0, 10).reshape(3, 3))
    lower = [[1, 2.5, 3.5], [2.5, 5, 6.5], [3.5, 6.5, 9]]  # the later of a symmetric pair
    np.testing.assert_array_equal(s.virial, lower)
    assert s.dipole is None and s.polarizability is None
    (frame,) = read(tmp_path, WATER.replace("VIRIAL", "other"))
    np.testing.assert_allclose(frame.structure.virial, -210 * np.eye(3), atol=1e-12)
    (frame,) = read(tmp_path, WATER, "polarizability", atomic=True)
    np.testing.assert_array_equal(frame.structure.polarizability, lower)
    np.testing.assert_array_equal(frame.atomic_polarizability[1], [1, 5, 9, 4, 8, 7])
    assert frame.structure.energy is None and frame.structure.forces is None
    (frame,) = read(tmp_path, WATER, "dipole", atomic=True)
    np.testing.assert_array_equal(frame.atomic_dipole, [[1, 1, 1], [2, 2, 2], [3, 3, 3]])
    assert len(read(tmp_path, WATER + WATER + "\n\n")) == 2
    assert len(read(tmp_path, WATER.replace("Weight", "dipole_unit=Debye energy_unit=eV Weight"), "dipole")) == 1


@pytest.mark.parametrize(
    ("old", "new", "kind", "message"),
    [
        ("3\n LATT", "3 atoms\n LATT", "potential", "line 1 must be a number of atoms, found '3 atoms'"),
        ("2 H 0 1 0 7 8 9 1 2 3 4 5 6 7 8 9 3 3 3\n", "", "potential", "expected 3 atoms, but the file ends after 2"),
        ("LATTICE", "cell", "potential", "no lattice; found cell"),
        ("5 0 0 0 6 0 0 0 7", "5 0 0 0 6 0 0 0", "potential", "'lattice' must be 9 numbers, found 8"),
        ("5 0 0 0 6 0 0 0 7", "5 0 0 0 6 0 5 6 0", "potential", "linearly dependent"),
        (
            "5 0 0 0 6 0 0 0 7",
            "5e-9 0 0 0 6 0 0 0 7",
            "potential",
            "structure 0: 'lattice' gives 1.43e.07 atoms per Å³",
        ),
        ("-3.5", "abc", "potential", "'energy' must be numbers, found 'abc'"),
        ("-3.5", "nan", "potential", "'energy' is not finite"),
        ("Energy", "other", "potential", "no energy, which training a potential model needs"),
        ("forces", "velocities", "potential", "no force column"),
        ("dipole=", "other=", "dipole", "no dipole"),
        ("pol=", "other=", "polarizability", "no pol"),
        (
            'pol="1 2 3 2.5',
            'pol="1 99 3 -1.86',
            "polarizability",
            r"'pol' must be symmetric, but its components xy and yx differ \(-1.86, 99\)",
        ),
        (
            'VIRIAL="1 2 3',
            'VIRIAL="1 2 9',
            "potential",
            r"'virial' must be symmetric, but its components xz and zx differ \(3.5, 9\)",
        ),
        (
            'VIRIAL="1 2 3 2.5 5 6 3.5 6.5 9" stress="1 0 0 0',
            'stress="1 0 0 2',
            "potential",
            "'stress' must be symmetric",
        ),
        ("Weight=2", "Weight=101", "potential", "'weight' must be above 0 and at most 100, found 101"),
        ("Properties", "props", "potential", "no properties"),
        ("Pos:R:3", "xyz:R:3", "potential", "must have 'pos'"),
        ("Pos:R:3", "Pos:R:2", "potential", "'pos' must have 3 columns, 'properties' says 2"),
        ("Pos:R:3", "Pos:R", "potential", "groups"),
        ("2 H 0 1 0", "2 H 0 1", "potential", "atom 2 has 19 columns, 'properties' says 20"),
        ("2 H 0 1 0", "2 H 0 1 x", "potential", "'pos' must be numbers"),
        ("2 H 0 1 0", "2 H 0 1 inf", "potential", "'pos' of atom 2 is not finite"),
        ("Weight=2", "energy_unit=Ha", "potential", "energy in other units than eV and Å, which GPUMD expects"),
        ("Weight=2", "stress-unit=GPa", "potential", "stress-unit is 'GPa', expected eV/Å"),
        ("Weight=2", "converged=F", "potential", "converged=F: the calculation has not converged"),
        ("Weight=2", "energy=-3.6", "potential", "energy is given twice, as '-3.5' and '-3.6'"),
        ("2 H 0", "2 h 0", "potential", "has h, but 'type' in nep.in names O H"),
    ],
)
def test_errors_name_structure_and_field(tmp_path, old, new, kind, message):
    assert WATER.count(old) >= 1
    with pytest.raises(DataFileError, match=message) as error:
        read(tmp_path, WATER.replace(old, new, 1), kind)
    assert "train.xyz, structure 0: " in str(error.value)


def test_atomic_targets_are_required_in_training(tmp_path):
    text = WATER.replace("adipole:R", "other:R").replace("dipole=", "d=")
    with pytest.raises(DataFileError, match=r"no adipole column \(atomic_v 1\)"):
        read(tmp_path, text, "dipole", atomic=True)
    assert read(tmp_path, text, "dipole", atomic=True, prediction=True)[0].atomic_dipole is None


def test_empty_and_missing_files(tmp_path):
    with pytest.raises(DataFileError, match="no structure in the file"):
        read(tmp_path, "\n")
    with pytest.raises(DataFileError, match="no such file"):
        read_gpumd_xyz(tmp_path / "test.xyz", ("H",), "dipole")
