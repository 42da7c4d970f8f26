"""Shared code of the benchmarks: models, structures, timers, records, and restarting with one thread."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from stand_ins import PUBLISHED as DATA
from stand_ins import model_file, structure

from tnep_calc import ops
from tnep_calc.io.gpumd.nep_txt import read_nep
from tnep_calc.neighbors import NeighborList
from tnep_calc.ops.nep_packing import pack

__all__ = [
    "CASES",
    "DATA",
    "Ours",
    "calorine_core",
    "chosen",
    "model_file",
    "one_thread",
    "record",
    "run_in_turn",
    "start",
    "structure",
    "time_in_turn",
    "write_records",
]
CASES = {
    # name: (model file, oracle file with the structure or None, structure)
    "Si 3-body": ("potentials/Si_2022_NEP4_3body.txt", "si_nep4_3body", "cubic1000"),
    "C 2024": ("potentials/C_2024_NEP4.txt", "c_2024_nep4", "cubic1000"),
    "PbTe": ("pbte/nep.txt", None, "PbTe"),
    "water potential": ("gpumd_fixtures/models/nep_water.txt", "water_pes_small", "w1008"),
    "water potential (IR)": ("water_ir/nep_pes.txt", "water_pes_ir", "w1008"),
    "BaZrO3 potential": ("gpumd_fixtures/models/nep_BaZrO3.txt", "bazro3_pes", "r1080"),
    "water dipole": ("gpumd_fixtures/models/tnep-water-polarization.txt", "water_dipole", "w1008"),
    "QM7B dipole": ("qm7b/dipole/nep.txt", "qm7b_dipole", "packed_4x4x4"),
    "QM7B polarizability": ("qm7b/polarizability/nep.txt", "qm7b_polarizability", "packed_4x4x4"),
    "BaZrO3 susceptibility": ("gpumd_fixtures/models/tnep-BaZrO3-susceptibility.txt", "bazro3_pes", "r1080"),
}


class Ours:
    """Neighbour list and operators of one model and structure."""

    def __init__(self, path, atoms, dtype):
        self.parameters = read_nep(path)
        header, params = pack(self.parameters)
        self.model = torch.tensor(header), torch.tensor(params, dtype=dtype)
        self.atoms = atoms
        symbols = list(self.parameters.species)
        self.species = torch.tensor([symbols.index(s) for s in atoms.get_chemical_symbols()])
        self.centers = torch.arange(len(atoms))
        self.inputs = self.edges()

    def edges(self):
        """Return the inputs of the operators from a fresh native neighbour search."""
        geometry = (torch.from_numpy(a) for a in (self.atoms.positions, self.atoms.cell.array, self.atoms.pbc))
        offsets, neighbors, _, vectors = torch.ops.tnep.neighbor_list(*geometry, self.parameters.cutoff)
        return self.species, self.centers, offsets, neighbors, vectors

    def vesin_edges(self):
        """Return the inputs of the operators from ``tnep_calc.neighbors`` (vesin)."""
        e = NeighborList(self.parameters.cutoff).edges(self.atoms.positions, self.atoms.cell.array, self.atoms.pbc)
        return self.species, self.centers, *(torch.from_numpy(a) for a in (e.offsets, e.neighbors, e.vectors))

    def listed(self, skin):
        """Return inputs of the ``_list`` operators: a list with a skin, and periodic images as extra atoms."""
        a, n = self.atoms, len(self.atoms)
        geometry = (torch.from_numpy(x) for x in (a.positions, a.cell.array, a.pbc))
        offsets, neighbors, shifts, _ = torch.ops.tnep.neighbor_list(*geometry, self.parameters.cutoff + skin)
        shifts = shifts.numpy().astype(np.int64)
        image = np.where(shifts.any(axis=1), (shifts + 100) @ [10**6, 1000, 1], 0)
        keys, index = np.unique(image * n + neighbors.numpy(), return_inverse=True)
        ghosts = np.searchsorted(keys, n)  # keys below n are the atoms themselves, all of them
        image, atom = np.divmod(keys[ghosts:], n)
        steps = np.stack([image // 10**6, image // 1000 % 1000, image % 1000], axis=1) - 100
        positions = np.concatenate([a.positions, a.positions[atom] + steps @ a.cell.array])
        if ghosts != n:
            raise SystemExit("every atom must be a neighbour inside the cell for this benchmark")
        species = torch.cat([self.species, self.species[torch.from_numpy(atom)]])
        return species, self.centers, offsets, torch.from_numpy(index.astype(np.int32)), torch.from_numpy(positions)

    def call(self, operator, *rest, edges=None):
        """Return a function that runs an operator, after `edges` if given."""
        function = getattr(torch.ops.tnep, operator)
        if edges is None:
            return lambda: function(*self.model, *self.inputs, *rest)
        return lambda: function(*self.model, *edges(), *rest)


def calorine_core(path, atoms):
    """Return calorine's C++ object for a structure (no ASE overhead)."""
    from calorine.calculators import CPUNEP

    with contextlib.redirect_stdout(io.StringIO()):
        calculator = CPUNEP(str(path))
        calculator.set_atoms(atoms.copy())
        calculator._setup_nepy()
    return calculator.nepy


