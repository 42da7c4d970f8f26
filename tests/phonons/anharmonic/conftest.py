import pytest

from helpers.rock_salt import nacl, small_potential, small_supercell
from tnep_calc.phonons import PolymlpCalculator, force_constants


@pytest.fixture(scope="session")
def crystal():
    return nacl()


@pytest.fixture(scope="session")
def potential_file(crystal, tmp_path_factory):
    return small_potential(crystal[1], tmp_path_factory.mktemp("polymlp") / "polymlp.yaml")


@pytest.fixture(scope="session")
def small(crystal):
    return small_supercell(crystal[0])


@pytest.fixture(scope="session")
def result(small, potential_file):
    return force_constants(small, PolymlpCalculator(potential_file))
