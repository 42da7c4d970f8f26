"""The infrared spectrum of a moving classical harmonic crystal equals that of lattice dynamics."""

import numpy as np
import pytest

from tnep_calc.phonons.infrared import mode_charges, oscillator_strengths
from tnep_calc.phonons.modes import modes_from
from tnep_calc.spectra import dielectric_spectrum, static_dielectric
from tnep_calc.spectra.decomposition import atomic_currents, partial_spectra
from tnep_calc.spectra.modes import mode_parts
from tnep_calc.spectra.peaks import find_peaks
from tnep_calc.units import BOLTZMANN, INV_CM_TO_RAD_PER_FS, SQRT_EV_PER_A2_AMU_TO_RAD_PER_FS

TEMPERATURE, VOLUME, DT = 20.0, 60.0, 1.0
POSITIONS = np.array([250.0, 330.0, 450.0, 560.0, 690.0, 800.0, 950.0, 1080.0, 1200.0])


@pytest.fixture(scope="module")
def crystal():
    """Four atoms: modes, Born charges, and 100 ps of motion with k_B T in every mode (positions and velocities)."""
    rng = np.random.default_rng(6)
    masses = np.array([28.0, 28.0, 16.0, 16.0])
    # three translations first; the rest orthonormal to them
    rigid = np.stack([np.outer(np.sqrt(masses / masses.sum()), axis).ravel() for axis in np.eye(3)])
    vectors = np.linalg.qr(np.vstack([rigid, rng.normal(size=(9, 12))]).T)[0].T
    vectors[:3] = rigid
    modes = modes_from(np.concatenate([np.zeros(3), POSITIONS]), vectors.reshape(12, 4, 3), masses, VOLUME)
    born = rng.normal(size=(4, 3, 3))
    born -= born.mean(axis=0)
    omega = POSITIONS * INV_CM_TO_RAD_PER_FS
    t = DT * np.arange(100_000)
    # energy k_B T of every mode, in eV = amu (rad/fs)^2 Å^2 / conversion
    amplitude = np.sqrt(2 * BOLTZMANN * TEMPERATURE) * SQRT_EV_PER_A2_AMU_TO_RAD_PER_FS / omega
    phase = np.outer(t, omega) + rng.uniform(0, 2 * np.pi, 9)
    displacements = modes.displacements[3:]
    u = np.einsum("tm,mja->tja", amplitude * np.cos(phase), displacements)
    v = np.einsum("tm,mja->tja", -amplitude * omega * np.sin(phase), displacements)
    return modes, born, u, v


def test_positions_and_intensities_equal_lattice_dynamics(crystal):
    modes, born, u, v = crystal
    strengths = np.trace(oscillator_strengths(mode_charges(born, modes), modes), axis1=1, axis2=2)[3:] / 3
    currents = atomic_currents(born, v)
    for route in ({"dipole": np.einsum("jab,tjb->ta", born, u)}, {"current": currents.sum(axis=1)}):
        found = dielectric_spectrum(DT, VOLUME, TEMPERATURE, resolution=5.0, blocks=0, max_wavenumber=1500.0, **route)
        peaks = sorted(find_peaks(found.wavenumber, found.values["absorption"], 1e-3))
        np.testing.assert_allclose([peak.position for peak in peaks], POSITIONS, atol=1.0)
        step = found.wavenumber[1] - found.wavenumber[0]
        for position, strength in zip(POSITIONS, strengths, strict=True):
            near = np.abs(found.wavenumber - position) < 25.0
            # integral of w eps'' dw over the band = (pi / 2) strength w_0^2
            area = step * np.sum((found.wavenumber * found.values["eps_imag"])[near])
            assert area == pytest.approx(0.5 * np.pi * strength * position**2, rel=0.03)
    static = static_dielectric(np.einsum("jab,tjb->ta", born, u), VOLUME, TEMPERATURE, dt=DT)
    assert static.mean - 1 == pytest.approx(strengths.sum(), rel=0.01)


def test_the_decomposition_by_modes_equals_lattice_dynamics(crystal):
    modes, born, u, v = crystal
    currents = atomic_currents(born, v)
    parts = mode_parts(currents, v, modes.masses, modes.eigenvectors[3:], born)
    found = partial_spectra(parts, DT, VOLUME, TEMPERATURE, route="current", resolution=10.0, blocks=0, pairs=False)
    for m, position in enumerate(POSITIONS):
        own = found.values[f"part_mode{m + 1}"]
        near = np.abs(found.wavenumber - position) < 30.0
        assert own[near].sum() == pytest.approx(found.values["total"][near].sum(), rel=0.02)
