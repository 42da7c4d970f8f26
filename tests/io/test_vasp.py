"""VASP: ASE's sample files, with the responses of LEPSILON and LCALCPOL added to one of them."""

from pathlib import Path

import ase
import numpy as np
import pytest

from tnep_calc.errors import DataFileError
from tnep_calc.io.structures.read import read_structures
from tnep_calc.io.structures.vasp import read_vasp
from tnep_calc.units import EPSILON_0, EV_PER_A3_TO_GPA

SAMPLES = Path(ase.__file__).parent / "test" / "testdata" / "vasp"
if not SAMPLES.is_dir():
    pytest.skip("this ASE comes without its sample files", allow_module_level=True)
OUTCAR = (SAMPLES / "OUTCAR_example_1").read_text()

EPSILON = np.array([[3.1, 0.1, -0.2], [0.1, 3.5, 0.3], [-0.2, 0.3, 4.1]])
BORN = np.random.default_rng(0).normal(size=(18, 3, 3)).round(5)


def table(tensor):
    return "\n".join("    " + " ".join(f"{x:14.6f}" for x in row) for row in tensor)


def outcar(version=6, **settings):
    """Return ASE's sample followed by the output of LEPSILON, IBRION and LCALCPOL; VASP 5 and 6 differ in headings."""
    unit, head = (
        ("|e|", "(including local field effects) (in |e|, cummulative output)")
        if version == 6
        else ("electrons", "(in e, cummulative output)")
    )
    sign = 1 if version == 6 else -1
    lines = ["", " MACROSCOPIC STATIC DIELECTRIC TENSOR (including local field effects in DFT)", " " + 54 * "-"]
    lines += [table(EPSILON), " " + 54 * "-", "", f" BORN EFFECTIVE CHARGES {head}", " " + 54 * "-"]
    for k, tensor in enumerate(BORN):
        lines.append(f" ion {k + 1:4d}")
        lines += [f" {i + 1:4d} " + " ".join(f"{x:11.5f}" for x in row) for i, row in enumerate(tensor)]
    lines += ["", " MACROSCOPIC STATIC DIELECTRIC TENSOR IONIC CONTRIBUTION", " " + 54 * "-", table(np.eye(3) * 9), ""]
    numbers = [" ".join(f"{sign * x:12.5f}" for x in v) for v in ((1.0, -2.0, 3.0), (-0.25, 0.5, 0.75))]
    lines += [f"            Ionic dipole moment: p[ion]=( {numbers[0]} ) {unit} Angst", ""]
    lines += [f" Total electronic dipole moment: p[elc]=( {numbers[1]} ) {unit} Angst", ""]
    text = OUTCAR
    for name, value in settings.items():
        if name == "IBRION":
            assert "IBRION =     -1" in text
            text = text.replace("IBRION =     -1", f"IBRION = {value:6d}")
        else:
            text = text.replace("   LEPSILON=", f"   {name}= {value}\n   LEPSILON=")
    return text + "\n".join(lines)


@pytest.mark.parametrize("version", [5, 6])
def test_outcar(tmp_path, version):
    (tmp_path / "OUTCAR").write_text(outcar(version))
    (s,) = read_vasp(tmp_path / "OUTCAR")
    assert s.symbols[0] == "Ni"
    assert len(s) == 18 and s.energy == pytest.approx(-68.22868532)
    np.testing.assert_allclose(s.forces[0], [0.030415, -0.114705, -0.460114])
    stress = -s.virial / s.volume * EV_PER_A3_TO_GPA
    np.testing.assert_allclose(-10 * np.diag(stress), [-4.29429, -4.58894, -4.50342], atol=1e-5)  # "in kB"
    assert -10 * stress[0, 1] == pytest.approx(0.50047, abs=1e-5)
    np.testing.assert_array_equal(s.born_charges, BORN)  # rows: field, columns: displacement
    np.testing.assert_allclose(s.polarizability, EPSILON_0 * s.volume * (EPSILON - np.eye(3)))
    quanta = (s.dipole - [0.75, -1.5, 3.75]) @ np.linalg.inv(s.cell)
    np.testing.assert_allclose(quanta, np.round(quanta), atol=1e-10)


def test_lcalceps_keeps_the_responses_only(tmp_path, caplog):
    (tmp_path / "OUTCAR").write_text(outcar(LCALCEPS="T", EFIELD_PEAD="0.01 0.01 0.01"))
    (s,) = read_vasp(tmp_path / "OUTCAR")
    assert s.energy is None and s.forces is None and s.virial is None and s.dipole is None
    np.testing.assert_array_equal(s.born_charges, BORN)
    assert "only the responses are kept" in caplog.text


