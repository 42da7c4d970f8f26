"""Replacements, of the same size and shape, for published models and structures that the repository may not contain.

Times depend only on shapes and numbers of neighbours, so they can be compared.  Errors of a training on replacements
say nothing about the published data.
"""

from __future__ import annotations

import gzip
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = ROOT.parent / "shared" / "data" / "tnep"
SHIPPED = ROOT / "tests" / "data" / "oracle" / "models"
SHAPES = {
    "potentials/Si_2022_NEP4_3body.txt": "si_3body",
    "potentials/C_2024_NEP4.txt": "c_2024",
    "pbte/nep.txt": "pbte",
    "gpumd_fixtures/models/nep_water.txt": "water_potential",
    "water_ir/nep_pes.txt": "water_potential_ir",
    "gpumd_fixtures/models/nep_BaZrO3.txt": "bazro3_potential",
    "gpumd_fixtures/models/tnep-water-polarization.txt": "water_dipole",
    "qm7b/dipole/nep.txt": "qm7b_dipole",
    "qm7b/polarizability/nep.txt": "qm7b_polarizability",
    "gpumd_fixtures/models/tnep-BaZrO3-susceptibility.txt": "bazro3_susceptibility",
}
"""Published file -> shipped model of the same shape."""
MOLECULES = (
    "C6H6",
    "CH3CONH2",
    "C4H4S",
    "CH3CH2Cl",
    "C5H5N",
    "CH3NO2",
    "trans-butane",
    "CH3CH2OCH3",
    "C3H7Cl",
    "C2H6SO",
)
_unpacked = tempfile.TemporaryDirectory(prefix="tnep_benchmark_")


@cache
def announce(what: str) -> None:
    """Print, once for each name, that published data are replaced."""
    print(f"{what}: the published data are absent; random parameters or labels of the same shape stand in for them")


@cache
def model_file(relative: str) -> Path:
    """Return the path of a published model, or else of an unpacked shipped model of the same shape."""
    if (PUBLISHED / relative).exists():
        return PUBLISHED / relative
    announce("models")
    path = Path(_unpacked.name) / f"{SHAPES[relative]}.txt"
    path.write_bytes(gzip.decompress((SHIPPED / f"{path.name}.gz").read_bytes()))
    return path


def _placed(molecules: list[Atoms], places: np.ndarray, cell: np.ndarray, random) -> Atoms:
    """Put randomly rotated molecules on given positions of a cell."""
    out = Atoms(cell=cell, pbc=True)
    for atoms, place in zip(molecules, places, strict=True):
        turned = atoms.copy()
        turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
        turned.positions = (turned.positions - turned.positions.mean(axis=0)) @ turn + place
        out += turned
    return out


def _grid(shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1).reshape(-1, 3) + 0.5


def stand_in(name: str, oracle: str) -> Atoms:
    """Return a structure of the size, composition and density of that of an oracle file."""
    random = np.random.RandomState(0)
    if name == "cubic1000":
        element, a = ("C", 3.567) if oracle.startswith("c_") else ("Si", 5.43)
        atoms = bulk(element, "diamond", a=a, cubic=True).repeat((5, 5, 5))
    elif name in ("r1080", "r40"):
        atoms = Atoms(
            "BaZrO3",
            scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
            cell=[4.19] * 3,
            pbc=True,
        )
        atoms = atoms.repeat((6, 6, 6) if name == "r1080" else (2, 2, 2))
    elif name in ("w1008", "w63"):
        shape, cell = ((6, 7, 8), [17.03, 24.56, 24.72]) if name == "w1008" else ((3, 7, 1), [8.51, 19.6, 3.87])
        places = _grid(shape) * np.array(cell) / shape
        return _placed([molecule("H2O")] * len(places), places, np.diag(cell), random)
    else:
        shape = (4, 4, 4) if name == "packed_4x4x4" else (1, 1, 1)
        cell = np.diag([7.2 * n for n in shape])
        chosen = [molecule(MOLECULES[k % len(MOLECULES)]) for k in range(int(np.prod(shape)))]
        return _placed(chosen, _grid(shape) * 7.2, cell, random)
    atoms.rattle(0.05, seed=1)
    return atoms


def structure(oracle: str | None, name: str) -> Atoms:
    """Return a structure of an oracle file or its replacement, or rattled rock-salt PbTe of 1000 atoms."""
    if oracle is None:
        atoms = bulk(name, "rocksalt", a=6.57, cubic=True).repeat((5, 5, 5))
        atoms.rattle(0.05, seed=1)
        return atoms
    path = PUBLISHED / "oracle" / f"{oracle}.npz"
    if not path.exists():
        announce("structures")
        return stand_in(name, oracle)
    z = np.load(path)
    return Atoms(z[f"{name}/numbers"], z[f"{name}/positions"], cell=z[f"{name}/cell"], pbc=True)


def molecules(count: int, seed: int = 0) -> list[Atoms]:
    """Return `count` distorted molecules with the elements of QM7B, each alone in a large box."""
    random = np.random.RandomState(seed)
    out = []
    for k in range(count):
        atoms = molecule(MOLECULES[k % len(MOLECULES)])
        atoms.positions += 0.05 * random.normal(size=atoms.positions.shape) + 50
        atoms.set_cell(100 * np.eye(3))
        atoms.pbc = True
        out.append(atoms)
    return out


def quartz(count: int) -> list[Atoms]:
    """Return `count` distorted 72-atom cells of alpha-quartz with random labels of realistic size."""
    random = np.random.RandomState(0)
    silicon = [[0.47, 0, 0], [0, 0.47, 2 / 3], [0.53, 0.53, 1 / 3]]
    oxygen = [
        [0.41, 0.27, 0.12],
        [0.73, 0.14, 0.79],
        [0.86, 0.59, 0.45],
        [0.27, 0.41, 0.88],
        [0.14, 0.73, 0.21],
        [0.59, 0.86, 0.55],
    ]
    cell = [4.91, 4.91, 5.40, 90, 90, 120]
    ideal = Atoms("Si3O6", scaled_positions=silicon + oxygen, cell=cell, pbc=True).repeat((2, 2, 2))
    charges = np.where(ideal.numbers == 14, 3.2, -1.6)[:, None, None] * np.eye(3)
    out = []
    for _ in range(count):
        atoms, n = ideal.copy(), len(ideal)
        atoms.positions += 0.1 * random.normal(size=(n, 3))
        atoms.info["total_energy"] = -300.0 * n / 3 + random.normal()
        atoms.info["stress"] = 0.01 * random.normal(size=(3, 3))
        atoms.info["stress"] += atoms.info["stress"].T
        atoms.info["polarization"] = 0.3 * random.normal(size=3)
        atoms.info["polarizability"] = 8.0 * np.eye(3) + 0.1 * random.normal()
        atoms.arrays["forces"] = random.normal(size=(n, 3))
        atoms.arrays["born_charge"] = (charges + 0.1 * random.normal(size=(n, 3, 3))).reshape(n, 9)
        out.append(atoms)
    return out
