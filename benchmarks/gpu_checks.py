"""Checks of ``gpu.py``: kernels, calculators, batches, LAMMPS and training on a GPU against the CPU.

Every function takes the report, and the machine: a GPU, or the stand-ins for it that :class:`Machine` describes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("potential", "dipole", "polarizability")
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


@dataclass(frozen=True)
class Machine:
    """A GPU, or its stand-ins on the CPU.

    The stand-ins are: for the operators, the emulation of the kernels; for the calculator and for batches, the
    neighbour search of a GPU, in tensors on the CPU; for LAMMPS, simulated GPUs (``TNEP_SIMULATED_GPUS``).
    """

    device: torch.device
    operators: object  # torch.ops.tnep, or torch.ops.tnep_emulated
    emulated: bool

    def synchronize(self) -> None:
        """Wait for the GPU."""
        if not self.emulated:
            torch.cuda.synchronize()

    @contextmanager
    def searches(self):
        """Use the neighbour search of a GPU."""
        from tnep_calc.ops.device_search import DeviceSearch

        names = ("tnep_calc.calculators.tnep.search_on", "tnep_calc.ops.neighbors.search_on")
        with mock.patch(names[0], DeviceSearch), mock.patch(names[1], DeviceSearch):
            yield


def to(device, tensors):
    """Move the tensors of a tuple."""
    return tuple(t.to(device) for t in tensors)


def parity(report, machine, l_values) -> None:
    """Compare all quantities with those of the CPU kernels in double precision."""
    operators, device = machine.operators, machine.device
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


def enthalpy_parity(report, machine, sizes) -> None:
    """Compare all results of enthalpy models with those of the CPU kernels in double precision."""
    operators, device = machine.operators, machine.device
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


def repeatability(report, machine) -> None:
    """Check that two evaluations with deterministic algorithms are equal bit by bit."""
    operators, device = machine.operators, machine.device
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


def calculators(report, machine) -> None:
    """Compare the calculator and batches of structures of all families with those on the CPU."""
    from helpers.random_enthalpy import random_enthalpy, silica
    from helpers.random_nep import random_nep
    from helpers.random_radnet import displaced, random_artifact
    from tnep_calc import TNEPCalculator
    from tnep_calc.calculators.batch import Batch

    roles = dict(zip(KINDS, ("energy", "dipole", "susceptibility"), strict=True))
    crystals = [displaced(k) for k in range(4)]
    cases = {
        "nep": (lambda: {role: random_nep(kind) for kind, role in roles.items()}, crystals),
        "enthalpy": (lambda: {"enthalpy": random_enthalpy()}, [silica(k) for k in range(4)]),
        "radnet": (lambda: {"radnet": random_artifact()}, crystals),
    }
    for family, (models, frames) in cases.items():
        cpu = TNEPCalculator(**models())
        with machine.searches():
            ours = TNEPCalculator(**models(), device=str(machine.device))  # moves its models: it needs its own
        single, worst = [n for n in cpu.implemented_properties if n != "free_energy"], 0.0
        for atoms in frames:
            for name in single:
                worst = max(worst, _deviation(ours.get_property(name, atoms), cpu.get_property(name, atoms)))
        report.add(f"calculator {family}", worst <= 1e-9, deviation=worst)
        common = [n for n in single if n in _IN_BATCHES]
        with machine.searches():
            found = Batch(ours, frames).properties(common)
        wanted = Batch(cpu, frames).properties(common)
        worst = max(_deviation(a[name], b[name]) for a, b in zip(found, wanted, strict=True) for name in common)
        report.add(f"batch {family}", worst <= 1e-9, deviation=worst)


_IN_BATCHES = ("energy", "forces", "stress", "dipole", "polarizability", "born_effective_charges")


def _deviation(value, expected) -> float:
    """Return the largest deviation, relative to the largest number."""
    value, expected = np.asarray(value), np.asarray(expected)
    return float(np.abs(value - expected).max() / max(np.abs(expected).max(), 1e-30))


LAMMPS_INPUT = """pair_style tnep device {device}
pair_coeff * * potential.pt B N
compute mu all tnep/dipole dipole.pt B N
fix F all tnep/field 0.01 0.0 0.02 dipole dipole.pt B N
velocity all create 300 1
fix 1 all nve
thermo 10
"""


def on_gpu_in_lammps(machine, run):
    """Return the result of a run of LAMMPS, and make sure that it has used the GPU, or a simulated one."""
    with mock.patch.dict("os.environ", {"TNEP_SIMULATED_GPUS": "1"} if machine.emulated else {}):
        found = run()
    if "evaluations on a GPU" not in found.text:
        raise RuntimeError("LAMMPS did not use the GPU")
    return found


def lammps(report, machine) -> None:
    """Compare a short run of LAMMPS on the GPU, by one and two ranks, with one on the CPU."""
    import pytest

    from helpers.lammps_run import crystal, output, run, script, thermo_rows, types_of, write_data
    from helpers.random_nep import random_nep
    from tnep_calc import export_artifact

    def numbers(found):
        return np.array([list(row.values()) for row in thermo_rows(found.text)]), found.atoms

    def text(device):
        return script(LAMMPS_INPUT.format(device=device) + output("pe f_F c_mu[1]")).replace("run 0", "run 30")

    with tempfile.TemporaryDirectory() as name:
        folder, atoms = Path(name), crystal((3, 3, 3))
        for kind in KINDS[:2]:
            export_artifact(random_nep(kind), folder / f"{kind}.pt")
        write_data(folder / "data.txt", atoms, types_of(atoms))
        try:
            wanted = numbers(run(folder, text("cpu")))
        except pytest.skip.Exception as reason:
            return report.add(f"LAMMPS left out: {reason}")
        for ranks in (1, 2):
            found = on_gpu_in_lammps(machine, partial(run, folder, text("cuda"), ranks))
            worst = max(map(_deviation, numbers(found), wanted))
            report.add(f"LAMMPS, {ranks} rank{'s' * (ranks > 1)}", worst <= 1e-8, deviation=worst)


def training(report, machine) -> None:
    """Run the tests of training that need a GPU: all engines and families against the CPU."""
    if report.left < 150:
        return report.add("training left out: no time left")
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "tests/training"]
    command += ["-k", "test_a_real_gpu or test_a_gpu_gives_the_same_results"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=min(150, report.left))
    except subprocess.TimeoutExpired:
        return report.add("training left out: not done in time")
    last = (done.stdout.strip().splitlines() or [done.stderr.strip()[-200:]])[-1].strip("= ")
    passed = done.returncode == 0 and ("skipped" if machine.emulated else "passed") in last
    report.add("training", passed, tests=last)
