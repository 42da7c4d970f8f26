"""Summary of a run of ``run.py``: one figure and a short table, beside the DFT values."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib
import numpy as np

from tnep_calc import TNEPCalculator
from tnep_calc.io.files import atomic_output
from tnep_calc.io.series.spectrum_text import read_spectrum
from tnep_calc.io.structures.extxyz import read_dataset
from tnep_calc.plotting.spectra import plot_ir, plot_raman
from tnep_calc.plotting.style import BAND_ALPHA, GREY, ORANGE, styled
from tnep_calc.plotting.training import draw_parity
from tnep_calc.spectra.peaks import find_peaks
from tnep_calc.training.results.prediction import compare, predict
from tnep_calc.units import BOLTZMANN

HERE = Path(__file__).resolve().parent
TEMPERATURE = 300.0
DFT = {"TO": 1061.1, "LO": 1291.5, "Z*(B)": 1.895, "eps_inf": 4.609, "Raman": 0.6375}
"""ABINIT DFPT, 2-atom cell, see README.md; the Raman tensor has one independent element, in Å²/sqrt(amu)."""


def calculators(models: Path) -> dict[str, TNEPCalculator]:
    """Return the calculators of both routes."""
    names = ("energy", "dipole", "polarizability")
    energy, dipole, susceptibility = (models / f"{name}.pt" for name in names)
    return {
        "TNEP": TNEPCalculator(energy=energy, dipole=dipole, susceptibility=susceptibility),
        "enthalpy": TNEPCalculator(enthalpy=models / "enthalpy.pt"),
    }


def harmonic(folder: Path) -> dict[str, float]:
    """Return TO and LO (cm^-1), Born charge of B, eps_inf and Raman tensor element that `tnep phonons` has found."""
    found = json.loads((folder / "phonons.json").read_text())
    response, raman = found["response"], np.array(found["raman"]["tensors_A2_per_sqrt_amu"])
    return {
        "TO": found["modes"]["wavenumbers_cm-1"][-1],
        "LO": max(found["lo_to"][0]["wavenumbers_cm-1"]),
        "Z*(B)": np.trace(response["born_charges_e"][0]) / 3,
        "eps_inf": np.trace(response["eps_inf"]) / 3,
        "Raman": np.abs(raman[-1]).max(),
    }


def measured(folder: Path, prefix: str, model: dict[str, float]) -> tuple[dict, dict[str, float]]:
    """Return the spectra of a route and its numbers: peaks of the dynamics and those of ``harmonic``."""
    spectra = {name: read_spectrum(folder / f"{prefix}{name}.txt") for name in ("ir", "raman")}
    values = {"ir": spectra["ir"].values["absorption"], "raman": spectra["raman"].values["unpolarised"]}
    peaks = {name: find_peaks(spectra[name].wavenumber, values[name])[0].position for name in spectra}
    lo = float(np.sqrt(peaks["ir"] ** 2 + model["LO"] ** 2 - model["TO"] ** 2))
    return spectra, {
        "TO, infrared, MD at 300 K, cm⁻¹": peaks["ir"],
        "TO, Raman, MD at 300 K, cm⁻¹": peaks["raman"],
        "LO = TO(MD) + non-analytic, cm⁻¹": lo,
        "TO, harmonic, cm⁻¹": model["TO"],
        "LO, harmonic, cm⁻¹": model["LO"],
        "Born charge of B, e": model["Z*(B)"],
        "eps_inf": model["eps_inf"],
        "Raman tensor, Å²/amu^½": model["Raman"],
    }


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
    models = calculators(folder / "models")
    spectra, numbers, errors = {}, {}, {}
    for route, prefix in zip(models, ("", "enthalpy_"), strict=True):
        spectra[route], numbers[route] = measured(folder, prefix, harmonic(folder / f"{prefix}phonons"))
    for kind in ("energy", "dipole", "polarizability", "enthalpy"):
        found = json.loads((folder / kind / "results.json").read_text())["errors"]["test"]
        errors.setdefault("enthalpy" if kind == "enthalpy" else "TNEP", {}).update(found)

    lines = ["", f"{'cubic boron nitride':<34}" + "".join(f"{x:>11}" for x in ("TNEP", "enthalpy", "DFT")), "-" * 67]
    reference = [DFT["TO"], DFT["TO"], DFT["LO"], DFT["TO"], DFT["LO"], DFT["Z*(B)"], DFT["eps_inf"], DFT["Raman"]]
    for name, value in zip(numbers["TNEP"], reference, strict=True):
        lines.append(f"{name:<34}{numbers['TNEP'][name]:>11.4g}{numbers['enthalpy'][name]:>11.4g}{value:>11.4g}")
    lines += ["", f"{'test split':<24}{'RMSE, TNEP':>21}{'of std':>9}{'of var.':>9}{'enthalpy, of var.':>19}", "-" * 82]
    for name, error in errors["TNEP"].items():
        other = errors["enthalpy"].get(name)
        share = f"{100 * other['rmse'] / other['spread']:.1f} %" if other else "-"
        of_std, of_variation = (100 * error["rmse"] / error[x] for x in ("std", "spread"))
        lines.append(
            f"{name.replace('_', ' '):<24}{error['rmse']:>11.3g} {error['unit']:<9}{of_std:>7.1f} %"
            f"{of_variation:>7.1f} %{share:>19}"
        )
    lines.append("(std: of all numbers of the label; var.: variation about the mean of each species and component)")
    atoms = 8 * options.size**3
    lines += [
        "",
        f"energy drift in NVE ({atoms} atoms, {2 * options.pieces} ps): "
        f"{drift(folder / 'md', options.pieces, atoms):+.1e} kT per atom and ps",
    ]
    lines += ["", *_seconds(folder)]
    text = "\n".join(lines)
    print(text)
    with atomic_output(folder / "summary.txt", force=True) as temporary:
        temporary.write_text(text + "\n")
    matplotlib.use("Agg")
    with styled():
        figure = draw(folder, spectra, numbers, models["TNEP"])
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


def parities(folder: Path, calculator) -> list[dict]:
    """Return the panels of the test split: predictions of the artifacts beside the labels."""
    results = json.loads((folder / "energy" / "results.json").read_text())
    structures = read_dataset([HERE / name for name in results["data"]["files"]], {})
    structures = [structures[k] for k in results["splits"]["test"]]
    panels = compare(structures, [predict(calculator, structure) for structure in structures])
    wanted = ("forces", "born_charges", "dipole", "polarizability")
    return [{**panel, "splits": {"test": panel["splits"]["all"]}} for panel in panels if panel["name"] in wanted]


def draw(folder: Path, spectra, numbers, calculator):
    """Draw the spectra of both routes and the parities of the test split."""
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(9.5, 6))
    grid = figure.add_gridspec(2, 4, height_ratios=(1.2, 1))
    for column, plot, name in ((0, plot_ir, "ir"), (2, plot_raman, "raman")):
        ax = figure.add_subplot(grid[0, column : column + 2])
        plot(spectra["TNEP"][name].between(700, 1500), ax=ax, peaks=False)
        other = spectra["enthalpy"][name].between(700, 1500)
        key = "absorption" if name == "ir" else "VV"
        if name == "ir":  # absolute units: both on one axis as they are
            ax.lines[0].set_label("TNEP")
        scale = 1.0 if name == "ir" else 1.0 / max(other.values[key])
        peak = numbers["TNEP"][f"TO, {'infrared' if name == 'ir' else 'Raman'}, MD at 300 K, cm⁻¹"]
        label = "enthalpy" if name == "ir" else "enthalpy, VV"
        ax.plot(other.wavenumber, scale * other.values[key], color=ORANGE, linewidth=1, label=label)
        if (error := other.errors.get(key)) is not None:
            low, high = scale * (other.values[key] - error), scale * (other.values[key] + error)
            ax.fill_between(other.wavenumber, low, high, color=ORANGE, alpha=BAND_ALPHA, linewidth=0)
        ax.axvline(DFT["TO"], color=GREY, linestyle=":", label=f"TO, DFPT: {DFT['TO']:.0f}; TNEP, MD: {peak:.0f}")
        ax.legend(loc="upper left", fontsize=6)
    for column, panel in enumerate(parities(folder, calculator)):
        draw_parity(figure.add_subplot(grid[1, column]), panel)
    return figure


if __name__ == "__main__":
    main()
