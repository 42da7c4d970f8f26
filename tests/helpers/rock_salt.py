"""Displaced supercells of NaCl (examples/nacl) and a small polynomial potential fitted to a few of them."""

import numpy as np

from helpers.paths import EXAMPLES
from tnep_calc.io.displaced_supercells import training_data
from tnep_calc.io.supercells import read_supercells
from tnep_calc.phonons.anharmonic.polymlp_fit import train_polymlp

NACL = EXAMPLES / "nacl" / "phono3py_params_NaCl.yaml.xz"
SMALL = {"cutoff": 5.0, "gtinv_maxl": [4, 4], "gaussian_params2": [0, 4, 4]}
"""Parameters of pypolymlp for a potential that can be fitted in a second."""


def nacl():
    """Return the phono3py object of the example, and its data for training."""
    found = read_supercells(NACL)
    return found, training_data(found, NACL)


def small_potential(data, path, train=range(6), test=(20, 21)):
    """Fit a small potential and return its path."""
    train_polymlp(data, train, test, path, SMALL)
    return path


def displaced(data, index):
    """Return one displaced supercell as ASE Atoms."""
    from ase import Atoms

    cell = data.supercell
    return Atoms(cell.symbols, positions=cell.positions + data.displacements[index], cell=np.array(cell.cell), pbc=True)


def small_supercell(found):
    """Return a phono3py object of a supercell of 16 atoms with the Born charges of the data."""
    from ase import Atoms

    from tnep_calc.io.supercells import bare_structure

    primitive = found.primitive
    small = bare_structure(Atoms(primitive.symbols, primitive.positions, cell=primitive.cell, pbc=True), 2)
    small.nac_params = found.nac_params
    return small


def small_cells(potential, count):
    """Return the object of `small_supercell` with displaced supercells, labelled by a potential file."""
    from tnep_calc.phonons import PolymlpCalculator
    from tnep_calc.phonons.anharmonic.evaluation import evaluate_supercells

    small = small_supercell(read_supercells(NACL))
    small.generate_displacements(distance=0.03, number_of_snapshots=count, random_seed=3)
    energies, forces = evaluate_supercells(small.supercells_with_displacements, PolymlpCalculator(potential))
    small.forces, small.supercell_energies = forces, energies
    return small
