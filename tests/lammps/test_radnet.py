"""compute tnep/dipole and tnep/polarizability with one radnet file, on any number of ranks, against ASE."""

import numpy as np
import pytest

from helpers.lammps_run import crystal, output, run, script, types_of, write_data
from helpers.random_radnet import SPECIES, calculator_of, random_artifact, random_sites
from tnep_calc.artifact import export_radnet

pytestmark = pytest.mark.slow

THERMO = " ".join([f"c_mu[{k}]" for k in (1, 2, 3)] + [f"c_a[{k}]" for k in range(1, 7)])
BODY = (
    "pair_style zero 7.0\npair_coeff * *\n"
    "compute mu all tnep/dipole model.pt B N\ncompute a all tnep/polarizability model.pt B N\n"
)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("radnet")
    atoms = crystal((2, 1, 1))
    write_data(folder / "data.txt", atoms, types_of(atoms))
    export_radnet(random_sites(), SPECIES, folder / "model.pt")
    calculator = calculator_of(random_artifact())
    alpha = calculator.get_property("polarizability", atoms)
    six = [alpha[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]
    return folder, np.array([*calculator.get_property("dipole", atoms), *six])


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_ranks_agree_with_ase(case, ranks):
    folder, expected = case
    found = run(folder, script(BODY + output(THERMO, "c_mu[*] c_a[*]")), ranks)
    values = np.array([found.thermo[name] for name in THERMO.split()])
    assert np.abs(values - expected).max() < 1e-12 and np.abs(expected).min() > 1e-4
    assert np.abs(found.atoms[:, 1:].sum(0) - expected).max() < 1e-12


def test_missing_target_is_an_error(case, tmp_path):
    folder, _ = case
    (tmp_path / "data.txt").write_bytes((folder / "data.txt").read_bytes())
    export_radnet(random_sites(targets=("polarizability",)), SPECIES, tmp_path / "model.pt")
    result = run(tmp_path, script(BODY + output("vol", "x")), check=False)
    assert "tnep/dipole needs a dipole model, but model.pt is a radnet model" in result.text
