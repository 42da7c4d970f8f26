"""Quantum ESPRESSO's XML: published frames, branches in any cell, and the errors."""

import numpy as np
import pytest
from ase.io import read

from helpers.paths import shared_data
from tnep_calc.errors import DataFileError
from tnep_calc.io.structures.espresso import RYDBERG_DIPOLE, RYDBERG_FIELD, read_espresso
from tnep_calc.io.structures.extxyz import from_atoms, read_dataset, write_dataset
from tnep_calc.polarization import fold_dipole
from tnep_calc.units import BOHR, HARTREE

CELL = np.array([[7.0, 0, 0], [3.0, 6.5, 0], [-1.0, 1.5, 8.0]])  # bohr; skewed, so that folding per axis is wrong
ALPHA = np.array([[1.2, 0.1, 0.0], [0.1, 1.4, -0.2], [0.0, -0.2, 1.1]])  # e·Å²/V
BORN = np.array([[[1.1, 0.2, 0.3], [0.4, 1.5, 0.6], [0.7, 0.8, 1.9]]] * 2) * np.array([1, -1])[:, None, None]
FORCES = np.array([[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]])
P0 = np.array([0.1, -0.2, 0.3]) @ CELL * BOHR  # e·Å


def run(path, field, raw_quanta=(0, 0, 0), energy_quanta=(0, 0, 0), lelfield=True, species="Mg O1", **replace):
    """Write the XML of a model with linear response; add quanta to the printed dipole and to the dipole in etot."""
    field = np.asarray(field, dtype=float)
    dipole = P0 + ALPHA @ field
    forces = FORCES + np.einsum("i,aij->aj", field, BORN)
    internal = -7.0 + field @ ALPHA @ field / 2
    in_energy = dipole + np.asarray(energy_quanta) @ CELL * BOHR

    def numbers(a):
        return " ".join(f"{x:.17e}" for x in np.ravel(a))

    printed = (dipole + np.asarray(raw_quanta) @ CELL * BOHR) / RYDBERG_DIPOLE
    positions = np.array([[0.0, 0, 0], [2.0, 2.1, 1.9]])
    info = (
        f"<electric_field><finiteElectricFieldInfo><electronicDipole>{numbers(printed - 50)}</electronicDipole>"
        f"<ionicDipole>50 50 50</ionicDipole></finiteElectricFieldInfo></electric_field>"
    )
    text = f"""<?xml version="1.0"?>
<qes:espresso xmlns:qes="http://www.quantum-espresso.org/ns/qes/qes-1.0"><input><electric_field>
<electric_potential>{"homogenous_field" if lelfield else "none"}</electric_potential>
<electric_field_vector>{numbers(field / RYDBERG_FIELD)}</electric_field_vector></electric_field></input>
<output><convergence_info><scf_conv><convergence_achieved>true</convergence_achieved></scf_conv></convergence_info>
<atomic_structure nat="2"><atomic_positions>
<atom name="{species.split()[0]}" index="1">{numbers(positions[0])}</atom>
<atom name="{species.split()[1]}" index="2">{numbers(positions[1])}</atom></atomic_positions>
<cell><a1>{numbers(CELL[0])}</a1><a2>{numbers(CELL[1])}</a2><a3>{numbers(CELL[2])}</a3></cell></atomic_structure>
<total_energy><etot>{(internal - field @ in_energy) / HARTREE:.17e}</etot></total_energy>
<forces rank="2" dims="3 2">{numbers(forces * BOHR / HARTREE)}</forces>
<stress rank="2" dims="3 3">1e-4 0 0 0 2e-4 0 0 0 3e-4</stress>
{info if lelfield else ""}</output></qes:espresso>"""
    for old, new in replace.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


