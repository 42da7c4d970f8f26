"""Time per atom of NEP and TNEP models on one CPU thread, beside calorine (CPUNEP) and nep-adapters in the same run.

Run ``python benchmarks/inference.py [--json FILE] [--cases WORD ...]``; it needs the project's reference data (models
and structures) beside the checkout.  Every number is process CPU time per atom, the smallest of several repeats taken
in turn.  "ours" includes a fresh neighbour list (vesin through ``tnep_calc.neighbors``), as the peers build theirs in
every call; "kernel" is the operator alone.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import time
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk

from tnep_calc import ops
from tnep_calc.io.nep_txt import read_nep
from tnep_calc.neighbors import NeighborList
from tnep_calc.ops.packing import pack

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "tnep"

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
    "BaZrO3 susceptibility": (
        "gpumd_fixtures/models/tnep-BaZrO3-susceptibility.txt", "bazro3_pes", "r1080",
    ),
}  # fmt: skip
OPERATORS = {"dipole": "nep_dipole", "polarizability": "nep_polarizability"}


def structure(oracle, name):
    """Structure of an oracle file, or rock-salt PbTe of 1000 atoms, rattled."""
    if oracle is None:
        atoms = bulk(name, "rocksalt", a=6.57, cubic=True).repeat((5, 5, 5))
        atoms.rattle(0.05, seed=1)
        return atoms
    z = np.load(DATA / "oracle" / f"{oracle}.npz")
    return Atoms(z[f"{name}/numbers"], z[f"{name}/positions"], cell=z[f"{name}/cell"], pbc=True)


class Ours:
    """Neighbour list and operator of one model and structure."""

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
        e = NeighborList(self.parameters.cutoff).edges(self.atoms.positions, self.atoms.cell.array, self.atoms.pbc)
        return (
            self.species, self.centers, torch.from_numpy(e.offsets), torch.from_numpy(e.neighbors),
            torch.from_numpy(e.vectors),
        )  # fmt: skip

    def kernel(self, inputs=None):
        inputs = self.inputs if inputs is None else inputs
        if self.parameters.kind == "potential":
            return torch.ops.tnep.nep_energy(*self.model, *inputs, True, False)
        return getattr(torch.ops.tnep, OPERATORS[self.parameters.kind])(*self.model, *inputs)

    def full(self):
        return self.kernel(self.edges())


def calorine_call(path, atoms, kind):
    """Return a function that evaluates calorine's C++ core once (no ASE overhead)."""
    from calorine.calculators import CPUNEP

    with contextlib.redirect_stdout(io.StringIO()):
        calculator = CPUNEP(str(path))
        calculator.set_atoms(atoms.copy())
        calculator._setup_nepy()
    core = calculator.nepy
    return {
        "potential": core.get_potential_forces_and_virials,
        "dipole": core.get_dipole,
        "polarizability": core.get_polarizability,
    }[kind]


def nep_adapters_call(path, atoms, kind):
    """Return a function that evaluates nep-adapters' C++ core once."""
    from nep_adapters import NEPCalculator

    calculator = NEPCalculator(str(path))
    types, positions, boxes, pbc = calculator.compose_structures([atoms])
    counts = np.array([len(atoms)], dtype=np.int32)
    call = {
        "potential": calculator.predict_arrays,
        "dipole": calculator.model.dipoles,
        "polarizability": calculator.model.polarizabilities,
    }[kind]
    if kind == "potential":
        return lambda: calculator.predict_structures([atoms])
    return lambda: call(types, boxes, positions, counts, pbc)


PEERS = {"calorine 4.1": calorine_call, "nep-adapters 1.0.3": nep_adapters_call}


def time_in_turn(calls, n_atoms, seconds=0.4, rounds=4):
    """Return CPU microseconds per atom of every call: smallest of `rounds`, the calls taken in turn."""
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
    return {name: 1e6 * value / n_atoms for name, value in best.items()}


def operations(p, n_radial, n_angular):
    """Fused multiply-adds per atom that the algorithm needs (means over atoms; one addition counts as one)."""
    nr, na, kr, ka = p.n_max[0] + 1, p.n_max[1] + 1, p.basis_size[0] + 1, p.basis_size[1] + 1
    s = (p.l_max + 1) ** 2 - 1
    radial = n_radial * (2 * kr + 3 * kr) + 2 * p.n_species * nr * kr
    angular = n_angular * (3 * ka + 2 * na * ka + s * na + 2 * s * na + 5 * s)
    network = (2 if p.kind != "polarizability" else 3) * p.neurons * p.dim
    return radial + angular + network


