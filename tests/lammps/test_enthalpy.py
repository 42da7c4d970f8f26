"""One enthalpy model as pair style and in both computes, against the ASE calculator."""

import numpy as np
import pytest

from helpers.lammps_run import BAR, output, run, script, write_data
from helpers.random_enthalpy import random_enthalpy, silica
from tnep_calc import TNEPCalculator
from tnep_calc.artifact import save_artifact

pytestmark = pytest.mark.slow

SIX = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
MODEL = "e.pt Si O\n"
BODY = (
    "pair_style tnep\npair_coeff * * "
    + MODEL
    + "compute mu all tnep/dipole "
    + MODEL
    + "compute a all tnep/polarizability "
    + MODEL
    + output("pe pxx pyy pzz pxy pxz pyz c_mu[1] c_mu[2] c_mu[3] " + " ".join(f"c_a[{k}]" for k in range(1, 7)))
)


@pytest.mark.parametrize(
    ("ranks", "third", "members"), [(1, False, 1), (2, False, 1), (4, False, 1), (2, True, 1), (2, False, 3)]
)
def test_all_quantities_equal_the_calculator(tmp_path, ranks, third, members):
    artifact = random_enthalpy(zbl=1.2, hyperpolarizability=third, members=members)
    save_artifact(artifact, tmp_path / "e.pt")
    atoms = silica(repeat=(2, 1, 1))
    atoms.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)
    write_data(tmp_path / "data.txt", atoms, [1 if s == "Si" else 2 for s in atoms.symbols])
    result = run(tmp_path, script(BODY), ranks)
    atoms.calc = TNEPCalculator(enthalpy=str(tmp_path / "e.pt"))
    forces = atoms.get_forces()
    assert result.thermo["PotEng"] == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    assert np.abs(result.atoms[:, 1:4] - forces).max() < 1e-10 * max(1, np.abs(forces).max())
    pressure = -atoms.get_stress(voigt=False) * BAR
    found = [result.thermo[name] for name in ("Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz")]
    assert np.allclose(found, [pressure[i] for i in SIX], rtol=1e-8, atol=1e-6 * np.abs(pressure).max())
    mu = atoms.calc.get_property("dipole", atoms)
    assert np.allclose([result.thermo[f"c_mu[{k}]"] for k in (1, 2, 3)], mu, rtol=0, atol=1e-9)
    alpha = atoms.calc.get_property("polarizability", atoms)
    assert np.allclose([result.thermo[f"c_a[{k}]"] for k in range(1, 7)], [alpha[i] for i in SIX], rtol=0, atol=1e-9)
    assert np.abs(mu).max() > 1e-3 and np.abs(alpha).max() > 1e-3 and np.abs(forces).max() > 1e-3
