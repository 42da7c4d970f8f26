"""pair_style tnep against LAMMPS' own lj/cut (analytic model) and against the ASE calculator (NEP)."""

import re

import numpy as np
import pytest
from ase import Atoms

from helpers.lammps_run import BAR, UNITS, crystal, output, run, script, types_of, write_data
from helpers.random_nep import random_nep
from helpers.toy_models import EPSILON, SIGMA, write_toy
from tnep_calc import TNEPCalculator, export_artifact

pytestmark = pytest.mark.slow

STRESS = "compute s all stress/atom NULL pair\ncompute c all centroid/stress/atom NULL pair\ncompute e all pe/atom\n"
COLUMNS = "fx fy fz c_e c_s[*] c_c[*]"
THERMO = "pe press pxx pyy pzz pxy pxz pyz"
TENSOR = ("Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz")
NEP_MODEL = random_nep(zbl=True)


def lj_commands(cutoff):
    lines = [f"pair_style lj/cut {cutoff}", "pair_modify shift yes"]
    for i in range(2):
        for j in range(i, 2):
            e, s = 0.5 * (EPSILON[i] + EPSILON[j]), 0.5 * (SIGMA[i] + SIGMA[j])
            lines.append(f"pair_coeff {i + 1} {j + 1} {e} {s}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def lj_case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lj")
    atoms = crystal((2, 1, 1))
    write_data(folder / "data.txt", atoms, types_of(atoms))
    write_toy(folder / "toy.pt")
    reference = run(folder, script(lj_commands(5.0) + STRESS + output(THERMO, COLUMNS)))
    return folder, reference


def assert_same(result, reference, tolerance=1e-12):
    assert set(result.thermo) >= set(reference.thermo)
    scale = max(abs(v) for v in reference.thermo.values())
    for key, value in reference.thermo.items():
        assert abs(result.thermo[key] - value) < tolerance * max(1.0, scale), key
    assert result.atoms.shape == reference.atoms.shape
    assert np.abs(result.atoms - reference.atoms).max() < tolerance * max(1.0, np.abs(reference.atoms).max())


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_analytic_model_equals_lj_cut(lj_case, ranks):
    """Energies per atom, forces, pressure, and both per-atom stresses; for pairs the centroid stress is symmetric."""
    folder, reference = lj_case
    text = script("pair_style tnep\npair_coeff * * toy.pt B N\n" + STRESS + output(THERMO, COLUMNS))
    result = run(folder, text, ranks)
    assert np.abs(reference.atoms[:, 5:]).max() > 1.0
    assert_same(result, reference)


@pytest.fixture(scope="module")
def nep_case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nep")
    export_artifact(NEP_MODEL, folder / "nep.pt")
    atoms = crystal()
    write_data(folder / "data.txt", atoms, types_of(atoms))
    return folder, atoms


