"""Summary of a run of ``run.py``: one figure and a short table, beside the DFT values."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib
import numpy as np
from ase.build import bulk

from tnep_calc import TNEPCalculator
from tnep_calc.io.dataset import read_dataset
from tnep_calc.io.files import atomic_output
from tnep_calc.io.spectrum_file import read_spectrum
from tnep_calc.phonons.gamma import dynamical_matrix, modes, nonanalytic_term
from tnep_calc.plotting.spectra import plot_ir, plot_raman
from tnep_calc.plotting.style import GREY, ORANGE, styled
from tnep_calc.plotting.training import draw_parity
from tnep_calc.spectra.peaks import find_peaks
from tnep_calc.training.comparison import compare, predict
from tnep_calc.units import BOLTZMANN

HERE = Path(__file__).resolve().parent
LATTICE, TEMPERATURE = 3.589, 300.0
DFT = {"TO": 1061.1, "LO": 1291.5, "Z*(B)": 1.895, "eps_inf": 4.609}  # ABINIT DFPT, 2-atom cell, see README.md


def harmonic(models: Path) -> dict[str, float]:
    """Return TO and LO (cm^-1), Born charge of B and eps_inf of the models at the DFT lattice constant."""
    atoms = bulk("BN", "zincblende", a=LATTICE)
    atoms.calc = TNEPCalculator(
        energy=models / "energy.pt", dipole=models / "dipole.pt", susceptibility=models / "polarizability.pt"
    )
    matrix = dynamical_matrix(atoms)
    born = atoms.calc.get_property("born_effective_charges", atoms)
    eps = atoms.calc.get_property("dielectric_tensor", atoms)
    term = nonanalytic_term(born, eps, atoms.get_volume(), atoms.get_masses(), [1, 0, 0])
    return {"TO": modes(matrix)[0][-1], "LO": modes(matrix + term)[0][-1], "Z*(B)": np.trace(born[0]) / 3,
            "eps_inf": np.trace(eps) / 3}  # fmt: skip


def drift(folder: Path, pieces: int, atoms: int) -> float:
    """Return the drift of the total energy in kT per atom and ps, from the logs of the NVE pieces."""
    rows = []
    for piece in range(1, pieces + 1):
        for line in (folder / f"log.{piece}").read_text().splitlines():
            words = line.split()
            if len(words) == 6 and words[0].isdigit():
                rows.append((float(words[0]), float(words[4])))
    steps, energy = np.array(rows).T
    return np.polyfit(steps * 0.0005, energy, 1)[0] / (atoms * BOLTZMANN * TEMPERATURE)


def main() -> None:
    """Print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=6)
    parser.add_argument("--pieces", type=int, default=10)
    options = parser.parse_args()
    folder = options.folder
    infrared, raman = read_spectrum(folder / "ir.txt"), read_spectrum(folder / "raman.txt")
    peaks = {
        "IR": find_peaks(infrared.wavenumber, infrared.values["absorption"])[0].position,
        "Raman": find_peaks(raman.wavenumber, raman.values["unpolarised"])[0].position,
    }
    model = harmonic(folder / "models")
    lo = np.sqrt(peaks["IR"] ** 2 + model["LO"] ** 2 - model["TO"] ** 2)
    errors = {}
    for kind in ("energy", "dipole", "polarizability"):
        errors.update(json.loads((folder / kind / "results.json").read_text())["errors"]["test"])

    lines = ["", f"{'cubic boron nitride':<34}{'models':>12}{'DFT':>10}{'difference':>13}", "-" * 69]

    def row(name, value, reference, unit):
        difference = 100 * (value / reference - 1)
        lines.append(f"{name + ', ' + unit:<34}{value:>12.4g}{reference:>10.4g}{difference:>+11.1f} %")

    row("TO, infrared, MD at 300 K", peaks["IR"], DFT["TO"], "cm⁻¹")
    row("TO, Raman, MD at 300 K", peaks["Raman"], DFT["TO"], "cm⁻¹")
    row("LO = TO(MD) + non-analytic", lo, DFT["LO"], "cm⁻¹")
    row("TO, harmonic", model["TO"], DFT["TO"], "cm⁻¹")
    row("LO, harmonic", model["LO"], DFT["LO"], "cm⁻¹")
    row("Born charge of B", model["Z*(B)"], DFT["Z*(B)"], "e")
    row("eps_inf", model["eps_inf"], DFT["eps_inf"], "1")
    lines += ["", f"{'test split':<34}{'RMSE':>12}{'of std':>10}{'of variation':>13}", "-" * 69]
    for name, error in errors.items():
        title = f"{name.replace('_', ' ')}, {error['unit']}"
        of_std, of_variation = (100 * error["rmse"] / error[name] for name in ("std", "spread"))
        lines.append(f"{title:<34}{error['rmse']:>12.3g}{of_std:>8.1f} %{of_variation:>11.1f} %")
    lines.append("(std: of all numbers of the label; variation: about the mean of each species and component)")
    atoms = 8 * options.size**3
    lines += ["", f"energy drift in NVE ({atoms} atoms, {2 * options.pieces} ps): "
              f"{drift(folder / 'md', options.pieces, atoms):+.1e} kT per atom and ps"]  # fmt: skip
    lines += ["", *_seconds(folder)]
    text = "\n".join(lines)
    print(text)
    with atomic_output(folder / "summary.txt", force=True) as temporary:
        temporary.write_text(text + "\n")
    matplotlib.use("Agg")
    with styled():
        figure = draw(folder, infrared, raman, peaks)
        with atomic_output(folder / "summary.png", force=True) as temporary:
            figure.savefig(temporary, dpi=150)
    print(f"\nfigure: {folder / 'summary.png'}")


