"""Cost of responses in LAMMPS, each in every step and relative to a step without it; memory of 10^6 atoms.

Run ``python benchmarks/lammps_response.py [--json FILE] [--parts ...]``; it needs LAMMPS with the plugin in this
environment.

* water: NEP potential and TNEP dipole model, 1,008 atoms (``--repeat 2``: 8,064): dipole, current, Born charges, field,
  and correlation functions (fix tnep/spectrum, every fourth step).  Both models in float64, and the dipole model in
  float32.
* enthalpy: the same with the electric-enthalpy models of ``examples``: BaTiO3, 1,080 atoms, and quartz, 576 atoms.
* million: 1,000,000 silicon atoms, NEP in float32: time per atom and step, and the largest memory of the process.

All cases of a part run in turn in one process.  Dipole, current and Born charges are computes, which LAMMPS evaluates
only for an output.  ``fix ave/time`` writes one number of them in every step, and the step without them writes the
kinetic energy with the same fix, so that the cost of writing is in both.
"""

from __future__ import annotations

import lzma
import os
import re
import runpy
import subprocess
import tempfile
from pathlib import Path

from ase.io import read
from cases import model_file, record, run_in_turn, start, structure, write_records
from tnep_calc_lammps import lmp_command

from tnep_calc import export_artifact
from tnep_calc.artifact import read_metadata
from tnep_calc.lammps import write_structure

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LIMITS = {"dipole": 1.6, "current": 5.0, "Born charges": 5.0, "field": 2.0, "spectrum": 1.6}  # of a step without it
WRITTEN = ("dipole", "current", "Born charges")
"""Responses that fix ave/time writes."""
SETUP = """
units metal
atom_style atomic
read_data {data}
velocity all create 300 4928 mom yes rot no
pair_style tnep
pair_coeff * * {pair} {elements}
neighbor 1.0 bin
neigh_modify every 1 delay 0 check yes
timestep 0.0005
fix 1 all nve
{more}
"""
MILLION = """
units metal
lattice diamond 5.43
region box block 0 50 0 50 0 50
create_box 1 box
create_atoms 1 box
mass 1 28.085
velocity all create 300 4928
pair_style tnep
pair_coeff * * {model} Si
neighbor 1.0 bin
neigh_modify every 1 delay 0 check yes
fix 1 all nve
run 5
"""


def compare(folder, case, data, pair, dipole, elements, steps):
    """Return records of every response over a step without it."""
    response = "" if dipole == pair else f"dipole {dipole} {elements}"
    write = "fix s all ave/time 1 1 1 c_r{} file /dev/null"
    log = write.format("[1]")
    more = {
        "plain": "",
        "kinetic energy": f"compute r all ke\n{write.format('')}",
        "dipole": f"compute r all tnep/dipole {dipole} {elements}\n{log}",
        "current": f"compute r all tnep/current {dipole} {elements}\n{log}",
        "Born charges": f"compute r all tnep/born/atom {dipole} {elements}\n{log}",
        "field": f"fix F all tnep/field 0 0 0.001 {response}",
        "spectrum": f"compute r all tnep/dipole {dipole} {elements}\n"
        f"shell rm -f {folder}/r.corr\nfix s all tnep/spectrum 4 file {folder}/r.corr dipole c_r",
    }
    cases = {}
    for name, commands in more.items():
        text = SETUP.format(data=data, pair=pair, elements=elements, more=commands)
        cases[name] = (text, steps)
    best = run_in_turn(folder, cases, 5)
    records = []
    for name in ("plain", "kinetic energy"):
        print(f"{case}, {name}: {best[name]:.2f} CPU us per atom and step")
    for name, limit in LIMITS.items():
        ratio = best[name] / best["kinetic energy" if name in WRITTEN else "plain"]
        records.append(record(case, name, "limit", ratio, limit, "of a step without it"))
        print(f"  with {name:<13} {best[name]:7.2f}   x {ratio:.2f}   (limit {limit})", flush=True)
    return records


