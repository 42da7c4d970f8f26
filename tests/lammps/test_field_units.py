"""fix tnep/field in the unit styles of LAMMPS, against the ASE calculator."""

import numpy as np
import pytest

from helpers.grid import grid
from helpers.lammps_run import UNITS, columns, output, run, script, write_data
from helpers.random_enthalpy import random_enthalpy, silica
from tnep_calc import TNEPCalculator
from tnep_calc.artifact import save_artifact
from tnep_calc.units import EPSILON_0

pytestmark = pytest.mark.slow

FIELD = np.array([0.05, -0.08, 0.11])


@pytest.mark.parametrize("units", grid(UNITS, ["electron", "cgs"]))
def test_units(tmp_path, units):
    """The field in V/A, V/cm, V/m, statvolt/cm, V/um or V/nm; energy, dipole and displacement in the unit style."""
    save_artifact(random_enthalpy(zbl=1.2), tmp_path / "e.pt")
    atoms, (length, energy, _) = silica(), UNITS[units]
    atoms.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)
    volt = {"real": 1.0, "electron": 1e8, "si": 1e10, "cgs": 1e8 / 299.792458, "micro": 1e4, "nano": 10.0}[units]
    charge = {"si": 1.602176634e-19, "cgs": 4.803204712570263e-10, "micro": 1.602176634e-7}.get(units, 1.0)
    write_data(tmp_path / "data.txt", atoms, [1 if s == "Si" else 2 for s in atoms.symbols], length)
    body = f"neighbor {length:.17g} bin\n" + "pair_style tnep\npair_coeff * * e.pt Si O\nfix F all tnep/field {}\n"
    body += output("pe f_F " + " ".join(f"f_F[{k}]" for k in range(1, 10)), "x")
    result = run(tmp_path, script(body.format(" ".join(f"{volt * x:.17g}" for x in FIELD)), units), 2)
    atoms.calc = TNEPCalculator(enthalpy=str(tmp_path / "e.pt"), efield=FIELD)
    assert result.thermo["PotEng"] == pytest.approx(energy * atoms.get_potential_energy(), rel=1e-8)
    dipole = charge * length * atoms.get_dipole_moment()
    assert np.allclose(columns(result, "f_F", (1, 2, 3)), dipole, rtol=1e-8, atol=0)
    assert np.allclose(columns(result, "f_F", (7, 8, 9)), volt * FIELD, rtol=1e-8, atol=0)
    given = f"displacement {0.01 * charge / length**2:.17g} NULL NULL"
    result = run(tmp_path, script(body.format(given), units), 1)
    found = EPSILON_0 * result.thermo["f_F[7]"] / volt
    found += result.thermo["f_F[1]"] / (charge * length) / atoms.get_volume()
    assert found == pytest.approx(0.01, rel=1e-7)
