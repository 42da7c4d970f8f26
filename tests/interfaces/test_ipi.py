"""The socket client, against the servers of ASE and of i-PI itself."""

import json
import shutil
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.socketio import SocketIOCalculator
from ase.io import write
from ase.units import Bohr, Ha

from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator, export_artifact
from tnep_calc.cli import main
from tnep_calc.errors import InputError
from tnep_calc.interfaces.ipi import ResponseClient, extras
from tnep_calc.io.series.timeseries import read_timeseries

NAMES = ("dipole", "polarizability", "BEC")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    small = {"n_max": (2, 2), "basis_size": (3, 3), "l_max": 2, "extra": (False,) * 6, "cutoffs": (4.0, 3.5)}
    kinds = {"energy": "potential", "dipole": "dipole", "susceptibility": "polarizability"}
    for role, kind in kinds.items():
        export_artifact(random_nep(kind, **small), folder / f"{role}.pt")
    return {role: str(folder / f"{role}.pt") for role in kinds}


def crystal():
    atoms = bulk("BN", "zincblende", a=3.6, cubic=True)
    atoms.rattle(0.03, seed=1)
    return atoms


def wait_for(socket):
    """Wait until a server has made its UNIX socket, at most a minute."""
    for _ in range(600):
        if socket.exists():
            time.sleep(0.1)  # until it listens
            return
        time.sleep(0.1)
    raise AssertionError(f"{socket} does not appear")


def test_extras_are_in_atomic_units(models):
    atoms = crystal()
    atoms.calc = TNEPCalculator(**models)
    found = extras(atoms, NAMES)
    np.testing.assert_allclose(np.array(found["dipole"]) * Bohr, atoms.get_dipole_moment(), rtol=1e-9)
    # energy -alpha E^2 / 2 is the same number of eV in both units of the field
    alpha = np.array(found["polarizability"]) * Ha * (Bohr / Ha) ** 2
    np.testing.assert_allclose(alpha, atoms.calc.get_property("polarizability", atoms), rtol=1e-7)
    charges = np.array(found["BEC"]).reshape(8, 3, 3)
    np.testing.assert_allclose(charges.sum(axis=0), 0, atol=1e-9)
    raw = atoms.calc.get_property("born_effective_charges", atoms)
    difference = charges[2, 0, 1] - charges[5, 0, 1]  # displacement along x, dipole along y
    assert difference == pytest.approx(raw[2, 1, 0] - raw[5, 1, 0])
    with pytest.raises(InputError, match="extras are dipole"):
        extras(atoms, ["charges"])


def test_ase_as_the_server(models):
    """Forces and stress that ASE gets through the socket are those of the calculator."""
    name = f"tnep-{uuid.uuid4().hex[:8]}"
    atoms, there = crystal(), crystal()
    there.calc = TNEPCalculator(**models)

    def compute():
        wait_for(Path(f"/tmp/ipi_{name}"))
        ResponseClient(["dipole"], unixsocket=name).run(there, use_stress=True)

    client = threading.Thread(target=compute)
    client.start()
    with SocketIOCalculator(unixsocket=name) as server:
        atoms.calc = server
        found = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    client.join(timeout=30)
    atoms.calc = TNEPCalculator(energy=models["energy"])
    assert found[0] == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(found[1], atoms.get_forces(), atol=1e-9)
    np.testing.assert_allclose(found[2], atoms.get_stress(), atol=1e-9)


def test_usage_errors(models, tmp_path, capsys):
    write(tmp_path / "a.xyz", crystal())
    start = ["socket", str(tmp_path / "a.xyz")]
    for options, message in (
        (["--dipole", models["dipole"]], "give --energy or --enthalpy"),
        (["--energy", models["energy"], "--born-charges"], "needs a model of the dipole"),
        (["--energy", models["energy"], "--unixsocket", "nobody"], "start i-PI first"),
    ):
        assert main([*start, *options]) == 1
        assert message in capsys.readouterr().err


