"""Files of ph.x: charges of a real run against phonopy's BORN, frequencies of a real run, and a matrix file of c-BN."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from helpers.paths import DATA, shared_data
from helpers.ph_x_files import matrix_file, matrix_xml
from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.born import read_born
from tnep_calc.io.bravais import bravais_lattice
from tnep_calc.io.ph_x import is_matrix_file, is_ph_x, read_ph_x
from tnep_calc.units import BOHR, HARTREE, POLARIZABILITY_TO_A3

OUTPUT = DATA / "phonons" / "nacl_ph.out"

SILICON = """Dynamical matrix file
Si Gamma phonon
  1    2   2  10.2000000   0.0000000   0.0000000   0.0000000   0.0000000   0.0000000
           1  'Si     '    25597.911567706618
    1    1      0.0000000000      0.0000000000      0.0000000000
    2    1      0.2500000000      0.2500000000      0.2500000000

     Dynamical  Matrix in cartesian axes

     q = (    0.000000000   0.000000000   0.000000000 )

    1    1
  0.29148687   0.00000000    -0.00000000   0.00000000     0.00000000   0.00000000
 -0.00000000   0.00000000     0.29148687   0.00000000     0.00000000   0.00000000
  0.00000000   0.00000000    -0.00000000   0.00000000     0.29148687   0.00000000
    1    2
 -0.29155320   0.00000000     0.00000000   0.00000000     0.00000000   0.00000000
  0.00000000   0.00000000    -0.29155320   0.00000000    -0.00000000   0.00000000
  0.00000000   0.00000000    -0.00000000   0.00000000    -0.29155320   0.00000000
    2    1
 -0.29155320   0.00000000     0.00000000   0.00000000     0.00000000   0.00000000
  0.00000000   0.00000000    -0.29155320   0.00000000    -0.00000000   0.00000000
  0.00000000   0.00000000    -0.00000000   0.00000000    -0.29155320   0.00000000
    2    2
  0.29148687   0.00000000    -0.00000000   0.00000000     0.00000000   0.00000000
 -0.00000000   0.00000000     0.29148687   0.00000000     0.00000000   0.00000000
  0.00000000   0.00000000    -0.00000000   0.00000000     0.29148687   0.00000000

     Diagonalizing the dynamical matrix

     q = (    0.000000000   0.000000000   0.000000000 )
