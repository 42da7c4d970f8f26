"""VASP: ASE's sample files, with the responses of LEPSILON and LCALCPOL added to one of them."""

from pathlib import Path

import ase
import numpy as np
import pytest

from tnep_calc.errors import DataFileError
from tnep_calc.io.vasp import read_vasp
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
    """ASE's sample, as a run with LEPSILON, IBRION and LCALCPOL would go on; VASP 5 and 6 have other headings."""
    unit, head = ("|e|", "(including local field effects) (in |e|, cummulative output)") if version == 6 else (
        "electrons", "(in e, cummulative output)")  # fmt: skip
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
    (s,) = read_vasp(SAMPLES / "vasprun_pstress.xml")
    assert s.born_charges is None and s.polarizability is None


@pytest.mark.parametrize(
    "text, message",
    [
        (outcar(IBRION=8), r"is a phonon calculation \(IBRION = 8\)"),
        (outcar(EFIELD_PEAD="0.0 0.02 0.0"), r"is in a constant field \(EFIELD_PEAD\)"),
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
