"""Inputs of ``tnep lammps``: examples/lammps has what the command writes, and every input runs unchanged."""

import ctypes
import shutil

import numpy as np
import pytest
from ase.io import read
from ase.neighborlist import neighbor_list

from helpers.lammps_run import lmp_command
from helpers.paths import ROOT
from helpers.random_enthalpy import random_enthalpy, silica
from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator, export_artifact
from tnep_calc.artifact import save_artifact
from tnep_calc.cli import main
from tnep_calc.cli.lammps import NAMES
from tnep_calc.errors import InputError, TnepError
from tnep_calc.io.series.accumulated import read_signals
from tnep_calc.lammps import TEMPLATES, lammps_input, run_lammps, write_structure
from tnep_calc.units import EPSILON_0

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples" / "lammps"
SHORT = {"steps": 8, "equilibration": 4, "every": 2, "dt": 0.0001, "temperature": 50}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("templates")
    save_artifact(random_enthalpy(), where / "quartz.pt")
    shutil.copy(EXAMPLES / "structure.data", where)
    return where


def test_names():
    assert tuple(TEMPLATES) == NAMES


@pytest.mark.parametrize("template", TEMPLATES)
def test_examples_equal_the_output_of_the_command_and_run(folder, template, capsys, monkeypatch):
    lmp_command(1)
    monkeypatch.chdir(folder)
    assert main(["lammps", "quartz.pt", "--template", template]) == 0
    text = capsys.readouterr().out
    assert text == (EXAMPLES / f"in.{template}").read_text()
    done = run_lammps(text.replace("2000 20000", "3 30"), folder, 1 + (template == "field"), SHORT, f"in.{template}")
    if template == "dielectric":
        assert "eps_zz of clamped atoms" in done.text and "eps_zz of relaxed atoms" in done.text
        return
    assert done.thermo["Step"][-1] == 8
    if template == "spectrum":
        series = read_signals(folder / "spectrum.corr")
        assert len(series.dipole.pieces()[0]) == len(series.polarizability.pieces()[0]) == 5
    elif template in ("ir", "raman"):
        table = done.table({"ir": "dipole.dat", "raman": "polarizability.dat"}[template])
        assert table["TimeStep"].tolist() == [0, 2, 4, 6, 8] and "c_r[3]" in table
    elif template == "hysteresis":
        assert done.table("loop.dat")["v_Ez"][0] == 0.3


def test_variables_of_another_mpi_library_do_not_reach_lammps(tmp_path):
    """Open MPI sets such variables in a process that it runs in, and MPICH, which LAMMPS uses here, stops with them."""
    libc = ctypes.CDLL(None)
    libc.setenv(b"PMIX_NAMESPACE", b"1", 1)
    try:
        assert run_lammps("units metal\nprint hello", tmp_path, 2).text.count("hello") > 0
    finally:
        libc.unsetenv(b"PMIX_NAMESPACE")


def test_the_structure_is_quartz():
    """Every silicon has four oxygen neighbours, every oxygen two silicon neighbours, and nothing is closer."""
    atoms = read(EXAMPLES / "structure.data", format="lammps-data")
    first, second, distances = neighbor_list("ijd", atoms, 2.4)
    assert ((1.58 < distances) & (distances < 1.66)).all() and (atoms.numbers[first] != atoms.numbers[second]).all()
    assert np.bincount(first).tolist() == [4, 4, 4, 2, 2, 2, 2, 2, 2]


def test_clamped_dielectric_constant_equals_the_calculator(folder):
    """eps of the input, at positions that the minimiser does not move, is 1 + alpha_zz / (eps0 V)."""
    text = lammps_input("dielectric", folder / "quartz.pt").replace("minimize     0 1e-6 2000 20000\n", "")
    found = float(run_lammps(text, folder, 1, SHORT).text.split("clamped atoms: ")[-1].split()[0])
    atoms = read(folder / "structure.data", format="lammps-data")
    atoms.calc = TNEPCalculator(enthalpy=str(folder / "quartz.pt"))
    alpha = atoms.calc.get_property("polarizability", atoms)[2, 2]
    assert found == pytest.approx(1 + alpha / EPSILON_0 / atoms.get_volume(), abs=2e-6)


