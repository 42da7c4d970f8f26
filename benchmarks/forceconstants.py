"""Force constants of NaCl from potentials: conductivity, force constants, errors and time compared with pypolymlp.

Run ``python benchmarks/forceconstants.py FOLDER [--json FILE] [--parts WORD ...]``; it needs the project's reference
data next to the checkout.  All results are kept in FOLDER and reused, so the parts can be run separately:

dft        force constants of all 100 supercells without a potential (2 x 2 x 2), and kappa: the reference.
polymlp    pypolymlp, phono3py's default parameters, on the first 20, 40, 60, 80 and 90 supercells (``--sizes``), the
           last 10 as the test set; systematic displacements, and for the largest size also random ones.
nep        a NEP of ``tnep fc --potential nep`` on the first 80 supercells, and one of ``tnep train`` on the same.
silicon    a published NEP of Si: kappa through ``tnep fc``, and through a phono3py script with calorine's forces.
memory     time and largest memory of fc2 and fc3 of a 64-atom and a 216-atom supercell with a potential of NaCl
           (``--nacl MODEL``), all pairs or those up to ``--cutoff``.

kappa is that at 300 K of the relaxation-time approximation on an 11 x 11 x 11 mesh, with the non-analytic term.  It is
compared with recorded numbers of the same chain in phono3py 4.8 (``reference.json``).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from cases import DATA as PUBLISHED
from cases import one_thread, record, write_records

from tnep_calc.phonons.anharmonic.conductivity import REPRODUCIBLE, thermal_conductivity
from tnep_calc.phonons.anharmonic.force_constants import force_constants, read_force_constants, relative_difference

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "phonons" / "nacl"
SUPERCELLS = DATA / "phono3py_params_NaCl.yaml.xz"
MESH, TEMPERATURE = (11, 11, 11), 300.0
"""Of kappa."""
PARTS = ("dft", "polymlp", "nep", "silicon", "memory")


TRAINING = """
[data]
files = ["nacl80.extxyz"]
validation_fraction = 0.0
test_fraction = 0.0
[model]
kind = "potential"
species = ["Na", "Cl"]
initial = "linear"
radial_cutoff = 8.0
angular_cutoff = 7.0
n_max = [0, 7]
basis_size = [8, 6]
l_max = [4]
neurons = 1
[loss]
energy = 1e-4
virial = 0
[output]
directory = "model"
"""
"""Configuration of ``tnep train`` with the functions of ``tnep fc --potential nep``."""


def run_once(folder: Path, *words: str) -> float:
    """Run ``tnep`` unless it has finished before; return the CPU seconds that it took."""
    stamp = folder / "cpu.json"
    if not stamp.exists():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([Path(sys.executable).parent / "tnep", *words], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        stamp.write_text(json.dumps(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    return json.loads(stamp.read_text())


def run_fc(folder: Path, data, *options: str) -> float:
    """Run ``tnep fc`` unless it has finished before; return the CPU seconds that it took."""
    return run_once(folder, "fc", str(data), "-o", str(folder), *options)


def train(folder: Path) -> float:
    """Train a NEP on the first 80 supercells with ``tnep train``; return the CPU seconds that it took."""
    from tnep_calc.io.structures.displaced import read_displaced
    from tnep_calc.io.structures.extxyz import write_dataset

    folder.mkdir(parents=True, exist_ok=True)
    write_dataset(folder / "nacl80.extxyz", read_displaced(SUPERCELLS)[:80], force=True)
    (folder / "train.toml").write_text(TRAINING)
    return run_once(folder, "train", str(folder / "train.toml"))


def kappa(folder: Path) -> float:
    """Return kappa of the force constants of a folder; it is computed only once."""
    stamp = folder / "kappa.json"
    if not stamp.exists():
        result = thermal_conductivity(read_force_constants(folder), MESH, (TEMPERATURE,), folder=folder)
        stamp.write_text(json.dumps(float(result.kappa[0, :3].mean())))
    return json.loads(stamp.read_text())


def evaluation_seconds(folders, rounds: int = 5, counts=(40, 4)) -> list[float]:
    """Return CPU seconds per supercell of the potentials of two folders, with the calculators made before.

    The two are evaluated in turn, the first on more supercells as it is faster, and the smallest time of each counts.
    """
    from tnep_calc.io.displaced_supercells import training_data
    from tnep_calc.io.supercells import read_supercells
    from tnep_calc.phonons.anharmonic.accuracy import potential_errors
    from tnep_calc.phonons.anharmonic.potential import potential_of_file

    data, calculators = training_data(read_supercells(SUPERCELLS), SUPERCELLS), []
    for folder in folders:
        names = (folder / "polymlp.yaml", folder / "nep" / "nep.txt", folder.parent / "model" / "nep.txt")
        calculators.append(potential_of_file(next(path for path in names if path.exists()))())
        potential_errors(data, calculators[-1], range(1))
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for k, (calculator, count) in enumerate(zip(calculators, counts, strict=True)):
            start = time.process_time()
            potential_errors(data, calculator, range(count))
            best[k] = min(best[k], (time.process_time() - start) / count)
    return best


def compared(name: str, folder: Path, dft: Path, recorded: dict | None) -> dict:
    """Print a line about the potential of a folder, and return its numbers."""
    ours, reference = read_force_constants(folder), read_force_constants(dft)
    errors = json.loads((folder / "errors.json").read_text())
    found = {
        "kappa": kappa(folder),
        "fc2": relative_difference(ours.fc2, reference.fc2),
        "fc3": relative_difference(ours.fc3, reference.fc3),
        "force_rmse": errors.get("test", errors.get("all"))["force_rmse"],
    }
    there = ""
    if recorded is not None:
        known = recorded["vs_dft222_symfc"]
        there = (
            f"   recorded: kappa {recorded['kappa_300K_W_mK']['11']:.3f}, fc2 {100 * known['fc2_rms_rel']:.3f} %, "
            f"fc3 {100 * known['fc3_rms_rel']:.3f} %"
        )
    print(
        f"{name:<22} kappa {found['kappa']:.3f} ({100 * (found['kappa'] / kappa(dft) - 1):+.2f} % of DFT)  "
        f"fc2 {100 * found['fc2']:.3f} %  fc3 {100 * found['fc3']:.3f} %  F {found['force_rmse']:.4f} meV/Å{there}",
        flush=True,
    )
    return found


def nep_beside_polymlp(
    case: str, nep: Path, polymlp: Path, dft: Path, nep_cpu: float, polymlp_cpu: float
) -> list[dict]:
    """Return the records of a NEP compared with pypolymlp's potential of the same supercells."""
    error = {path: abs(kappa(path) / kappa(dft) - 1) * 100 for path in (nep, polymlp)}
    ours, theirs = evaluation_seconds((nep, polymlp))
    print(
        f"evaluation: NEP {1e3 * ours:.2f} ms, pypolymlp {1e3 * theirs:.1f} ms per supercell, {theirs / ours:.0f} times"
    )
    return [
        record(case, "conductivity error", "pypolymlp", error[nep], error[polymlp], "%"),
        record(case, "time", "pypolymlp", 1e3 * ours, 1e3 * theirs, "ms per supercell of 64 atoms"),
        record(case, "time with training", "pypolymlp", nep_cpu, polymlp_cpu, "CPU s"),
    ]


