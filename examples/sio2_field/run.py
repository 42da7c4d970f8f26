"""Dielectric constants and infrared spectrum of alpha-quartz from one electric-enthalpy model.

    python examples/sio2_field/run.py model.pt [--output quartz] [--structure cell.extxyz] [--field 0.0363609]

Relaxes the 72-atom cell without a field, then in a field along x and along z.  The polarization of the first step gives
eps_inf, that of the last step the static dielectric constant.  Then computes the modes at Gamma of the 9-atom cell with
phonopy, and their infrared strengths from the Born charges.  Prints a table with DFT values.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.io import read
from ase.optimize import BFGS
from ase.spacegroup import crystal

from tnep_calc import TNEPCalculator
from tnep_calc.io.files import atomic_output
from tnep_calc.phonons.infrared import intensities, mode_charges, oscillator_strengths
from tnep_calc.phonons.workflow import Settings, run_phonons
from tnep_calc.plotting.style import BLUE, GREY, ORANGE, save_figure, styled
from tnep_calc.spectra.peaks import find_peaks
from tnep_calc.units import EPSILON_0, EV_PER_A3_TO_GPA

A, C = 4.985303, 5.478530  # Å, PBE lattice of the DFT data
INTERNAL = {"Si": (0.4697, 0.0, 1 / 3), "O": (0.4135, 0.2669, 0.2142)}  # Levien et al., Am. Mineral. 65, 920 (1980)
FMAX = 5e-4  # eV/Å
WIDTH = 20.0  # cm^-1, standard deviation of the Gaussians
DFT = {"eps_inf zz": 2.412, "eps static zz": 4.746, "gain meV": -8.03, "ionic": 2.184}
DFPT = np.array(
    [
        (250.39, 0.1758),
        (250.44, 0.1747),
        (348.54, 4.8086),
        (374.82, 2.7843),
        (375.07, 2.7878),
        (421.17, 8.5704),
        (421.24, 8.5740),
        (462.80, 9.2499),
        (667.48, 0.4631),
        (667.63, 0.4681),
        (751.46, 2.6329),
        (767.06, 3.4829),
        (767.07, 3.4853),
        (1041.47, 42.1997),
        (1041.61, 42.2126),
        (1048.33, 44.4849),
        (1133.13, 0.4146),
        (1133.23, 0.4331),
    ]
)
"""Infrared-active modes: cm^-1 and (D/Å)²/amu.  As DFT: PBE, from the data that come with Falletta et al., Nat. Commun.
16, 4031 (2025), repository mir-group/allegro-pol (MIT)."""


def quartz() -> Atoms:
    """Return the hexagonal cell of alpha-quartz (P3_1 21), 9 atoms."""
    made = crystal(list(INTERNAL), list(INTERNAL.values()), spacegroup=152, cellpar=[A, A, C, 90, 90, 120])
    return Atoms(made.symbols, made.positions, cell=made.cell, pbc=True)


def orthorhombic(atoms: Atoms) -> Atoms:
    """Return the orthorhombic cell of the DFT data, which has 8 hexagonal cells."""
    cell = make_supercell(atoms, [[2, 0, 0], [1, 2, 0], [0, 0, 2]])
    cell.wrap()
    return cell


def relax(atoms: Atoms, calculator, field) -> np.ndarray:
    """Relax in a field, shape (3,), in V/Å; return rows of enthalpy (eV) and dipole (e·Å) per step."""
    calculator.efield = field
    atoms.calc = calculator
    rows: list = []
    optimizer = BFGS(atoms, logfile=None)
    optimizer.attach(lambda: rows.append((atoms.get_potential_energy(), *atoms.get_dipole_moment())))
    if not optimizer.run(fmax=FMAX, steps=300):
        raise SystemExit("not relaxed in 300 steps: the model does not fit this structure")
    return np.array(rows)


def dielectric(atoms: Atoms, calculator, strength: float) -> dict:
    """Return eps per step of the relaxation in fields along x and z, and the change of the enthalpy in meV."""
    start = relax(atoms, calculator, np.zeros(3))[-1, 1:]
    found = {}
    for axis, name in ((0, "xx"), (2, "zz")):
        moved = atoms.copy()
        rows = relax(moved, calculator, strength * np.eye(3)[axis])
        eps = 1 + (rows[:, 1 + axis] - start[axis]) / (EPSILON_0 * atoms.get_volume() * strength)
        found[name] = eps, 1e3 * (rows[-1, 0] - rows[0, 0])
    calculator.efield = None
    return found


def infrared(calculator, folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return wavenumbers (cm^-1), strengths ((D/Å)²/amu) and the ionic dielectric tensor of the 9-atom cell."""
    atoms = quartz()
    relax(atoms, calculator, None)
    atoms.write(folder.parent / "cell.extxyz")
    settings = Settings(relax=False, fmax=FMAX, raman=False)
    found = run_phonons(atoms, calculator, folder, settings, restart=True)
    charges = mode_charges(found.charges.used, found.modes)
    ionic = oscillator_strengths(charges, found.modes).sum(axis=0)
    return found.modes.wavenumbers, intensities(charges, "D2/A2/amu"), ionic


