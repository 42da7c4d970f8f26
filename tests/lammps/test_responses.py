"""Computes of derivatives and descriptors against the ASE calculator, alone or sharing the pair style's evaluation."""

import ase.io
import numpy as np
import pytest

from helpers.lammps_run import columns, output, run, script, write_data
from helpers.random_enthalpy import random_enthalpy, silica
from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator, export_artifact
from tnep_calc.artifact import save_artifact

pytestmark = pytest.mark.slow

SIX = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
ZERO = "pair_style zero 7.0\npair_coeff * *\n"
PAIR = "pair_style tnep\npair_coeff * * e.pt Si O\n"
VELOCITIES = "velocity all create 300 4928 loop geom\n"


def computes(dipole, alpha):
    return (
        f"compute z all tnep/born/atom {dipole} Si O\ncompute j all tnep/current {dipole} Si O\n"
        f"compute e all tnep/piezo {dipole} Si O\ncompute r all tnep/raman/atom {alpha} Si O\n"
        f"compute m all tnep/dipole {dipole} Si O\n"
    )


THERMO = " ".join(
    [f"c_j[{k}]" for k in (1, 2, 3)]
    + [f"c_e[{k}]" for k in range(1, 19)]
    + [f"c_z[{k}]" for k in range(1, 10)]
    + ["c_m[1]", "c_r[4]"]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("responses")
    save_artifact(random_enthalpy(), where / "e.pt")
    for name, kind, unit in (("mu", "dipole", None), ("alpha", "polarizability", "N*chi"), ("u", "potential", None)):
        export_artifact(random_nep(kind, species=("Si", "O"), cutoffs=(4.0, 3.5)), where / f"{name}.pt", unit=unit)
    atoms = silica()
    atoms.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)
    write_data(where / "data.txt", atoms, [1 if s == "Si" else 2 for s in atoms.symbols])
    atoms.write(where / "atoms.traj")
    return where


def check(result, atoms):
    """Compare the thermo line and the dump (velocities, Born charges, Raman) with the calculator of the atoms."""
    born = atoms.calc.get_property("born_effective_charges", atoms)
    raman = atoms.calc.get_property("polarizability_gradient", atoms)
    velocities, scale = result.atoms[:, 1:4], np.abs(born).max()
    assert np.abs(result.atoms[:, 4:13] - born.reshape(-1, 9)).max() < 1e-11 * scale
    found = result.atoms[:, 13:31].reshape(-1, 3, 6)
    expected = np.array([raman[:, :, i, j] for i, j in SIX]).transpose(1, 2, 0)
    assert np.abs(found - expected).max() < 1e-11 * np.abs(raman).max()
    current = np.einsum("nab,nb->a", born, velocities)
    assert (
        np.abs(columns(result, "c_j", (1, 2, 3)) - current).max()
        < 1e-11 * np.abs(born).sum() * np.abs(velocities).max()
    )
    assert np.abs(columns(result, "c_z", range(1, 10))).max() < 1e-12 * np.abs(born).sum()  # acoustic sum rule
    assert np.abs(current).max() > 1e-3 * scale * np.abs(velocities).max()
    assert result.thermo["c_m[1]"] == pytest.approx(atoms.calc.get_property("dipole", atoms)[0], rel=1e-10)
    return columns(result, "c_e", range(1, 19)).reshape(3, 6)


@pytest.mark.parametrize(("ranks", "field"), [(1, False), (2, True), (3, False), (4, True)])
def test_enthalpy_equals_calculator(folder, ranks, field):
    """The pair style evaluates all quantities with the forces, at the field if there is one."""
    body = PAIR + VELOCITIES + computes("e.pt", "e.pt") + ("fix F all tnep/field 0.05 -0.08 0.11\n" if field else "")
    result = run(folder, script(body + output(THERMO, "vx vy vz c_z[*] c_r[*]")), ranks)
    atoms = ase.io.read(folder / "atoms.traj")
    atoms.calc = TNEPCalculator(enthalpy=str(folder / "e.pt"), efield=[0.05, -0.08, 0.11] if field else None)
    piezo = atoms.calc.get_property("piezoelectric_tensor", atoms)
    found = check(result, atoms)
    assert np.abs(found - np.array([piezo[:, i, j] for i, j in SIX]).T).max() < 1e-11 * np.abs(piezo).max()