INPUT = """<simulation verbosity='low'>
  <output prefix='run'>
    <properties stride='1' filename='md'> [step, potential{{electronvolt}}, conserved{{electronvolt}}] </properties>
    <trajectory stride='1' filename='dipole' extra_type='dipole'> extras </trajectory>
    <trajectory stride='1' filename='pol' extra_type='polarizability'> extras </trajectory>
    <trajectory stride='1' filename='pos' format='xyz'> positions{{angstrom}} </trajectory>
  </output>
  <total_steps>4</total_steps>
  <ffsocket mode='unix' name='models'> <address>{address}</address> <latency>1e-3</latency> </ffsocket>
  <system>
    <initialize nbeads='{beads}'>
      <file mode='ase' units='angstrom'> start.xyz </file>
      <velocities mode='thermal' units='kelvin'> 300 </velocities>
    </initialize>
    <forces> <force forcefield='models'/> </forces>
    <ensemble> <temperature units='kelvin'> 300 </temperature> </ensemble>
    <motion mode='{mode}'> {motion} </motion>
  </system>
</simulation>
"""
PLAIN = "<dynamics mode='nve'> <timestep units='femtosecond'> 0.25 </timestep> </dynamics>"
DRIVEN = """<driven_dynamics mode='eda-nve'> <timestep units='femtosecond'> 0.25 </timestep>
  <efield> <amp> [0, 1e-3, 0] </amp> <freq units='inversecm'> 1000 </freq> </efield>
  <bec mode='driver'/> </driven_dynamics>"""


def run_ipi(folder, models, motion, mode, beads=1, options=()):
    """Run i-PI with our client as another process; return what the client printed."""
    program = shutil.which("i-pi") or str(Path(sys.executable).with_name("i-pi"))
    if not Path(program).exists():
        pytest.skip("i-PI is not installed: pip install 'tnep_calc[doors]'")
    address = f"tnep-{uuid.uuid4().hex[:8]}"
    write(folder / "start.xyz", crystal(), format="extxyz")
    (folder / "input.xml").write_text(INPUT.format(address=address, motion=motion, mode=mode, beads=beads))
    server = subprocess.Popen([program, "input.xml"], cwd=folder, stdout=open(folder / "i-pi.log", "w"), stderr=2)
    try:
        wait_for(Path(f"/tmp/ipi_{address}"))
        words = [word for role, path in models.items() for word in (f"--{role}", path)]
        assert main(["socket", str(folder / "start.xyz"), *words, "--unixsocket", address, *options]) == 0
        assert server.wait(timeout=60) == 0, (folder / "i-pi.log").read_text()
    finally:
        server.kill()
        server.wait()


@pytest.mark.slow
def test_ipi_runs_dynamics_and_writes_the_response(models, tmp_path):
    pytest.importorskip("ipi", reason="i-PI is not installed: pip install 'tnep_calc[doors]'")
    run_ipi(tmp_path, models, PLAIN, "dynamics")
    properties = np.loadtxt(tmp_path / "run.md")
    assert len(properties) == 5 and np.ptp(properties[:, 2]) < 0.02 * max(1.0, np.ptp(properties[:, 1]))
    atoms = crystal()
    atoms.calc = TNEPCalculator(**models)
    assert properties[0, 1] == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
    units = ["--dipole-unit", "e*bohr", "--polarizability-unit", "bohr^3"]
    command = ["series", str(tmp_path / "run.dipole_0"), str(tmp_path / "run.pol_0"), "-o", str(tmp_path / "run.h5")]
    assert main([*command, "--timestep", "0.25", "--temperature", "300", "--volume", "46.656", *units]) == 0
    series = read_timeseries(tmp_path / "run.h5")
    assert series.dipole.values.shape == (5, 3) and series.dipole.dt == 0.25
    np.testing.assert_allclose(series.dipole.values[0], atoms.get_dipole_moment(), atol=1e-6)
    alpha = atoms.calc.get_property("polarizability", atoms)
    np.testing.assert_allclose(series.polarizability.values[0], alpha, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_ipi_dynamics_in_an_oscillating_field(models, tmp_path):
    pytest.importorskip("ipi", reason="i-PI is not installed: pip install 'tnep_calc[doors]'")
    run_ipi(tmp_path, models, DRIVEN, "driven_dynamics", options=["--born-charges"])
    assert len(np.loadtxt(tmp_path / "run.md")) == 5


@pytest.mark.slow
def test_ipi_path_integrals(models, tmp_path):
    pytest.importorskip("ipi", reason="i-PI is not installed: pip install 'tnep_calc[doors]'")
    run_ipi(tmp_path, models, PLAIN, "dynamics", beads=4)
    assert len(list(tmp_path.glob("run.dipole*"))) == 4


def test_extras_are_json(models):
    atoms = crystal()
    atoms.calc = TNEPCalculator(**models)
    assert json.loads(json.dumps(extras(atoms, NAMES)))["dipole"] == extras(atoms, NAMES)["dipole"]
