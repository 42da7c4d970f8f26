"""fix tnep/field against the ASE calculator, finite differences of the energy, and conservation laws."""

import re

import ase.io
import numpy as np
import pytest

from helpers.grid import grid
from helpers.lammps_run import BAR, columns, crystal, output, refusals, run, script, thermo_rows, types_of, write_data
from helpers.paths import DATA
from helpers.random_enthalpy import random_enthalpy, silica
from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator, export_artifact
from tnep_calc.artifact import save_artifact
from tnep_calc.units import EPSILON_0

pytestmark = pytest.mark.slow

FIELD = np.array([0.05, -0.08, 0.11])
PAIR = "pair_style tnep\npair_coeff * * e.pt Si O\n"
OWN = "dipole mu.pt Si O polarizability alpha.pt Si O"
SIX = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
PRESSURE = ("Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz")


def types(atoms):
    return [1 if s == "Si" else 2 for s in atoms.symbols]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write triclinic silica, an enthalpy model, and NEP models of energy, dipole and susceptibility."""
    where = tmp_path_factory.mktemp("field")
    save_artifact(random_enthalpy(zbl=1.2), where / "e.pt")
    for name, kind, unit in (("u", "potential", None), ("mu", "dipole", None), ("alpha", "polarizability", "N*chi")):
        # seed 3 has a positive dielectric tensor
        model = random_nep(kind, species=("Si", "O"), cutoffs=(4.0, 3.5), seed=3)
        export_artifact(model, where / f"{name}.pt", unit=unit)
    negative = random_nep("polarizability", species=("Si", "O"), cutoffs=(4.0, 3.5))
    export_artifact(negative, where / "negative.pt", unit="N*chi")
    atoms = silica()
    atoms.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)
    write_data(where / "data.txt", atoms, types(atoms))
    atoms.write(where / "atoms.traj")
    return where


def structure(folder):
    return ase.io.read(folder / "atoms.traj")


def link_models(folder, to):
    for path in folder.glob("*.pt"):
        (to / path.name).symlink_to(path)


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_enthalpy_pair_equals_calculator(folder, ranks):
    atoms = structure(folder)
    body = PAIR + "fix F all tnep/field 0.05 -0.08 0.11\ncompute e all pe/atom\ncompute p all tnep/dipole e.pt Si O\n"
    quantities = "pe f_F " + " ".join(f"f_F[{k}]" for k in range(1, 11)) + " pxx pyy pzz pxy pxz pyz c_p[3]"
    result = run(folder, script(body + output(quantities, "fx fy fz c_e")), ranks)
    atoms.calc = TNEPCalculator(enthalpy=str(folder / "e.pt"))
    without = atoms.get_potential_energy()
    atoms.calc.efield = FIELD
    assert result.thermo["PotEng"] == pytest.approx(atoms.get_potential_energy(), abs=1e-11)
    assert result.thermo["f_F"] == pytest.approx(atoms.get_potential_energy() - without, abs=1e-10)
    assert np.abs(result.atoms[:, 1:4] - atoms.get_forces()).max() < 1e-11
    assert np.abs(result.atoms[:, 4] - atoms.get_potential_energies()).max() < 1e-11
    pressure = -atoms.get_stress(voigt=False) * BAR
    found = [result.thermo[name] for name in PRESSURE]
    assert np.allclose(found, [pressure[i] for i in SIX], rtol=1e-9, atol=1e-5)
    alpha = atoms.calc.get_property("polarizability", atoms)
    expected = [*atoms.get_dipole_moment(), *(alpha @ FIELD), *FIELD, 0]
    assert np.allclose(columns(result, "f_F", range(1, 11)), expected, rtol=0, atol=1e-11)
    assert result.thermo["c_p[3]"] == pytest.approx(expected[2], abs=1e-11)  # the compute shares that evaluation


def test_the_enthalpy_of_a_hybrid_style_responds(folder):
    """It is the second one; the first is a potential."""
    atoms = structure(folder)
    body = "pair_style hybrid/overlay tnep tnep\npair_coeff * * tnep 1 u.pt Si O\npair_coeff * * tnep 2 e.pt Si O\n"
    result = run(folder, script(body + "fix F all tnep/field 0.05 -0.08 0.11\n" + output("f_F")))
    energies = []
    for field in (FIELD, None):
        atoms.calc = TNEPCalculator(enthalpy=str(folder / "e.pt"), efield=field)
        energies.append(atoms.get_potential_energy())
    assert result.thermo["f_F"] == pytest.approx(energies[0] - energies[1], abs=1e-10)


@pytest.mark.parametrize("ranks", [1, 3])
def test_separate_models_equal_calculator(folder, ranks):
    atoms = structure(folder)
    body = "pair_style tnep\npair_coeff * * u.pt Si O\nfix F all tnep/field 0.05 -0.08 0.11 " + OWN
    body += "\ncompute e all pe/atom\ncompute s all centroid/stress/atom NULL virial\n"
    quantities = "pe f_F " + " ".join(f"f_F[{k}]" for k in range(1, 11)) + " pxx pyy pzz pxy pxz pyz vol"
    result = run(folder, script(body + output(quantities, "fx fy fz c_e c_s[*]")), ranks)
    atoms.calc = TNEPCalculator(
        energy=str(folder / "u.pt"), dipole=str(folder / "mu.pt"), susceptibility=str(folder / "alpha.pt"), efield=FIELD
    )
    assert result.thermo["PotEng"] == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
    scale = np.abs(atoms.get_forces()).max()
    assert np.abs(result.atoms[:, 1:4] - atoms.get_forces()).max() < 1e-11 * scale
    assert np.abs(result.atoms[:, 4] - atoms.get_potential_energies()).max() < 1e-9
    mu = atoms.get_dipole_moment()
    assert np.allclose(columns(result, "f_F", range(1, 4)), mu, rtol=0, atol=1e-10 * np.abs(mu).max())
    # virials per atom add up to the virial
    total = -result.atoms[:, 5:14].sum(0) / result.thermo["Volume"]
    total[3:6] = 0.5 * (total[3:6] + total[6:9])
    found = np.array([result.thermo[name] for name in PRESSURE])
    assert np.allclose(total[:6], found, rtol=1e-8, atol=1e-8 * np.abs(found).max())


def test_a_dipole_model_of_an_earlier_version(tmp_path):
    """Its method from_positions takes no field, so the plugin gives it edge vectors."""
    atoms = crystal()
    write_data(tmp_path / "data.txt", atoms, types_of(atoms))
    export_artifact(random_nep("potential"), tmp_path / "u.pt")
    export_artifact(random_nep("dipole"), tmp_path / "now.pt")
    (tmp_path / "before.pt").symlink_to(DATA / "oracle" / "artifacts" / "dipole.pt")
    found = []
    for name in ("before", "now"):
        body = f"pair_style tnep\npair_coeff * * u.pt B N\nfix F all tnep/field 0.05 -0.08 0.11 dipole {name}.pt B N\n"
        result = run(tmp_path, script(body + output("f_F pxx pyz")))
        found.append((result.atoms[:, 1:4], result.thermo["f_F"], result.thermo["Pxx"], result.thermo["Pyz"]))
    for before, now in zip(*found, strict=True):
        assert np.allclose(before, now, rtol=1e-10, atol=1e-10 * np.abs(found[0][0]).max())


FINITE = {  # name: (pair and fix, boundary)
    "uniform": ("tnep/field 0.3 -0.2 0.25", "p p p"),
    "group": ("tnep/field 0.3 -0.2 0.25", "p p p"),
    "wave": ("tnep/field wave 0.3 -0.2 0.25 1 -1 2 0", "p p p"),
    "gradient": ("tnep/field gradient 0.1 -0.2 0.25 .1 .02 .03 -.05 .2 .07 .01 -.09 .15", "f f f"),
    "displacement": ("tnep/field displacement 0.01 -0.02 NULL", "p p p"),
    "models uniform": ("tnep/field 0.03 -0.02 0.025 " + OWN, "p p p"),
    "models wave": ("tnep/field wave 0.03 -0.02 0.025 1 0 -1 0 " + OWN, "p p p"),
    "models displacement": ("tnep/field displacement 0.01 0.03 -0.02 " + OWN, "p p p"),
}


@pytest.mark.parametrize("case", grid(FINITE, ["group", "wave", "gradient", "displacement", "models wave"]))
def test_forces_and_pressure_are_derivatives_of_the_energy(folder, tmp_path, case):
    fix, boundary = FINITE[case]
    h, lines = 1e-5, []
    atoms = structure(folder)
    if boundary == "f f f":
        atoms = atoms[:6]
        atoms.set_cell([12, 11, 13])
        atoms.center()
    else:  # change_box strains an orthogonal box along its edges
        atoms.set_cell(atoms.cell.lengths(), scale_atoms=True)
    write_data(tmp_path / "data.txt", atoms, types(atoms))
    evaluate = 'run 0 post no\nprint "energy $(pe:%.17g)"\n'
    for atom in (2, 5):
        for axis in range(3):
            for step in (h, -2 * h):
                move = " ".join(str(step if k == axis else 0) for k in range(3))
                lines.append(f"displace_atoms g{atom} move {move} units box\n" + evaluate)
            back = " ".join(str(h if k == axis else 0) for k in range(3))
            lines.append(f"displace_atoms g{atom} move {back} units box\n")
    for axis in "xyz":
        for scale in (1 + h, (1 - h) / (1 + h)):
            lines.append(f"change_box all {axis} scale {scale:.17g} remap units box\n" + evaluate)
        lines.append(f"change_box all {axis} scale {1 / (1 - h):.17g} remap units box\n")
    pair = PAIR if "models" not in case else PAIR.replace("e.pt", "u.pt")
    group = "some" if case == "group" else "all"
    body = (
        f"{pair}group some id 1 2 3 4\ngroup g2 id 2\ngroup g5 id 5\nneigh_modify every 1 delay 0 check no\n"
        f"comm_modify cutoff 6.5\nfix F {group} {fix}\n"
        + output("pe pxx pyy pzz vol f_F")
        + "undump d\n"
        + "".join(lines)
    )
    link_models(folder, tmp_path)
    result = run(tmp_path, script(body, boundary=boundary), 2)
    energies = np.array(re.findall(r"^energy (\S+)", result.text, re.M), dtype=float)
    assert len(energies) == 18
    slopes = (energies[0::2] - energies[1::2]) / (2 * h)
    forces = result.atoms[[1, 4], 1:4].ravel()
    scale = max(1.0, np.abs(forces).max())
    assert np.abs(forces + slopes[:6]).max() < 2e-6 * scale
    first = thermo_rows(result.text)[0]
    pressure = np.array([first[name] for name in PRESSURE[:3]]) * first["Volume"] / BAR
    assert abs(first["f_F"]) > 1e-3
    assert np.abs(pressure + slopes[6:]).max() < 3e-6 * max(1.0, np.abs(pressure).max())


def test_output_on_steps_without_thermo(folder, tmp_path):
    """In a constant field the dipoles of the fix's models are evaluated only when used; the values are the same."""
    link_models(folder, tmp_path)
    atoms = structure(folder)
    write_data(tmp_path / "data.txt", atoms, types(atoms))
    for name, thermo in (("often", 1), ("seldom", 1000)):
        body = PAIR.replace("e.pt", "u.pt") + f"fix F all tnep/field 0.02 0 -0.03 {OWN}\nfix 1 all nve\n"
        body += "velocity all create 300 4928 loop geom\ntimestep 0.0005\ncomm_modify cutoff 6.5\n"
        body += f"fix o all ave/time 1 1 1 f_F f_F[1] f_F[3] f_F[4] f_F[6] f_F[9] file {name}.txt format ' %.17g'\n"
        run(tmp_path, script(body + f"thermo {thermo}\nrun 12\n"), 2)
    often, seldom = (np.loadtxt(tmp_path / f"{name}.txt") for name in ("often", "seldom"))
    assert np.allclose(seldom, often, rtol=0, atol=1e-12 * np.abs(often[:, 1:]).max())
    assert np.ptp(often[:, 2]) > 1e-3


