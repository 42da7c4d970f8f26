"""Time per atom of NEP and TNEP models on one CPU thread, and of calorine (CPUNEP) and nep-adapters in the same run.

Run ``python benchmarks/inference.py [--json FILE] [--cases WORD ...]``.  Shipped models of the same shapes replace
the published ones if these are absent.  Every number is process CPU time per atom, the smallest of several repeats, in
which all programs are timed in turn.  The others build a neighbour list in every call, so ours does too: natively
("native list") or with vesin through ``tnep_calc.neighbors`` ("vesin list"); "kernel" is the operator alone.  A second
table gives the share of the time that each part of the kernels takes.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import torch
from cases import (
    CASES,
    Ours,
    calorine_core,
    chosen,
    model_file,
    ops,
    record,
    start,
    structure,
    time_in_turn,
    write_records,
)

OPERATORS = {
    "potential": ("nep_energy", True, False),
    "dipole": ("nep_dipole",),
    "polarizability": ("nep_polarizability",),
}
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def calorine_call(path, atoms, kind):
    """Return a function that evaluates calorine's C++ core once."""
    core = calorine_core(path, atoms)
    return {
        "potential": core.get_potential_forces_and_virials,
        "dipole": core.get_dipole,
        "polarizability": core.get_polarizability,
    }[kind]


def nep_adapters_call(path, atoms, kind):
    """Return a function that evaluates nep-adapters' C++ core once (for potentials, with its Python wrapper)."""
    from nep_adapters import NEPCalculator

    calculator = NEPCalculator(str(path))
    types, positions, boxes, pbc = calculator.compose_structures([atoms])
    counts = np.array([len(atoms)], dtype=np.int32)
    if kind == "potential":
        return lambda: calculator.predict_structures([atoms])
    call = calculator.model.dipoles if kind == "dipole" else calculator.model.polarizabilities
    return lambda: call(types, boxes, positions, counts, pbc)


PEERS = {"calorine 4.1": calorine_call, "nep-adapters 1.0.3": nep_adapters_call}


def operations(p, n_radial, n_angular):
    """Return the multiply-adds per atom that the algorithm needs (a single addition counts as one)."""
    nr, na, kr, ka = p.n_max[0] + 1, p.n_max[1] + 1, p.basis_size[0] + 1, p.basis_size[1] + 1
    s = (p.l_max + 1) ** 2 - 1
    radial = n_radial * (2 * kr + 3 * kr) + 2 * p.n_species * nr * kr  # moments, slopes; contractions
    angular = n_angular * (3 * ka + 2 * na * ka + s * na + 2 * s * na + 5 * s)  # basis, g, sums, expansion, harmonics
    network = (2 if p.kind != "polarizability" else 3) * p.neurons * p.dim
    return radial + angular + network


def matrix_product(dtype, size=512):
    """Return a function that runs a dense matrix product, and its multiply-adds: the peak of one thread."""
    a, out = torch.rand(size, size, dtype=dtype), torch.empty(size, size, dtype=dtype)
    return lambda: torch.mm(a, a, out=out), size**3


def mean_neighbors(ours):
    """Return the mean numbers of radial and angular neighbours."""
    p = ours.parameters
    species, centers, offsets, neighbors, vectors = (t.numpy() for t in ours.inputs)
    r = np.linalg.norm(vectors, axis=1)
    ti, tj = np.repeat(species[centers], np.diff(offsets)), species[neighbors]
    counts = [(r < 0.5 * (rc[ti] + rc[tj])).sum() / len(centers) for rc in (p.radial_cutoffs, p.angular_cutoffs)]
    return counts[0], counts[1]


def run_case(name, repeat):
    """Return the records of one model at one size, and print its row."""
    model, oracle, label = CASES[name]
    path = model_file(model)
    atoms = structure(oracle, label).repeat((repeat,) * 3)
    n = len(atoms)
    calls = {}
    for label, dtype in DTYPES.items():
        ours = Ours(path, atoms, dtype)
        operator = OPERATORS[ours.parameters.kind]
        calls[f"native list, {label}"] = ours.call(*operator, edges=ours.edges)
        calls[f"vesin list, {label}"] = ours.call(*operator, edges=ours.vesin_edges)
        calls[f"kernel, {label}"] = ours.call(*operator)
    calls["list"] = ours.edges
    products = {}
    for label, dtype in DTYPES.items():
        calls[f"product, {label}"], products[label] = matrix_product(dtype)
    p, own = ours.parameters, [name for name in calls if name.startswith(("native", "vesin", "kernel"))]
    for peer, make in PEERS.items():
        try:
            calls[peer] = make(path, atoms, p.kind)
            calls[peer]()
        except Exception as error:  # a peer may refuse a model
            calls.pop(peer, None)
            print(f"  {peer} refuses {name}: {str(error).splitlines()[0][:90]}")
    seconds = time_in_turn(calls)
    peaks = {t: products[t] / seconds[f"product, {t}"] for t in DTYPES}
    us = {key: 1e6 * value / n for key, value in seconds.items()}
    counts = mean_neighbors(ours)
    share = [operations(p, *counts) / (us[f"kernel, {t}"] * 1e-6) / peaks[t] for t in DTYPES]
    peers = {peer: us[peer] for peer in PEERS if peer in us}
    fastest = min(peers.values())
    print(
        f"{name:<22}{n:>6} {counts[0]:4.0f}/{counts[1]:<3.0f}|"
        + "|".join(f"{us[f'{kind}, float32']:6.2f}{us[f'{kind}, float64']:7.2f} " for kind in ("native list", "kernel"))
        + f"|{us['list']:6.2f} |{us['vesin list, float32']:6.2f} |"
        + "".join(f"{peers.get(peer, np.nan):7.1f}" for peer in PEERS)
        + f" |{fastest / us['native list, float32']:6.1f}{fastest / us['native list, float64']:6.1f}"
        + f"{fastest / us['kernel, float32']:6.1f}{fastest / us['kernel, float64']:6.1f} |"
        + "".join(f"{100 * s:4.0f}" for s in share)
        + " of"
        + "".join(f"{peaks[t] / 1e9:6.1f}" for t in DTYPES),
        flush=True,
    )
    return [
        record(f"{name}, {n} atoms, {kind}", p.kind, peer, us[kind], peers[peer], "CPU us/atom")
        for kind in own
        for peer in peers
    ]