def water(folder, repeat):
    """Return records for NEP water with a TNEP dipole model; the cell of 1,008 atoms is repeated along each axis."""
    energy, dipole = model_file("water_ir/nep_pes.txt"), model_file("gpumd_fixtures/models/tnep-water-polarization.txt")
    species = export_artifact(energy, folder / "u.pt").species
    data, records = folder / "water.data", []
    atoms = structure("water_pes_ir", "w1008").repeat(repeat)
    write_structure(data, atoms, species)
    for dtype in ("float64", "float32"):
        export_artifact(dipole, folder / f"{dtype}.pt", dtype=dtype, unit="e*A")
        case = f"water, {len(atoms)} atoms, NEP in float64, TNEP in {dtype}"
        records += compare(
            folder, case, data, folder / "u.pt", folder / f"{dtype}.pt", " ".join(species), 100 // repeat**2
        )
    return records


def enthalpy(folder):
    """Return records for the enthalpy models of the examples."""
    crystals = {
        "batio3_cycle/batio3": runpy.run_path(str(EXAMPLES / "batio3_cycle" / "run.py"))["barium_titanate"](2),
        "sio2_field/quartz": read(EXAMPLES / "lammps" / "structure.data", format="lammps-data").repeat(4),
    }
    records = []
    for name, atoms in crystals.items():
        model, data = folder / f"{Path(name).name}.pt", folder / f"{Path(name).name}.data"
        model.write_bytes(lzma.decompress((EXAMPLES / f"{name}.pt.xz").read_bytes()))
        metadata = read_metadata(model)
        write_structure(data, atoms, metadata.species)
        case = f"{model.stem}, {len(atoms)} atoms, enthalpy, {metadata.dtype}"
        records += compare(folder, case, data, model, model, " ".join(metadata.species), 60)
    return records


def million(folder):
    """Return records of the time and the memory of 1,000,000 atoms on one rank."""
    export_artifact(model_file("potentials/Si_2022_NEP4_3body.txt"), folder / "si.pt", dtype="float32")
    (folder / "in.million").write_text(MILLION.format(model=folder / "si.pt"))
    with open(folder / "out", "w") as out:
        process = subprocess.Popen([*lmp_command(1), "-in", "in.million", "-nocite"], cwd=folder, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    text = (folder / "out").read_text()
    loop = re.search(r"Loop time of (\S+) on .* for (\d+) steps with (\d+) atoms", text)
    if process.returncode or not loop:
        raise SystemExit(f"LAMMPS failed:\n{text[-2000:]}")
    busy = float(re.search(r"([\d.]+)% CPU use with", text)[1]) / 100
    cost = 1e6 * float(loop[1]) * busy / int(loop[2]) / int(loop[3])
    kilobytes = usage.ru_maxrss / int(loop[3])
    print(f"{loop[3]} atoms, float32: {cost:.2f} CPU us per atom and step, {kilobytes:.2f} kB per atom in all")
    return [
        record("Si 3-body, 1e6 atoms, float32", "memory", "limit of 16 GB", kilobytes, 16.0, "kB/atom"),
        record("Si 3-body, 1e6 atoms, float32", "step", "none", cost, cost, "CPU us/atom/step"),
    ]


def main():
    parser = start(__doc__)
    parser.add_argument(
        "--parts", nargs="*", choices=("water", "enthalpy", "million"), default=["water", "enthalpy", "million"]
    )
    parser.add_argument("--repeat", type=int, default=1, help="of the cell of water, along each axis (default: 1)")
    args = parser.parse_args()
    records = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "water" in args.parts:
            records += water(folder, args.repeat)
        if "enthalpy" in args.parts:
            records += enthalpy(folder)
        if "million" in args.parts:
            records += million(folder)
    if args.json:
        write_records(args.json, records)


if __name__ == "__main__":
    main()
