"""All checks and benchmarks of the CUDA kernels, in less than ten minutes on a machine with a GPU.

Run ``python benchmarks/gpu.py [--build] [--json FILE]``.  ``--build`` installs the package first, so that nvcc
compiles the kernels.  Without a GPU it prints a message and ends with status 2.  ``--emulated`` runs the checks, but
not the benchmarks, on the emulation of the kernels, as a test of this script.

Checks: all quantities of random NEP, TNEP (l_max from 1 to 8) and enthalpy models against the CPU kernels (float64
1e-10, float32 1e-5, relative to the largest number); bitwise repeatability with deterministic algorithms;
compute-sanitizer; memory over 10^4 evaluations.  Benchmarks: microseconds per atom and evaluation of the kernels and of
plain torch by number of atoms, kind and precision, with the edges already on the GPU; bytes per atom.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

LIMIT = 570.0  # seconds for all
SIZES = (1_000, 10_000, 100_000, 1_000_000)  # atoms
KINDS = ("potential", "dipole", "polarizability")
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
BUILD = [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "-e", str(ROOT)]


class Report:
    """Prints and records results, and keeps track of the time left."""

    def __init__(self):
        self.start = time.monotonic()
        self.records: list[dict] = []
        self.failed = False

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return LIMIT - (time.monotonic() - self.start)

    def add(self, what: str, passed: bool | None = None, **values) -> None:
        """Record one result; ``passed`` is None for a measurement."""
        self.failed |= passed is False
        mark = {True: "ok    ", False: "FAILED", None: "      "}[passed]
        shown = "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
        print(f"[{time.monotonic() - self.start:5.0f} s] {mark} {what}  {shown}", flush=True)
        self.records.append({"what": what, "passed": passed, **values})


def environment(report: Report, emulated: bool) -> None:
    """Print the machine and the versions that the numbers below belong to."""
    about = {"python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda or "none"}
    if not emulated:
        properties = torch.cuda.get_device_properties(0)
        about |= {"gpu": properties.name, "gpu_gb": properties.total_memory / 1e9}
    report.add("environment", **about, nvcc=shutil.which("nvcc") or "none", commit=commit())


def commit() -> str:
    """Return the commit of the checkout, or 'unknown'."""
    found = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def to(device, tensors):
    """Move the tensors of a tuple."""
    return tuple(t.to(device) for t in tensors)


def parity(report: Report, operators, device, l_values) -> None:
    """Compare all quantities with those of the CPU kernels in double precision."""
    from helpers.nep_operators import edges, model, native, random_model, random_structure

    field = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)
    for kind in KINDS:
        for dtype, tolerance in TOLERANCE.items():
            worst, where = 0.0, ""
            for l_max in l_values:
                parameters = random_model(kind, l_max, n_species=1 + l_max % 3)
                inputs = edges(parameters, *random_structure(parameters, 8))
                wanted = native(kind, model(parameters), inputs, field, parameters.dim)
                ours = native(
                    kind,
                    to(device, model(parameters, dtype)),
                    to(device, inputs),
                    field.to(device),
                    parameters.dim,
                    operators,
                )
                for name, value in wanted.items():
                    error = float((ours[name].cpu() - value).abs().max() / value.abs().max())
                    if not error <= worst:
                        worst, where = error, f"{name}, l_max {l_max}"
            report.add(f"parity {kind} {str(dtype)[6:]}", worst <= tolerance, deviation=worst, of=where or "all")


ENTHALPY_SEEDS = list(range(11))  # enthalpy, dipole, field . dipole, polarizability: see core/enthalpy/api.h


def enthalpy_results(operators, m, inputs, device) -> list:
    """Return all results of the enthalpy operator in a field."""
    field = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64, device=device)
    packed = to(device, (m.header, m.params, m.constants))
    return list(operators.enthalpy(*packed, *to(device, inputs), field, ENTHALPY_SEEDS, True, 2))


def enthalpy_parity(report: Report, operators, device, sizes) -> None:
    """Compare all results of enthalpy models with those of the CPU kernels in double precision."""
    from helpers.enthalpy_operators import edges, model
    from helpers.random_enthalpy import silica

    inputs = edges(silica())
    for dtype, tolerance in TOLERANCE.items():
        worst, where = 0.0, ""
        for size in sizes:  # radial functions, channels, neurons
            wanted = enthalpy_results(torch.ops.tnep, model(*size), inputs, "cpu")
            ours = enthalpy_results(operators, model(*size, dtype=dtype), inputs, device)
            for k, (value, expected) in enumerate(zip(ours, wanted, strict=True)):
                error = float((value.cpu() - expected).abs().max() / expected.abs().max())
                if not error <= worst:
                    worst, where = error, f"result {k}, sizes {size}"
        report.add(f"parity enthalpy {str(dtype)[6:]}", worst <= tolerance, deviation=worst, of=where or "all")


def repeatability(report: Report, operators, device) -> None:
    """Check that two evaluations with deterministic algorithms are equal bit by bit."""
    from helpers import enthalpy_operators, random_enthalpy
    from helpers.nep_operators import edges, model, native, random_model, random_structure

    field = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64, device=device)
    torch.use_deterministic_algorithms(True)
    try:
        for kind in KINDS:
            parameters = random_model(kind, 4)
            inputs = to(device, edges(parameters, *random_structure(parameters, 8)))
            packed = to(device, model(parameters, torch.float32))
            one, two = (native(kind, packed, inputs, field, parameters.dim, operators) for _ in range(2))
            report.add(f"repeatable {kind}", all(torch.equal(one[name], two[name]) for name in one))
        m, inputs = enthalpy_operators.model(10, 16, 64, torch.float32), random_enthalpy.silica()
        first, second = (enthalpy_results(operators, m, enthalpy_operators.edges(inputs), device) for _ in range(2))
        report.add("repeatable enthalpy", all(map(torch.equal, first, second)))
    finally:
        torch.use_deterministic_algorithms(False)


def sanitizer(report: Report) -> None:
    """Run the parity of small models under compute-sanitizer."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        return report.add("compute-sanitizer not found: install the CUDA toolkit to run it")
    for tool in ("memcheck", "racecheck"):
        if report.left < 120:
            return report.add(f"compute-sanitizer {tool} left out: no time left")
        command = [program, "--tool", tool, "--error-exitcode", "9", sys.executable, __file__, "--small"]
        try:
            found = subprocess.run(command, capture_output=True, text=True, timeout=min(120, report.left))
        except subprocess.TimeoutExpired:
            report.add(f"compute-sanitizer {tool} left out: not done in time")
            continue
        report.add(f"compute-sanitizer {tool}", found.returncode == 0, last=(found.stdout.splitlines() or [""])[-1])