FORMS = {  # fields that depend on time, or not; the energy minus the work is conserved in all cases
    "none": "",
    "constant": "tnep/field 0.2 0 -0.1",
    "rotating": "tnep/field rotating 0.2 0.03 z",
    "pulse": "tnep/field pulse 0.1 0.2 0 0.02 0.008 30",
    "wave": "tnep/field wave 0.1 0.2 0 1 0 0 0.03",
    "variable": "tnep/field 0 v_ramp 0",
    "displacement": "tnep/field displacement NULL 0.005 NULL",  # along x the random model becomes unstable
    "driven displacement": "tnep/field displacement NULL v_slow NULL",
    "models": "tnep/field rotating 0.02 0.03 y " + OWN,
}


@pytest.fixture(scope="module")
def trajectories(folder, tmp_path_factory):
    """Energy and work along short NVE runs, one per form, from the same state; all in one process on two ranks."""
    where = tmp_path_factory.mktemp("forms")
    link_models(folder, where)
    atoms = structure(folder)
    write_data(where / "data.txt", atoms, types(atoms))
    text = ""
    for name, fix in FORMS.items():
        body = (PAIR.replace("e.pt", "u.pt") if name == "models" else PAIR) + "timestep 0.0002\n"
        body += "velocity all create 300 4928 loop geom\nfix 1 all nve\nneigh_modify every 1 delay 0\n"
        body += "variable ramp equal 0.1*sin(200*step*dt)\nvariable slow equal 0.1*v_ramp\nvariable w equal 0\n"
        if fix:
            body += f"fix F all {fix}\nvariable w equal f_F[10]\n"
        body += "thermo_style custom step etotal pe v_w\nthermo_modify format float %.17g\nthermo 2\nrun 120\n"
        text += "clear\n" + script(body)
    rows = thermo_rows(run(where, text, 2).text)
    assert len(rows) == 61 * len(FORMS)
    return {name: rows[61 * k : 61 * k + 61] for k, name in enumerate(FORMS)}