def _seconds(folder: Path) -> list[str]:
    """Sum the seconds of the stages (a stage that was interrupted and repeated counts each time)."""
    total: dict[str, float] = {}
    for line in (folder / "seconds.txt").read_text().splitlines():
        name, seconds = line.split("\t")
        name = "molecular dynamics" if name.startswith(("piece", "equilibrate")) else name
        total[name] = total.get(name, 0.0) + float(seconds)
    return [f"{name:<34}{seconds:>12.0f} s" for name, seconds in total.items()]


def parities(folder: Path) -> list[dict]:
    """Return the panels of the test split: predictions of the artifacts beside the labels."""
    results = json.loads((folder / "energy" / "results.json").read_text())
    structures = read_dataset([HERE / name for name in results["data"]["files"]], {})
    structures = [structures[k] for k in results["splits"]["test"]]
    models = folder / "models"
    calculator = TNEPCalculator(
        energy=models / "energy.pt", dipole=models / "dipole.pt", susceptibility=models / "polarizability.pt"
    )
    panels = compare(structures, [predict(calculator, structure) for structure in structures])
    wanted = ("forces", "born_charges", "dipole", "polarizability")
    return [{**panel, "splits": {"test": panel["splits"]["all"]}} for panel in panels if panel["name"] in wanted]


def draw(folder: Path, infrared, raman, peaks):
    """Draw both spectra and the parities of the test split."""
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(9.5, 6))
    grid = figure.add_gridspec(2, 4, height_ratios=(1.2, 1))
    for column, plot, spectrum, name in ((0, plot_ir, infrared, "IR"), (2, plot_raman, raman, "Raman")):
        ax = figure.add_subplot(grid[0, column : column + 2])
        plot(spectrum.between(700, 1500), ax=ax, peaks=False)
        ax.axvline(DFT["TO"], color=GREY, linestyle=":", label=f"TO, DFPT: {DFT['TO']:.0f}")
        ax.axvline(peaks[name], color=ORANGE, linestyle="--", label=f"TO, MD: {peaks[name]:.0f}")
        ax.legend(loc="upper left")
    for column, panel in enumerate(parities(folder)):
        draw_parity(figure.add_subplot(grid[1, column]), panel)
    return figure


if __name__ == "__main__":
    main()
