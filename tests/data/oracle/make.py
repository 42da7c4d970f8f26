"""Make the reference models and outputs of this folder; see README.md.

python make.py            models of NEP4 and their outputs (calorine 4.1)
python make.py --nep3     models of NEP3 (calorine 3.0, the last version that reads them) and their outputs
python make.py --into DIR write to another folder, to compare

This script does not use ``tnep_calc``: it writes the files itself, and calorine computes the outputs.
"""

import argparse
import contextlib
import gzip
import json
import os
import tempfile
from pathlib import Path

import calorine
import numpy as np
from ase import Atoms

# name: (tag, species, cutoff, n_max, basis_size, l_max, neurons, zbl); shapes of published models, then rare features
QM7B, WATER, BATIO3 = "H C N O S Cl", "O H", "Ba Ti O"
METALS = "Ag Al Au Cr Cu Mg Mo Ni Pb Pd Pt Ta Ti V W Zr"
CHANGING = "6 4 5 3.5 5.5 4.5"
SHAPES = {
    "qm7b_dipole": ("nep4_dipole", QM7B, "6 4", "6 6", "10 10", "4 2 1", 10, None),
    "qm7b_polarizability": ("nep4_polarizability", QM7B, "6 4", "6 6", "10 10", "4 2 1", 10, None),
    "water_dipole": ("nep4_dipole", WATER, "6 4", "6 6", "10 10", "4 2 1", 10, None),
    "water_polarizability": ("nep4_polarizability", WATER, "6 4", "6 6", "10 10", "4 2 1", 10, None),
    "water_potential": ("nep4", WATER, "6 4", "4 4", "8 8", "4 2 0", 30, None),
    "water_potential_ir": ("nep4", WATER, "6 4", "9 7", "9 7", "4 2 0", 100, None),
    "bazro3_potential": ("nep4", "Ba Zr O", "8 4", "8 6", "8 8", "4 2 0", 50, None),
    "bazro3_susceptibility": ("nep4_polarizability", "Ba Zr O", "6 4", "4 4", "10 10", "4 2 0", 20, None),
    "batio3_potential_zbl": ("nep4_zbl", BATIO3, "6 4", "8 6", "8 8", "4 0 0", 40, "0.75 1.5"),
    "si_3body": ("nep4", "Si", "5 5", "10 10", "10 10", "4 0 0", 50, None),
    "si_4body": ("nep4", "Si", "5 5", "10 10", "10 10", "4 2 0", 50, None),
    "si_5body": ("nep4", "Si", "5 5", "10 10", "10 10", "4 2 1", 50, None),
    "c_2022": ("nep4", "C", "4.2 3.7", "10 8", "10 8", "4 2 1", 100, None),
    "c_2024": ("nep4", "C", "7 4", "12 8", "16 12", "4 2 1", 100, None),
    "metals_zbl": ("nep4_zbl", METALS, "6 5", "4 4", "8 8", "4 2 1", 80, "1 2"),
    "ptaf_potential": ("nep4", "Si F C H", "8 4", "8 6", "8 8", "4 0 0", 40, None),
    "ptaf_dipole": ("nep4_dipole", "Si F C H", "8 6", "15 8", "8 8", "4 2 0", 80, None),
    "pbte": ("nep4", "Te Pb", "8 4", "6 6", "6 6", "4 2 0", 30, None),
    "species_cutoffs": ("nep4", BATIO3, CHANGING, "4 4", "6 6", "4 2 0", 12, None),
    "l_max_8": ("nep4", BATIO3, "5 4", "3 2", "5 5", "8 2 1", 10, None),
    "l_max_2": ("nep4", BATIO3, "5 3", "2 1", "4 3", "2 0 0", 5, None),
    "all_blocks": ("nep4", BATIO3, "5 4.5", "3 3", "6 5", "4 2 0 1 1 1 1", 10, None),
    "all_blocks_dipole": ("nep4_dipole", BATIO3, CHANGING, "4 4", "6 6", "4 2 1 1 1 1 1", 10, None),
    "species_cutoffs_polarizability": ("nep4_polarizability", BATIO3, CHANGING, "4 3", "6 6", "6 2 0", 10, None),
    "zbl_typewise": ("nep4_zbl", BATIO3, "5 4", "3 3", "6 6", "4 2 0", 8, "1.25 2.5 0.7"),
    "zbl_flexible": ("nep4_zbl", BATIO3, "5 4", "3 3", "6 6", "4 2 0", 8, "0 0"),
    "nep3_potential": ("nep3", "Ba Zr O", "8 4", "8 6", "8 8", "4 0 0", 50, None),
    "nep3_polarizability": ("nep3_polarizability", "Ba Zr O", "6 4", "4 4", "12 12", "4 0 0", 20, None),
    "nep3_c": ("nep3", "C", "4.2 3.7", "10 8", "10 8", "4 2 1", 100, None),
    "nep3_si_5body": ("nep3", "Si", "5 5", "10 10", "10 10", "4 2 1", 50, None),
}
STEP = 1e-4  # Å, of the five-point derivative


