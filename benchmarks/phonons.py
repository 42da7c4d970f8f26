"""Raman tensors of large cells, and displaced supercells on two MPI ranks.

Run ``python benchmarks/phonons.py [--json FILE] [--cases WORD ...]``.

``raman tensor``: the analytic derivative of the polarizability (one pass with the neighbour list) at several sizes,
which must be linear in the number of atoms, compared with central differences of the same model.  Those need 6 N
evaluations; a sample of them is timed and scaled to all, and the record says so.

``displacements``: time of the forces of 200 supercells of 216 atoms on one and on two ranks, in turn.  Every process
repeats them, and the shortest wall time counts, so that two cores need to be idle for a second only.  The CPU time of
the slower rank shows balance and overhead on a busy machine too.  The limit of the machine is measured beside: two
ranks that each compute all supercells at once, without sharing them.  On two cores that do not slow each other down,
they take as long as one rank, and the limit is 2.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from ase.build import bulk
from cases import CASES, chosen, cpu_seconds, model_file, record, start, structure, write_records

from tnep_calc import TNEPCalculator
from tnep_calc.phonons.raman_source import polarizability_gradient

CASE = "BaZrO3 susceptibility"
SAMPLE = 10  # displaced structures that are timed


def raman_tensors() -> list[dict]:
    """Time the analytic derivative at several sizes, and finite differences at the largest of about 1,000 atoms."""
    file, oracle, name = CASES[CASE]
    path, atoms = model_file(file), structure(oracle, name)
    calculator = TNEPCalculator(susceptibility=str(path))
    records, before = [], None
    for repeat in ((1, 1, 1), (2, 1, 1), (2, 2, 1)):
        large = atoms.repeat(repeat)

        def analytic(large=large):
            calculator.reset()
            return polarizability_gradient(large, calculator)[0]

        seconds = cpu_seconds(analytic)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{CASE:<24}{len(large):>6} atoms  {seconds:8.3f} CPU s  {1e6 * seconds / len(large):7.1f} us/atom  "
            f"peak memory {memory:.0f} MB"
        )
        if before is not None:
            records.append(
                record(
                    f"{CASE}, {before[0]} and {len(large)} atoms (time per atom of the smaller as peer)",
                    "raman tensor",
                    "itself",
                    1e6 * seconds / len(large),
                    1e6 * before[1] / before[0],
                    "CPU us/atom",
                )
            )
        else:
            moved = large.copy()

            def numerical(moved=moved, large=large):
                for k in range(SAMPLE):
                    moved.positions = large.positions
                    moved.positions[k, 0] += 0.01
                    calculator.get_property("polarizability", moved)

            sample = cpu_seconds(numerical, 2) / SAMPLE
            total = 6 * len(large) * sample
            print(
                f"{'':<30} finite differences: {6 * len(large)} evaluations of {1e3 * sample:.1f} ms, {total:.0f} "
                f"CPU s: ratio {total / seconds:.0f}"
            )
            records.append(
                record(
                    f"{CASE}, {len(large)} atoms (6 N evaluations, {SAMPLE} timed)",
                    "raman tensor",
                    "central differences of the same model",
                    seconds,
                    total,
                    "CPU s",
                )
            )
        before = len(large), seconds
    return records


WORK = """
import sys
import time
from pathlib import Path
from ase.io import read
from mpi4py import MPI
from tnep_calc import TNEPCalculator
from tnep_calc.phonons.forces import displaced_forces
world = MPI.COMM_WORLD
cells, calculator = read(sys.argv[1], ":"), TNEPCalculator(energy=sys.argv[2])
calculator.get_property("forces", cells[0])
walls, cpus = [], []
apart = sys.argv[5] == "apart"
for number in range(int(sys.argv[4])):
    folder = Path(sys.argv[3]) / (f"{number}-{world.Get_rank()}" if apart else str(number))
    folder.mkdir(parents=True, exist_ok=True)
    world.Barrier()
    wall, cpu = MPI.Wtime(), time.process_time()
    displaced_forces(cells, calculator, folder, None if apart else world, lambda line: None)
    cpu = time.process_time() - cpu
    world.Barrier()
    walls.append(MPI.Wtime() - wall)
    cpus.append(world.gather(cpu))