def leak(report: Report, device) -> None:
    """Check that memory does not grow over 10^4 evaluations."""
    from helpers.nep_operators import edges, model, nep, random_model, random_structure

    parameters = random_model("potential", 4)
    args = (*to(device, model(parameters)), *to(device, edges(parameters, *random_structure(parameters, 8))))
    free = []
    for step in range(10_001):
        nep.nep_energy(*args, True, True)
        if step in (1_000, 10_000):
            torch.cuda.synchronize()
            free.append(torch.cuda.mem_get_info()[0])
    report.add("memory over 10^4 evaluations", free[1] >= free[0], grown_bytes=free[0] - free[1])


def crystal(n_atoms: int):
    """Return species, positions and cell of a thermally displaced rocksalt crystal of about this many atoms."""
    cells = max(1, round((n_atoms / 8) ** (1 / 3)))
    from ase.build import bulk

    atoms = bulk("MgO", "rocksalt", a=4.2, cubic=True).repeat(cells)
    atoms.rattle(0.05, seed=0)
    return atoms


def evaluation_time(run, report: Report) -> float:
    """Return the least time of an evaluation in seconds."""
    best = float("inf")
    for _ in range(5):
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
        if report.left < 30:
            break
    return best


def speed(report: Report, device) -> None:
    """Time kernels and plain torch on crystals of increasing size."""
    from dataclasses import replace

    from helpers import enthalpy_operators
    from helpers.nep_operators import edges, random_model
    from tnep_calc.ops.nep import NativeNEP

    wanted = {
        "potential": ["energies", "forces", "virial"],
        "dipole": ["dipole"],
        "polarizability": ["polarizability"],
        "born charges": ["born_charges"],
        "enthalpy E, F, P": ["energies", "forces", "virial", "dipole"],
        "enthalpy all": ["energies", "forces", "virial", "dipole", "polarizability", "born_charges"],
    }
    models = {kind: replace(random_model(kind, 4), species=("Mg", "O")) for kind in KINDS}
    enthalpy = {dtype: enthalpy_operators.model(10, 16, 64, dtype) for dtype in TOLERANCE}
    for size in SIZES:
        atoms = crystal(size)
        if report.left < 120:
            return report.add(f"{size} atoms left out: no time left")
        inputs = to(device, edges(models["dipole"], atoms.numbers, atoms.positions, atoms.cell.array))
        for name, quantities in wanted.items():
            if report.left < 60:
                return report.add(f"{name} of {size} atoms left out: no time left")
            for dtype in TOLERANCE:
                if name.startswith("enthalpy"):
                    module = enthalpy[dtype].to(device)
                else:
                    module = NativeNEP(models[name if name in KINDS else "dipole"], dtype).to(device)
                known = [q for q in quantities if q in module.quantities]
                for path, call in (("kernels", module), ("plain torch", module.plain)):
                    torch.cuda.reset_peak_memory_stats()
                    try:
                        seconds = evaluation_time(lambda: call(*inputs, known, None), report)  # noqa: B023
                    except torch.cuda.OutOfMemoryError:
                        report.add(f"{name} {path} {str(dtype)[6:]}", atoms=len(atoms), out_of="memory")
                        continue
                    report.add(
                        f"{name} {path} {str(dtype)[6:]}",
                        atoms=len(atoms),
                        us_per_atom=1e6 * seconds / len(atoms),
                        bytes_per_atom=torch.cuda.max_memory_allocated() / len(atoms),
                    )