ALPHA = np.array([[2.1, 0.1, 0.0], [0.1, 2.4, -0.2], [0.0, -0.2, 3.1]])  # e·Å²/V
P0 = np.array([0.31, -0.42, 0.53])  # e·Å
IONS = np.array([5.0, -1.5, 2.5])  # share of the ions in it, e·Å
U0 = -68.22868532


def text_in_field(pead, version=5, sign=-1, energy_of="electrons", skip="F", quanta=(0, 0, 0)):
    """ASE's sample with the lines of a run with EFIELD_PEAD, as VASP 5.4.4 and later write them.

    `energy_of` says which dipole is in the energy; `quanta` are added to the electronic dipole; with `sign` 1,
    EFIELD_PEAD would be the force on positive charges.
    """
    field = sign * np.asarray(pead, dtype=float)
    change = ALPHA @ field
    shift = np.asarray(quanta) * 17.93435  # lattice constant
    electrons = P0 - IONS + change + shift
    in_energy = {"electrons": electrons, "all": IONS + electrons, "change": change, "none": 0 * change}[energy_of]
    energy = U0 + field @ change / 2 - field @ in_energy
    unit, charge = ("|e|", 1) if version == 6 else ("electrons", -1)

    def printed(vector):
        return "(" + "".join(f"{charge * x:12.5f}" for x in vector) + f" ) {unit} Angst\n"

    settings = [f"   LCALCPOL   =     T    calculate macroscopic polarization\n   SKIP_EDOTP =     {skip}\n"]
    if version == 6:  # contains the INCAR
        settings.insert(0, f"   EFIELD_PEAD = {pead[0]} {pead[1]} {pead[2]} (Finite Electric Field)\n")
    settings.append("   EFIELD_PEAD=" + "".join(f"{x:10.4f}" for x in pead) + "\n   LEPSILON=")
    text = OUTCAR.replace("   LEPSILON=", "".join(settings)).replace("-68.22868532 eV", f"{energy:.8f} eV")
    text += f"\n            Ionic dipole moment: p[ion]={printed(IONS)} \n"
    text += f" Total electronic dipole moment: p[elc]={printed(electrons)} \n \n"
    if field.any():
        text += f" Total change in dipole moment: dp[elc]={printed(change)} \n"
        text += " " * 28 + "diag[e(oo)]=(       ----        ----      1.23456 )\n"
    return text


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"version": 6, "energy_of": "all", "quanta": (1, 0, -1)},
        {"energy_of": "change"},
        {"energy_of": "none", "skip": "T", "quanta": (-1, 2, 0)},
    ],
)
def test_set_in_constant_fields(tmp_path, options):
    pead = [[0.0, 0.0, 0.05], [0.0, 0.0, 0.0], [0.04, 0.0, 0.0], [0.0, -0.05, 0.02]]
    files = []
    for k, vector in enumerate(pead):
        files.append(tmp_path / f"{k}.OUTCAR")
        files[-1].write_text(text_in_field(vector, **options) if k != 1 else text_in_field(vector))
    structures = read_vasp(files)
    base = structures[1]
    assert base.electric_field is None and base.energy == pytest.approx(U0) and base.forces is not None
    np.testing.assert_allclose(base.dipole, P0, atol=1e-9)
    np.testing.assert_allclose(base.polarizability, ALPHA, atol=5e-4)  # five decimals of dipoles
    assert base.born_charges is None
    for k, s in enumerate(structures):
        assert s.source.endswith(f"{k}.OUTCAR")
        if k != 1:
            field = -np.array(pead[k])
            np.testing.assert_array_equal(s.electric_field, field)
            np.testing.assert_allclose(s.dipole, P0 + ALPHA @ field, atol=1.1e-5)
            assert s.energy == pytest.approx(U0 - field @ P0 - field @ ALPHA @ field / 2, abs=2e-6)
            assert s.forces is None and s.virial is None


def test_digits_of_the_field(tmp_path):
    for name, vector in (("0", [0.0, 0.0, 0.0]), ("z", [0.0, 0.0, 0.01234])):
        (tmp_path / name).write_text(text_in_field(vector, version=6))
    (_, s), (source,) = read_structures([tmp_path / "0", tmp_path / "z"])
    assert source.kind == "vasp" and source.structures == 2
    np.testing.assert_array_equal(s.electric_field, [0, 0, -0.01234])


def test_alone_in_a_field(tmp_path):
    """With SKIP_EDOTP the energy is U, so no other file is needed."""
    (tmp_path / "OUTCAR").write_text(text_in_field([0.0, 0.0, 0.05], energy_of="none", skip="T"))
    (s,) = read_vasp(tmp_path / "OUTCAR")
    field = np.array([0, 0, -0.05])
    assert s.energy == pytest.approx(U0 + field @ ALPHA @ field / 2 - field @ s.dipole, abs=1e-7)


