"""Polarization of BaTiO3 along a cycle of the electric field, from one electric-enthalpy model.

    python examples/batio3_cycle/run.py model.pt [--output cycle] [--period 20] [--amplitude 0.3636] [--repeat 1]

Runs molecular dynamics of 135 atoms (or more) at constant temperature and cell in E_z(t) = E0 cos(2 pi t / T).  Prints
the fields at which the polarization changes sign, and draws P(E).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib
import numpy as np
from ase import Atoms, units
from ase.io import read
from ase.md.bussi import Bussi

from tnep_calc import TNEPCalculator
from tnep_calc.calculators.field import follow
from tnep_calc.io.files import atomic_output
from tnep_calc.plotting.style import BLUE, GREY, save_figure, styled
from tnep_calc.units import BOLTZMANN, E_PER_A2_TO_MICROCOULOMB_PER_CM2, V_PER_A_TO_MV_PER_CM

A, C = 3.966085, 4.304026  # Å, tetragonal PBE cell of the DFT data
SITES = {"Ba": [(0.5, 0.5, 0.017)], "Ti": [(0, 0, 0.534)], "O": [(0, 0.5, 0.475), (0.5, 0, 0.475), (0, 0, 0.948)]}
TIMESTEP = 2.0  # fs
EVERY = 5  # steps between samples
EQUILIBRATION = 500  # steps
PUBLISHED = "8640 atoms, 200 ps, 10 runs: -10.83 and +10.82 MV/cm, remanent 52.6 and largest 92 microC/cm2"


def barium_titanate(repeat: int = 1) -> Atoms:
    """Return the tetragonal crystal, 3 x 3 x 3 `repeat` cells, polarized along z."""
    symbols = [s for s, sites in SITES.items() for _ in sites]
    places = [place for sites in SITES.values() for place in sites]
    atoms = Atoms(symbols, scaled_positions=places, cell=[A, A, C], pbc=True)
    return atoms.repeat(3 * repeat)


def thermalise(atoms: Atoms, temperature: float, seed: int) -> None:
    """Draw velocities at a temperature (K); the centre of mass is at rest."""
    masses = atoms.get_masses()[:, None]
    momenta = np.random.default_rng(seed).normal(size=(len(atoms), 3)) * np.sqrt(masses * BOLTZMANN * temperature)
    atoms.set_momenta(momenta - masses * momenta.sum(0) / masses.sum())


def cycle(atoms: Atoms, calculator, options) -> np.ndarray:
    """Return rows of time (fs), field (V/Å) and polarization along z (e/Å²) over the cycles."""
    period = 1000.0 * options.period
    atoms.calc = calculator
    thermalise(atoms, options.temperature, options.seed)

    def dynamics():
        return Bussi(
            atoms,
            TIMESTEP * units.fs,
            options.temperature,
            taut=100 * units.fs,
            rng=np.random.default_rng(options.seed),
        )

    calculator.efield = [0, 0, options.amplitude]
    dynamics().run(EQUILIBRATION)
    calculator.efield = lambda t: [0, 0, options.amplitude * np.cos(2 * np.pi * t / period)]
    calculator.time = 0.0
    run = dynamics()
    follow(run, calculator)
    rows, start = [], time.monotonic()
    steps = round(options.cycles * period / TIMESTEP)

    def sample():
        field = calculator.efield(calculator.time)[2]
        rows.append((calculator.time, field, atoms.get_dipole_moment()[2] / atoms.get_volume()))
        if len(rows) % 200 == 0:
            left = (time.monotonic() - start) * (steps / run.nsteps - 1)
            print(
                f"{calculator.time / 1000:7.2f} ps   {atoms.get_temperature():5.0f} K   about {left:.0f} s left",
                flush=True,
            )

    run.attach(sample, interval=EVERY)
    run.run(steps)
    return np.array(rows)


def crossings(field: np.ndarray, polarization: np.ndarray) -> list[float]:
    """Return the field at the first sign change of the polarization in each half cycle, interpolated.

    A half cycle goes from one extreme of the field to the next.
    """
    turns = [0, *(1 + np.flatnonzero(np.diff(np.sign(np.diff(field)))))]
    found = []
    for first, last in zip(turns, [*turns[1:], len(field)], strict=True):
        e, p = field[first:last], polarization[first:last]
        at = np.flatnonzero(p[1:] * p[:-1] < 0)
        if len(at):
            k = at[0]
            found.append(float(e[k] - p[k] * (e[k + 1] - e[k]) / (p[k + 1] - p[k])))
    return found


def draw(field, polarization, path) -> None:
    """Draw P(E)."""
    from matplotlib import pyplot

    with styled():
        figure, axes = pyplot.subplots()
        axes.plot(field, polarization, color=BLUE, lw=0.8)
        axes.axhline(0, color=GREY, lw=0.6)
        axes.axvline(0, color=GREY, lw=0.6)
        axes.set(xlabel="field along z (MV/cm)", ylabel="polarization (µC/cm$^2$)")
        save_figure(figure, path, force=True)
    pyplot.close(figure)


def main() -> None:
    """Run the cycle, print the coercive fields, write series and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="enthalpy model of Ba, Ti and O (model.pt of tnep train)")
    parser.add_argument("--output", type=Path, default=Path("cycle"), help="folder for results (default: cycle)")
    parser.add_argument("--structure", type=Path, help="start from this structure (default: tetragonal BaTiO3)")
    parser.add_argument(
        "--repeat", type=int, default=1, help="blocks of 3 x 3 x 3 cells per axis (default: 1, 135 atoms)"
    )
    parser.add_argument("--period", type=float, default=20.0, help="period in ps (default: 20)")
    parser.add_argument("--cycles", type=float, default=1.0, help="number of cycles (default: 1)")
    parser.add_argument("--amplitude", type=float, default=0.3636, help="largest field in V/Å (default: 0.3636)")
    parser.add_argument("--temperature", type=float, default=300.0, help="in K (default: 300)")
    parser.add_argument("--seed", type=int, default=1, help="seed of velocities and thermostat (default: 1)")
    options = parser.parse_args()
    matplotlib.use("Agg")
    options.output.mkdir(parents=True, exist_ok=True)
    atoms = read(options.structure) if options.structure else barium_titanate(options.repeat)
    rows = cycle(atoms, TNEPCalculator(enthalpy=options.model, dtype="float32"), options)
    field, polarization = rows[:, 1] * V_PER_A_TO_MV_PER_CM, rows[:, 2] * E_PER_A2_TO_MICROCOULOMB_PER_CM2
    with atomic_output(options.output / "series.txt", force=True) as temporary:
        header = "time (fs)   field along z (MV/cm)   polarization along z (microC/cm2)"
        np.savetxt(temporary, np.column_stack([rows[:, 0], field, polarization]), header=header, fmt="%.6g")
    print(f"{len(atoms)} atoms, {options.temperature:g} K, period {options.period:g} ps")
    print(
        "polarization changes sign at", ", ".join(f"{e:+.1f}" for e in crossings(field, polarization)) or "no", "MV/cm"
    )
    near_zero = np.abs(field) < 0.02 * field.max()
    print(
        f"mean |P| at E = 0: {np.abs(polarization[near_zero]).mean():.1f}; largest: {polarization.max():.1f} microC/cm2"
    )
    print(f"published ({PUBLISHED})")
    draw(field, polarization, options.output / "cycle.png")


if __name__ == "__main__":
    main()