def test_set_with_branch_changes_in_a_skewed_cell(tmp_path):
    e = 0.01
    files = [
        run(tmp_path / "y.xml", [0, e, 0], raw_quanta=(1, -1, 0), energy_quanta=(1, -1, 0)),
        run(tmp_path / "0.xml", [0, 0, 0], raw_quanta=(2, 1, -1)),
        run(tmp_path / "x.xml", [e, 0, 0], energy_quanta=(-1, 0, 1)),
        run(tmp_path / "z.xml", [0, 0, e], raw_quanta=(0, 0, 1)),
    ]
    base, y, x, z = read_espresso(files)
    assert base.symbols == ("Mg", "O") and base.pbc.all() and base.electric_field is None
    np.testing.assert_allclose(base.dipole, P0, atol=1e-10)
    np.testing.assert_allclose(base.polarizability, ALPHA, atol=1e-9)
    np.testing.assert_allclose(base.born_charges, BORN, atol=1e-9)
    np.testing.assert_allclose(base.forces, FORCES, atol=1e-12)
    volume = np.linalg.det(CELL)
    np.testing.assert_allclose(base.virial, np.diag([1, 2, 3]) * 1e-4 * volume * HARTREE, rtol=1e-12)
    for s, field in ((x, [e, 0, 0]), (y, [0, e, 0]), (z, [0, 0, e])):
        np.testing.assert_allclose(s.electric_field, field, atol=1e-14)
        np.testing.assert_allclose(s.dipole, P0 + ALPHA @ field, atol=1e-9)
        assert s.energy == pytest.approx(-7.0 - field @ P0 - field @ ALPHA @ field / 2, abs=1e-9)
        assert s.virial is None and s.born_charges is None


def test_any_three_fields_suffice(tmp_path):
    fields = [[0, 0, 0], [0.01, 0.005, 0], [-0.01, -0.005, 0], [0, 0.01, -0.01], [0.002, 0, 0.01]]
    base, *_ = read_espresso([run(tmp_path / f"{k}.xml", f) for k, f in enumerate(fields)])
    np.testing.assert_allclose(base.polarizability, ALPHA, atol=1e-9)
    np.testing.assert_allclose(base.born_charges, BORN, atol=1e-9)


def test_incomplete_sets(tmp_path, caplog):
    (plain,) = read_espresso([run(tmp_path / "p.xml", [0, 0, 0], lelfield=False)])
    assert plain.dipole is None and plain.polarizability is None and plain.energy == pytest.approx(-7.0)
    base, _ = read_espresso([run(tmp_path / "0.xml", [0, 0, 0]), run(tmp_path / "x.xml", [0.01, 0, 0])])
    assert base.born_charges is None and base.dipole is not None
    assert "do not span all directions" in caplog.text


def published_set(name, tmp_path):
    """Return the four runs as structures, the nearest published frame (the first), and the matching order of its atoms."""
    folder = shared_data("enthalpy/qe_example")
    same = from_atoms(read(shared_data(f"enthalpy/{name.split('-')[0]}.extxyz.gz"), index=0), "published")
    base, *in_field = read_espresso([folder / f"{name}-E{k}-0.xml.xz" for k in "0xyz"])
    order = np.linalg.norm(same.positions - base.positions[:, None], axis=2).argmin(axis=1)
    assert sorted(order) == list(range(len(base)))
    assert [same.symbols[k] for k in order] == list(base.symbols)
    for s in in_field:  # the enthalpy belongs to the labels: H(E) = U(0) + E.dP/2 - E.P
        expected = base.energy + s.electric_field @ (s.dipole - base.dipole) / 2 - s.electric_field @ s.dipole
        assert s.energy == pytest.approx(expected, abs=1e-6)
    write_dataset(tmp_path / "out.extxyz", [base, *in_field])
    for a, b in zip([base, *in_field], read_dataset(tmp_path / "out.extxyz"), strict=True):
        assert b.energy == a.energy and a.symbols == b.symbols
        for label in ("positions", "cell", "forces", "dipole", "polarizability", "born_charges", "electric_field"):
            if getattr(a, label) is None:
                assert getattr(b, label) is None
            else:
                np.testing.assert_allclose(getattr(b, label), getattr(a, label), rtol=1e-11, atol=1e-12)
    return base, same, order