def broadened(grid, wavenumbers, strengths) -> np.ndarray:
    """Return the sum of normalised Gaussians on a grid."""
    gaussians = np.exp(-0.5 * ((grid[:, None] - wavenumbers) / WIDTH) ** 2) / (WIDTH * np.sqrt(2 * np.pi))
    return gaussians @ strengths


def draw(eps, grid, spectrum, reference, path) -> None:
    """Draw eps per step, and the spectra of model and DFPT."""
    from matplotlib import pyplot

    with styled():
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(7.6, 3.0))
        for (name, (values, _)), colour in zip(eps.items(), (BLUE, ORANGE), strict=True):
            left.plot(values, color=colour, label=rf"$\epsilon_{{{name}}}$", marker=".")
        for key in ("eps_inf zz", "eps static zz"):
            left.axhline(DFT[key], color=GREY, lw=0.8, ls="--")
        left.text(1, DFT["eps_inf zz"] + 0.05, "DFT, zz", color=GREY, ha="right", transform=left.get_yaxis_transform())
        left.set(xlabel="step of the relaxation in the field", ylabel="dielectric constant")
        left.legend()
        right.plot(grid, spectrum, color=BLUE, label="model")
        right.plot(grid, reference, color=GREY, lw=0.8, ls="--", label="DFPT")
        right.set(xlabel="wavenumber (cm$^{-1}$)", ylabel="infrared ((D/Å)$^2$/amu per cm$^{-1}$)", ylim=(0, None))
        right.legend()
        save_figure(figure, path, force=True)
    pyplot.close(figure)


def main() -> None:
    """Compute, print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="enthalpy model of Si and O (model.pt of tnep train)")
    parser.add_argument("--output", type=Path, default=Path("quartz"), help="folder for results (default: quartz)")
    parser.add_argument("--structure", type=Path, help="start from this structure (default: ideal quartz, 72 atoms)")
    parser.add_argument("--field", type=float, default=0.0363609, help="V/Å (default: 0.0363609 = 1e-3 Ry a.u.)")
    options = parser.parse_args()
    matplotlib.use("Agg")
    options.output.mkdir(parents=True, exist_ok=True)
    calculator = TNEPCalculator(enthalpy=options.model)
    atoms = read(options.structure) if options.structure else orthorhombic(quartz())
    eps = dielectric(atoms, calculator, options.field)
    pressure = -np.mean(calculator.get_stress(atoms)[:3]) * EV_PER_A3_TO_GPA
    wavenumbers, strengths, ionic = infrared(calculator, options.output / "phonons")
    grid = np.arange(50.0, 1400.0, 1.0)
    spectrum = broadened(grid, wavenumbers, strengths)
    reference = broadened(grid, *DFPT.T)

    lines = [f"{'alpha-quartz, E = ' + format(options.field, '.5f') + ' V/Å':<42}{'model':>10}{'DFT':>10}", "-" * 62]

    def row(name, value, reference=None, form=".4g"):
        lines.append(f"{name:<42}{value:>10{form}}" + (f"{reference:>10{form}}" if reference is not None else ""))

    for name, (values, gain) in eps.items():
        row(f"eps_inf {name}", values[0], DFT.get(f"eps_inf {name}"))
        row(f"static eps {name}, relaxed in the field", values[-1], DFT.get(f"eps static {name}"))
        row(f"static eps {name}, from modes at Gamma", values[0] + ionic["xyz".index(name[0])]["xyz".index(name[0])])
        row(f"enthalpy of the relaxation along {name[0]}, meV", gain, DFT["gain meV"] if name == "zz" else None)
    row("ionic eps, mean of directions, from modes", np.trace(ionic) / 3, DFT["ionic"])
    peaks = [p.position for p in find_peaks(grid, spectrum, prominence=0.01)]
    for peak in find_peaks(grid, reference, prominence=0.03):
        row("infrared peak, cm^-1", min(peaks, key=lambda p: abs(p - peak.position)), peak.position, ".1f")
    row("pressure, GPa", pressure)
    table = "\n".join(lines)
    print(table)
    with atomic_output(options.output / "summary.txt", force=True) as temporary:
        temporary.write_text(table + "\n")
    draw(eps, grid, spectrum, reference, options.output / "summary.png")


if __name__ == "__main__":
    main()