def test_separate_models_and_structure(tmp_path, monkeypatch, capsys):
    """A NEP potential with dipole and polarizability models in a field, from a structure file."""
    lmp_command(1)
    monkeypatch.chdir(tmp_path)
    for kind, name in (("potential", "u"), ("dipole", "mu"), ("polarizability", "alpha")):
        export_artifact(random_nep(kind, species=("Si", "O"), cutoffs=(4.0, 3.5)), f"{name}.pt")
    silica().write("quartz.xyz", format="extxyz")
    arguments = ["lammps", "u.pt", "--template", "field", "--dipole", "mu.pt", "--polarizability", "alpha.pt"]
    arguments += ["--structure", "quartz.xyz", "--repeat", "2", "1", "1", "-o", "in.field"]
    assert main(arguments) == 0
    assert main(arguments) == 1  # the input exists
    other = [*arguments[:-1], "in.other"]
    before = (tmp_path / "structure.data").stat().st_mtime_ns
    assert main(other) == 0 and "structure.data has this structure already" in capsys.readouterr().out
    assert (tmp_path / "structure.data").stat().st_mtime_ns == before
    assert main([*other[:-2], "--repeat", "1", "1", "1", "-o", "in.third"]) == 1
    assert "structure.data exists" in capsys.readouterr().err and not (tmp_path / "in.third").exists()
    done = run_lammps((tmp_path / "in.field").read_text(), tmp_path, 2, SHORT)
    assert "18 atoms" in done.text and np.abs(done.thermo["f_F"]).max() > 0


@pytest.mark.parametrize("template", ["field", "spectrum"])
def test_models_with_longer_cutoffs(tmp_path, template):
    """The input asks for the ghost atoms that the models of the response need, and only then."""
    lmp_command(1)
    models = {"u": ("potential", None, 3.5), "mu": ("dipole", "e*A", 4.0), "alpha": ("polarizability", "e*A^2/V", 4.5)}
    for name, (kind, unit, cutoff) in models.items():
        export_artifact(
            random_nep(kind, species=("Si", "O"), cutoffs=(cutoff, 3.5)), tmp_path / f"{name}.pt", unit=unit
        )
    shutil.copy(EXAMPLES / "structure.data", tmp_path)
    files = {"dipole": tmp_path / "mu.pt", "polarizability": tmp_path / "alpha.pt"}
    text = lammps_input(template, tmp_path / "u.pt", **files)
    assert "\ncomm_modify  cutoff 5.5 " in text
    assert run_lammps(text, tmp_path, 1, SHORT).thermo["Step"][-1] == 8
    assert "comm_modify" not in lammps_input("nve", tmp_path / "u.pt")


def test_refusals(folder, tmp_path):
    export_artifact(random_nep("dipole"), tmp_path / "mu.pt")
    export_artifact(random_nep(), tmp_path / "u.pt")
    with pytest.raises(InputError, match="template must be one of nve, npt"):
        lammps_input("md", tmp_path / "u.pt")
    with pytest.raises(InputError, match="is a dipole model; LAMMPS needs a potential or an enthalpy"):
        lammps_input("nve", tmp_path / "mu.pt")
    with pytest.raises(InputError, match="template ir also needs a dipole model, .* add --dipole FILE"):
        lammps_input("ir", tmp_path / "u.pt")
    with pytest.raises(InputError, match="mu.pt is for B N, but .*quartz.pt for Si O"):
        lammps_input("ir", folder / "quartz.pt", dipole=tmp_path / "mu.pt")
    with pytest.raises(InputError, match="the model knows B N, but the structure has O Si"):
        write_structure(tmp_path / "x.data", silica(), ("B", "N"))
    lmp_command(1)
    with pytest.raises(TnepError, match="LAMMPS stopped in .*in.lammps: ERROR: Unknown command: nonsense"):
        run_lammps("nonsense\n", tmp_path)
