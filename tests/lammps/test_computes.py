"""compute tnep/dipole and tnep/polarizability against closed forms and against the ASE calculator."""

import numpy as np
import pytest

from helpers.lammps_run import UNITS, crystal, output, run, script, types_of, write_data
from helpers.random_nep import random_nep
from helpers.toy_models import toy_dipoles, toy_polarizabilities, write_toy
from tnep_calc import TNEPCalculator, export_artifact

pytestmark = pytest.mark.slow

SIX = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
# The model needs ghosts within its cutoff and skin; the pair style need not know it.
ZERO = "pair_style zero 7.0\npair_coeff * *\n"
THERMO = "vol " + " ".join([f"c_mu[{k}]" for k in (1, 2, 3)] + [f"c_a[{k}]" for k in range(1, 7)])


def six(tensor):
    return np.array([tensor[..., i, j] for i, j in SIX]).T


def sums(result):
    mu = [result.thermo[f"c_mu[{k}]"] for k in (1, 2, 3)]
    return np.array(mu), np.array([result.thermo[f"c_a[{k}]"] for k in range(1, 7)])


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toys")
    atoms = crystal((2, 1, 1))
    write_data(folder / "data.txt", atoms, types_of(atoms))
    write_toy(folder / "mu.pt", "dipole")
    write_toy(folder / "alpha.pt", "polarizability", cutoff=4.0)
    return folder, atoms


def computes(elements="B N", group="all"):
    return (
        f"compute mu {group} tnep/dipole mu.pt {elements}\ncompute a {group} tnep/polarizability alpha.pt {elements}\n"
    )


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_closed_forms_per_atom_and_in_total(toys, ranks):
    folder, atoms = toys
    result = run(folder, script(ZERO + computes() + output(THERMO, "c_mu[*] c_a[*]")), ranks)
    mu, alpha = toy_dipoles(atoms), six(toy_polarizabilities(atoms, 4.0))
    assert np.abs(result.atoms[:, 1:4] - mu).max() < 1e-12
    assert np.abs(result.atoms[:, 4:] - alpha).max() < 1e-12
    assert np.allclose(sums(result)[0], mu.sum(0), rtol=0, atol=1e-12)
    assert np.allclose(sums(result)[1], alpha.sum(0), rtol=0, atol=1e-12)
    assert np.abs(alpha.sum(0)).min() > 1e-3 and np.abs(mu.sum(0)).min() > 1e-3


def test_list_of_a_longer_cutoff_follows_the_atoms(toys, tmp_path):
    """Atoms that come within the cutoff of a model before LAMMPS builds its lists again are seen."""
    folder, atoms = toys
    for name in ("data.txt", "mu.pt", "alpha.pt"):
        (tmp_path / name).symlink_to(folder / name)
    body = ZERO.replace("7.0", "3.0") + "comm_modify cutoff 8.0\n" + computes()
    body += "velocity all create 300 1 loop geom\nfix 1 all nve\ntimestep 0.002\nthermo 1\n"
    body += output(THERMO, "x y z").replace("run 0", "run 20")
    result = run(tmp_path, script(body), 2)
    moved = atoms.copy()
    moved.positions = result.atoms[:, 1:]
    assert "Neighbor list builds = 0" in result.text
    assert np.abs(sums(result)[0] - toy_dipoles(moved).sum(0)).max() < 1e-12
    assert np.abs(sums(result)[1] - six(toy_polarizabilities(moved, 4.0)).sum(0)).max() < 1e-12


def test_group_and_null_types(toys):
    """The sum is over the atoms of the group, but all atoms are neighbours; atoms of NULL types are not."""
    folder, atoms = toys
    mu = toy_dipoles(atoms)
    end = output(THERMO, "c_mu[*]")
    some = run(folder, script(ZERO + "group some id 2 3 7\n" + computes(group="some") + end), 2)
    assert np.abs(sums(some)[0] - mu[[1, 2, 6]].sum(0)).max() < 1e-12
    assert np.abs(some.atoms[0, 1:]).max() == 0.0 and np.abs(some.atoms[1, 1:] - mu[1]).max() < 1e-12
    seen = run(folder, script(ZERO + computes("NULL N") + end), 2)
    nitrogen = atoms[[s == "N" for s in atoms.get_chemical_symbols()]]
    assert np.abs(sums(seen)[0] - toy_dipoles(nitrogen).sum(0)).max() < 1e-12


