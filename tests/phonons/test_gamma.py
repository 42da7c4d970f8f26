import json

import numpy as np
import pytest
from ase.build import bulk

from helpers.paths import shared_data
from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator
from tnep_calc.errors import InputError
from tnep_calc.phonons.gamma import dynamical_matrix, ionic_dielectric, mode_charges, modes, nonanalytic_term
from tnep_calc.units import SQRT_EV_PER_A2_AMU_TO_INV_CM, THZ_TO_INV_CM


@pytest.mark.parametrize("crystal", ("NaCl-phonopy", "MgO", "SnO2", "TiO2-anatase", "ZnTe"))
def test_lo_to_of_phonopy(crystal):
    folder = shared_data("phonons") / crystal
    reference = json.loads((folder / "reference.json").read_text())
    matrix = np.load(folder / "gamma_modes.npz")["dynamical_matrix"]
    to = np.array(reference["gamma_frequencies_no_nac_THz"]) * THZ_TO_INV_CM
    assert np.allclose(modes(matrix)[0], to, atol=0.01)
    for entry in reference["gamma_nac"]:
        q = entry["q_cart"]
        term = nonanalytic_term(
            reference["born"], reference["epsilon_inf"], reference["volume_A3"], reference["masses"], q
        )
        expected = np.array(entry["frequencies_gonze_THz"]) * THZ_TO_INV_CM
        assert np.allclose(modes(matrix + term)[0], expected, atol=0.03)  # BORN files say 14.400 for e^2/(4 pi eps0)


def test_boron_nitride_of_abinit():
    r = json.loads((shared_data("phonons/BN-abinit") / "reference.json").read_text())
    mass = np.array(r["masses_abinit"])
    stiffness = (r["TO_cm1"] / SQRT_EV_PER_A2_AMU_TO_INV_CM) ** 2 / (1 / mass).sum()
    matrix = np.kron(stiffness * np.array([[1, -1], [-1, 1]]) / np.sqrt(np.outer(mass, mass)), np.eye(3))
    born = np.array(r["born_xx_raw"])[:, None, None] * np.eye(3)
    term = nonanalytic_term(born, r["epsilon_inf"] * np.eye(3), r["volume_A3"], mass, [1, 1, 0])
    wavenumbers = modes(matrix + term)[0]
    assert wavenumbers[3:5] == pytest.approx(r["TO_cm1"], abs=1e-6)
    assert wavenumbers[5] == pytest.approx(r["LO_cm1_own_asr_charges"], abs=0.02)


def test_dynamical_matrix_of_a_model():
    atoms = bulk("BN", "zincblende", a=3.6)
    atoms.calc = TNEPCalculator(energy=random_nep())
    matrix = dynamical_matrix(atoms)
    wavenumbers, vectors = modes(matrix)
    assert np.allclose(matrix, matrix.T)
    assert np.sort(np.abs(wavenumbers))[:3] == pytest.approx(0, abs=1e-3)
    optical = wavenumbers[np.argsort(np.abs(wavenumbers))[3:]]
    assert np.ptp(optical) < 1e-3 * np.abs(optical).max()  # cubic symmetry
    assert np.allclose(np.einsum("mia,nia->mn", vectors, vectors), np.eye(6))


def test_infrared_strengths_and_static_dielectric_tensor_of_quartz():
    folder = shared_data("phonons/SiO2-quartz")
    r = json.loads((folder / "reference.json").read_text())
    wavenumbers = np.array(r["frequencies_THz"]) * THZ_TO_INV_CM
    charges = mode_charges(r["born"], np.load(folder / "modes.npz")["eigenvectors"], r["masses"])
    found = np.array([[w, s] for w, s in zip(wavenumbers, (charges**2).sum(1), strict=True)])
    for peak in r["ir_peak_table"]:  # degenerate modes together
        near = np.abs(found[:, 0] - peak["cm1"]) < 0.05
        assert found[near, 1].sum() == pytest.approx(peak["intensity_e2_per_amu"], abs=2e-5)
    ionic = ionic_dielectric(charges, wavenumbers, r["volume_A3"])
    np.testing.assert_allclose(np.array(r["epsilon_inf"]) + ionic, r["epsilon_static"], atol=1e-3)
    wavenumbers[5] *= -1
    with pytest.raises(InputError, match="is imaginary"):
        ionic_dielectric(charges, wavenumbers, r["volume_A3"])


def test_bad_direction():
    with pytest.raises(InputError, match="must be positive"):
        nonanalytic_term(np.zeros((2, 3, 3)), np.eye(3), 10.0, [1, 1], [0, 0, 0])