def test_tables_of_lcalceps(tmp_path):
    """As VASP 5.4.4 writes them, with three decimals, and without local fields (LRPA) after them."""
    epsilon = "\n".join("".join(f"{x:10.3f}" for x in row).rjust(40) for row in EPSILON)
    lines = []
    for kind, factor in (("including", 1), ("excluding", 2)):
        lines += ["", f" MACROSCOPIC STATIC DIELECTRIC TENSOR ({kind} local field effects)", " " + 37 * "-"]
        lines += [epsilon if factor == 1 else epsilon.replace("3.", "9."), " " + 37 * "-", "", " "]
        lines += [f" BORN EFFECTIVE CHARGES ({kind} local field effects)", " " + 54 * "-"]
        for k, tensor in enumerate(factor * BORN):
            lines.append(f" ion {k + 1:4d}")
            lines += [f" {i + 1:4d} " + "".join(f"{x:12.5f}" for x in row) for i, row in enumerate(tensor)]
        lines += ["", f" PIEZOELECTRIC TENSOR ({kind} local field effects) (e Angst)", " " + 40 * "-"]
    settings = "   LCALCEPS   =     T    calculate dielectric tensor\n   EFIELD_PEAD=    0.0100    0.0100    0.0100\n"
    text = OUTCAR.replace("   LEPSILON=", settings + "   LEPSILON=") + "\n".join(lines)
    (tmp_path / "OUTCAR").write_text(text)
    (s,) = read_vasp([tmp_path / "OUTCAR"])
    assert s.energy is None
    np.testing.assert_array_equal(s.born_charges, BORN)
    np.testing.assert_allclose(s.polarizability, EPSILON_0 * s.volume * (EPSILON - np.eye(3)), rtol=1e-12)


def test_vasprun(tmp_path):
    (s,) = read_vasp(SAMPLES / "vasprun_dfpt.xml")
    assert s.symbols == ("Na", "Cl") and s.energy == pytest.approx(-6.74587304)
    np.testing.assert_allclose(s.born_charges[1], -1.14672091 * np.eye(3))
    np.testing.assert_allclose(s.polarizability, EPSILON_0 * s.volume * 1.6958435 * np.eye(3))
    text = (SAMPLES / "vasprun_dfpt.xml").read_text()
    row = "<v>       1.14672091       0.00000000      -0.00000000 </v>"
    assert row in text
    (tmp_path / "vasprun.xml").write_text(text.replace(row, "<v> 1.1 0.2 0.3 </v>"))
    np.testing.assert_array_equal(read_vasp(tmp_path / "vasprun.xml")[0].born_charges[0, 0], [1.1, 0.2, 0.3])
    if not (SAMPLES / "vasprun_pstress.xml").exists():
        pytest.skip("old versions of ASE lack vasprun_pstress.xml")
    (s,) = read_vasp(SAMPLES / "vasprun_pstress.xml")
    assert s.born_charges is None and s.polarizability is None
    in_field = text.replace("<incar>", '<incar><v name="EFIELD_PEAD">0.0 0.0 0.01</v>', 1)
    assert in_field != text
    (tmp_path / "vasprun.xml").write_text(in_field)
    with pytest.raises(DataFileError, match=r"vasprun\.xml: is in a constant field \(EFIELD_PEAD\): give its OUTCAR"):
        read_vasp(tmp_path / "vasprun.xml")


@pytest.mark.parametrize(
    "text, message",
    [
        (outcar(IBRION=8).split(" MACROSCOPIC")[0], r"is a phonon calculation \(IBRION = 8\) without LEPSILON"),
        (
            outcar(EFIELD_PEAD="0.0 0.02 0.0"),
            r"is in a constant field \(EFIELD_PEAD\), but its output has no .* change",
        ),
        (text_in_field([0.0, 0.05, 0.0]), r"is in a field, and no file has its geometry at E = 0, .*LCALCPOL = .TRUE."),
        (text_in_field([0.0, 0.05, 0.0], sign=1), r"the polarization changes by .* must be along it"),
        (outcar().replace("ion   18\n    1 ", "ion   18\n    2 "), "Born charges of ion 18 are not three rows"),
        (outcar().replace(" ion    2\n", " atom   2\n"), "1 Born charges for 18 atoms"),
        (outcar().replace("|e| Angst", "e*Angst"), "polarization in 'e[*]Angst'"),
        (OUTCAR[: len(OUTCAR) // 2], "no complete ionic step|did the run finish"),
        ("nothing", "is not an OUTCAR"),
        ("<modeling><incar/>", "is not complete XML"),
        ("<other></other>", "is not a vasprun.xml"),
    ],
)
def test_errors_name_the_file(tmp_path, text, message):
    (tmp_path / "OUTCAR").write_text(text)
    with pytest.raises(DataFileError, match=rf"OUTCAR: .*({message})"):
        read_vasp(tmp_path / "OUTCAR")