def silicon(folder: Path, model: Path) -> dict:
    """Return the record of Si: our chain compared with a script of phono3py with calorine's forces."""
    import phono3py
    from ase import Atoms
    from ase.build import bulk
    from ase.io import write
    from calorine.calculators import CPUNEP

    folder.mkdir(parents=True, exist_ok=True)
    atoms = bulk("Si", a=5.43)
    write(folder / "POSCAR", atoms, format="vasp", direct=True)
    run_fc(folder / "ours", folder / "POSCAR", "--energy", str(model), "--supercell", "2", "2", "2")
    ours = read_force_constants(folder / "ours")
    ph = phono3py.Phono3py(ours.unitcell, ours.supercell_matrix, primitive_matrix=ours.primitive_matrix)
    ph.generate_displacements(distance=0.01, is_plusminus=True)
    calculator, forces = CPUNEP(str(model)), []
    for cell in ph.supercells_with_displacements:
        frame = Atoms(cell.symbols, cell.positions, cell=cell.cell, pbc=True)
        frame.calc = calculator
        forces.append(frame.get_forces())
    ph.forces = forces
    ph.produce_fc3()
    ph.symmetrize_fc3(use_symfc_projector=True)
    ph.symmetrize_fc2(use_symfc_projector=True)
    ph.mesh_numbers = MESH
    ph.init_phph_interaction(**REPRODUCIBLE)
    ph.run_thermal_conductivity(temperatures=[TEMPERATURE])
    theirs, here = float(ph.thermal_conductivity.kappa[0, 0, 0]), kappa(folder / "ours")
    print(f"Si, 16 atoms: kappa {here:.6f}, script with calorine's forces {theirs:.6f}: {abs(here / theirs - 1):.1e}")
    return record("Si, published NEP", "kappa", "phono3py with calorine", here, theirs, "W/(m K)")


