"""Modes scaled to the energy k_B T: harmonic strengths from any energies, and less noise in short runs."""

import numpy as np
import pytest

from helpers.langevin import Langevin
from tnep_calc.errors import InputError
from tnep_calc.spectra import dielectric_spectrum, static_dielectric
from tnep_calc.spectra.dielectric import fluctuation_factor
from tnep_calc.spectra.equipartition import at_equal_energy, energy_ratios
from tnep_calc.units import BOLTZMANN, INV_CM_TO_RAD_PER_FS, SQRT_EV_PER_A2_AMU_TO_RAD_PER_FS

TEMPERATURE, VOLUME, DT = 250.0, 90.0, 1.0
KT = BOLTZMANN * TEMPERATURE * SQRT_EV_PER_A2_AMU_TO_RAD_PER_FS**2  # amu (Å/fs)^2
POSITIONS = np.array([300.0, 300.0, 520.0, 840.0])
SETS = [[0, 1], [2], [3]]
CHARGES = np.array([[0.5, 0.2, 0.0], [-0.2, 0.5, 0.0], [0.0, 0.0, 0.4], [0.1, 0.0, 0.3]])  # e/sqrt(amu)


def harmonic_motion(energies, phases, samples=40_000):
    """Return coordinates and velocities of undamped oscillators with energies in k_B T."""
    omega = POSITIONS * INV_CM_TO_RAD_PER_FS
    angle = np.outer(DT * np.arange(samples), omega) + phases
    amplitude = np.sqrt(2 * KT * np.asarray(energies)) / omega
    return amplitude * np.cos(angle), -amplitude * omega * np.sin(angle)


def test_energies_and_correlations_of_partners_do_not_matter():
    """The partners of the first set move together, so that one direction of the plane has nearly all of the energy."""
    coordinates, velocities = harmonic_motion([1.7, 0.6, 0.4, 2.1], [0.3, 0.9, 2.0, 4.0])
    ratios = energy_ratios(velocities, SETS, TEMPERATURE)
    assert [np.trace(r) / len(r) for r in ratios] == pytest.approx([1.15, 0.4, 2.1], rel=2e-3)
    assert abs(ratios[0][0, 1]) > 0.5
    unit = SQRT_EV_PER_A2_AMU_TO_RAD_PER_FS**2
    omega = POSITIONS * INV_CM_TO_RAD_PER_FS
    factor = fluctuation_factor(VOLUME, TEMPERATURE)
    expected = np.einsum("m,ma,mb->ab", factor * BOLTZMANN * TEMPERATURE * unit / omega**2, CHARGES, CHARGES)
    for name, motion in (("dipole", coordinates), ("current", velocities)):
        signal = motion @ CHARGES
        scaled = at_equal_energy(signal, motion, CHARGES, SETS, ratios)
        options = {"resolution": 15.0, "blocks": 0, "tensor": True}
        found = dielectric_spectrum(DT, VOLUME, TEMPERATURE, **{name: scaled}, **options)
        raw = dielectric_spectrum(DT, VOLUME, TEMPERATURE, **{name: signal}, **options)
        for component, (i, j) in {"xx": (0, 0), "yy": (1, 1), "zz": (2, 2), "xy": (0, 1), "xz": (0, 2)}.items():
            value = found.values[f"eps_real_{component}"][0] - float(i == j)
            assert value == pytest.approx(expected[i, j], rel=0.01, abs=0.01 * expected[0, 0]), (name, component)
        assert abs(raw.values["eps_real_xy"][0]) > 0.3 * expected[0, 0]


def test_what_is_not_linear_in_the_modes_stays():
    coordinates, velocities = harmonic_motion([1.0, 1.0, 0.3, 1.0], [0.0, np.pi / 2, 1.0, 2.0])
    rest = 0.02 * coordinates[:, :3] ** 2 + [1.0, 2.0, 3.0]
    pieces = [slice(0, 15_000), slice(15_000, 40_000)]
    ratios = energy_ratios([velocities[part] for part in pieces], SETS, TEMPERATURE)
    dipole, motion = coordinates @ CHARGES + rest, [coordinates[part] for part in pieces]
    scaled = at_equal_energy([dipole[part] for part in pieces], motion, CHARGES, SETS, ratios)
    added = np.concatenate(scaled) - dipole
    expected = (0.3**-0.5 - 1) * np.outer(coordinates[:, 2], CHARGES[2])
    np.testing.assert_allclose(added, expected, atol=0.01 * np.abs(expected).max())


def test_strengths_of_short_runs_have_less_noise_and_no_bias():
    """40 runs of 8 ps with a damping of 4 cm^-1, a lifetime of 1.3 ps."""
    rng = np.random.default_rng(3)
    oscillator = Langevin(400.0, 4.0)
    charges, sets = np.array([[0.0, 0.0, 0.5]]), [[0]]
    plain, scaled = [], []
    for _ in range(40):
        motion, rates = (np.sqrt(KT) / oscillator.w0 * x for x in oscillator.run(4000, 2.0, 1, rng))
        dipole = motion @ charges
        ratios = energy_ratios(rates, sets, TEMPERATURE)
        for found, signal in ((plain, dipole), (scaled, at_equal_energy(dipole, motion, charges, sets, ratios))):
            found.append(static_dielectric(signal, VOLUME, TEMPERATURE, dt=2.0).tensor[2, 2] - 1)
    expected = 0.5**2 * KT / oscillator.w0**2 * fluctuation_factor(VOLUME, TEMPERATURE)
    assert np.std(scaled) < 0.1 * np.std(plain)
    assert np.mean(scaled) == pytest.approx(expected, rel=0.01)


def test_mistakes():
    coordinates, velocities = harmonic_motion(np.ones(4), [0.0, 1.0, 2.0, 3.0], 100)
    ratios = energy_ratios(velocities, SETS, TEMPERATURE)
    with pytest.raises(InputError, match=r"velocities of the modes must have shape \(n, 4\)"):
        energy_ratios(velocities[:, :3], SETS, TEMPERATURE)
    with pytest.raises(InputError, match="pieces of"):
        at_equal_energy(coordinates[:50] @ CHARGES, coordinates, CHARGES, SETS, ratios)
    ratios[1] = np.zeros((1, 1))
    with pytest.raises(InputError, match="mode 3 does not move"):
        at_equal_energy(coordinates @ CHARGES, coordinates, CHARGES, SETS, ratios)
