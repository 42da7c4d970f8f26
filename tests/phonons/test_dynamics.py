"""Molecular dynamics at low temperature has the spectrum of the harmonic modes, in absolute units."""

import numpy as np
import pytest
from ase import units
from ase.md.verlet import VelocityVerlet

from helpers.polar_crystal import PolarCrystal, wurtzite
from tnep_calc.phonons.cells import to_ase
from tnep_calc.phonons.infrared import mode_charges, oscillator_strengths
from tnep_calc.phonons.modes import gamma_modes
from tnep_calc.phonons.raman import invariants, raman_tensors, stokes_factor
from tnep_calc.phonons.workflow import Settings, run_phonons
from tnep_calc.spectra import dielectric_spectrum, raman_spectrum
from tnep_calc.spectra.peaks import find_peaks
from tnep_calc.units import BOLTZMANN, INV_CM_TO_RAD_PER_FS, SQRT_EV_PER_A2_AMU_TO_INV_CM

pytest.importorskip("phonopy")
pytestmark = pytest.mark.slow
TEMPERATURE = 0.5  # K, so that the potential is harmonic
STEP, STEPS = 3.0, 5400  # fs
RESOLUTION = 4.0  # cm^-1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Modes and time series; every mode starts with the energy k T, half of it kinetic, at random phases."""
    found = run_phonons(
        wurtzite(), PolarCrystal(), tmp_path_factory.mktemp("w"), Settings(length=6), log=lambda x: None
    )

    atoms = to_ase(found.phonon.primitive)
    modes = gamma_modes(found.phonon)
    optical = ~modes.external
    w = modes.wavenumbers[optical] / SQRT_EV_PER_A2_AMU_TO_INV_CM  # sqrt(eV/amu)/Å
    phase = np.random.default_rng(4).uniform(0, 2 * np.pi, len(w))
    amplitude = np.sqrt(2 * BOLTZMANN * TEMPERATURE) / w
    shapes = modes.displacements[optical]
    atoms.positions += np.einsum("m,mia->ia", amplitude * np.cos(phase), shapes)
    atoms.set_velocities(np.einsum("m,mia->ia", -amplitude * w * np.sin(phase), shapes))  # ASE's units of time
    atoms.calc = PolarCrystal()
    dynamics = VelocityVerlet(atoms, STEP * units.fs)
    dipole, alpha = [], []

    def sample():
        dipole.append(atoms.calc.results["dipole"].copy())
        alpha.append(atoms.calc.results["polarizability"].copy())

    dynamics.attach(sample)
    dynamics.run(STEPS)
    return found, modes, np.array(dipole), np.array(alpha)


def windows(modes):
    """Yield the optical sets that are far from all others, and their window of wavenumbers."""
    centres = np.array([modes.wavenumbers[list(g)].mean() for g in modes.sets])
    for k in modes.optical_sets:
        others = np.delete(centres, k)
        if np.abs(others - centres[k]).min() > 3.5 * RESOLUTION:
            yield k, centres[k], 1.75 * RESOLUTION


def of_verlet(wavenumber):
    """Return the wavenumber at which the Verlet algorithm moves an oscillator: ``sin(w' dt / 2) = w dt / 2``."""
    scale = 0.5 * STEP * INV_CM_TO_RAD_PER_FS
    return np.arcsin(scale * wavenumber) / scale


def test_infrared(run):
    """The area of eps'' of a mode is ``pi/2 w_m delta eps_m``; the time step shifts the peaks by 1 cm^-1."""
    found, modes, dipole, _ = run
    strengths = oscillator_strengths(mode_charges(found.charges.used, modes), modes)
    spectrum = dielectric_spectrum(STEP, modes.volume, TEMPERATURE, dipole=dipole, eps_inf=1.0, resolution=RESOLUTION)
    w, value = spectrum.wavenumber, spectrum.column("eps_imag")
    peaks = np.array([peak.position for peak in find_peaks(w, value, 1e-3)])
    checked = 0
    for k, centre, half in windows(modes):
        trace = np.trace(strengths[list(modes.sets[k])].sum(axis=0)) / 3
        if trace < 1e-3:
            continue
        near = np.abs(w - centre) < half
        assert np.abs(peaks - of_verlet(centre)).min() < 0.2
        assert np.trapezoid(value[near], w[near]) == pytest.approx(np.pi / 2 * centre * trace, rel=0.03)
        checked += 1
    assert checked >= 2


def test_raman(run):
    """The area of VV and VH of a mode is that of the harmonic tensor, with the same factors."""
    found, modes, _, alpha = run
    inv = invariants(raman_tensors(found.gradient, modes))
    mean, anisotropy = (modes.of_sets(x) for x in inv)
    spectrum = raman_spectrum(alpha, STEP, TEMPERATURE, RESOLUTION)
    w = spectrum.wavenumber
    checked = 0
    for k, centre, half in windows(modes):
        factor = stokes_factor(centre, TEMPERATURE)
        near = np.abs(w - centre) < half
        for name, square in (("VV", (45 * mean[k] + 4 * anisotropy[k]) / 45), ("VH", anisotropy[k] / 15)):
            if square < 1e-3 * anisotropy.max():
                continue
            found_area = np.trapezoid(spectrum.column(name)[near], w[near])
            assert found_area == pytest.approx(factor * square, rel=0.03), (name, centre)
            checked += 1
    assert checked >= 4