def cpu_seconds(call, rounds: int = 3) -> float:
    """Return the smallest CPU time (s) of some calls."""
    best = np.inf
    for _ in range(rounds):
        begin = time.process_time()
        call()
        best = min(best, time.process_time() - begin)
    return best


def time_in_turn(calls, seconds=0.4, rounds=5):
    """Return CPU seconds of every call: the smallest of several `rounds`, in which all calls are timed in turn."""
    repeats, best = {}, dict.fromkeys(calls, np.inf)
    for name, call in calls.items():
        call()
        start = time.process_time()
        call()
        repeats[name] = max(1, int(seconds / max(time.process_time() - start, 1e-6) / rounds))
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            for _ in range(repeats[name]):
                call()
            best[name] = min(best[name], (time.process_time() - start) / repeats[name])
    return best


def run_in_turn(folder, cases, repeats=2):
    """Run all cases in one LAMMPS process, in turn; return the least CPU microseconds per atom and step of each.

    `cases`: name -> (commands after ``clear``, steps).
    """
    from tnep_calc_lammps import lmp_command

    text = ""
    for _ in range(repeats):
        for name, (commands, steps) in cases.items():
            text += f'clear\n{commands}\nthermo 1000\nprint "case {name}"\nrun {steps}\n'
    (folder / "in.turn").write_text(text)
    done = subprocess.run([*lmp_command(1), "-in", "in.turn", "-nocite"], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"LAMMPS failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    best: dict[str, float] = {}
    for part in re.split(r"^case ", done.stdout, flags=re.M)[1:]:
        name = part.split("\n")[0]
        loop = re.search(r"Loop time of (\S+) on .* for (\d+) steps with (\d+) atoms", part)
        busy = float(re.search(r"([\d.]+)% CPU use with", part)[1]) / 100
        cost = 1e6 * float(loop[1]) * busy / int(loop[2]) / int(loop[3])
        best[name] = min(best.get(name, np.inf), cost)
    return best


def record(case, quantity, peer, ours, theirs, unit):
    """Return one line of the JSON result; a ratio above 1 means that ours is better."""
    return {
        "case": case,
        "quantity": quantity,
        "peer": peer,
        "ours": ours,
        "theirs": theirs,
        "unit": unit,
        "ratio": theirs / ours,
    }


def write_records(path, records):
    """Write the records as JSON; the file appears complete or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(records, indent=1))
    temporary.replace(path)


def one_thread():
    """Restart this process with one thread in all libraries."""
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    if any(os.environ.get(name) != "1" for name in variables):
        os.environ.update(dict.fromkeys(variables, "1"))
        os.execv(sys.executable, [sys.executable, *sys.argv])
    torch.set_num_threads(1)


def start(description):
    """Restart with one thread, check that the native library is available, and return an argument parser."""
    one_thread()
    if not ops.load():
        sys.exit(f"the native kernels are not available: {ops.status().detail}")
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the records to this file")
    parser.add_argument("--cases", nargs="*", help="only cases whose name contains one of these words")
    return parser


def chosen(name, words):
    """Return whether a case was selected on the command line."""
    return not words or any(word.lower() in name.lower() for word in words)
