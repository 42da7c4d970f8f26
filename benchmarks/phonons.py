"""Raman tensors of large cells, and displaced supercells on two MPI ranks.

Run ``python benchmarks/phonons.py [--json FILE] [--cases WORD ...]``.

``raman tensor``: the analytic derivative of the polarizability (one pass, neighbour list included) at several sizes,
which must grow with the number of atoms only, beside central differences of the same model.  Those cost 6 N
evaluations; a sample of them is timed and scaled to all, as the record says.

``displacements``: wall time of the forces of 200 supercells of 216 atoms on one and on two ranks; needs two idle cores.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ase.build import bulk
from cases import CASES, chosen, model_file, record, start, structure, write_records

from tnep_calc import TNEPCalculator
from tnep_calc.phonons.raman_source import polarizability_gradient

CASE = "BaZrO3 susceptibility"
SAMPLE = 10  # displaced structures that are timed


def cpu_seconds(call, rounds: int = 3) -> float:
    """Return the smallest CPU time of some calls."""
    best = np.inf
    for _ in range(rounds):
        begin = time.process_time()
        call()
        best = min(best, time.process_time() - begin)
    return best


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
from pathlib import Path
import numpy as np
from ase.io import read
from mpi4py import MPI
from tnep_calc import TNEPCalculator
from tnep_calc.phonons.forces import displaced_forces
cells, calculator = read(sys.argv[1], ":"), TNEPCalculator(energy=sys.argv[2])
calculator.get_property("forces", cells[0])
MPI.COMM_WORLD.Barrier()
begin = MPI.Wtime()
displaced_forces(cells, calculator, Path(sys.argv[3]), MPI.COMM_WORLD, lambda line: None)
MPI.COMM_WORLD.Barrier()
if MPI.COMM_WORLD.Get_rank() == 0:
    print(MPI.COMM_WORLD.Get_size(), MPI.Wtime() - begin)
"""


def displacements() -> list[dict]:
    """Time the forces of displaced supercells on one and on two ranks."""
    file, _, _ = CASES["PbTe"]
    path = model_file(file)
    cell = bulk("PbTe", "rocksalt", a=6.57, cubic=True).repeat((3, 3, 3))
    wall = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        cells = []
        for k in range(200):
            moved = cell.copy()
            moved.rattle(0.01, seed=k)
            cells.append(moved)
        from ase.io import write

        write(folder / "cells.extxyz", cells)
        (folder / "work.py").write_text(WORK)
        for ranks in (1, 2):
            target = folder / f"ranks{ranks}"
            target.mkdir()
            words = [sys.executable, folder / "work.py", folder / "cells.extxyz", path, target]
            program = Path(sys.executable).parent / "mpiexec"
            done = subprocess.run(
                [str(program), "-n", str(ranks), *map(str, words)], check=True, capture_output=True, text=True
            )
            size, seconds = done.stdout.split()[-2:]
            if int(size) != ranks:
                raise SystemExit(
                    f"mpi4py saw {size} ranks instead of {ranks}: it belongs to another MPI than {program}"
                )
            wall[ranks] = float(seconds)
            print(f"200 supercells of {len(cell)} atoms, {ranks} ranks: {wall[ranks]:.1f} s")
    return [
        record(
            f"PbTe, 200 supercells of {len(cell)} atoms, 2 ranks", "displacements", "one rank", wall[2], wall[1], "s"
        )
    ]


def main() -> None:
    """Run what was asked for."""
    options = start(__doc__).parse_args()
    records = []
    for name, work in (("raman tensor", raman_tensors), ("displacements", displacements)):
        if chosen(name, options.cases):
            records += work()
    if options.json:
        write_records(options.json, records)


if __name__ == "__main__":
    main()
