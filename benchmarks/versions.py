"""Time and results of the kernels of this version and of another one, on the same inputs.

Run ``python benchmarks/versions.py OTHER/libtnep_ops.so [--json FILE]`` with the operator library of the other version,
which is in ``tnep_calc/lib`` of its environment.  Processes of the two versions run in turn.  Every number is process
CPU time of one thread per atom, the smallest of all rounds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from cases import CASES, Ours, chosen, model_file, record, start, structure, write_records
from enthalpy import FIELD, Silica, scripted
from inference import DTYPES

from tnep_calc import ops

OPERATORS = {
    "Si 3-body": ("Si 3-body", "nep_energy", True, False),
    "PbTe": ("PbTe", "nep_energy", True, False),
    "water potential (IR)": ("water potential (IR)", "nep_energy", True, False),
    "water dipole": ("water dipole", "nep_dipole"),
    "water dipole, forces in a field": ("water dipole", "nep_field_response", FIELD, False),
    "QM7B polarizability": ("QM7B polarizability", "nep_polarizability"),
}
"""Name -> case, operator and its last arguments."""
PAIRS = 3
WORKER = Path(__file__).with_name("versions_worker.py")


def inputs() -> dict[str, tuple[str, tuple, int]]:
    """Return operator, arguments and number of atoms of every case."""
    found = {}
    for name, (case, operator, *rest) in OPERATORS.items():
        model, oracle, label = CASES[case]
        for dtype, kind in DTYPES.items():
            ours = Ours(model_file(model), structure(oracle, label), kind)
            found[f"{name}, {dtype}"] = operator, (*ours.model, *ours.inputs, *rest), len(ours.atoms)
    silica = Silica(2)
    for dtype in DTYPES:
        model = scripted(dtype)
        packed = model.header, model.params, model.constants
        rest = FIELD, [0], False, 1
        found[f"enthalpy E, F, P in a field, {dtype}"] = "enthalpy", (*packed, *silica.inputs, *rest), len(silica.atoms)
    return found


def run(library: str, cases: Path) -> tuple[dict[str, float], dict[str, list]]:
    """Return seconds and results of a process with one library."""
    command = [sys.executable, str(WORKER), library, str(cases), f"{cases}.results"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{library} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout), torch.load(f"{cases}.results", weights_only=False)


def main() -> None:
    """Compare the two libraries."""
    parser = start(__doc__)
    parser.add_argument("other", type=Path, help="libtnep_ops.so of the other version")
    args = parser.parse_args()
    cases = {name: case for name, case in inputs().items() if chosen(name, args.cases)}
    best: dict[str, dict[str, float]] = {}
    results = {}
    libraries = {"ours": ops.status().path, "other": str(args.other)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cases.pt"
        torch.save(cases, file)
        for _ in range(PAIRS):
            for which, library in libraries.items():
                seconds, results[which] = run(library, file)
                for name, value in seconds.items():
                    own = best.setdefault(name, {})
                    own[which] = min(own.get(which, value), value)
    records = []
    print(f"{'CPU us/atom':<44}{'ours':>8}{'other':>8}{'ours / other':>14}")
    for name, (_, _, atoms) in cases.items():
        ours, other = (1e6 * best[name][which] / atoms for which in libraries)
        pairs = zip(*(results[which][name] for which in libraries), strict=True)
        bits = "bits equal" if all(torch.equal(a, b) for a, b in pairs) else "bits differ"
        print(f"{name:<44}{ours:8.2f}{other:8.2f}{ours / other:14.3f}  {bits}", flush=True)
        records.append(record(name, f"time, {bits}", "other version", ours, other, "CPU us/atom"))
    if args.json:
        write_records(args.json, records)


if __name__ == "__main__":
    main()