@pytest.mark.parametrize("units", UNITS)
def test_units(toys, tmp_path, units):
    """Dipole in charge times length, polarizability in charge times length squared by volt (statvolt in cgs)."""
    folder, atoms = toys
    length = UNITS[units][0]
    charge = {"si": 1.602176634e-19, "cgs": 4.803204712570263e-10, "micro": 1.602176634e-7}.get(units, 1.0)
    volt = 1 / 299.792458 if units == "cgs" else 1.0
    write_data(tmp_path / "data.txt", atoms, types_of(atoms), length)
    body = f"neighbor {length:.17g} bin\npair_style zero {7 * length:.17g}\npair_coeff * *\n"
    body += computes().replace("mu.pt", f"{folder}/mu.pt").replace("alpha.pt", f"{folder}/alpha.pt")
    body += output(THERMO, "x")
    mu, alpha = sums(run(tmp_path, script(body, units)))
    assert np.allclose(mu, charge * length * toy_dipoles(atoms).sum(0), rtol=1e-9, atol=0)
    expected = charge * length**2 / volt * six(toy_polarizabilities(atoms, 4.0)).sum(0)
    assert np.allclose(alpha, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("unit", ["e*A^2/V", "N*chi"])
def test_nep_with_potential_equals_calculator(tmp_path, unit):
    """All three models at once during dynamics on two ranks; the last step is compared."""
    potential, dipole, polarizability = random_nep(), random_nep("dipole"), random_nep("polarizability")
    export_artifact(potential, tmp_path / "nep.pt")
    export_artifact(dipole, tmp_path / "mu.pt")
    export_artifact(polarizability, tmp_path / "alpha.pt", unit=unit)
    atoms = crystal((2, 1, 1))
    write_data(tmp_path / "data.txt", atoms, types_of(atoms))
    body = (
        "pair_style tnep\npair_coeff * * nep.pt B N\n"
        + computes()
        + "velocity all create 5000 1 loop geom\nneigh_modify every 5 delay 0 check yes\n"
        + "fix 1 all nve\ntimestep 0.0005\n"
        + f"thermo_style custom step {THERMO}\nthermo_modify format float %.17g\nthermo 5\n"
        + "dump d all custom 20 dump.txt id x y z\ndump_modify d format float %.17g sort id\nrun 20\n"
    )
    result = run(tmp_path, script(body), 2)
    atoms.positions = result.atoms[:, 1:]
    atoms.calc = TNEPCalculator(
        energy=potential, dipole=dipole, susceptibility=polarizability, susceptibility_unit=unit
    )
    mu, alpha = sums(result)
    assert np.abs(mu - atoms.get_dipole_moment()).max() < 1e-9
    expected = six(atoms.calc.get_property("polarizability", atoms))
    assert np.abs(alpha - expected).max() < 1e-9 * max(1.0, np.abs(expected).max())


def test_rank_without_atoms_of_the_group(tmp_path):
    atoms = crystal()
    write_data(tmp_path / "data.txt", atoms, types_of(atoms))
    write_toy(tmp_path / "mu.pt", "dipole")
    body = ZERO + "group one id 1\ncompute mu one tnep/dipole mu.pt B N\n"
    body += output("c_mu[1] c_mu[2] c_mu[3]", "x") + "print 'between runs $(c_mu[1]:%.15g)'\nrun 0\n"
    result = run(tmp_path, script(body), 4)
    found = [result.thermo[f"c_mu[{k}]"] for k in (1, 2, 3)]
    assert np.abs(found - toy_dipoles(atoms)[0]).max() < 1e-12
