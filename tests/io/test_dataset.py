"""Labelled structures: names of the labels, units, signs, and errors."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.structures.extxyz import from_atoms, read_dataset, write_dataset
from tnep_calc.units import EPSILON_0

CELL = [[3.0, 0, 0], [0.4, 3.5, 0], [0.1, -0.2, 4.0]]


def frame(**changes):
    rng = np.random.default_rng(1)
    atoms = Atoms("BN", positions=[[0, 0, 0], [1.1, 0.9, 1.0]], cell=CELL, pbc=True)
    results = {
        "energy": -3.5,
        "forces": rng.normal(size=(2, 3)),
        "stress": np.arange(1.0, 7.0),
        "dipole": np.array([0.1, 0.2, 0.3]),
    }
    results.update({k: v for k, v in changes.items() if k in results})
    atoms.calc = SinglePointCalculator(atoms, **{k: v for k, v in results.items() if v is not None})
    atoms.info["epsilon_inf"] = np.diag([2.0, 3.0, 4.0])
    atoms.arrays["born_charges"] = np.arange(18.0).reshape(2, 9)
    for key in ("epsilon_inf", "polarizability", "virial", "pol", "other"):
        if key in changes:
            atoms.info[key] = changes[key]
    if "born_charges" in changes:
        atoms.arrays["born_charges"] = changes["born_charges"]
    return atoms


def test_file_round_trip_units_and_signs(tmp_path):
    atoms = frame()
    write(tmp_path / "a.extxyz", [atoms, atoms])
    structures = read_dataset(tmp_path / "a.extxyz")
    assert len(structures) == 2
    s = structures[1]
    assert s.source == f"{tmp_path / 'a.extxyz'}, structure 1"
    volume = 3.0 * 3.5 * 4.0
    assert s.volume == pytest.approx(volume)
    assert s.symbols == ("B", "N") and s.pbc.all() and s.energy == -3.5
    np.testing.assert_allclose(s.forces, atoms.calc.results["forces"], atol=1e-7)
    np.testing.assert_allclose(s.virial, -volume * np.array([[1, 6, 5], [6, 2, 4], [5, 4, 3]]), rtol=1e-7)
    np.testing.assert_allclose(s.dipole, [0.1, 0.2, 0.3])
    np.testing.assert_allclose(s.polarizability, EPSILON_0 * volume * np.diag([1.0, 2.0, 3.0]), rtol=1e-7)
    # row-major: [atom, dipole component, displacement component]
    np.testing.assert_allclose(s.born_charges[1, 0], [9, 10, 11])


def test_labels_in_info_virial_wins_and_polarizability_wins():
    atoms = frame(virial=np.eye(3) * 2, polarizability=np.eye(3) * 5)
    s = from_atoms(atoms, "x")
    np.testing.assert_array_equal(s.virial, 2 * np.eye(3))
    np.testing.assert_array_equal(s.polarizability, 5 * np.eye(3))


def test_gradients_of_the_polarizability(tmp_path):
    """``epsilon_gradient`` (1/Å) becomes e·Å/V, symmetric; files that are written have the same label."""
    atoms = frame()
    slope = np.arange(54.0).reshape(2, 3, 3, 3)  # [atom, displacement, i, j]
    atoms.arrays["epsilon_gradient"] = slope.reshape(2, 27)
    write(tmp_path / "a.extxyz", atoms)
    (s,) = read_dataset(tmp_path / "a.extxyz", require=["polarizability_gradient"])
    expected = EPSILON_0 * s.volume * (slope + slope.transpose(0, 1, 3, 2)) / 2
    np.testing.assert_allclose(s.polarizability_gradient, expected, rtol=1e-7)
    write_dataset(tmp_path / "b.extxyz", [s])
    (again,) = read_dataset(tmp_path / "b.extxyz")
    np.testing.assert_allclose(again.polarizability_gradient, s.polarizability_gradient, rtol=1e-11)
    atoms = Atoms("BN", positions=[[0, 0, 0], [1.1, 0.9, 1.0]])
    atoms.arrays["epsilon_gradient"] = slope.reshape(2, 27)
    with pytest.raises(DataFileError, match="'epsilon_gradient' needs a cell with a volume"):
        from_atoms(atoms, "x")


def test_gpumd_style_line(tmp_path):
    path = tmp_path / "g.xyz"
    path.write_text(
        '2\nlattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3 pbc="F F F" dipole="1 2 3" '
        'pol="4 0.5 0 0.5 5 0 0 0 6"\nH 0 0 0\nH 0 0 0.7\n'
    )
    (s,) = read_dataset(path)
    np.testing.assert_array_equal(s.dipole, [1, 2, 3])
    np.testing.assert_array_equal(s.polarizability, [[4, 0.5, 0], [0.5, 5, 0], [0, 0, 6]])
    assert s.energy is None and s.forces is None and not s.pbc.any()


def test_case_of_header_names_does_not_matter(tmp_path):
    text = (
        '2\nenergy=-1 lattice="9 0 0 0 8 0 0 0 7" PROPERTIES=species:S:1:pos:R:3:force:R:3 virial="1 0 0 0 1 0 0 0 1"\n'
        "H 0 0 0 1 2 3\nH 0 0 0.7 4 5 6\n"
    )
    (tmp_path / "g.xyz").write_text(text + text.replace("energy=-1", 'energy=-2 PBC="T F T"'))
    one, two = read_dataset(tmp_path / "g.xyz")
    np.testing.assert_array_equal(one.cell, np.diag([9.0, 8.0, 7.0]))
    np.testing.assert_array_equal(two.forces, [[1, 2, 3], [4, 5, 6]])
    assert one.pbc.all() and two.pbc.tolist() == [True, False, True] and two.energy == -2


def test_keys_rename_a_field(tmp_path):
    atoms = frame(other=7.25)
    write(tmp_path / "a.extxyz", atoms)
    assert read_dataset(tmp_path / "a.extxyz", keys={"energy": "other"})[0].energy == 7.25
    with pytest.raises(DataFileError, match=r"structure 0: no 'missing' \(the key given for energy\); found .*other"):
        read_dataset(tmp_path / "a.extxyz", keys={"energy": "missing"})
    with pytest.raises(InputError, match="unknown field 'energi'; known: energy, forces"):
        read_dataset(tmp_path / "a.extxyz", keys={"energi": "other"})


def test_published_names_and_the_electric_field(tmp_path):
    atoms = Atoms("BN", positions=[[0, 0, 0], [1.1, 0.9, 1.0]], cell=CELL, pbc=True)
    atoms.info.update(total_energy=-2.5, polarization=[1.0, 2.0, 3.0], electric_field=[0.0, 0.01, 0.0])
    atoms.info["polarizability"] = np.diag([1.0, 2.0, 3.0])
    atoms.arrays["born_charge"] = np.arange(18.0).reshape(2, 9)
    for suffix in ("", ".gz", ".xz"):
        path = tmp_path / f"a.extxyz{suffix}"
        write(path, atoms, format="extxyz")
        (s,) = read_dataset(path, require=["energy", "dipole", "born_charges", "polarizability"])
        assert s.energy == -2.5
        np.testing.assert_array_equal(s.dipole, [1, 2, 3])
        np.testing.assert_array_equal(s.born_charges[1, 2], [15, 16, 17])
        np.testing.assert_array_equal(s.electric_field, [0, 0.01, 0])
    atoms.info["electric_field"] = [0.0, 0.01]
    with pytest.raises(DataFileError, match=r"x: 'electric_field' must have shape \(3,\), found \(2,\)"):
        from_atoms(atoms, "x")
    assert from_atoms(frame(), "x").electric_field is None


def test_missing_label_names_file_structure_and_field(tmp_path):
    bad = frame()
    del bad.arrays["born_charges"]
    write(tmp_path / "a.extxyz", [frame(), frame()])
    write(tmp_path / "a.extxyz", bad, append=True)
    message = r"a\.extxyz, structure 2: no born_charges \(looked for born_charges, born_charge, born_effective_charges, bec, becs; found"
    with pytest.raises(DataFileError, match=message):
        read_dataset(tmp_path / "a.extxyz", require=["born_charges"])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"energy": np.nan}, "'energy' is not finite"),
        ({"forces": np.full((2, 3), np.inf)}, r"'forces' is not finite \(6 of 6"),
        ({"born_charges": np.full((2, 9), np.nan)}, "'born_charges' is not finite"),
        ({"epsilon_inf": np.ones(6)}, "'epsilon_inf' must be nine numbers"),
        ({"epsilon_inf": np.array([[2.0, 1, 0], [0, 2, 0], [0, 0, 2]])}, "'epsilon_inf' must be symmetric"),
        ({"dipole": np.ones(2)}, r"'dipole' must have shape \(3,\), found \(2,\)"),
        ({"born_charges": np.ones((2, 6))}, r"'born_charges' must have shape \(2, 3, 3\)"),
        ({"virial": "much"}, "'virial' must be numbers"),
    ],
)
def test_bad_values(changes, message):
    atoms = frame()
    for key, value in changes.items():
        place = atoms.arrays if key == "born_charges" else atoms.info
        place[key] = value
        if key == "forces":
            atoms.calc.results["forces"] = value
            del atoms.info["forces"]
    with pytest.raises(DataFileError, match="file, structure 5: " + message):
        from_atoms(atoms, "file, structure 5")


def test_all_structures_that_cannot_be_used_are_named(tmp_path):
    frames = [frame() for _ in range(30)]
    for k in (3, 7, 9):
        frames[k].info["epsilon_inf"] = np.array([[2.0, 1.5, 0], [0.1, 2, 0], [0, 0, 2]])
    write(tmp_path / "a.extxyz", frames)
    message = (
        r"a\.extxyz, structure 3: 'epsilon_inf' must be symmetric, but its components xy and yx differ \(0.1, 1.5\): "
        r"symmetrise it if that is noise; 2 more "
    )
    with pytest.raises(DataFileError, match=message + r"structures of this file cannot be used: 7, 9$"):
        read_dataset(tmp_path / "a.extxyz")
    with pytest.raises(DataFileError, match=r"29 more .* used: 1, 2, .*, 20, \.\.\. 29$"):
        read_dataset(tmp_path / "a.extxyz", keys={"dipole": "nowhere"})


def test_invalid_structures(tmp_path):
    flat = frame()
    flat.cell[2] = flat.cell[1]
    with pytest.raises(DataFileError, match="linearly dependent"):
        from_atoms(flat, "x")
    molecule = Atoms("N2", positions=[[0, 0, 0], [0, 0, 1.1]])
    molecule.info["epsilon_inf"] = np.eye(3)
    with pytest.raises(DataFileError, match="'epsilon_inf' needs a cell"):
        from_atoms(molecule, "x")
    with pytest.raises(DataFileError, match="no such file"):
        read_dataset(tmp_path / "none.xyz")
    (tmp_path / "empty.xyz").write_text("")
    with pytest.raises(DataFileError, match=r"empty\.xyz"):
        read_dataset(tmp_path / "empty.xyz")
    (tmp_path / "broken.xyz").write_text("2\nenergy=1\nB 0 0 0\n")
    with pytest.raises(DataFileError, match=r"broken\.xyz, line 1: a frame of 2 atoms, but 1 lines follow"):
        read_dataset(tmp_path / "broken.xyz")


def test_reader_does_not_change_the_ase_object(tmp_path):
    write(tmp_path / "a.extxyz", frame())
    atoms = read(tmp_path / "a.extxyz")
    before = atoms.copy()
    from_atoms(atoms, "x")
    assert atoms == before and set(atoms.info) == set(before.info)
