"""Born charges, polarizability gradients and field forces: time per atom on one CPU thread.

Run ``python benchmarks/gradients.py [--json FILE] [--cases WORD ...]``.  Shipped models of the same shapes replace the
published ones if these are absent.  Ours (including the neighbour list) is timed at several sizes and must be linear in
the number of atoms.
It is compared with calorine's finite differences, which need 6 N or 12 N evaluations.  They run once on a small
structure.  Their time for 1,000 atoms is scaled with the number of atoms squared, and its record says so.
"""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms
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
    "dipole": ("nep_dipole", "nep_dipole_gradient"),
    "polarizability": ("nep_polarizability", "nep_polarizability_gradient"),
}
SMALL = {"water": ("water_dipole", "w63"), "QM7B": ("qm7b_dipole", "triclinic_8A"), "BaZrO3": ("bazro3_pes", "r40")}
STEP = 0.01  # calorine's default displacement, Å


def calorine_gradient(path, atoms, kind):
    """Return a function that gives calorine's gradient by central differences with its default step."""
    core = calorine_core(path, atoms)
    if kind == "dipole":
        shape, call = (len(atoms), 3, 3), lambda: core.get_dipole_gradient(STEP, 1, 0.0)
    else:
        shape, call = (len(atoms), 3, 6), lambda: core.get_polarizability_gradient(STEP, [0, 1, 2])
    return lambda: np.array(call()).reshape(shape)


def against_calorine(name, path, kind):
    """Time both on a small structure; return its record and the one scaled to 1,000 atoms."""
    oracle, label = SMALL[name.split()[0]]
    atoms = structure(oracle, label)
    ours, peer = Ours(path, atoms, torch.float64), calorine_gradient(path, atoms, kind)
    call = ours.call(OPERATORS[kind][1], edges=ours.edges)
    seconds = time_in_turn({"ours": call, "theirs": peer}, rounds=2)
    ratio = seconds["theirs"] / seconds["ours"]
    print(
        f"{name:<22}{len(atoms):>6}  float64 {seconds['ours'] * 1e3:.2f} ms   calorine {seconds['theirs'] * 1e3:.1f} ms"
        f"   ratio {ratio:8.0f};  scaled to 1,000 atoms: ratio {ratio * 1000 / len(atoms):8.0f}"
    )
    per_atom = {key: 1e6 * value / len(atoms) for key, value in seconds.items()}
    unit = "CPU us/atom"
    small = record(f"{name}, {len(atoms)} atoms, float64", f"{kind} gradient", "calorine 4.1", *per_atom.values(), unit)
    scale = 1000 / len(atoms)
    large = record(
        f"{name}, 1000 atoms, float64 (both scaled: ours as N, finite differences as N^2)",
        f"{kind} gradient",
        "calorine 4.1",
        per_atom["ours"],
        per_atom["theirs"] * scale,
        unit,
    )
    return [small, large]


def own_sizes(name, path, kind):
    """Print our time per atom at increasing sizes."""
    _, oracle, label = CASES[name]
    start_atoms: Atoms = structure(oracle, label)
    for repeat in (1, 2, 4):
        atoms = start_atoms.repeat((repeat,) * 3)
        row = f"{name:<22}{len(atoms):>6} "
        for dtype in (torch.float32, torch.float64):
            ours = Ours(path, atoms, dtype)
            value, gradient = OPERATORS[kind]
            calls = {"value": ours.call(value), "gradient": ours.call(gradient), "list": ours.edges}
            if kind == "dipole":
                calls["field"] = ours.call("nep_field_response", torch.ones(3, dtype=torch.float64))
            us = {key: 1e6 * s / len(atoms) for key, s in time_in_turn(calls, seconds=0.6, rounds=3).items()}
            row += (
                f"| {str(dtype)[6:]} value {us['value']:5.2f} gradient {us['gradient']:6.2f} "
                f"({us['gradient'] / us['value']:.1f} x) field {us.get('field', np.nan):5.2f} "
            )
        print(row + f"| list {us['list']:5.2f} us/atom", flush=True)


def main():
    args = start(__doc__).parse_args()
    print(ops.status().detail)
    records = []
    for name, (model, _, _) in CASES.items():
        kind = "dipole" if "dipole" in name else "polarizability"
        if "potential" in name or name in ("Si 3-body", "C 2024", "PbTe") or not chosen(name, args.cases):
            continue
        own_sizes(name, model_file(model), kind)
        records += against_calorine(name, model_file(model), kind)
    if args.json:
        write_records(args.json, records)


if __name__ == "__main__":
    main()