def peak(dtype, size=1024):
    """Multiply-adds per second of one thread: the fastest dense matrix product of the same run."""
    a, best = torch.rand(size, size, dtype=dtype), np.inf
    for _ in range(8):
        start = time.process_time()
        a @ a
        best = min(best, time.process_time() - start)
    return size**3 / best


def mean_neighbors(ours):
    """Mean numbers of radial and angular neighbours."""
    p = ours.parameters
    species, centers, offsets, neighbors, vectors = (t.numpy() for t in ours.inputs)
    r = np.linalg.norm(vectors, axis=1)
    ti, tj = np.repeat(species[centers], np.diff(offsets)), species[neighbors]
    counts = [(r < 0.5 * (rc[ti] + rc[tj])).sum() / len(centers) for rc in (p.radial_cutoffs, p.angular_cutoffs)]
    return counts[0], counts[1]


def run_case(name, repeat, peaks):
    """Return the records of one model at one size, and print its row."""
    model, oracle, label = CASES[name]
    path = DATA / model
    atoms = structure(oracle, label)
    atoms = atoms.repeat((repeat,) * 3) if repeat > 1 else atoms
    n = len(atoms)
    single, double = Ours(path, atoms, torch.float32), Ours(path, atoms, torch.float64)
    p = single.parameters
    calls = {
        "ours float32": single.full, "ours float64": double.full, "kernel float32": single.kernel,
        "kernel float64": double.kernel, "list": single.edges,
    }  # fmt: skip
    for peer, make in PEERS.items():
        try:
            calls[peer] = make(path, atoms, p.kind)
            calls[peer]()
        except Exception as error:  # a peer may refuse a model
            calls.pop(peer, None)
            print(f"  {peer} refuses {name}: {str(error).splitlines()[0][:90]}")
    us = time_in_turn(calls, n)
    counts = mean_neighbors(single)
    share = [operations(p, *counts) / (us[f"kernel {t}"] * 1e-6) / peaks[t] for t in ("float32", "float64")]
    peers = "  ".join(f"{peer.split()[0]} {us[peer]:6.1f}" for peer in PEERS if peer in us)
    fastest = min(us[peer] for peer in PEERS if peer in us)
    print(
        f"{name:<22}{n:>6}  {counts[0]:4.0f}/{counts[1]:<3.0f} {us['ours float32']:7.2f} {us['ours float64']:7.2f} |"
        f" {us['kernel float32']:6.2f} {us['kernel float64']:6.2f} {us['list']:6.2f} | {peers:<38}|"
        f" {fastest / us['ours float32']:5.1f} {fastest / us['ours float64']:5.1f}"
        f" {fastest / us['kernel float32']:6.1f} {fastest / us['kernel float64']:5.1f} |"
        f" {100 * share[0]:3.0f} {100 * share[1]:3.0f}",
        flush=True,
    )
    records = []
    for ours in ("ours float32", "ours float64", "kernel float32", "kernel float64"):
        for peer in PEERS:
            if peer in us:
                records.append({
                    "case": f"{name}, {n} atoms, {ours}", "quantity": p.kind, "peer": peer,
                    "ours": us[ours], "theirs": us[peer], "unit": "CPU us/atom", "ratio": us[peer] / us[ours],
                })  # fmt: skip
    return records


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the records to this file")
    parser.add_argument("--cases", nargs="*", help="only cases whose name contains one of these words")
    parser.add_argument("--repeats", type=int, nargs="*", default=[1, 2], help="cell repeats: 1 = 1,000, 2 = 8,000 atoms")
    args = parser.parse_args()
    if not DATA.exists():
        parser.exit(1, f"reference data not found in {DATA}\n")
    torch.set_num_threads(1)
    status = ops.status()
    if not status.loaded:
        parser.exit(1, f"the native kernels are not available: {status.detail}\n")
    peaks = {"float32": peak(torch.float32), "float64": peak(torch.float64)}
    print(
        f"{status.detail}; peak (matrix product) {peaks['float32'] / 1e9:.1f} and {peaks['float64'] / 1e9:.1f} Gfma/s\n"
        "CPU us per atom: with neighbour list (f32 f64) | kernel (f32 f64), list | peers | fastest peer / with list (f32"
        " f64), / kernel (f32 f64) | % of peak"
    )
    records = []
    for repeat in args.repeats:
        for name in CASES:
            if not args.cases or any(word.lower() in name.lower() for word in args.cases):
                records += run_case(name, repeat, peaks)
    if args.json:
        temporary = args.json.with_suffix(".tmp")
        temporary.write_text(json.dumps(records, indent=1))
        temporary.replace(args.json)


if __name__ == "__main__":
    main()