@pytest.mark.parametrize("name", FORMS)
def test_energy_minus_work_is_conserved(trajectories, name):
    def error(name):
        rows = trajectories[name]
        total = np.array([row["TotEng"] - row["v_w"] for row in rows])
        return np.ptp(total), np.ptp([row["PotEng"] for row in rows]), np.ptp([row["v_w"] for row in rows])

    drift, motion, work = error(name)
    assert motion > (1e-3 if name == "models" else 0.05)
    if name in ("rotating", "pulse", "wave", "variable", "driven displacement", "models"):
        assert work > 5 * drift  # the work is what changes the energy
    elif name != "none":
        assert work == 0
    if name != "models":
        assert drift < 3 * error("none")[0]


def test_conserved_energy_at_constant_pressure(folder, tmp_path):
    """Of Nose-Hoover dynamics with a moving triclinic cell, in a field and at a displacement."""
    link_models(folder, tmp_path)
    write_data(tmp_path / "data.txt", structure(folder), types(structure(folder)))
    text, fixes = "", ("", "fix F all tnep/field 0.2 0 -0.1\n", f"fix F all {FORMS['displacement']}\n")
    for fix in fixes:
        body = PAIR + "timestep 0.0002\nvelocity all create 300 4928 loop geom\ncomm_modify cutoff 7.0\n"
        body += f"fix 1 all npt temp 300 300 0.1 tri 0 0 0.2\n{fix}thermo_style custom step econserve vol pe\n"
        text += "clear\n" + script(body + "thermo_modify format float %.17g\nthermo 2\nrun 60\n")
    rows = np.array([[row["Econserve"], row["Volume"]] for row in thermo_rows(run(tmp_path, text, 2).text)])
    drift, change = np.ptp(rows.reshape(3, 31, 2), axis=1).T
    assert (change > 1.0).all(), change
    assert drift[1] < 3 * drift[0] and drift[2] < 3 * drift[0], drift