def memory(model: Path, size: int, cutoff: float | None) -> list[dict]:
    """Return the records of time and largest memory of the force constants of one supercell of NaCl.

    They are computed in a process of their own, whose largest memory includes torch and the potential.
    """
    command = [sys.executable, __file__, "unused", "--one-supercell", str(size), "--nacl", str(model)]
    command += [] if cutoff is None else ["--cutoff", str(cutoff)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    cells, evaluation, total, gigabytes = int(printed[0]), *map(float, printed[1:])
    print(f"{size} atoms, {cells} supercells: {evaluation:.1f} CPU s of forces, {total:.1f} in all, {gigabytes:.2f} GB")
    case = f"NaCl, {size} atoms" + (f", pairs up to {cutoff:g} Å" if cutoff else "")
    return [
        record(case, "time of fc2 and fc3", "forces alone", total, evaluation, "CPU s"),
        record(case, "memory", "64 GB", gigabytes, 64.0, "GB"),
    ]


def one_supercell(model: Path, size: int, cutoff: float | None) -> None:
    """Print supercells, CPU seconds of their forces and of everything, and the largest memory in GB."""
    from ase.build import bulk

    from tnep_calc.phonons.anharmonic import force_constants as module
    from tnep_calc.phonons.anharmonic.potential import potential_of_file

    repeat = round((size / 8) ** (1 / 3))
    atoms, calculator, spent = bulk("NaCl", "rocksalt", a=5.6033, cubic=True), potential_of_file(model)(), []
    evaluate = module.evaluate_supercells

    def timed(*arguments):
        start = time.process_time()
        result = evaluate(*arguments)
        spent.append((len(arguments[0]), time.process_time() - start))
        return result

    module.evaluate_supercells = timed
    start = time.process_time()
    force_constants(atoms, calculator, supercell=repeat, cutoff=cutoff)
    seconds, peak = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(*spent[0], seconds, peak)


def main() -> None:
    """Run the chosen parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where all results are kept")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[20, 40, 60, 80, 90])
    parser.add_argument("--nacl", type=Path, metavar="MODEL", help="potential of NaCl for the part memory")
    parser.add_argument("--cutoff", type=float, metavar="A", help="largest distance of a pair in the part memory")
    parser.add_argument("--one-supercell", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    one_thread()
    if args.one_supercell:
        one_supercell(args.nacl, args.one_supercell, args.cutoff)
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    records = []
    dft, nep = args.folder / "dft", args.folder / "nep80"
    recorded = json.loads((DATA / "reference.json").read_text())["runs"]
    same = ("--fc2-supercell", "same")
    if {"dft", "polymlp", "nep"} & set(args.parts):
        run_fc(dft, SUPERCELLS, *same, "--potential", "none")
        print(f"DFT forces of 100 supercells: kappa {kappa(dft):.3f}, recorded {_recorded(recorded['dft222']):.3f}")
    if "polymlp" in args.parts:
        for size in args.sizes:
            known = recorded["seed003" if size == 90 else f"n{size}"]
            folder = args.folder / f"polymlp{size}"
            run_fc(folder, SUPERCELLS, *same, "--ntrain", str(size), "--ntest", "10")
            compared(f"pypolymlp, {size}", folder, dft, known)
            records.append(
                record(
                    f"NaCl, {size} supercells",
                    "kappa",
                    "phono3py 4.8, recorded",
                    kappa(folder),
                    _recorded(known),
                    "W/(m K)",
                )
            )
        largest = args.folder / f"polymlp{max(args.sizes)}"
        folder = args.folder / f"random{max(args.sizes)}"
        run_fc(
            folder,
            SUPERCELLS,
            *same,
            "--potential",
            str(largest / "polymlp.yaml"),
            "--displacements",
            "random",
            "--number",
            "200",
        )
        print(f"pypolymlp, {max(args.sizes)}, random displacements, 200 pairs: kappa {kappa(folder):.3f}")
    if "nep" in args.parts:
        ours = run_fc(nep, SUPERCELLS, *same, "--potential", "nep", "--ntrain", "80", "--ntest", "10")
        compared("NEP, 80", nep, dft, None)
        trained = args.folder / "trained80"
        seconds = train(trained)
        potential = str(trained / "model" / "nep.txt")
        seconds += run_fc(trained / "fc", SUPERCELLS, *same, "--potential", potential)
        compared("NEP of tnep train, 80", trained / "fc", dft, None)
        polymlp = args.folder / "polymlp80"
        if (polymlp / "cpu.json").exists():
            theirs = run_fc(polymlp, SUPERCELLS)
            records += nep_beside_polymlp("NaCl, 80 supercells, NEP", nep, polymlp, dft, ours, theirs)
            case = "NaCl, 80 supercells, NEP of tnep train"
            records += nep_beside_polymlp(case, trained / "fc", polymlp, dft, seconds, theirs)
    if "silicon" in args.parts:
        records.append(silicon(args.folder / "silicon", PUBLISHED / "potentials" / "Si_2022_NEP4_3body.txt"))
    if "memory" in args.parts and args.nacl is not None:
        for size in (64, 216):
            records += memory(args.nacl, size, args.cutoff)
    if args.json:
        write_records(args.json, records)


def _recorded(run: dict) -> float:
    return run["kappa_300K_W_mK"]["11"]


if __name__ == "__main__":
    main()