def main() -> int:
    """Run everything; the status is 0 if all checks passed, 1 if one failed, 2 without a GPU or kernels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", action="store_true", help="install the package from this checkout first")
    parser.add_argument("--json", metavar="FILE", help="write all results there, too")
    parser.add_argument("--emulated", action="store_true", help="run the checks on the emulation, without a GPU")
    parser.add_argument("--small", action="store_true", help="parity of two small models only (for compute-sanitizer)")
    args = parser.parse_args()
    if args.build:
        subprocess.run(BUILD, check=True)
    if not args.emulated and not torch.cuda.is_available():
        print(
            f"no GPU: torch {torch.__version__} finds none on this machine; nothing was run (--emulated runs the "
            "checks on the emulation of the kernels)"
        )
        return 2
    from tnep_calc import ops

    if not ops.load():
        print(f"the native kernels are not available: {ops.status().detail}")
        return 2
    report, device = Report(), torch.device("cpu" if args.emulated else "cuda")
    if args.emulated:
        torch.ops.load_library(Path(ops.status().path).with_name("libtnep_emulated.so"))
    elif not torch.ops.tnep.nep_available(torch.zeros(1, device=device)):
        print("found a GPU, but no CUDA kernels: they were not built (nvcc must be found; run with --build)")
        return 2
    operators = torch.ops.tnep_emulated if args.emulated else torch.ops.tnep
    if args.small:
        parity(report, operators, device, (1, 4))
        enthalpy_parity(report, operators, device, [(5, 4, 8)])
        return int(report.failed)
    environment(report, args.emulated)
    parity(report, operators, device, range(1, 5 if args.emulated else 9))
    enthalpy_parity(report, operators, device, [(10, 16, 64), (5, 4, 8), (7, 19, 33)])
    repeatability(report, operators, device)
    if not args.emulated:
        leak(report, device)
        speed(report, device)
        sanitizer(report)
    if args.json:
        Path(args.json).write_text(json.dumps(report.records, indent=1) + "\n")
    print("FAILED" if report.failed else "all checks passed", f"in {np.round(LIMIT - report.left)} s")
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