@pytest.mark.parametrize("ranks", [1, 3])
def test_separate_models_equal_calculator(folder, ranks):
    """Models that are independent of the pair style; the piezoelectric tensor against finite strains."""
    body = ZERO + VELOCITIES + computes("mu.pt", "alpha.pt") + "comm_modify cutoff 7.0\n"
    result = run(folder, script(body + output(THERMO, "vx vy vz c_z[*] c_r[*]")), ranks)
    atoms = ase.io.read(folder / "atoms.traj")
    atoms.calc = TNEPCalculator(dipole=str(folder / "mu.pt"), susceptibility=str(folder / "alpha.pt"))
    found, h = check(result, atoms), 1e-5
    for column, (i, j) in ((0, (0, 0)), (3, (0, 1)), (5, (1, 2))):
        dipoles = []
        for sign in (1, -1):
            strained, strain = atoms.copy(), np.eye(3)
            strain[i, j] += 0.5 * sign * h
            strain[j, i] += 0.5 * sign * h
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            strained.calc = atoms.calc
            dipoles.append(strained.get_dipole_moment())
        slope = (dipoles[0] - dipoles[1]) / (2 * h) / atoms.get_volume()
        assert np.allclose(found[:, column], slope, rtol=1e-5, atol=1e-5 * np.abs(found).max())


def test_group_and_atoms_without_ghosts_of_the_group(folder):
    """Charges are those of the atoms of a group; the sum and the current are over the group."""
    body = PAIR + VELOCITIES + "group some id 2 7\ncompute z some tnep/born/atom e.pt Si O\n"
    body += "compute j some tnep/current e.pt Si O\n"
    quantities = " ".join([f"c_z[{k}]" for k in range(1, 10)] + [f"c_j[{k}]" for k in (1, 2, 3)])
    result = run(folder, script(body + output(quantities, "vx vy vz c_z[*]")), 4)
    atoms = ase.io.read(folder / "atoms.traj")
    atoms.calc = TNEPCalculator(enthalpy=str(folder / "e.pt"))
    born = atoms.calc.get_property("born_effective_charges", atoms)[[1, 6]]
    assert np.abs(result.atoms[[1, 6], 4:13] - born.reshape(2, 9)).max() < 1e-11
    assert np.abs(np.delete(result.atoms[:, 4:13], [1, 6], axis=0)).max() == 0
    assert np.allclose(columns(result, "c_z", range(1, 10)), born.sum(0).ravel(), atol=1e-11)
    current = np.einsum("nab,nb->a", born, result.atoms[[1, 6], 1:4])
    assert np.allclose(columns(result, "c_j", (1, 2, 3)), current, atol=1e-11 * np.abs(result.atoms[:, 1:4]).max())


def test_current_is_the_rate_of_the_dipole(folder):
    """The integral of the current along a trajectory is the change of the dipole; the pair style's evaluation is used."""
    body = PAIR + VELOCITIES + "compute j all tnep/current e.pt Si O\ncompute m all tnep/dipole e.pt Si O\n"
    body += (
        "fix 1 all nve\ntimestep 0.0002\nfix w all ave/time 1 1 1 c_j[*] c_m[*] file jm.txt format ' %.17g'\nrun 60\n"
    )
    run(folder, script(body), 2)
    rows = np.loadtxt(folder / "jm.txt")
    current, dipole = rows[:, 1:4], rows[:, 4:7]
    weights = np.full(61, 0.0002)
    weights[[0, -1]] *= 0.5
    change = dipole[-1] - dipole[0]
    assert np.abs(weights @ current - change).max() < 2e-3 * np.abs(change).max()


def test_descriptors(folder):
    """Descriptors of a dipole model with another pair style, and of the potential of the pair style itself."""
    body = "pair_style tnep\npair_coeff * * u.pt Si O\ncompute d all tnep/descriptor/atom u.pt Si O\n"
    body += "compute q all tnep/descriptor/atom mu.pt Si O\n"
    result = run(folder, script(body + output("pe", "c_d[*] c_q[*]")), 2)
    atoms = ase.io.read(folder / "atoms.traj")
    for k, role in enumerate(("energy", "dipole")):
        calc = TNEPCalculator(**{role: str(folder / ("u.pt" if role == "energy" else "mu.pt"))})
        atoms.calc = calc
        expected = calc.get_descriptors(atoms)
        n = expected.shape[1]
        assert np.abs(result.atoms[:, 1 + k * n : 1 + (k + 1) * n] - expected).max() < 1e-12 * np.abs(expected).max()