# As in enum Part of tnep_calc/csrc/core/nep/api.h.
PARTS = (
    "edges",
    "geometry",
    "radial",
    "functions",
    "sums",
    "invariants",
    "network",
    "radial back",
    "angular back",
    "scatter",
)


def print_profiles(names):
    """Print the share of every part of the kernels, in percent of the time of one call."""
    print(f"\n{'share of the kernel, %':<40}" + "".join(f"{part:>13}" for part in PARTS))
    for name in names:
        model, oracle, label = CASES[name]
        atoms = structure(oracle, label)
        for label, dtype in DTYPES.items():
            ours = Ours(model_file(model), atoms, dtype)
            shares = ours.call("nep_profile", 200)()
            print(f"{name + ', ' + label:<40}" + "".join(f"{100 * float(share):13.0f}" for share in shares), flush=True)
    print()


def run_threads(name):
    """Return the record of the speed-up from one thread to two at 8,000 atoms, by wall time (needs two idle cores)."""
    model, oracle, label = CASES[name]
    atoms = structure(oracle, label).repeat((2, 2, 2))
    ours = Ours(model_file(model), atoms, torch.float32)
    call = ours.call(*OPERATORS[ours.parameters.kind])
    wall = {1: np.inf, 2: np.inf}
    for _ in range(5):
        for threads in wall:
            torch.set_num_threads(threads)
            call()
            begin = time.perf_counter()
            for _ in range(10):
                call()
            wall[threads] = min(wall[threads], time.perf_counter() - begin)
    torch.set_num_threads(1)
    speedup = wall[1] / wall[2]
    print(f"{name}, {len(atoms)} atoms, float32: 2 threads are {speedup:.2f} times as fast as 1")
    return record(f"{name}, {len(atoms)} atoms, float32", "2 threads", "limit 1.8", 1.8, speedup, "speed-up")


def run_memory(name, calls=200):
    """Return the record of resident memory per atom at 64,000 atoms, and of its growth over many calls."""
    model, oracle, label = CASES[name]
    atoms = structure(oracle, label).repeat((4, 4, 4))
    before = resident()
    ours = Ours(model_file(model), atoms, torch.float32)
    call = ours.call(*OPERATORS[ours.parameters.kind], edges=ours.edges)
    for _ in range(3):
        call()
    first = resident()
    for _ in range(calls):
        call()
    last = resident()
    per_atom, growth = (first - before) / len(atoms), (last - first) / len(atoms)
    print(f"{name}, {len(atoms)} atoms: {per_atom:.0f} bytes per atom, {growth:+.1f} after {calls} further calls")
    return record(
        f"{name}, {len(atoms)} atoms, float32",
        f"memory after {calls} calls",
        "the first calls",
        per_atom + growth,
        per_atom,
        "bytes per atom",
    )


def resident():
    """Return the resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main():
    parser = start(__doc__)
    parser.add_argument("--repeats", type=int, nargs="*", default=[1, 2], help="cell repeats; 1: 1,000, 2: 8,000 atoms")
    args = parser.parse_args()
    print(
        f"{ops.status().detail}; CPU us per atom, float32 and float64\n"
        "case, atoms, radial/angular neighbours | with native list | kernel | list | with vesin list, float32 "
        "| calorine, nep-adapters\n"
        "| fastest peer / with native list, / kernel | % of peak, peak (matrix product, Gfma/s)"
    )
    records = []
    for repeat in args.repeats:
        for name in CASES:
            if chosen(name, args.cases):
                records += run_case(name, repeat)
    print_profiles([name for name in CASES if chosen(name, args.cases)])
    records += [run_memory(name) for name in ("Si 3-body",) if chosen(name, args.cases)]
    records += [run_threads(name) for name in ("Si 3-body", "water dipole") if chosen(name, args.cases)]
    if args.json:
        write_records(args.json, records)


if __name__ == "__main__":
    main()