"""
"""A public run of ph.x for silicon, which printed frequencies of -5.585702 and 523.722541 cm^-1."""


def nacl(a=5.6903014761756712):
    phonopy = pytest.importorskip("phonopy")
    cell = a / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    atoms = phonopy.structure.atoms.PhonopyAtoms(
        symbols=["Na", "Cl"], cell=cell, scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    return phonopy.Phonopy(atoms, np.eye(3), "P")


def test_output_gives_the_born_file_of_phonopy():
    """phonopy ships BORN for this run, with 1.105385 after its charge sum rule, and eps_inf 2.472958201."""
    from tnep_calc.phonons.nac import set_nac

    for phonon in (nacl(), nacl(a=5.8)):  # also for a structure with another lattice constant
        charges, eps = read_born(OUTPUT, phonon)
        np.testing.assert_allclose(eps, 2.472958201 * np.eye(3), atol=1e-9)
        np.testing.assert_allclose(charges[0], 1.09923 * np.eye(3), atol=1.5e-5)
        phonon.force_constants = np.zeros((2, 2, 3, 3))
        used = set_nac(phonon, charges, eps).used
        np.testing.assert_allclose(used, 1.105385 * np.array([1, -1])[:, None, None] * np.eye(3), atol=6e-6)


def test_structure_of_an_output():
    run = read_ph_x(OUTPUT)
    assert run.symbols == ("Na",) * 4 + ("Cl",) * 4 and is_ph_x(OUTPUT)
    np.testing.assert_allclose(run.cell, 5.6903014761756712 * np.eye(3), atol=1e-4)
    np.testing.assert_allclose(run.positions[6], [0, run.cell[0, 0] / 2, 0], atol=1e-9)
    assert run.masses[7] == 35.453 and run.force_constants is None and run.polarizability_gradient is None


def test_charges_without_the_sum_rule_and_in_two_ways(tmp_path):
    """Newer versions print charges before and after the sum rule, and d P / du; those before the rule are used."""
    text = OUTPUT.read_text()
    title = "          Effective charges (d Force / dE) in cartesian axis\n"
    start = text.index(title)
    block = text[start + len(title) : text.index("     Representation #")]
    newer = text.replace(title, title[:-1] + " without acoustic sum rule applied (asr)\n").replace(
        "1   Na\n", "1   Na Mean Z*:        1.09924\n"
    )
    newer += title[:-1] + " with asr applied:\n" + block.replace("1.09924", "1.10000")
    newer += "          Effective charges (d P / du) in cartesian axis\n" + block.replace("1.09924", "1.20000")
    (tmp_path / "newer.out").write_text(newer)
    np.testing.assert_array_equal(read_ph_x(tmp_path / "newer.out").born_charges, read_ph_x(OUTPUT).born_charges)
    only = text[:start] + "          Effective charges (d P / du) in cartesian axis\n" + block.replace("Ex", "Px")
    (tmp_path / "only.out").write_text(only)
    np.testing.assert_array_equal(read_ph_x(tmp_path / "only.out").born_charges, read_ph_x(OUTPUT).born_charges)


def test_force_constants_give_the_frequencies_that_ph_x_printed(tmp_path):
    (tmp_path / "si.dyn").write_text(SILICON)
    run = read_ph_x(tmp_path / "si.dyn")
    assert run.masses == pytest.approx(28.085, abs=0.001) and run.born_charges is None
    np.testing.assert_allclose(run.cell, 5.1 * BOHR * np.array([[-1, 0, 1], [0, 1, 1], [-1, 1, 0]]), atol=1e-9)
    k = run.force_constants / (HARTREE / 2 / BOHR**2) / 25597.911567706618  # Rydberg units
    squared = np.array([k[0, 0, 0, 0] + k[0, 1, 0, 0], k[0, 0, 0, 0] - k[0, 1, 0, 0]])
    found = np.sign(squared) * np.sqrt(np.abs(squared)) * 109737.31568
    np.testing.assert_allclose(found, [-5.585702, 523.722541], atol=1e-3)


def boron_nitride():
    return json.loads((shared_data("phonons/BN-abinit") / "reference.json").read_text())


def test_matrix_file_gives_splitting_and_raman_tensor(tmp_path):
    phonopy = pytest.importorskip("phonopy")
    from tnep_calc.phonons import lo_to
    from tnep_calc.phonons.modes import gamma_modes
    from tnep_calc.phonons.nac import set_nac
    from tnep_calc.phonons.raman import activity, invariants, raman_tensors
    from tnep_calc.phonons.raman_source import gradient_from_files

    r = boron_nitride()
    path = tmp_path / "bn.dyn1"
    path.write_text(matrix_file(r))
    run = read_ph_x(path)
    cell = phonopy.structure.atoms.PhonopyAtoms(
        symbols=run.symbols, cell=run.cell, positions=run.positions, masses=run.masses
    )
    phonon = phonopy.Phonopy(cell, np.eye(3), "P")
    phonon.force_constants = run.force_constants
    set_nac(phonon, *read_born(path, phonon))
    found = lo_to(phonon, [[1, 1, 0]])[0]
    np.testing.assert_allclose(found[3:], [r["TO_cm1"], r["TO_cm1"], r["LO_cm1_own_asr_charges"]], atol=6e-4)
    tensors = raman_tensors(gradient_from_files([path], phonon), gamma_modes(phonon))
    np.testing.assert_allclose(activity(invariants(tensors[3:])), r["raman_activity_S_A4_per_amu_per_mode"], rtol=1e-6)


def test_raman_tensor_has_the_unit_of_the_package(tmp_path):
    r = boron_nitride()
    (tmp_path / "bn.dyn1").write_text(matrix_file(r))
    found = read_ph_x(tmp_path / "bn.dyn1").polarizability_gradient
    expected = r["volume_A3"] / (4 * np.pi) * r["d_eps_yz_du_x_atom0_per_A"] / POLARIZABILITY_TO_A3
    assert found[0, 0, 1, 2] == pytest.approx(expected, rel=1e-9) and found[1, 2, 0, 1] == pytest.approx(-expected)


@pytest.mark.parametrize("newer", [True, False])
def test_xml_has_the_content_of_the_text(tmp_path, newer):
    """Also of matrices without symmetry, which show the order of their components."""
    path = tmp_path / "bn.dyn1.xml"
    (tmp_path / "bn.dyn1").write_text(matrix_file(boron_nitride()))
    text = read_ph_x(tmp_path / "bn.dyn1")
    rng = np.random.default_rng(1)
    charges, constants = rng.normal(size=(2, 3, 3)), rng.normal(size=(2, 2, 3, 3))
    for run in (text, replace(text, born_charges=charges, force_constants=constants)):
        path.write_text(matrix_xml(run, newer))
        assert is_ph_x(path) and is_matrix_file(path)
        found = read_ph_x(path)
        assert found.symbols == run.symbols
        for field in fields(run)[1:]:
            np.testing.assert_allclose(getattr(found, field.name), getattr(run, field.name), rtol=1e-9, atol=1e-9)


def test_xml_of_other_q_and_of_q2r_is_refused(tmp_path):
    path = tmp_path / "bn.dyn1"
    path.write_text(matrix_file(boron_nitride()))
    text = matrix_xml(read_ph_x(path))
    for changed, message in (
        (text.replace("<Q_POINT>\n0", "<Q_POINT>\n1"), "not the dynamical matrix of Gamma"),
        (text.replace("PHI.2.1", "PHI.3.1"), "no <PHI.2.1>: it is not complete"),
        (text.replace("DYNAMICAL_MAT_.1", "OTHER"), "did ph.x finish"),
        (text[:-20], "not complete XML"),
        (text.replace("DYNAMICAL_MAT_.1", "INTERATOMIC_FORCE_CONSTANTS"), "XML of q2r.x, which is not read"),
        (text.replace("<EPSILON>\n", "<EPSILON>\nnan "), "EPSILON> must be 9 finite numbers"),
        (text.replace('TAUX="', 'TAU_X="'), "ATOM.1> must be 3 finite numbers"),
    ):
        assert changed != text
        path.write_text(changed)
        with pytest.raises(DataFileError, match=message):
            read_ph_x(path)


def test_errors(tmp_path):
    from tnep_calc.phonons.raman_source import gradient_from_files

    with pytest.raises(InputError, match="lraman"):
        gradient_from_files([OUTPUT], nacl())
    path = tmp_path / "si.dyn"
    for text, message in (
        (SILICON.replace("0.000000000   0.000000000 )", "0.000000000   0.500000000 )"), "matrix of Gamma"),
        (SILICON[: SILICON.index("    2    2\n")], "damaged"),
        (SILICON.replace("   2  10.2", "  77  10.2"), "ibrav = 77"),
        (SILICON.replace("'Si  ", "'Xx  "), "chemical symbol"),
    ):
        path.write_text(text)
        with pytest.raises(DataFileError, match=message):
            read_ph_x(path)
    path.write_text(SILICON)
    with pytest.raises(DataFileError, match="epsil = .true."):
        read_born(path, nacl())
    with pytest.raises(DataFileError, match="neither an output nor"):
        (tmp_path / "other").write_text("nothing")
        read_ph_x(tmp_path / "other")


@pytest.mark.parametrize(
    "ibrav, celldm, group, volume",
    [
        (1, (8.0, 0, 0, 0, 0, 0), 221, 1),
        (2, (8.0, 0, 0, 0, 0, 0), 225, 1 / 4),
        (3, (8.0, 0, 0, 0, 0, 0), 229, 1 / 2),
        (-3, (8.0, 0, 0, 0, 0, 0), 229, 1 / 2),
        (4, (8.0, 0, 1.3, 0, 0, 0), 191, 1.3 * 0.75**0.5),
        (5, (8.0, 0, 0, 0.3, 0, 0), 166, (1 - 3 * 0.09 + 2 * 0.027) ** 0.5),
        (-5, (8.0, 0, 0, 0.3, 0, 0), 166, (1 - 3 * 0.09 + 2 * 0.027) ** 0.5),
        (6, (8.0, 0, 1.3, 0, 0, 0), 123, 1.3),
        (7, (8.0, 0, 1.3, 0, 0, 0), 139, 1.3 / 2),
        (8, (8.0, 1.1, 1.3, 0, 0, 0), 47, 1.43),
        (9, (8.0, 1.1, 1.3, 0, 0, 0), 65, 1.43 / 2),
        (-9, (8.0, 1.1, 1.3, 0, 0, 0), 65, 1.43 / 2),
        (91, (8.0, 1.1, 1.3, 0, 0, 0), 65, 1.43 / 2),
        (10, (8.0, 1.1, 1.3, 0, 0, 0), 69, 1.43 / 4),
        (11, (8.0, 1.1, 1.3, 0, 0, 0), 71, 1.43 / 2),
        (12, (8.0, 1.1, 1.3, 0.2, 0, 0), 10, 1.43 * 0.96**0.5),
        (-12, (8.0, 1.1, 1.3, 0, 0.2, 0), 10, 1.43 * 0.96**0.5),
        (13, (8.0, 1.1, 1.3, 0.2, 0, 0), 12, 1.43 / 2 * 0.96**0.5),
        (-13, (8.0, 1.1, 1.3, 0, 0.2, 0), 12, 1.43 / 2 * 0.96**0.5),
        (14, (8.0, 1.1, 1.3, 0.1, 0.2, 0.3), 2, 1.43 * (1 + 0.012 - 0.01 - 0.04 - 0.09) ** 0.5),
    ],
)
def test_bravais_lattices(ibrav, celldm, group, volume):
    """One atom per cell: the space group is that of the lattice, and the volume is that of the lattice constants."""
    spglib = pytest.importorskip("spglib")
    cell = bravais_lattice(ibrav, celldm)
    found = spglib.get_symmetry_dataset((cell, [[0, 0, 0]], [1]), symprec=1e-5)
    assert found.number == group
    assert np.linalg.det(cell) == pytest.approx(volume * (8 * BOHR) ** 3, rel=1e-9)