@pytest.mark.slow
def test_published_frame_of_sio2(tmp_path):
    base, same, order = published_set("SiO2-T300", tmp_path)
    assert base.energy == pytest.approx(same.energy, rel=5e-7)  # the published data use older constants
    np.testing.assert_allclose(base.positions, same.positions[order], atol=1e-6)
    np.testing.assert_allclose(base.forces, same.forces[order], atol=5e-6)
    np.testing.assert_allclose(base.virial, same.virial, atol=3e-5)
    np.testing.assert_allclose(base.dipole, same.dipole, atol=2e-7)
    np.testing.assert_allclose(base.polarizability, same.polarizability, rtol=4e-7, atol=1e-8)
    np.testing.assert_allclose(base.born_charges, same.born_charges[order], atol=1e-9)


def test_set_of_batio3_against_the_nearest_published_frame(tmp_path):
    """The energy of its run in E_z is on another branch than its dipole (by one quantum, 0.047 eV)."""
    base, near, order = published_set("BaTiO3", tmp_path)
    shift = base.positions - near.positions[order]
    assert np.abs(shift).max() < 0.011
    mean = (base.born_charges + near.born_charges[order]) / 2
    predicted, transposed = np.einsum("aij,aj->i", mean, shift), np.einsum("aji,aj->i", mean, shift)
    change = fold_dipole(base.dipole - near.dipole, base.cell)
    np.testing.assert_allclose(change, predicted, atol=3e-3)
    assert np.abs(change - predicted).max() < np.abs(change - transposed).max()
    np.testing.assert_allclose(base.polarizability, near.polarizability, atol=0.1)


def test_errors_name_the_file(tmp_path):
    zero, field = run(tmp_path / "zero.xml", [0, 0, 0]), run(tmp_path / "field.xml", [0.01, 0, 0])
    again = run(tmp_path / "again.xml", [0, 0, 0])
    with pytest.raises(DataFileError, match=r"field\.xml: is in a field, and no file has its geometry at E = 0"):
        read_espresso([field])
    with pytest.raises(DataFileError, match=r"again\.xml: the same geometry at E = 0 as .*zero\.xml"):
        read_espresso([zero, again])
    with pytest.raises(DataFileError, match=r"none\.xml: no such file"):
        read_espresso([tmp_path / "none.xml"])
    plain = run(tmp_path / "plain.xml", [0, 0, 0], lelfield=False)
    with pytest.raises(DataFileError, match=r"plain\.xml: has no polarization; run it with lelfield"):
        read_espresso([plain, field])
    large = run(tmp_path / "large.xml", [1.5, 0, 0])
    with pytest.raises(DataFileError, match=r"large\.xml: the dipole changes by 0\.\d+ quanta"):
        read_espresso([zero, large])
    off = run(tmp_path / "off.xml", [0.01, 0, 0], energy_quanta=(0.5, 0, 0))
    with pytest.raises(DataFileError, match=r"off\.xml: energy and polarization do not fit together"):
        read_espresso([zero, off])
    for old, new, message in [
        ("<convergence_achieved>true", "<convergence_achieved>false", "has not converged"),
        ("<ionicDipole>50 50 50", "<ionicDipole>50 50", "must be 3 finite numbers"),
        ("homogenous_field", "sawtooth_potential", "sawtooth"),
        ("</qes:espresso>", "", "is not complete XML"),
        ("qes:espresso", "modeling", "is not the XML file of a finished pw.x run"),
        ("Mg", "Xx9", "'Xx9' is not a chemical symbol"),
    ]:
        changed = run(tmp_path / "changed.xml", [0, 0, 0], **{old: new})
        with pytest.raises(DataFileError, match=rf"changed\.xml: .*{message}"):
            read_espresso([changed])