def dimension(n_max, l_max):
    """Length of the descriptor: radial, then one block for every l and for every term beyond three bodies."""
    (radial, angular), (l, *more) = ([int(word) for word in line.split()] for line in (n_max, l_max))
    return radial + 1 + (angular + 1) * (l + sum(k > 0 for k in more))


def parameters(random, tag, species, n_max, basis, l_max, neurons):
    """Return random parameters in the order of the file; descriptors of order one give outputs of order one."""
    t, dim, out = len(species.split()), dimension(n_max, l_max), []
    for _ in range(2 if "polarizability" in tag else 1):
        for _ in range(1 if tag.startswith("nep3") else t):
            out += [
                random.normal(size=neurons * dim) / dim**0.5,
                0.3 * random.normal(size=neurons),
                random.normal(size=neurons) / neurons**0.5,
            ]
        out.append(random.normal(size=1))
    for n, k in zip(n_max.split(), basis.split(), strict=True):
        out.append(0.4 * random.normal(size=(int(n) + 1) * (int(k) + 1) * t * t))
    return np.concatenate(out)


def repulsion(random, species):
    """Return constants of the flexible repulsion, ten per pair of species, close to the universal potential."""
    t = len(species.split())
    usual = np.array([0.7, 1.8, 0.18, 3.2, 0.51, 0.94, 0.28, 0.4, 0.028, 0.2])
    return (usual * (1 + 0.1 * random.uniform(-1, 1, size=(t * (t + 1) // 2, 10)))).ravel()


def model_text(name, scaler=None):
    """Return the content of nep.txt; numbers have two digits to keep the compressed file small."""
    tag, species, cutoff, n_max, basis, l_max, neurons, zbl = SHAPES[name]
    random = np.random.RandomState(list(SHAPES).index(name))  # numpy guarantees that this random stream never changes
    scaler = np.ones(dimension(n_max, l_max)) if scaler is None else scaler
    head = [
        f"{tag} {len(species.split())} {species}",
        *([f"zbl {zbl}"] if zbl else []),
        f"cutoff {cutoff} 250 80",
        f"n_max {n_max}",
        f"basis_size {basis}",
        f"l_max {l_max}",
        f"ANN {neurons} 0",
    ]
    numbers = [f"{x:.1e}" for x in parameters(random, tag, species, n_max, basis, l_max, neurons)]
    numbers += [f"{x:.1e}" for x in scaler]
    numbers += [f"{x:.3e}" for x in repulsion(random, species)] if zbl == "0 0" else []
    return "\n".join([*head, *numbers]) + "\n"


def structures(name):
    """Return a crystal thinner than the cutoff, a very thin one, a cluster, and, with repulsion, a close pair."""
    species, zbl = SHAPES[name][1].split(), SHAPES[name][7]
    random = np.random.RandomState(1000 + list(SHAPES).index(name))
    spacing = 1.5 if "H" in species else 2.3
    layers = max(2, -(-len(species) // 4))
    grid = np.array([(i, j, k) for i in range(2) for j in range(2) for k in range(layers)])
    shape = np.array([2, 2, layers])

    def atoms(places, cell, first=0):
        symbols = [species[(first + k) % len(species)] for k in range(len(places))]
        return Atoms(symbols, scaled_positions=places, cell=cell, pbc=True)

    cell = spacing * np.diag(shape) + 0.3 * random.normal(size=(3, 3))
    out = {"crystal": atoms(grid / shape + 0.03 * random.normal(size=grid.shape), cell)}
    thin = spacing * np.array([[1.2, 0, 0], [0.2, 1.3, 0], [0.1, -0.2, 3.0]])
    out["thin"] = atoms(np.array([[0.1, 0.1, k / 3] for k in range(3)]) + 0.03 * random.normal(size=(3, 3)), thin, 1)
    cluster = (spacing * grid[:6] * 0.8 + 0.2 * random.normal(size=(6, 3))) / 18
    out["cluster"] = atoms(cluster, 18 * np.eye(3), 2)
    if zbl:
        close = out["crystal"].copy()
        direction = random.normal(size=3)
        close.positions[1] = close.positions[0] + 1.05 * direction / np.linalg.norm(direction)
        out["close pair"] = close
    for entry in out.values():
        entry.positions = np.round(entry.positions, 6)
        entry.set_cell(np.round(entry.cell.array, 6))
    return out


class Calorine:
    """calorine's C++ model of a file on one structure."""

    def __init__(self, path, atoms):
        import _nepy

        self.n, self.positions = len(atoms), atoms.positions
        cell, symbols = list(atoms.cell.array.T.ravel()), atoms.get_chemical_symbols()
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            self.core = _nepy.NEPY(
                str(path), self.n, cell, symbols, list(atoms.positions.T.ravel()), atoms.get_masses()
            )

    def descriptors(self):
        return np.array(self.core.get_descriptors()).reshape(-1, self.n).T

    def value(self, kind, positions=None):
        """Dipole (3,) or polarizability (3, 3)."""
        self.core.set_positions(list((self.positions if positions is None else positions).T.ravel()))
        if kind == "dipole":
            return np.array(self.core.get_dipole())
        xx, yy, zz, xy, yz, zx = self.core.get_polarizability()
        return np.array([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]])

    def gradient(self, kind, step):
        """Five-point derivatives by positions, indices atom, direction, components."""
        rows = []
        for atom, axis in np.ndindex(self.n, 3):
            unit = np.zeros_like(self.positions)
            unit[atom, axis] = step
            two, one = (
                self.value(kind, self.positions + k * unit) - self.value(kind, self.positions - k * unit)
                for k in (2, 1)
            )
            rows.append((8 * one - two) / (12 * step))
        return np.array(rows).reshape(self.n, 3, *rows[0].shape)


def outputs(path, atoms, kind):
    """Return the outputs that the tests compare with."""
    model = Calorine(path, atoms)
    out = {
        "numbers": atoms.numbers,
        "positions": atoms.positions,
        "cell": atoms.cell.array,
        "descriptors": model.descriptors()[:4],
    }
    if kind == "potential":
        energies, forces, virials = (np.array(x) for x in model.core.get_potential_forces_and_virials())
        virials = virials.reshape(9, -1).T
        out |= {
            "energy": energies.sum(),
            "energies": energies,
            "forces": forces.reshape(3, -1).T,
            "virial_total": virials.sum(axis=0).reshape(3, 3),
            "virials_neighbor_attribution": virials,
        }
        return out
    out[kind] = model.value(kind)
    exact, other = model.gradient(kind, STEP), model.gradient(kind, 2 * STEP)
    word, error = f"{kind}_gradient" + ("_q0" if kind == "dipole" else ""), np.abs(exact - other)
    error = error if kind == "dipole" else error.max(axis=(2, 3))
    return out | {word: exact, f"{kind}_gradient_fd_err": error.astype(np.float32)}


def make(name, into):
    """Write the model and its outputs, and return its entry of the index."""
    tag = SHAPES[name][0]
    kind = next((k for k in ("dipole", "polarizability") if k in tag), "potential")
    made = structures(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nep.txt"
        path.write_text(model_text(name))
        bare = np.concatenate([Calorine(path, atoms).descriptors() for atoms in made.values()])
        text = model_text(name, 1 / np.maximum(np.ptp(bare, axis=0), 1e-3))
        path.write_text(text)
        arrays = {f"{k}/{q}": v for k, atoms in made.items() for q, v in outputs(path, atoms, kind).items()}
    for file, data in ((f"models/{name}.txt.gz", gzip.compress(text.encode(), 9, mtime=0)),):
        (into / file).parent.mkdir(parents=True, exist_ok=True)
        (into / file).write_bytes(data)
    np.savez_compressed(into / f"{name}.npz", **arrays)
    return {
        "model": f"models/{name}.txt.gz",
        "kind": kind,
        "structures": list(made),
        "backend": f"calorine {calorine.__version__}, float64",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nep3", action="store_true", help="the models of NEP3, with calorine 3.0")
    parser.add_argument("--into", type=Path, default=Path(__file__).parent, help="folder to write to")
    args = parser.parse_args()
    path = args.into / "index.json"
    index = json.loads(path.read_text()) if path.exists() else {}
    for name in SHAPES:
        if name.startswith("nep3") == args.nep3:
            index[name] = make(name, args.into)
            print(name)
    path.write_text(json.dumps({name: index[name] for name in SHAPES if name in index}, indent=1) + "\n")


if __name__ == "__main__":
    main()
