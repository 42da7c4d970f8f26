"""Cost model of molecular dynamics on many processors: fitted to runs on this machine, extrapolated to 10^9 atoms.

Run ``python benchmarks/scale.py [--json FILE]``.  It times energies, forces and virial of a NEP of silicon, and the
neighbour search, for rising numbers of atoms on one CPU thread, and fits a constant plus a time per atom to both.  The
memory per atom is the growth of the process between the two largest sizes.

A step of a rank with n atoms, of number density rho, in a cube of side L = (n / rho)^(1/3) then takes

    t = a + b n + s (n + g) / m + 2 (6 l + 24 g / w),    g = rho ((L + 2 c)^3 - L^3)

with the fitted constant a and time per atom b of the evaluation, the time per atom s of a neighbour search every m
steps, g ghost atoms within the cutoff plus skin c, and the latency l and bandwidth w of the network: the positions of
ghosts come in six messages, and their forces return in six, with 24 bytes each.  Latency and bandwidth are not measured
here but assumed (--latency, --bandwidth).  With --microseconds, b, s and a are also assumed, for a device that is not
at hand: a search costs as much as an evaluation, and the launches of a step take ``LAUNCHES``.  Load imbalance, output
and sums over all ranks are left out.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys

import numpy as np
import torch
from ase.build import bulk
from cases import CASES, Ours, cpu_seconds, model_file, one_thread

from tnep_calc import ops

SIZES = (1_000, 4_096, 13_824, 46_656)  # atoms
ATOMS = 1e9
SKIN, EVERY = 1.0, 10  # A; steps between two neighbour searches
LAUNCHES = 1e-4  # s
CORES, GPUS = (1_000, 10_000, 100_000, 1_000_000), (100, 1_000, 10_000)


def crystal(n_atoms: int):
    """Return about `n_atoms` atoms of silicon with random displacements."""
    atoms = bulk("Si", "diamond", a=5.43, cubic=True).repeat(max(1, round((n_atoms / 8) ** (1 / 3))))
    atoms.rattle(0.05, seed=0)
    return atoms


def measure(sizes) -> list[dict]:
    """Return the times (s) of evaluation and search, and the largest memory (bytes), for rising numbers of atoms."""
    path = model_file(CASES["Si 3-body"][0])
    rows = []
    for size in sizes:
        atoms = crystal(size)
        ours = Ours(path, atoms, torch.float32)

        def evaluate(ours=ours):
            torch.ops.tnep.nep_energy(*ours.model, *ours.inputs, True, False)

        evaluate()
        rows.append(
            {
                "atoms": len(atoms),
                "neighbors": len(ours.inputs[3]) / len(atoms),
                "evaluation": cpu_seconds(evaluate),
                "search": cpu_seconds(ours.edges),
                "memory": 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                "cutoff": float(ours.parameters.cutoff),
                "density": len(atoms) / atoms.get_volume(),
            }
        )
    return rows


def fit(atoms, seconds) -> tuple[float, float]:
    """Return the constant (s, not negative) and the time per atom (s), for the least relative deviations.

    Examples
    --------
    >>> [float(round(x, 9)) for x in fit([1e3, 1e4], [3e-3, 2.1e-2])]
    [0.001, 2e-06]
    """
    n, t = np.asarray(atoms, float), np.asarray(seconds, float)
    matrix = np.stack([1 / t, n / t], axis=1)
    constant, slope = np.linalg.lstsq(matrix, np.ones(len(n)), rcond=None)[0]
    if constant < 0:
        constant, slope = 0.0, float(np.sum(n / t) / np.sum((n / t) ** 2))
    return float(constant), float(slope)


def ghosts(atoms: float, density: float, reach: float) -> float:
    """Return the number of atoms within `reach` (A) of the outside of a cube with so many atoms."""
    side = (atoms / density) ** (1 / 3)
    return density * ((side + 2 * reach) ** 3 - side**3)


def step(atoms: float, costs: dict) -> dict[str, float]:
    """Return the parts of the time of one step (s) of a rank with so many atoms, and its memory (bytes)."""
    shell = ghosts(atoms, costs["density"], costs["reach"])
    parts = {
        "kernel": costs["constant"] + costs["evaluation"] * atoms,
        "search": costs["search"] * (atoms + shell) / EVERY,
        "network": 2 * (6 * costs["latency"] + 24 * shell / costs["bandwidth"]),
    }
    return {**parts, "step": sum(parts.values()), "memory": costs["memory"] * (atoms + shell), "ghosts": shell}


def table(costs: dict, ranks) -> list[dict]:
    """Print and return the extrapolation to ``ATOMS`` atoms on several numbers of ranks."""
    print("\n    ranks  atoms/rank  ghosts   ms/step  network efficiency  GB/rank")
    rows = []
    ideal = (costs["evaluation"] + costs["search"] / EVERY) * ATOMS
    for count in ranks:
        own = step(ATOMS / count, costs)
        rows.append({"ranks": count, **own, "efficiency": ideal / (count * own["step"])})
        print(
            f"{count:9d} {ATOMS / count:11.3g} {own['ghosts'] * count / ATOMS:7.1%} {1e3 * own['step']:9.3g} "
            f"{own['network'] / own['step']:8.1%} {rows[-1]['efficiency']:10.1%} {own['memory'] / 1e9:8.3g}"
        )
    return rows


def main() -> None:
    """Measure, fit and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), metavar="N", help="atoms to time")
    parser.add_argument("--latency", type=float, default=2e-6, metavar="S", help="of a message (default: 2e-6)")
    parser.add_argument("--bandwidth", type=float, default=2e8, metavar="B/S", help="of a core (default: 2e8)")
    parser.add_argument("--device-bandwidth", type=float, default=2.5e10, metavar="B/S", help="(default: 2.5e10)")
    parser.add_argument("--microseconds", type=float, metavar="US", help="assumed time per atom of another device")
    parser.add_argument("--json", metavar="FILE", help="write all numbers there, too")
    args = parser.parse_args()
    one_thread()
    if not ops.load():
        sys.exit(f"the native kernels are not available: {ops.status().detail}")
    rows = measure(sorted(args.sizes))
    print(f"{'atoms':>9} {'neighbours':>10} {'evaluation':>11} {'search':>7}   us per atom, CPU time of one thread")
    for row in rows:
        scale = 1e6 / row["atoms"]
        times = f"{scale * row['evaluation']:11.3f} {scale * row['search']:7.3f}"
        print(f"{row['atoms']:9d} {row['neighbors']:10.1f} {times}")
    atoms = [row["atoms"] for row in rows]
    constant, evaluation = fit(atoms, [row["evaluation"] for row in rows])
    last, before = rows[-1], rows[-2] if len(rows) > 1 else {"memory": 0.0, "atoms": 0}
    costs = {
        "constant": constant,
        "evaluation": evaluation,
        "search": fit(atoms, [row["search"] for row in rows])[1],
        "memory": (last["memory"] - before["memory"]) / (last["atoms"] - before["atoms"]),
        "density": last["density"],
        "reach": last["cutoff"] + SKIN,
        "latency": args.latency,
        "bandwidth": args.bandwidth,
    }
    worst = max(abs((constant + evaluation * row["atoms"]) / row["evaluation"] - 1) for row in rows)
    print(
        f"fit: {1e6 * constant:.3g} us + {1e6 * evaluation:.3g} us per atom (largest deviation {worst:.1%}); search "
        f"{1e6 * costs['search']:.3g} us per atom; {costs['memory'] / 1e3:.3g} kB per atom"
    )
    print(f"\n{ATOMS:.0e} atoms, one rank per core:", end="")
    found = {"rows": rows, "costs": costs, "cores": table(costs, CORES)}
    if args.microseconds:
        print(f"\n{ATOMS:.0e} atoms, one rank per device of {args.microseconds:g} us per atom (assumed):", end="")
        each = 1e-6 * args.microseconds
        device = {**costs, "constant": LAUNCHES, "evaluation": each, "search": each}
        device["bandwidth"] = args.device_bandwidth
        found["devices"] = table(device, GPUS)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
