"""All checks and benchmarks of this package on a GPU, in less than ten minutes on a bare machine with one.

Run ``python benchmarks/gpu.py --build --json gpu.json``.  It needs a CUDA build of torch, and the other packages of the
project.  ``--build`` installs the package first, so that nvcc compiles the kernels for this GPU.  nvcc and
compute-sanitizer are those on the path, or of the extra ``cuda``.  Without a GPU it prints a message and ends with
status 2.

Checks: all quantities of random NEP, TNEP (l_max from 1 to 8) and enthalpy models against the CPU kernels (float64
1e-10, float32 1e-5, relative to the largest number); bitwise repeatability with deterministic algorithms; the
calculator, batches and LAMMPS of all families against the CPU; the tests of training on a GPU; memory over 10^4
evaluations; compute-sanitizer.  Benchmarks: microseconds per atom and evaluation of the kernels and of plain torch by
number of atoms, kind and precision, with the edges already on the GPU, and bytes per atom; the neighbour search there;
LAMMPS.

``--emulated`` runs all of this without a GPU, on stand-ins (:class:`gpu_checks.Machine`), as a test of this script: its
times are those of the CPU and mean nothing, and the tests of training are skipped.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS needs it for deterministic algorithms

import gpu_checks as checks
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

LIMIT = 570.0  # seconds for all
SIZES = (1_000, 10_000, 100_000, 1_000_000)  # atoms
GROWTH = 500_000  # bytes that the resident memory of this process may grow over all evaluations
BUILD = [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps"]


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


def build() -> None:
    """Install the package, with kernels for the architecture of this GPU only."""
    options = []
    if torch.cuda.is_available():
        options = [
            "-C",
            "cmake.define.CMAKE_CUDA_ARCHITECTURES=" + "".join(map(str, torch.cuda.get_device_capability())),
        ]
    subprocess.run([*BUILD, *options, "-e", str(ROOT)], check=True)


def environment(report: Report, machine) -> None:
    """Print the machine and the versions that the numbers below belong to."""
    from helpers.cuda import find_program

    about = {"python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda or "none"}
    if machine.emulated:
        about["gpu"] = "none: emulated"
    else:
        properties = torch.cuda.get_device_properties(0)
        about |= {"gpu": properties.name, "gpu_gb": properties.total_memory / 1e9}
    report.add("environment", **about, nvcc=find_program("nvcc") or "none", commit=commit())


def commit() -> str:
    """Return the commit of the checkout, or 'unknown'."""
    found = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def leak(report: Report, machine, evaluations: int) -> None:
    """Check that neither the memory of the GPU nor that of this process grows over many evaluations."""
    from helpers import enthalpy_operators, random_enthalpy
    from helpers.nep_operators import edges, model, random_model, random_structure

    small = random_model("potential", 1), random_model("polarizability", 1)
    inputs = [checks.to(machine.device, edges(p, *random_structure(p, 4))) for p in small]
    packed = [checks.to(machine.device, model(p)) for p in small]
    enthalpy, silica = enthalpy_operators.model(2, 2, 4), enthalpy_operators.edges(random_enthalpy.silica())
    calls = {
        "forces": lambda: machine.operators.nep_energy(*packed[0], *inputs[0], True, True),
        "Raman derivative": lambda: machine.operators.nep_polarizability_gradient(*packed[1], *inputs[1]),
        "enthalpy": lambda: checks.enthalpy_results(machine.operators, enthalpy, silica, machine.device),
    }
    for name, call in calls.items():
        used = []
        for step in range(evaluations + 1):
            call()
            if step in (evaluations // 10, evaluations):
                machine.synchronize()
                used.append((resident_bytes(), 0 if machine.emulated else used_on_gpu()))
        grown, grown_there = (after - before for before, after in zip(*used, strict=True))
        sound = grown <= GROWTH and grown_there <= 0
        report.add(f"memory over {evaluations} {name}", sound, grown_bytes=grown, grown_on_gpu=grown_there)


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def used_on_gpu() -> int:
    """Return the memory in use on the GPU, by all processes."""
    free, total = torch.cuda.mem_get_info()
    return total - free


def sanitizer(report: Report, machine) -> None:
    """Run the parity of small models under compute-sanitizer."""
    from helpers.cuda import find_program

    program = find_program("compute-sanitizer")
    if program is None:
        return report.add("compute-sanitizer left out: not found; pip install 'tnep_calc[cuda]'")
    for tool in ("memcheck", "racecheck"):
        if report.left < 150:
            return report.add(f"compute-sanitizer {tool} left out: no time left")
        command = [program, "--tool", tool, "--error-exitcode", "9", sys.executable, __file__, "--small"]
        command += ["--emulated"] * machine.emulated
        try:
            found = subprocess.run(command, capture_output=True, text=True, timeout=min(90, report.left - 60))
        except subprocess.TimeoutExpired:
            report.add(f"compute-sanitizer {tool} left out: not done in time")
            continue
        report.add(f"compute-sanitizer {tool}", found.returncode == 0, last=(found.stdout.splitlines() or [""])[-1])


def crystal(n_atoms: int):
    """Return species, positions and cell of a thermally displaced rocksalt crystal of about this many atoms."""
    cells = max(1, round((n_atoms / 8) ** (1 / 3)))
    from ase.build import bulk

    atoms = bulk("MgO", "rocksalt", a=4.2, cubic=True).repeat(cells)
    atoms.rattle(0.05, seed=0)
    return atoms


def evaluation_time(run, report: Report, machine) -> float:
    """Return the least time of an evaluation in seconds."""
    best = float("inf")
    for _ in range(5):
        machine.synchronize()
        start = time.perf_counter()
        run()
        machine.synchronize()
        best = min(best, time.perf_counter() - start)
        if report.left < 30:
            break
    return best


QUANTITIES = {
    "potential": ["energies", "forces", "virial"],
    "dipole": ["dipole"],
    "polarizability": ["polarizability"],
    "born charges": ["born_charges"],
    "enthalpy E, F, P": ["energies", "forces", "virial", "dipole"],
    "enthalpy all": ["energies", "forces", "virial", "dipole", "polarizability", "born_charges"],
}


def speed(report: Report, machine, sizes) -> None:
    """Time the search, kernels and plain torch on crystals of increasing size."""
    from helpers import enthalpy_operators
    from helpers.nep_operators import random_model
    from tnep_calc.ops.device_search import DeviceSearch
    from tnep_calc.ops.nep import NativeNEP

    models = {kind: replace(random_model(kind, 4), species=("Mg", "O")) for kind in checks.KINDS}
    enthalpy = {dtype: enthalpy_operators.model(10, 16, 64, dtype) for dtype in checks.TOLERANCE}
    search, cutoff = DeviceSearch(machine.device), models["dipole"].cutoff
    for size in sizes:
        atoms = crystal(size)
        if report.left < 120:
            return report.add(f"{size} atoms left out: no time left")
        structure = atoms.positions, atoms.cell.array, atoms.pbc
        seconds = evaluation_time(partial(search.find, *structure, cutoff), report, machine)
        report.add("neighbour search", atoms=len(atoms), us_per_atom=1e6 * seconds / len(atoms))
        offsets, neighbors, shifts = search.find(*structure, cutoff)
        vectors = search.vectors(*structure[:2], offsets, neighbors, shifts)
        species = torch.from_numpy((atoms.numbers == 8).astype(np.int64)).to(machine.device)
        inputs = species, torch.arange(len(atoms), device=machine.device), offsets, neighbors, vectors
        for name, quantities in QUANTITIES.items():
            if report.left < 60:
                return report.add(f"{name} of {size} atoms left out: no time left")
            for dtype in checks.TOLERANCE:
                if name.startswith("enthalpy"):
                    module = enthalpy[dtype].to(machine.device)
                else:
                    module = NativeNEP(models[name if name in models else "dipole"], dtype).to(machine.device)
                for path, call in (("kernels", module), ("plain torch", module.plain)):
                    run = partial(call, *inputs, quantities, None)
                    time_of(report, machine, f"{name} {path} {str(dtype)[6:]}", run, len(atoms))


def time_of(report: Report, machine, name: str, run, count: int) -> None:
    """Add the time and the memory of an evaluation, or that the memory does not suffice."""
    peak = {}
    if not machine.emulated:
        torch.cuda.reset_peak_memory_stats()
    try:
        seconds = evaluation_time(run, report, machine)
    except torch.cuda.OutOfMemoryError:
        return report.add(name, atoms=count, out_of="memory")
    if not machine.emulated:
        peak = {"bytes_per_atom": torch.cuda.max_memory_allocated() / count}
    report.add(name, atoms=count, us_per_atom=1e6 * seconds / count, **peak)


def lammps_speed(report: Report, machine, size: int) -> None:
    """Time LAMMPS on the GPU."""
    from helpers.lammps_run import run, script, write_data
    from helpers.random_nep import random_nep
    from tnep_calc import export_artifact

    steps, atoms = 100 if size > 1_000 else 3, crystal(size)
    if report.left < 60:
        return report.add("LAMMPS left out: no time left")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export_artifact(random_nep(species=("Mg", "O")), folder / "model.pt")
        write_data(folder / "data.txt", atoms, (1 + (atoms.numbers == 8)).tolist())
        for precision in ("single", "double"):
            text = f"pair_style tnep device cuda precision {precision}\npair_coeff * * model.pt Mg O\n"
            text += f"velocity all create 300 1\nfix 1 all nve\nrun {steps}\n"
            found = checks.on_gpu_in_lammps(machine, partial(run, folder, script(text, mass=20.0)))
            loop = next(line for line in found.text.splitlines() if line.startswith("Loop time of"))
            report.add(
                f"LAMMPS {precision}", atoms=len(atoms), us_per_atom=1e6 * float(loop.split()[3]) / steps / len(atoms)
            )


def run_all(report: Report, machine, evaluations: int) -> None:
    """Run everything; an error in one part is a failed check, and the others go on."""
    sizes = (8, 64) if machine.emulated else SIZES
    parts = [
        partial(checks.parity, report, machine, range(1, 5 if machine.emulated else 9)),
        partial(checks.enthalpy_parity, report, machine, [(10, 16, 64), (5, 4, 8), (7, 19, 33)]),
        partial(checks.repeatability, report, machine),
        partial(checks.calculators, report, machine),
        partial(checks.lammps, report, machine),
        partial(leak, report, machine, evaluations),
        partial(sanitizer, report, machine),
        partial(checks.training, report, machine),
        partial(lammps_speed, report, machine, sizes[-2]),
        partial(speed, report, machine, sizes),
    ]
    for part in parts:
        try:
            part()
        except Exception as error:
            report.add(part.func.__name__, False, error=f"{type(error).__name__}: {str(error).splitlines()[:1]}")


def main() -> int:
    """Run everything; the status is 0 if all checks passed, 1 if one failed, 2 without a GPU or kernels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", action="store_true", help="install the package from this checkout first")
    parser.add_argument("--json", metavar="FILE", help="write all results there, too")
    parser.add_argument("--emulated", action="store_true", help="run everything on stand-ins, without a GPU")
    parser.add_argument("--evaluations", type=int, default=10_000, metavar="N", help="of the check of memory (10000)")
    parser.add_argument("--small", action="store_true", help="parity of two small models only (for compute-sanitizer)")
    args = parser.parse_args()
    report = Report()
    if args.build:
        build()
    if not args.emulated and not torch.cuda.is_available():
        print(
            f"no GPU: torch {torch.__version__} finds none on this machine; nothing was run (--emulated runs "
            "everything on stand-ins, as a test of this script)"
        )
        return 2
    from tnep_calc import ops

    if not ops.load():
        print(f"the native kernels are not available: {ops.status().detail}")
        return 2
    device = torch.device("cpu" if args.emulated else "cuda")
    if args.emulated:
        torch.ops.load_library(Path(ops.status().path).with_name("libtnep_emulated.so"))
    elif not torch.ops.tnep.nep_available(torch.zeros(1, device=device)):
        print("found a GPU, but no CUDA kernels: they were not built (nvcc must be found; run with --build)")
        return 2
    machine = checks.Machine(device, torch.ops.tnep_emulated if args.emulated else torch.ops.tnep, args.emulated)
    if args.small:
        checks.parity(report, machine, (1, 4))
        checks.enthalpy_parity(report, machine, [(5, 4, 8)])
        return int(report.failed)
    environment(report, machine)
    run_all(report, machine, args.evaluations)
    if args.json:
        Path(args.json).write_text(json.dumps(report.records, indent=1) + "\n")
    print("FAILED" if report.failed else "all checks passed", f"in {np.round(LIMIT - report.left)} s")
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
