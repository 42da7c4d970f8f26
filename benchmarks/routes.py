"""The absorption from the dipole and from the current Z*.v of the same run: difference in units of the error bars.

Run ``python benchmarks/routes.py [--json FILE] [--cases NAME ...] [--samples N] [--bn FOLDER]``.  ``water`` has 216
molecules with the published potential and dipole model (tests/optional_data.py).  ``c-BN`` has 216 atoms with energy.pt
and dipole.pt of ``examples/bn/run.py`` (in its folder ``models``).  Each is an NVE run at 300 K, sampled every 2 fs.
"""

from __future__ import annotations

import gzip
import io
import time
from pathlib import Path

import ase.io
import numpy as np
from ase import units
from ase.build import bulk
from ase.md.bussi import Bussi
from ase.md.verlet import VelocityVerlet
from cases import DATA, chosen, start, write_records

from tnep_calc import TNEPCalculator
from tnep_calc.io.series.timeseries import Sampled, TimeSeries, write_timeseries
from tnep_calc.spectra import dielectric_spectrum
from tnep_calc.spectra.estimate import jackknife_error
from tnep_calc.units import BOLTZMANN

TEMPERATURE, STEP, EVERY = 300.0, 0.5, 4  # K, fs, steps
EQUILIBRATION = 1000  # steps
SIGNIFICANT = 0.05
"""Only points above this fraction of the highest absorption are compared."""


def water():
    """Return the published box of water with its potential, and the dipole model."""
    folder = DATA / "water_ir"
    with gzip.open(folder / "model.xyz.gz", "rt") as file:
        atoms = ase.io.read(io.StringIO(file.read()), format="extxyz")
    return atoms, folder / "nep_pes.txt", TNEPCalculator(dipole=folder / "nep_dipole.txt", dipole_unit="e*bohr")


def boron_nitride(folder: Path):
    """Return 216 atoms of cubic boron nitride with the models of the example."""
    atoms = bulk("BN", "zincblende", a=3.589, cubic=True).repeat(3)
    return atoms, folder / "energy.pt", TNEPCalculator(dipole=folder / "dipole.pt")


def simulate(atoms, potential, response, samples: int):
    """Return dipole (e·Å) and current (e·Å/fs) of a run, each of shape (samples, 3)."""
    atoms.calc = TNEPCalculator(energy=potential)
    rng = np.random.default_rng(1)
    masses = atoms.get_masses()[:, None]
    momenta = rng.normal(size=(len(atoms), 3)) * np.sqrt(masses * BOLTZMANN * TEMPERATURE)
    atoms.set_momenta(momenta - masses * momenta.sum(axis=0) / masses.sum())
    Bussi(atoms, STEP * units.fs, TEMPERATURE, taut=20 * units.fs, rng=rng).run(EQUILIBRATION)
    dynamics = VelocityVerlet(atoms, STEP * units.fs)
    dipole, current = np.empty((2, samples, 3))
    begin = last = time.monotonic()
    for k in range(samples):
        dipole[k] = response.get_property("dipole", atoms)
        charges = response.get_property("born_effective_charges", atoms)
        current[k] = np.einsum("jab,jb->a", charges, atoms.get_velocities() * units.fs)
        dynamics.run(EVERY)
        if time.monotonic() - last > 30:
            last = time.monotonic()
            print(f"  {k + 1} of {samples} samples, {(last - begin) / (k + 1) * (samples - k):.0f} s left", flush=True)
    print(f"  temperature at the end {atoms.get_temperature():.0f} K")
    return dipole, current


def compare(name: str, atoms, dipole, current) -> dict:
    """Print and return the differences between both routes.

    The window acts on different functions, so that single points differ by about the resolution divided by the
    wavenumber.  Compared are therefore averages over bands of twice the resolution, above the lowest band.
    """
    dt, volume = STEP * EVERY, atoms.get_volume()
    options = {"eps_inf": 1.8, "max_wavenumber": 4500.0}
    one = dielectric_spectrum(dt, volume, TEMPERATURE, dipole=dipole, **options)
    two = dielectric_spectrum(dt, volume, TEMPERATURE, current=current, **options)
    resolution = one.parameters["resolution_fwhm_cm-1"]
    band = (one.wavenumber // (2 * resolution)).astype(int)

    def averages(column):
        return (np.bincount(band, weights=column) / np.bincount(band))[1:]

    values, other = (averages(spectrum.values["absorption"]) for spectrum in (one, two))
    error = jackknife_error([averages(column) for column in one.replicas["absorption"]])
    of_difference = jackknife_error(
        [averages(a - b) for a, b in zip(one.replicas["absorption"], two.replicas["absorption"], strict=True)]
    )
    keep = values > SIGNIFICANT * values.max()
    z = ((values - other) / error)[keep]
    found = {
        "case": name,
        "samples": len(dipole),
        "resolution_cm-1": resolution,
        "bands": int(keep.sum()),
        "relative_error": float(np.median((error / values)[keep])),
        "largest_difference_per_error": float(np.abs(z).max()),
        "rms_difference_per_error": float(np.sqrt(np.mean(z**2))),
        "largest_difference_per_its_own_error": float(np.abs((values - other) / of_difference)[keep].max()),
        "difference_of_the_area": float(other.sum() / values.sum() - 1),
    }
    print(
        f"{name}: {len(dipole)} samples, {len(dipole) * dt / 1000:g} ps, resolution {resolution:g} cm^-1, "
        f"{found['bands']} bands, median error {100 * found['relative_error']:.1f} %"
    )
    print(
        f"  difference of the routes in units of the error: rms {found['rms_difference_per_error']:.3f}, "
        f"largest {found['largest_difference_per_error']:.3f}; areas differ by "
        f"{100 * found['difference_of_the_area']:+.2f} %"
    )
    return found


def main() -> None:
    """Run the selected cases."""
    parser = start(__doc__)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--bn", type=Path, default=Path("demo/models"), help="folder of energy.pt and dipole.pt")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="folder for the series, for tnep ir and others")
    args = parser.parse_args()
    records = []
    for name, build in (("water", water), ("c-BN", lambda: boron_nitride(args.bn))):
        if not chosen(name, args.cases):
            continue
        try:
            atoms, potential, response = build()
        except FileNotFoundError as error:
            print(f"{name}: not run ({error})")
            continue
        dipole, current = simulate(atoms, potential, response, args.samples)
        if args.save:
            sampled = Sampled(dipole, STEP * EVERY), Sampled(current, STEP * EVERY)
            series = TimeSeries(sampled[0], None, TEMPERATURE, atoms.get_volume(), atoms.cell.array, current=sampled[1])
            write_timeseries(args.save / f"{name}.h5", series, force=True)
        records.append(compare(name, atoms, dipole, current))
    if args.json:
        write_records(args.json, records)


if __name__ == "__main__":
    main()