if world.Get_rank() == 0:
    print("RESULT", world.Get_size(), min(walls), min(map(sum, cpus)), min(map(max, cpus)), flush=True)
"""
ROUNDS, REPEATS = 3, 10


def displacements() -> list[dict]:
    """Time the forces of displaced supercells on one and on two ranks, in turn; the shortest times count."""
    from ase.io import write

    file, _, _ = CASES["PbTe"]
    path = model_file(file)
    cell = bulk("PbTe", "rocksalt", a=6.57, cubic=True).repeat((3, 3, 3))
    cells = []
    for k in range(200):
        moved = cell.copy()
        moved.rattle(0.01, seed=k)
        cells.append(moved)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write(folder / "cells.extxyz", cells)
        (folder / "work.py").write_text(WORK)
        for number in range(ROUNDS):
            one, two, apart = (
                _forces_on(ranks, folder, path, f"round{number}-{ranks}-{mode}", mode)
                for ranks, mode in ((1, "shared"), (2, "shared"), (2, "apart"))
            )
            rows.append((one[0], two[0], apart[0], one[1], two[2]))
            print(
                f"200 supercells of {len(cell)} atoms: 1 rank {one[0]:.3f} s ({one[1]:.3f} CPU s), 2 ranks "
                f"{two[0]:.3f} s ({two[1]:.3f} CPU s, the slower {two[2]:.3f}): {one[0] / two[0]:.2f} times as fast, "
                f"{one[1] / two[2]:.2f} by CPU time of the slower rank; each alone on all: {apart[0]:.3f} s, limit "
                f"{2 * one[0] / apart[0]:.2f}",
                flush=True,
            )
    wall_one, wall_two, wall_apart, cpu_one, cpu_slower = np.min(rows, axis=0)
    print(
        f"shortest times: {wall_one / wall_two:.2f} times as fast, {cpu_one / cpu_slower:.2f} by CPU time; limit of "
        f"the machine {2 * wall_one / wall_apart:.2f}"
    )
    case = f"PbTe, 200 supercells of {len(cell)} atoms, 2 ranks"
    return [
        record(case, "displacements", "one rank", wall_two, wall_one, "s"),
        record(f"{case}, the slower rank", "displacements", "one rank", cpu_slower, cpu_one, "CPU s"),
        record(f"{case}, each alone on all", "displacements", "one rank twice", wall_apart, 2 * wall_one, "s"),
    ]


def _forces_on(ranks: int, folder: Path, model, name: str, mode: str) -> tuple[float, float, float]:
    """Return the shortest wall seconds, CPU seconds of all ranks and of the slowest rank."""
    target = folder / name
    target.mkdir()
    program = Path(sys.executable).parent / "mpiexec"
    words = [program, "-n", ranks, sys.executable, folder / "work.py", folder / "cells.extxyz", model, target, REPEATS]
    words.append(mode)
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    lines = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if done.returncode or not lines:
        raise SystemExit(f"{ranks} ranks of {program} have failed: {done.stderr.strip()[-500:]}")
    if int(lines[0][0]) != ranks or len(lines) > 1:
        raise SystemExit(f"mpi4py saw {lines[0][0]} ranks instead of {ranks}: it belongs to another MPI than {program}")
    wall, total, slowest = (float(word) for word in lines[0][1:])
    return wall, total, slowest


def main() -> None:
    """Run the selected cases."""
    options = start(__doc__).parse_args()
    records = []
    for name, work in (("raman tensor", raman_tensors), ("displacements", displacements)):
        if chosen(name, options.cases):
            records += work()
    if options.json:
        write_records(options.json, records)


if __name__ == "__main__":
    main()
