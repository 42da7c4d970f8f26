"""Radnet: accuracy at equilibrium, exactness, symmetries, smoothness and cost, printed and recorded.

    python examples/radnet/run.py --output study --shares 1
    python examples/radnet/run.py --output study --shares 1 --material gaas --family paper    # optional, takes long
    python benchmarks/radnet.py study

Timings are CPU seconds of one thread on this machine.  Those of ABINIT are recorded in examples/radnet/study.py.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, make_supercell
from scipy.spatial.transform import Rotation
from torch.utils.flop_counter import FlopCounterMode

from tnep_calc import TNEPCalculator
from tnep_calc.artifact import artifact_from_radnet, save_artifact
from tnep_calc.io.structures.extxyz import read_dataset
from tnep_calc.models.radnet.network import compact_network, multiplications, paper_network
from tnep_calc.models.radnet.sites import RadnetShape, RadnetSites
from tnep_calc.models.radnet.voxels import REACH
from tnep_calc.training.radnet.config import load_radnet_config
from tnep_calc.training.radnet.symmetry import crystals
from tnep_calc.training.radnet.trainer import RadnetTrainer
from tnep_calc.units import BOHR, EPSILON_0

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "examples" / "radnet"), str(ROOT / "tests")]

import measures  # noqa: E402
from study import MATERIALS  # noqa: E402

PAPER = {"bn": 0.17, "bn2": 0.17, "gaas": 0.2}
"""Errors of the LO wavenumber in the paper, in per cent (2.14 cm^-1 for c-BN)."""
FIELDS = measures.PROPERTIES
RAMAN = ("dielectric_tensor", "polarizability_gradient")


def in_double(folder: Path, species) -> TNEPCalculator:
    """Return the calculator of a trained model with its parameters in double precision."""
    results = json.loads((folder / "results.json").read_text())["configuration"]["model"]
    shape = RadnetShape(
        len(species),
        tuple(results["targets"]),
        *(results[x] for x in ("architecture", "cutoff", "width", "sigma", "points", "filters", "hidden")),
    )
    sites = RadnetSites(shape, torch.float64)
    sites.load_state_dict(torch.load(folder / "checkpoint.pt", weights_only=True)["result"])
    return TNEPCalculator(radnet=artifact_from_radnet(sites, species), skin=0.0)


def values(calculator, atoms) -> dict[str, np.ndarray]:
    """Return the properties to compare."""
    return {name: np.array(calculator.get_property(name, atoms)) for name in FIELDS}


def derivative_error(calculator, atoms, h=1e-4) -> float:
    """Return the largest relative error of Born charges and derivatives of eps_inf against central differences."""
    found = values(calculator, atoms)
    numbers = {name: np.zeros_like(found[name]) for name in ("born_effective_charges", "polarizability_gradient")}
    for atom, axis in np.ndindex(len(atoms), 3):
        sides = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * h
            sides.append([calculator.get_property(name, moved) for name in ("dipole", "polarizability")])
        numbers["born_effective_charges"][atom, :, axis] = (sides[0][0] - sides[1][0]) / (2 * h)
        numbers["polarizability_gradient"][atom, axis] = (sides[0][1] - sides[1][1]) / (2 * h)
    return max(float(np.abs(numbers[n] - found[n]).max() / np.abs(found[n]).max()) for n in numbers)


def symmetry_error(calculator, atoms) -> float:
    """Return the largest change by a translation, an image, a permutation and a supercell."""
    found, worst = values(calculator, atoms), 0.0
    moved, image = atoms.copy(), atoms.copy()
    moved.translate([0.31, -1.7, 0.9])
    image.positions[0] += 2 * atoms.cell.array[1] - atoms.cell.array[0]
    order = np.random.default_rng(0).permutation(len(atoms))
    for other, rows in ((moved, slice(None)), (image, slice(None)), (atoms[order], order)):
        for name, value in values(calculator, other).items():
            expected = found[name][rows] if name in FIELDS[1::2] else found[name]
            worst = max(worst, float(np.abs(value - expected).max()))
    large = make_supercell(atoms, [[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    twice = values(calculator, large)
    worst = max(worst, float(np.abs(twice["dipole"] - 2 * found["dipole"]).max()))
    return max(worst, float(np.abs(twice["dielectric_tensor"] - found["dielectric_tensor"]).max()))


def rotation_error(calculator, structures, operations) -> dict[str, float]:
    """Return the root mean square change of P (e·Å), Z* (e) and eps_inf by rotating structures and results back."""
    squares: dict[str, list] = {"P": [], "Z*": [], "eps_inf": []}
    for s in structures:
        atoms = measures.as_atoms(s)
        found = values(calculator, atoms)
        for r in operations:
            turned = Atoms(s.symbols, s.positions @ r.T, cell=s.cell @ r.T, pbc=True)
            back = values(calculator, turned)
            squares["P"].append(back["dipole"] @ r - found["dipole"])
            squares["Z*"].append(r.T @ back["born_effective_charges"] @ r - found["born_effective_charges"])
            squares["eps_inf"].append(r.T @ back["dielectric_tensor"] @ r - found["dielectric_tensor"])
    return {name: float(np.sqrt(np.mean(np.square(changes)))) for name, changes in squares.items()}


def largest_jump(calculator, material) -> float:
    """Return the largest change of dipole and polarizability within 2e-9 Å at the cutoff and at ends of Gaussians."""
    shape = calculator.models["radnet"][0].module.sites.shape_
    grid = np.linspace(-0.5 * shape.width, 0.5 * shape.width, shape.points)
    ends = [shape.cutoff, *(x + REACH * shape.sigma for x in grid), *(0.5 * (grid[1:] + grid[:-1]))]
    a, b = material.species
    worst = 0.0
    for end in (x for x in ends if x > 1.0):
        sides = []
        for x in (end - 1e-9, end + 1e-9):
            cluster = Atoms([a, b, b], [[0, 0, 0], [x, 0, 0], [0, 1.8, 0.3]])
            sides.append([calculator.get_property(n, cluster) for n in ("dipole", "polarizability")])
        worst = max(worst, *(float(np.abs(p - q).max()) for p, q in zip(*sides, strict=True)))
    return worst


def lammps_error(model: Path, atoms, species) -> dict[int, float]:
    """Return the largest difference between LAMMPS on some ranks and ASE."""
    from helpers.lammps_run import output, run, script, write_data

    calculator = TNEPCalculator(radnet=model, skin=0.0)
    alpha = calculator.get_property("polarizability", atoms)
    six = [alpha[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]
    expected = np.array([*calculator.get_property("dipole", atoms), *six])
    thermo = [*(f"c_mu[{k}]" for k in (1, 2, 3)), *(f"c_a[{k}]" for k in range(1, 7))]
    names = " ".join(species)
    body = (
        f"pair_style zero 7.0\npair_coeff * *\ncompute mu all tnep/dipole {model} {names}\n"
        f"compute a all tnep/polarizability {model} {names}\n" + output(" ".join(thermo), "x")
    )
    found = {}
    for ranks in (1, 2, 4):
        with tempfile.TemporaryDirectory() as folder:
            write_data(Path(folder) / "data.txt", atoms, [1 + species.index(x) for x in atoms.get_chemical_symbols()])
            result = run(Path(folder), script(body), ranks)
            found[ranks] = float(np.abs(np.array([result.thermo[x] for x in thermo]) - expected).max())
    return found


def cost(material, atoms) -> dict[str, float]:
    """Return CPU seconds per atom of eps_inf and all its derivatives, and multiplications, of both architectures."""
    found = {}
    for name, points in (("compact", 7), ("paper", 15)):
        shape = RadnetShape(2, ("polarizability",), name, material.cutoff, material.width, material.sigma, points)
        calculator = TNEPCalculator(
            susceptibility=artifact_from_radnet(RadnetSites(shape, torch.float32), material.species)
        )
        few = atoms[: 8 if name == "paper" else len(atoms)]
        seconds = measures.seconds_of(calculator, few, RAMAN, 2)
        found[f"{name}, s/atom"] = seconds / len(few)
    found["compact, multiplications"] = multiplications(compact_network(2, 7, 6, 8, 32), 7)
    found["paper, multiplications"] = multiplications(paper_network(2, 15, 6), 15)
    return found


def peak_of_convolutions() -> float:
    """Return the largest number of floating point operations per CPU second of a 3-D convolution, in float32."""
    best = 0.0
    for channels, points, batch in ((64, 15, 8), (128, 12, 8), (64, 8, 64)):
        layer = torch.nn.Conv3d(channels, channels, 3, padding=1).requires_grad_(False)
        values = torch.randn(batch, channels, points, points, points)
        work = 2 * layer.weight.numel() * points**3 * batch
        layer(values)
        start = time.process_time()
        for _ in range(3):
            layer(values)
        best = max(best, 3 * work / (time.process_time() - start))
    return best


def epoch_cost(file: Path, batch: int | None = None) -> dict[str, float]:
    """Return the CPU seconds of an epoch of a training, and its operations per second as a share of the peak.

    Operations are those of matrix products and convolutions, forward and backward, as torch counts them.  Epoch and
    peak are timed in turn.

    Parameters
    ----------
    file : path
        Configuration of the training.
    batch : int, optional
        Structures per step instead of those of the configuration.
    """
    config = load_radnet_config(file)
    config = replace(config, optimizer=replace(config.optimizer, batch=batch or config.optimizer.batch))
    trainer = RadnetTrainer(config)
    epoch = np.array_split(np.arange(trainer.n_train), -(-trainer.n_train // config.optimizer.batch))
    with FlopCounterMode(display=False) as counter:
        for chosen in epoch:
            trainer.train_on(chosen)
    shares, times = [], []
    for _ in range(3):
        start = time.process_time()
        for chosen in epoch:
            trainer.train_on(chosen)
        times.append(time.process_time() - start)
        shares.append(counter.get_total_flops() / times[-1] / peak_of_convolutions())
    return {"structures per step": len(epoch[0]), "CPU s": min(times), "share of peak, %": 100 * max(shares)}


def architectures(study: Path, key: str, tests) -> dict[str, dict[str, float]]:
    """Return the error of eps_inf on the test structures and the length of the training of both architectures.

    The loss of the last report relative to that at three quarters of the training says whether it was still falling.
    """
    found = {}
    for name in ("radnet", "paper"):
        folder = study / key / "1" / name
        if (folder / "results.json").exists():
            calculator = TNEPCalculator(susceptibility=folder / "model.pt")
            pairs = [
                (np.eye(3) + s.polarizability / (EPSILON_0 * s.volume), calculator.get_property(RAMAN[0], atoms))
                for s in tests
                for atoms in [measures.as_atoms(s)]
            ]
            upper = (slice(None), *np.triu_indices(3))
            mae, rmse = measures.mean_errors(np.array(list(zip(*pairs, strict=True)))[(slice(None), *upper)])
            results = json.loads((folder / "results.json").read_text())
            losses = np.genfromtxt(folder / "log.csv", delimiter=",", names=True)["loss_train"]
            found[name] = {
                "MAE": mae,
                "RMSE": rmse,
                "RMSE of training structures": results["errors"]["train"]["epsilon_inf"]["rmse"],
                "training, s": results["seconds"],
                "epochs": results["epochs"],
                "loss / at three quarters": float(losses[-1] / losses[3 * len(losses) // 4]),
            }
    return found


def main() -> None:
    """Print and record everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="folder of examples/radnet/run.py")
    options = parser.parse_args()
    torch.set_num_threads(1)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    record: dict = {"date": str(date.today()), "machine": machine, "torch": torch.__version__}
    for key, material in MATERIALS.items():
        folder = options.study / key / "1" / "radnet"
        if not (folder / "results.json").exists():
            continue
        own = record.setdefault(material.name, {})
        double = in_double(folder, material.species)
        dft = measures.reference(material)
        tests = read_dataset(options.study / key / "test.extxyz")
        atoms = measures.as_atoms(tests[0])
        at = measures.equilibrium(double, material)
        lo = [measures.longitudinal(material, x["Z*"], x["eps_inf"]) for x in (at, dft)]
        own["LO with DFT's TO, error in cm^-1"] = lo[0] - lo[1]
        own["the same in %"] = 100 * (lo[0] - lo[1]) / lo[1]
        own["wanted, %"] = PAPER[key]
        if (options.study / key / "1" / "enthalpy" / "model.pt").exists():
            to = measures.transverse(measures.calculator_of(options.study / key / "1", "enthalpy"), material)
            both = measures.longitudinal(material, at["Z*"], at["eps_inf"], to)
            own["TO of the enthalpy, cm^-1"], own["LO all from models, error in cm^-1"] = to, both - lo[1]
        own["derivatives against differences, relative"] = derivative_error(double, atoms)
        own["translation, permutation, image, supercell"] = symmetry_error(double, atoms)
        own["largest jump (e·Å, e·Å²/V)"] = largest_jump(double, material)
        own["sum of Born charges, e"] = float(np.abs(values(double, atoms)["born_effective_charges"].sum(0)).max())
        group = crystals(tests, 0.3)[0].operations
        own["operations of the point group"] = len(group)
        own["change by the point group"] = rotation_error(double, tests[:5], group)
        own["change by any rotation"] = rotation_error(
            double, tests[:5], Rotation.random(6, random_state=0).as_matrix()
        )
        pairs = measures.compare(double, tests, material)
        own["test RMSE"] = {name: measures.mean_errors(pair)[1] for name, pair in pairs.items()}
        own["test RMSE"]["P"] *= float(tests[0].volume / BOHR**2)
        two = bulk(material.formula, "zincblende", a=material.lattice)
        single = TNEPCalculator(radnet=folder / "model.pt", skin=0.0)
        own["CPU s, eps_inf and derivatives, 2 atoms"] = measures.seconds_of(single, two, RAMAN)
        size = measures.as_atoms(tests[0])
        seconds = measures.seconds_of(single, size, RAMAN)
        own["the same, structure of the data"] = {"atoms": len(size), "CPU s": seconds}
        own["ABINIT / radnet, one calculation without derivatives"] = material.abinit / seconds
        own["ABINIT / radnet, central differences"] = (1 + 6 * len(size)) * material.abinit / seconds
        large = bulk(material.formula, "zincblende", a=material.lattice, cubic=True).repeat(2)
        large.rattle(0.03, seed=1)
        own["cost per atom"] = cost(material, large)
        own["eps_inf by architecture"] = architectures(options.study, key, tests)
        own["epoch of the study"] = epoch_cost(folder / "train.toml")
        own["epoch in one step"] = epoch_cost(folder / "train.toml", 1000)
        with (
            tempfile.TemporaryDirectory() as place
        ):  # in double precision, as trained models in single one differ by 1e-6
            save_artifact(double.models["radnet"][0], Path(place) / "double.pt")
            own["LAMMPS on ranks - ASE"] = lammps_error(Path(place) / "double.pt", large, material.species)
        print(f"\n{material.name}")
        for name, value in own.items():
            print(f"  {name:<48}{value if isinstance(value, (dict, int)) else f'{value:.4g}'}")
    path = options.study / "benchmark.json"
    path.write_text(json.dumps(record, indent=1))
    print(f"\nrecorded in {path}")


if __name__ == "__main__":
    main()
