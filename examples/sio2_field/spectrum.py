"""Infrared spectrum of alpha-quartz from molecular dynamics with one electric-enthalpy model.

    python examples/sio2_field/spectrum.py model.pt [--output quartz] [--repeat 1] [--time 20] [--phonons quartz/modes]

Equilibrates at 300 K (`--temperature`), then runs at constant energy and keeps the dipole of every second step, with
`--phonons` also the normal coordinates of the modes at Gamma.  `tnep ir` transforms the time series; the table compares
peaks and drift.  A killed run starts from scratch.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.md.bussi import Bussi
from ase.md.verlet import VelocityVerlet
from run import DFPT, broadened, orthorhombic, quartz, relax

from tnep_calc import TNEPCalculator
from tnep_calc.io.files import sha256
from tnep_calc.io.series.mode_series import ModeSeries
from tnep_calc.io.series.spectrum_text import read_spectrum
from tnep_calc.io.series.timeseries import Sampled, TimeSeries, write_timeseries
from tnep_calc.phonons.projection import mode_projection
from tnep_calc.spectra.modes import ModeProjection
from tnep_calc.spectra.peaks import find_peaks
from tnep_calc.units import BOLTZMANN, INV_CM_TO_RAD_PER_FS

TIMESTEP = 1.0  # fs
EVERY = 2  # steps between samples
EQUILIBRATION = 2000  # steps
WINDOW = (50.0, 1400.0)  # cm^-1, of the comparison


def thermalise(atoms: Atoms, temperature: float, seed: int) -> None:
    """Draw velocities at twice the temperature, as half becomes potential energy; the centre of mass is at rest."""
    masses = atoms.get_masses()[:, None]
    momenta = np.random.default_rng(seed).normal(size=(len(atoms), 3)) * np.sqrt(2 * masses * BOLTZMANN * temperature)
    atoms.set_momenta(momenta - masses * momenta.sum(0) / masses.sum())


def dynamics(
    atoms: Atoms, duration: float, temperature: float, seed: int, projection: ModeProjection | None = None
) -> tuple[np.ndarray, np.ndarray, ModeSeries | None]:
    """Run at constant energy after an equilibration.

    Parameters
    ----------
    atoms : Atoms
        Relaxed crystal with a calculator.
    duration : float, in ps
    temperature : float, in K
        Of the equilibration.
    seed : int
        Of velocities and thermostat.
    projection : ModeProjection, optional
        Modes to project the run on.

    Returns
    -------
    dipoles : ndarray, shape (n, 3), in e·Å
    rows : ndarray, shape (n, 3)
        Time (fs), total energy (eV) and temperature (K).
    modes : ModeSeries or None
        Normal coordinates and their velocities.
    """
    thermalise(atoms, temperature, seed)
    thermostat = {"taut": 50 * units.fs, "rng": np.random.default_rng(seed)}
    Bussi(atoms, TIMESTEP * units.fs, temperature, **thermostat).run(EQUILIBRATION)
    run = VelocityVerlet(atoms, TIMESTEP * units.fs)
    steps, start = round(1000 * duration / TIMESTEP), time.monotonic()
    dipoles, rows, coordinates, velocities = [], [], [], []

    def sample():
        dipoles.append(atoms.get_dipole_moment())
        rows.append((run.nsteps * TIMESTEP, atoms.get_total_energy(), atoms.get_temperature()))
        if projection is not None:
            coordinates.append(projection.coordinates(atoms.positions, atoms.cell.array))
            velocities.append(projection.rates(atoms.get_velocities() * units.fs))
        if len(rows) % 1000 == 0:
            left = (time.monotonic() - start) * (steps / run.nsteps - 1)
            print(f"{rows[-1][0] / 1000:6.1f} ps   {rows[-1][2]:4.0f} K   about {left:.0f} s left", flush=True)

    run.attach(sample, interval=EVERY)
    run.run(steps)
    modes = None
    if projection is not None:
        modes = ModeSeries(
            np.array(coordinates),
            projection.wavenumbers,
            projection.sets,
            projection.labels,
            TIMESTEP * EVERY,
            velocities=np.array(velocities),
            charges=projection.charges,
            raman=projection.raman,
            source=projection.source,
        )
    return np.array(dipoles), np.array(rows), modes


def without_time_step(wavenumber):
    """Return wavenumbers (cm^-1) of the run without the error of its time step.

    The Verlet algorithm moves a harmonic oscillator at ``w'``, with ``sin(w' dt / 2) = w dt / 2``: 1.7 cm^-1 more than
    1050 cm^-1.
    """
    scale = 0.5 * INV_CM_TO_RAD_PER_FS * TIMESTEP
    return np.sin(scale * np.asarray(wavenumber)) / scale


def main() -> None:
    """Run the dynamics, call `tnep ir`, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="enthalpy model of Si and O (model.pt of tnep train)")
    parser.add_argument("--output", type=Path, default=Path("quartz"), help="folder for results (default: quartz)")
    parser.add_argument("--repeat", type=int, default=1, help="cells of 72 atoms per axis (default: 1)")
    parser.add_argument("--time", type=float, default=20.0, help="ps at constant energy (default: 20)")
    parser.add_argument("--temperature", type=float, default=300.0, help="K (default: 300)")
    parser.add_argument("--phonons", type=Path, help="folder of `tnep phonons` (modes.py) to project the run on")
    parser.add_argument("--seed", type=int, default=1, help="seed of velocities and thermostat (default: 1)")
    options = parser.parse_args()
    if options.time < 4:
        parser.error("--time must be at least 4 ps for a resolution of 20 cm^-1")
    options.output.mkdir(parents=True, exist_ok=True)
    calculator = TNEPCalculator(enthalpy=options.model, dtype="float32")
    cell = orthorhombic(quartz())
    relax(cell, calculator, None)
    atoms = cell.repeat(options.repeat)
    atoms.calc = calculator
    projection = None if options.phonons is None else mode_projection(options.phonons, atoms)
    dipoles, rows, modes = dynamics(atoms, options.time, options.temperature, options.seed, projection)
    temperature = float(rows[:, 2].mean())
    provenance = {
        "source": options.model.name,
        "source_sha256": sha256(options.model),
        "source_unit": "e*A",
        "notes": "",
    }
    series = TimeSeries(
        Sampled(dipoles, TIMESTEP * EVERY, provenance=provenance),
        temperature=temperature,
        volume=atoms.get_volume(),
        cell=atoms.cell.array,
        command=" ".join(sys.argv),
        modes=modes,
    )
    write_timeseries(options.output / "series.h5", series, force=True)
    tnep, out = Path(sys.executable).parent / "tnep", options.output
    words = [out / "series.h5", "-o", out / "ir.txt", "--plot", out / "ir.png", "--resolution", "20", "--max", "1500"]
    subprocess.run([tnep, "ir", *words, "--force"], check=True)
    drift = np.polyfit(rows[:, 0] / 1000, rows[:, 1], 1)[0] / (len(atoms) * BOLTZMANN * temperature)
    print(f"\n{len(atoms)} atoms, {options.time:g} ps, {temperature:.0f} K, drift {drift:+.1e} kT per atom and ps")
    spectrum = read_spectrum(options.output / "ir.txt")
    found = [p.position for p in find_peaks(spectrum.wavenumber, spectrum.values["absorption"], prominence=0.01)]
    grid = np.arange(*WINDOW)
    print(f"{'infrared peaks, cm^-1':<24}{'dynamics':>10}{'DFPT':>10}")
    for peak in find_peaks(grid, broadened(grid, *DFPT.T), prominence=0.03):
        print(f"{'':<24}{min(found, key=lambda p: abs(p - peak.position)):>10.0f}{peak.position:>10.0f}")


if __name__ == "__main__":
    main()