def assert_equals_calculator(result, atoms):
    calc = TNEPCalculator(energy=NEP_MODEL)
    atoms = atoms.copy()
    atoms.calc = calc
    assert result.thermo["PotEng"] == pytest.approx(atoms.get_potential_energy(), abs=1e-11)
    assert np.abs(result.atoms[:, 1:4] - atoms.get_forces()).max() < 1e-11
    assert np.abs(result.atoms[:, 4] - atoms.get_potential_energies()).max() < 1e-11
    pressure = -atoms.get_stress(voigt=False) * BAR
    expected = [pressure[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]
    found = [result.thermo[name] for name in TENSOR]
    assert np.allclose(found, expected, rtol=1e-9, atol=1e-6)
    edges = calc._neighbor_list.edges(atoms.positions, atoms.cell.array, atoms.pbc)
    w = -BAR * calc.evaluate("energy", ["virials"], edges)["virials"].reshape(-1, 9)
    assert np.allclose(result.atoms[:, 11:20], w[:, [0, 4, 8, 1, 2, 5, 3, 6, 7]], rtol=0, atol=1e-9 * np.abs(w).max())
    symmetric = 0.5 * (w + w[:, [0, 3, 6, 1, 4, 7, 2, 5, 8]])
    assert np.allclose(result.atoms[:, 5:11], symmetric[:, [0, 4, 8, 1, 2, 5]], rtol=0, atol=1e-9 * np.abs(w).max())


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_nep_equals_calculator(nep_case, ranks):
    folder, atoms = nep_case
    text = script("pair_style tnep\npair_coeff * * nep.pt B N\n" + STRESS + output(THERMO, COLUMNS))
    assert_equals_calculator(run(folder, text, ranks), atoms)


def test_ranks_without_atoms_and_isolated_atoms(tmp_path):
    """Two atoms in contact and one alone, open boundaries, four ranks."""
    export_artifact(NEP_MODEL, tmp_path / "nep.pt")
    atoms = Atoms("BNB", [[1, 1, 1], [2.3, 1.2, 1], [35, 35, 35]], cell=[40, 40, 40])
    write_data(tmp_path / "data.txt", atoms, types_of(atoms))
    body = "pair_style tnep\npair_coeff * * nep.pt B N\ncompute e all pe/atom\n" + output("pe", "fx fy fz c_e")
    result = run(tmp_path, script(body, boundary="f f f"), 4)
    atoms.calc = TNEPCalculator(energy=NEP_MODEL)
    assert result.thermo["PotEng"] == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
    assert np.abs(result.atoms[:, 1:4] - atoms.get_forces()).max() < 1e-12


def test_hybrid_with_null_types(tmp_path):
    """hybrid: the model for N atoms, lj/cut for B atoms and mixed pairs; overlay: the sum of both energies."""
    atoms = crystal((2, 1, 1))
    write_data(tmp_path / "data.txt", atoms, types_of(atoms))
    write_toy(tmp_path / "toy.pt")
    lj = "pair_coeff 1 1 lj/cut 0.02 2.2\npair_coeff 1 2 lj/cut 0.025 2.05\n"
    hybrid = "pair_style hybrid tnep lj/cut 5.0\npair_modify pair lj/cut shift yes\npair_coeff * * tnep toy.pt NULL N\n"
    end = STRESS + output(THERMO, "fx fy fz c_e c_s[*]")
    reference = run(tmp_path, script(lj_commands(5.0) + end))
    for ranks in (1, 4):
        assert_same(run(tmp_path, script(hybrid + lj + end), ranks), reference)
    overlay = (
        "pair_style hybrid/overlay tnep lj/cut 5.0\npair_modify pair lj/cut shift yes\n"
        "pair_coeff * * tnep toy.pt B N\n" + lj + "pair_coeff 2 2 lj/cut 0.03 1.9\n"
    )
    doubled = run(tmp_path, script(overlay + end), 2)
    assert doubled.thermo["PotEng"] == pytest.approx(2 * reference.thermo["PotEng"], rel=1e-12)
    assert np.allclose(doubled.atoms[:, 1:], 2 * reference.atoms[:, 1:], rtol=1e-10, atol=1e-9)


def test_dynamics_on_ranks_clear_and_restart(tmp_path):
    """Atoms migrate; the energy is conserved; 'clear' and a restart continue the same trajectory."""
    export_artifact(random_nep(), tmp_path / "nep.pt")
    atoms = crystal((2, 2, 1))
    write_data(tmp_path / "data.txt", atoms, types_of(atoms))
    model = "pair_style tnep\npair_coeff * * nep.pt B N\n"
    start = "velocity all create 2000 4928 loop geom\nneigh_modify every 1 delay 0\n"
    dynamics = "fix 1 all nve\ntimestep 0.0002\nthermo_style custom step pe etotal press\n"
    dynamics += "thermo_modify format float %.17g\n"
    both = script(
        model
        + start
        + dynamics
        + "run 10\nwrite_restart half.bin\nrun 10\nclear\nread_restart half.bin\n"
        + model
        + dynamics
        + "run 10\n"
    )
    two = run(tmp_path, both, 2)
    one = run(tmp_path, script(model + start + dynamics + "thermo 20\nrun 20\n"), 1)
    assert two.thermo["Step"] == one.thermo["Step"] == 20
    for key in ("PotEng", "TotEng"):
        assert two.thermo[key] == pytest.approx(one.thermo[key], abs=1e-9)
    lines = [line.split() for line in one.text.splitlines()]
    rows = [words for words in lines if len(words) == 4 and words[0] in ("0", "20")]
    first, last = (np.array(row, dtype=float) for row in rows)
    assert abs(last[2] - first[2]) < 1e-2 * abs(last[1] - first[1])


@pytest.mark.parametrize("units", UNITS)
def test_units(nep_case, tmp_path, units):
    folder, atoms = nep_case
    length, energy, pressure = UNITS[units]
    write_data(tmp_path / "data.txt", atoms, types_of(atoms), length)
    body = f"neighbor {length:.17g} bin\n"  # the default skin is for another unit of length
    body += f"pair_style tnep\npair_coeff * * {folder}/nep.pt B N\n" + output("pe pxx pyy pzz pxy pxz pyz")
    result = run(tmp_path, script(body, units))
    atoms = atoms.copy()
    atoms.calc = TNEPCalculator(energy=NEP_MODEL)
    assert result.thermo["PotEng"] == pytest.approx(energy * atoms.get_potential_energy(), rel=1e-10)
    forces = energy / length * atoms.get_forces()
    assert np.abs(result.atoms[:, 1:] - forces).max() < 1e-9 * np.abs(forces).max()
    stress = -pressure * atoms.get_stress(voigt=False)
    # LAMMPS' own pressure constants have five to nine digits
    assert result.thermo["Pxx"] == pytest.approx(stress[0, 0], rel=2e-5)
    assert result.thermo["Pyz"] == pytest.approx(stress[1, 2], rel=2e-5)


def test_lists_that_are_kept_between_rebuilds(nep_case, tmp_path):
    """A list with a skin gives the same trajectory as one that is rebuilt in every step; atoms migrate."""
    folder, _ = nep_case
    atoms = crystal((2, 2, 1))
    write_data(tmp_path / "data.txt", atoms, types_of(atoms))
    start = f"pair_style tnep\npair_coeff * * {folder}/nep.pt B N\nneighbor 0.3 bin\natom_modify sort 5 0.0\n"
    start += "velocity all create 20000 4928 loop geom\nfix 1 all nve\ntimestep 0.0005\nthermo 60\n"
    results = {}
    for check in ("yes", "no"):
        for ranks in (1, 2):
            body = (
                start + f"neigh_modify every 1 delay 0 check {check}\n" + output("pe etotal").replace("run 0", "run 60")
            )
            results[check, ranks] = run(tmp_path, script(body), ranks)
    kept = re.search(r"Neighbor list builds = (\d+)", results["yes", 1].text)
    assert 3 <= int(kept[1]) <= 30  # some steps with a kept list, some with a new one
    reference = results["no", 1]
    for result in results.values():
        assert result.thermo["PotEng"] == pytest.approx(reference.thermo["PotEng"], abs=1e-7)
        assert np.abs(result.atoms[:, 1:] - reference.atoms[:, 1:]).max() < 1e-6


def test_null_types(nep_case, tmp_path):
    """Atoms of type NULL are not neighbours of any atom, even if they are in the list."""
    folder, _ = nep_case
    atoms = crystal((2, 1, 1))
    write_data(tmp_path / "data.txt", atoms, types_of(atoms))
    body = f"pair_style tnep\npair_coeff * * {folder}/nep.pt NULL N\n" + output("pe")
    seen = atoms.symbols == "N"
    alone = atoms[seen]
    alone.calc = TNEPCalculator(energy=NEP_MODEL)
    for ranks in (1, 2):
        result = run(tmp_path, script(body), ranks, check=False)
        if "All pair coeffs are not set" in result.text:
            body = body.replace("pair_style tnep\n", "pair_style hybrid/overlay tnep zero 5.0\n").replace(
                "* * /", "* * tnep /"
            )
            body = body.replace("NULL N\n", "NULL N\npair_coeff * * zero\n")
            result = run(tmp_path, script(body), ranks)
        assert result.thermo["PotEng"] == pytest.approx(alone.get_potential_energy(), abs=1e-11)
        assert np.abs(result.atoms[seen, 1:] - alone.get_forces()).max() < 1e-11
        assert np.abs(result.atoms[~seen, 1:]).max() == 0
