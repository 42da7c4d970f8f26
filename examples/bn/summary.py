"""Summary of a run of ``run.py``: one figure, and a short table with the DFT values."""

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
from tnep_calc.plotting.spectra import INFRARED_LABELS, WAVENUMBER, curve
from tnep_calc.plotting.style import BLUE, GREY, ORANGE, styled
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
    """Return TO and LO (cm^-1), Born charge of B, eps_inf and Raman tensor element from results of `tnep phonons`."""
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
        figure = draw(spectra, numbers, parities(folder, models["TNEP"]))
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
    """Return the panels of the test split: predictions of the artifacts, and labels."""
    results = json.loads((folder / "energy" / "results.json").read_text())
    structures = read_dataset([HERE / name for name in results["data"]["files"]], {})
    structures = [structures[k] for k in results["splits"]["test"]]
    panels = compare(structures, predict(calculator, structures)[0])
    wanted = ("forces", "born_charges", "dipole", "polarizability")
    return [{**panel, "splits": {"test": panel["splits"]["all"]}} for panel in panels if panel["name"] in wanted]


LOW, HIGH = 900, 1450
"""Range of the spectra in the figure, in cm^-1."""
COLOURS = {"TNEP": BLUE, "enthalpy": ORANGE}


def draw(spectra, numbers, panels):
    """Draw the spectra of both routes with error bands, TO and LO of DFPT, and the parities of the test split.

    Parameters
    ----------
    spectra, numbers : mapping
        By route, as :func:`measured` returns them.
    panels : sequence of dict
        Panels of the parity plots, see :func:`parities`.
    """
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(12, 6.4))
    above, below = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    axes = above.subplots(1, 3)
    titles = ("infrared absorption", "dielectric function", "Raman scattering, VV")
    labels = (INFRARED_LABELS["absorption"], r"$\epsilon(\omega)$", "intensity (arb. units)")
    for ax, title, label in zip(axes, titles, labels, strict=True):
        ax.set(xlim=(LOW, HIGH), xlabel=WAVENUMBER, ylabel=label)
        ax.set_title(title, loc="left", fontsize=8)
    for route, found in spectra.items():
        infrared, raman = (found[name].between(LOW, HIGH) for name in ("ir", "raman"))
        curve(axes[0], infrared, "absorption", COLOURS[route], f"{route}, MD at {TEMPERATURE:g} K")
        curve(axes[1], infrared, "eps_imag", COLOURS[route], f"{route}, imaginary")
        if "eps_real" in infrared.values:
            curve(axes[1], infrared, "eps_real", COLOURS[route], f"{route}, real")
            axes[1].lines[-1].set_linestyle("--")
        curve(axes[2], raman, "VV", COLOURS[route], route, 1.0 / raman.values["VV"].max())
    axes[1].axhline(0.0, color=GREY, linewidth=0.5)
    for ax in axes:
        for name, style in (("TO", ":"), ("LO", "-.")):
            ax.axvline(DFT[name], color=GREY, linestyle=style, linewidth=0.8, label=f"{name}, DFPT: {DFT[name]:.0f}")
        low, high = ax.get_ylim()
        ax.set_ylim(low if ax is axes[1] else 0.0, high + 0.45 * (high - low))  # room for the legend
        ax.legend(loc="upper right", fontsize=6, frameon=True, framealpha=1, edgecolor="none")
    peaks = ", ".join(f"{route} {numbers[route]['TO, infrared, MD at 300 K, cm⁻¹']:.0f}" for route in spectra)
    above.suptitle(
        f"cubic boron nitride, TO of the infrared spectrum: {peaks} cm$^{{-1}}$ "
        "(areas are those of three modes in a short run, ±60 %)",
        fontsize=9,
    )
    for ax, panel in zip(below.subplots(1, len(panels)), panels, strict=True):
        draw_parity(ax, panel)
    return figure


if __name__ == "__main__":
    main()