def test_work_continues_after_a_restart(folder, trajectories, tmp_path):
    """20 steps, then 100 from the restart file on another number of ranks, give the same energy and work."""
    link_models(folder, tmp_path)
    write_data(tmp_path / "data.txt", structure(folder), types(structure(folder)))
    fix = PAIR + "timestep 0.0002\nfix 1 all nve\nneigh_modify every 1 delay 0\n"
    fix += f"fix F all {FORMS['rotating']}\nthermo_style custom step etotal f_F[10]\n"
    fix += "thermo_modify format float %.17g\n"
    body = PAIR + "velocity all create 300 4928 loop geom\n" + fix + "run 40\nwrite_restart half.bin\n"
    run(tmp_path, script(body), 2)
    last = run(tmp_path, "read_restart half.bin\n" + fix + "run 80\n", 1).thermo
    expected = trajectories["rotating"][-1]
    assert last["Step"] == 120
    assert last["TotEng"] == pytest.approx(expected["TotEng"], abs=1e-9)
    assert last["f_F[10]"] == pytest.approx(expected["v_w"], abs=1e-10)


def test_minimised_in_a_field(folder, tmp_path):
    """The minimiser finds lower enthalpies in the field, first for the atoms and then for the cell."""
    link_models(folder, tmp_path)
    atoms = structure(folder)
    write_data(tmp_path / "data.txt", atoms, types(atoms))
    body = PAIR + "fix F all tnep/field 0 0 0.05\nthermo_style custom step pe fmax press\nthermo 1000\n"
    body += "thermo_modify format float %.17g\nminimize 0 1e-3 100 400\n"
    body += "fix b all box/relax iso 0.0\nthermo 10\nminimize 0 1e-3 20 100\n"
    start, relaxed, *cell = thermo_rows(run(tmp_path, script(body), 2).text)
    assert relaxed["PotEng"] < start["PotEng"] - 0.1
    assert cell[0]["PotEng"] == pytest.approx(relaxed["PotEng"], abs=1e-9)
    assert cell[0]["PotEng"] > cell[1]["PotEng"] > cell[2]["PotEng"]


