import numpy as np
import pytest

from tnep_calc.conventions import STRAIN_ORDER
from tnep_calc.training.nep.linear.basis import NepBasis, design

BASIS = NepBasis(("Na", "Cl"), 5.0, 4.0, (3, 2), 3)
TYPES = np.array([0, 1, 1])
STEP = 1e-4


def structure(pbc):
    rng = np.random.default_rng(1)
    cell = np.array([[4.1, 0.2, 0.0], [0.5, 4.4, 0.3], [0.0, -0.4, 3.9]])
    sites = np.array([[0.0, 0, 0], [0.5, 0.45, 0.55], [0.1, 0.5, 0.4]]) @ cell + 0.1 * rng.standard_normal((3, 3))
    return sites, cell if pbc else np.zeros((3, 3))


@pytest.mark.parametrize("pbc", [True, False])
def test_forces_are_the_derivatives_of_the_energies(pbc):
    sites, cell = structure(pbc)
    found = design(BASIS, TYPES, sites, cell, pbc)
    assert found.energies.shape == (BASIS.size,) and found.forces.shape == (9, BASIS.size)
    for component in range(9):
        moved = [sites.copy().ravel() for _ in range(2)]
        for sign, positions in zip((1, -1), moved, strict=True):
            positions[component] += sign * STEP
        plus, minus = (design(BASIS, TYPES, positions.reshape(3, 3), cell, pbc).energies for positions in moved)
        assert np.allclose(found.forces[component], (minus - plus) / (2 * STEP), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pbc", [True, False])
def test_virials_are_the_derivatives_with_respect_to_the_strain(pbc):
    sites, cell = structure(pbc)
    found = design(BASIS, TYPES, sites, cell, pbc)
    for row, (a, b) in zip(found.virials, STRAIN_ORDER, strict=True):
        plus, minus = (np.eye(3), np.eye(3))
        for strain, sign in ((plus, 1), (minus, -1)):
            strain[a, b] += sign * STEP / 2
            strain[b, a] += sign * STEP / 2
        high, low = (design(BASIS, TYPES, sites @ strain, cell @ strain, pbc).energies for strain in (plus, minus))
        assert np.allclose(row, (low - high) / (2 * STEP), rtol=1e-5, atol=1e-5)
