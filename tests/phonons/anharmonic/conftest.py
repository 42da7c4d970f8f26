import pytest
from ase import Atoms

from helpers.rock_salt import nacl, small_potential
from tnep_calc.io.supercells import bare_structure
from tnep_calc.phonons import PolymlpCalculator, force_constants


@pytest.fixture(scope="session")
def crystal():
    return nacl()


@pytest.fixture(scope="session")
def potential_file(crystal, tmp_path_factory):
    return small_potential(crystal[1], tmp_path_factory.mktemp("polymlp") / "polymlp.yaml")


@pytest.fixture(scope="session")
def small(crystal):
    """A supercell of 16 atoms with the Born charges of the data."""
    primitive = crystal[0].primitive
    found = bare_structure(Atoms(primitive.symbols, primitive.positions, cell=primitive.cell, pbc=True), 2)
    found.nac_params = crystal[0].nac_params
    return found


@pytest.fixture(scope="session")
def result(small, potential_file):
    return force_constants(small, PolymlpCalculator(potential_file))