def test_displacement_field_has_the_given_value(folder):
    """eps0 V E + P = V D in the given components, and no field in the other; H + E.P + eps0 V E^2 / 2 is the energy."""
    atoms = structure(folder)
    body = PAIR + "fix F all tnep/field displacement 0.01 NULL -0.02\n"
    result = run(folder, script(body + output("pe f_F vol " + " ".join(f"f_F[{k}]" for k in range(1, 11)))), 2)
    dipole, field = columns(result, "f_F", (1, 2, 3)), columns(result, "f_F", (7, 8, 9))
    volume = result.thermo["Volume"]
    found = EPSILON_0 * field + dipole / volume
    assert found[0] == pytest.approx(0.01, abs=1e-12) and found[2] == pytest.approx(-0.02, abs=1e-12)
    assert field[1] == 0 and abs(field[0]) > 0.01
    atoms.calc = TNEPCalculator(enthalpy=str(folder / "e.pt"), efield=field)
    energy = atoms.get_potential_energy() + field @ dipole + 0.5 * EPSILON_0 * volume * field @ field
    assert result.thermo["PotEng"] == pytest.approx(energy, abs=1e-10)


START = """
units metal
boundary {boundary}
region box block 0 8 0 8 0 8
create_box 3 box
mass * 10
create_atoms 1 single 1 1 1
create_atoms 2 single 2.5 1 1
create_atoms 3 single 6 6 6
group seen type 1 2
group none empty
region r block 0 1 0 1 0 1
"""
NULL3 = "pair_style hybrid/overlay tnep zero 6.0\npair_coeff * * tnep e.pt Si O NULL\npair_coeff * * zero\n"
ZERO = "pair_style zero 6.0\npair_coeff * *\n"
OTHER = NULL3.replace("e.pt", "u.pt")
CASES = {
    "usage": (NULL3 + "fix F seen tnep/field 1 2\n", ["Ex Ey Ez", "rotating", "displacement"]),
    "word": (NULL3 + "fix F seen tnep/field 0 0 1 regions r\n", ["got 'regions'", "expected region ID"]),
    "no response": (
        ZERO + "fix F all tnep/field 0 0 1\nrun 0\n",
        ["nothing responds", "enthalpy model", "dipole file"],
    ),
    "enthalpy file": (ZERO + "fix F all tnep/field 0 0 1 dipole e.pt Si O NULL\n", ["make it the pair style"]),
    "atoms not seen": (NULL3 + "fix F all tnep/field 0 0 1\nrun 0\n", ["1 of the 3 atoms of group all", "NULL"]),
    "empty group": (NULL3 + "fix F none tnep/field 0 0 1\nrun 0\n", ["group none has no atoms"]),
    "two": (NULL3 + "fix F seen tnep/field 0 0 1\nfix G seen tnep/field 0 1 0\nrun 0\n", ["more than one"]),
    "respa": (NULL3 + "fix 1 all nve\nfix F seen tnep/field 0 0 1\nrun_style respa 2 2\nrun 0\n", ["respa", "verlet"]),
    "variable": (NULL3 + "fix F seen tnep/field 0 0 v_no\nrun 0\n", ["no variable 'no'"]),
    "style of variable": (
        NULL3 + "variable s string a\nfix F seen tnep/field 0 0 v_s\nrun 0\n",
        ["style equal or atom"],
    ),
    "region": (NULL3 + "fix F seen tnep/field 0 0 1 region q\n", ["no region 'q'"]),
    "gradient": (
        NULL3 + "fix F seen tnep/field gradient 0 0 0 1 0 0 0 0 0 0 0 0\nrun 0\n",
        ["rises along x", "boundary f"],
    ),
    "group of displacement": (NULL3 + "fix F seen tnep/field displacement 0 0 1\nrun 0\n", ["group all"]),
    "minimisation": (
        NULL3 + "fix F seen tnep/field rotating 1 1 x\nminimize 0 0 1 1\n",
        ["minimise in a constant one"],
    ),
    "energy no": (
        NULL3 + "fix F seen tnep/field 0 0 1\nfix_modify F energy no\nminimize 0 0 1 1\n",
        ["fix_modify F energy no"],
    ),
    "virial no": (NULL3 + "fix F seen tnep/field 0 0 1\nfix_modify F virial no\nrun 0\n", ["fix_modify F virial no"]),
    "negative eps": (
        NULL3.replace("e.pt", "u.pt") + "fix F all tnep/field displacement 0 0 0 dipole mu.pt Si O O polarizability "
        "negative.pt Si O O\nrun 0\n",
        ["is not positive on step 0"],
    ),
    "two enthalpies": (
        "pair_style hybrid/overlay tnep tnep\npair_coeff * * tnep 1 e.pt Si O O\npair_coeff * * tnep 2 e.pt Si O O\n"
        "fix F all tnep/field 0 0 1\nrun 0\n",
        ["the pair style has 2 enthalpy models"],
    ),
    "alpha alone": (ZERO + "fix F seen tnep/field 0 0 1 polarizability alpha.pt Si O NULL\n", ["needs a dipole model"]),
    "both": (NULL3 + "fix F seen tnep/field 0 0 1 dipole mu.pt Si O NULL\nrun 0\n", ["leave out 'dipole'"]),
}


@pytest.fixture(scope="module")
def messages(folder):
    return refusals(folder, {name: START.format(boundary="p p p") + text for name, (text, _) in CASES.items()})


@pytest.mark.parametrize("name", CASES)
def test_refusals(messages, name):
    assert messages[name] is not None, "LAMMPS accepted it"
    for part in CASES[name][1]:
        assert part in messages[name]
