"""Tables and figures of the study: errors on the test structures, the crystal at equilibrium, learning curves, Raman.

python examples/radnet/summary.py study
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.data import atomic_masses, atomic_numbers
from matplotlib import pyplot
from study import FAMILIES, MATERIALS, SHARES, Material

from tnep_calc import TNEPCalculator
from tnep_calc.io.files import atomic_output
from tnep_calc.io.structures.extxyz import read_dataset
from tnep_calc.plotting.style import styled
from tnep_calc.polarization import quanta_in
from tnep_calc.units import BOHR, COULOMB, EPSILON_0, SQRT_EV_PER_A2_AMU_TO_INV_CM

QUANTITIES = {"P": ("10⁻⁵ e/a₀²", 1e5), "Z*": ("me", 1e3), "eps_inf": ("10⁻³", 1e3)}
"""Unit in which the errors of a quantity are shown, and the factor to it."""
LASER, TEMPERATURE, LIGHT = 18796.9987, 300.0, 137.036  # cm^-1, K, atomic units
WIDTHS = {"bn": 10.0, "gaas": 5.0}  # half width of the lines in cm^-1, as in the published figure
ELECTRON_MASS = 5.48579909065e-4  # amu


def calculator_of(folder: Path, family: str) -> TNEPCalculator:
    """Return the calculator of a family's models in a folder of the study."""
    if family == "TNEP":
        return TNEPCalculator(
            dipole=folder / "dipole" / "model.pt", susceptibility=folder / "polarizability" / "model.pt"
        )
    return TNEPCalculator(**{family: folder / family / "model.pt"})


def trained(folder: Path, family: str) -> bool:
    """Tell whether all models of a family are there."""
    return all((folder / kind / "results.json").exists() for kind in FAMILIES[family])


def test_errors(calculator, structures) -> dict[str, np.ndarray]:
    """Return the errors of all components for all structures: P in e/a0^2, Z* in e, and eps_inf."""
    errors: dict[str, list] = {name: [] for name in QUANTITIES}
    for s in structures:
        atoms = s_atoms(s)
        change = calculator.get_property("dipole", atoms) - s.dipole
        errors["P"].append((change - quanta_in(change, s.cell)) / s.volume * BOHR**2)
        born = s.born_charges - s.born_charges.mean(axis=0)
        errors["Z*"].append((calculator.get_property("born_effective_charges", atoms) - born).ravel())
        change = calculator.get_property("polarizability", atoms) - s.polarizability
        errors["eps_inf"].append((change / (EPSILON_0 * s.volume))[np.triu_indices(3)])
    return {name: np.concatenate(values) for name, values in errors.items()}


def s_atoms(structure):
    """Return the ASE structure of a labelled one."""
    from ase import Atoms

    return Atoms(structure.symbols, structure.positions, cell=structure.cell, pbc=structure.pbc)


def equilibrium(calculator, material: Material) -> dict[str, float]:
    """Return Z*, eps_inf and d eps_yz / d u_x (1/Å) of the ideal two-atom cell, and how far they are from symmetric."""
    atoms = bulk(material.formula, "zincblende", a=material.lattice)
    born = calculator.get_property("born_effective_charges", atoms)[0]
    eps = calculator.get_property("dielectric_tensor", atoms)
    raman = calculator.get_property("polarizability_gradient", atoms)[0] / (EPSILON_0 * atoms.get_volume())
    element = np.mean([raman[0, 1, 2], raman[1, 0, 2], raman[2, 0, 1]])
    return {
        "Z*": np.trace(born) / 3,
        "eps_inf": np.trace(eps) / 3,
        "raman": element,
        "asymmetry": float(np.abs(born - np.eye(3) * np.trace(born) / 3).max()),
    }


def reference(material: Material) -> dict[str, float]:
    """Return the same from the DFPT calculation of the ideal crystal with the settings of the data."""
    ideal = read_dataset(material.file)[0]
    born = ideal.born_charges - ideal.born_charges.mean(axis=0)
    return {
        "Z*": float(np.trace(born[0]) / 3),
        "raman": material.raman,
        "eps_inf": 1 + float(np.trace(ideal.polarizability)) / (3 * EPSILON_0 * ideal.volume),
    }


def inverse_mass(material: Material) -> float:
    """Return ``1/m_1 + 1/m_2`` in 1/amu."""
    return sum(1 / atomic_masses[atomic_numbers[s]] for s in material.species)


def longitudinal(material: Material, charge: float, eps: float, to: float | None = None) -> float:
    """Return the LO wavenumber from Born charge, eps_inf and the TO mode (by default that of DFT).

    Eq. 7 of the paper, exact for two atoms in the cell: ``w_LO^2 = w_TO^2 + 4 pi k Z^2 (1/m_1 + 1/m_2) / (V eps)``.
    """
    volume = material.lattice**3 / 4
    added = 4 * np.pi * COULOMB * charge**2 * inverse_mass(material) / (volume * eps) * SQRT_EV_PER_A2_AMU_TO_INV_CM**2
    return float(np.sqrt((material.to if to is None else to) ** 2 + added))


def transverse(calculator, material: Material, step: float = 0.01) -> float:
    """Return the TO wavenumber of a model with forces at the lattice constant of DFT."""
    atoms = bulk(material.formula, "zincblende", a=material.lattice)
    forces = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[0, 0] += sign * step
        forces.append(calculator.get_forces(moved)[0, 0])
    constant = -(forces[0] - forces[1]) / (2 * step)
    return float(np.sqrt(constant * inverse_mass(material)) * SQRT_EV_PER_A2_AMU_TO_INV_CM)


def raman_spectrum(material: Material, values: dict[str, float], width: float, w: np.ndarray) -> np.ndarray:
    """Return the unpolarised Raman spectrum of eqs 8 to 10 of the paper: two TO modes and one LO mode.

    The tensor of a mode has one element, ``alpha_yz = sqrt(V) d chi_yz/dQ`` in atomic units; without an electro-optic
    term it is the same for the LO mode.
    """
    volume = material.lattice**3 / 4 / BOHR**3
    slope = np.sqrt(volume) * values["raman"] * BOHR / (4 * np.pi)
    element = slope * np.sqrt(inverse_mass(material) * ELECTRON_MASS)
    g2 = 0.5 * (2 * element) ** 2
    spectrum = np.zeros_like(w)
    for position, count in ((material.to, 2), (longitudinal(material, values["Z*"], values["eps_inf"]), 1)):
        bose = 1 / np.expm1(position / (0.6950348 * TEMPERATURE))
        factor = (position - LASER) ** 4 / (2 * position * LIGHT**4) * (bose + 1)
        spectrum += count * 2 * np.pi * factor * width / ((w - position) ** 2 + width**2) * (4 * g2 + 3 * g2)
    return spectrum


def main() -> None:
    """Print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    folder = parser.parse_args().study
    lines, results = [], {}
    for key, material in MATERIALS.items():
        if not (folder / key / "test.extxyz").exists():
            continue
        tests, dft = read_dataset(folder / key / "test.extxyz"), reference(material)
        dft["LO"] = longitudinal(material, dft["Z*"], dft["eps_inf"])
        results[key] = {"DFT": dft, "curves": {}}
        for share in SHARES:
            for family in FAMILIES:
                place = folder / key / f"{share:g}"
                if not trained(place, family):
                    continue
                calculator = calculator_of(place, family)
                errors = test_errors(calculator, tests)
                found = equilibrium(calculator, material)
                found["LO"] = longitudinal(material, found["Z*"], found["eps_inf"])
                if family == "enthalpy":
                    found["TO of its forces"] = transverse(calculator, material)
                runs = [json.loads((place / kind / "results.json").read_text()) for kind in FAMILIES[family]]
                results[key]["curves"][f"{share:g} {family}"] = {
                    "structures": len(runs[0]["splits"]["train"]),
                    "seconds": sum(run["seconds"] for run in runs),
                    "equilibrium": found,
                    "errors": errors,
                }
        lines += table(material, results[key])
    text = "\n".join(lines)
    print(text)
    with atomic_output(folder / "summary.txt", force=True) as temporary:
        temporary.write_text(text + "\n")
    with styled(), atomic_output(folder / "summary.png", force=True) as temporary:
        draw(folder, results).savefig(temporary, dpi=150)
    print(f"\nfigure: {folder / 'summary.png'}")


def table(material: Material, result) -> list[str]:
    """Return the lines of one material."""
    dft = result["DFT"]
    heads = "".join(f"{f'{name} ({unit})':>20}" for name, (unit, _) in QUANTITIES.items())
    lines = ["", f"{material.name}: errors on the test structures, MAE / RMSE"]
    lines.append(f"{'family':<10}{'frames':>7}{heads}{'training, s':>13}")
    for name, own in result["curves"].items():
        cells = ""
        for quantity, (_, factor) in QUANTITIES.items():
            e = factor * own["errors"][quantity]
            cells += f"{f'{np.abs(e).mean():.3g} / {np.sqrt((e**2).mean()):.3g}':>20}"
        lines.append(f"{name.split()[1]:<10}{own['structures']:>7}{cells}{own['seconds']:>13.0f}")
    lines += ["", f"{material.name}: the ideal crystal, which no model has seen"]
    heads = (
        f"{'Z* (e)':>10}{'eps_inf':>10}{'d eps/du (1/Å)':>16}{'LO (cm⁻¹)':>12}{'error':>9}{'in %':>8}"
        f"{'TO of its forces':>18}"
    )
    lines.append(f"{'family':<10}{'frames':>7}{heads}")
    rows = [("DFPT", "", dft)]
    rows += [(name.split()[1], own["structures"], own["equilibrium"]) for name, own in result["curves"].items()]
    for name, count, e in rows:
        shift = e["LO"] - dft["LO"]
        to = f"{e['TO of its forces']:.2f}" if "TO of its forces" in e else "-"
        lines.append(
            f"{name:<10}{count:>7}{e['Z*']:>10.4f}{e['eps_inf']:>10.4f}{e['raman']:>16.3f}{e['LO']:>12.2f}"
            f"{shift:>9.2f}{100 * shift / dft['LO']:>8.3f}{to:>18}"
        )
    return lines


def draw(folder: Path, results):
    """Draw parity of the largest radnet models, learning curves, and Raman spectra."""
    several = any(len({name.split()[0] for name in result["curves"]}) > 1 for result in results.values())
    columns = 4 if several else 3
    figure, axes = pyplot.subplots(len(results), columns, figsize=(2.8 * columns, 2.7 * len(results)), squeeze=False)
    colours = dict(zip(FAMILIES, ("C3", "C0", "C2"), strict=True))
    for row, (key, result) in zip(axes, results.items(), strict=True):
        material = MATERIALS[key]
        calculator = calculator_of(folder / key / "1", "radnet")
        points: dict[str, list] = {"Born charge of the first species (e)": [], "eps_inf": []}
        for s in read_dataset(folder / key / "test.extxyz"):
            atoms = s_atoms(s)
            first = np.array([x == material.species[0] for x in s.symbols])
            born = s.born_charges - s.born_charges.mean(axis=0)
            given = calculator.get_property("born_effective_charges", atoms)
            points["Born charge of the first species (e)"].append(
                (np.diagonal(born[first], axis1=1, axis2=2), np.diagonal(given[first], axis1=1, axis2=2))
            )
            eps = np.eye(3) + s.polarizability / (EPSILON_0 * s.volume)
            points["eps_inf"].append((np.diag(eps), np.diag(calculator.get_property("dielectric_tensor", atoms))))
        for ax, (name, pairs) in zip(row[:2], points.items(), strict=True):
            x, y = (np.concatenate([np.ravel(p[k]) for p in pairs]) for k in (0, 1))
            ax.plot([x.min(), x.max()], [x.min(), x.max()], color="0.6", linewidth=0.8)
            ax.plot(x, y, ".", color=colours["radnet"], markersize=3)
            ax.set(xlabel=f"DFPT, {name}", ylabel="radnet", title=f"{material.name}: diagonal elements")
        for family, colour in colours.items():
            curve = [
                (
                    own["structures"],
                    np.sqrt((own["errors"]["Z*"] ** 2).mean()) * 1e3,
                    np.sqrt((own["errors"]["eps_inf"] ** 2).mean()) * 1e3,
                )
                for name, own in result["curves"].items()
                if name.split()[1] == family
            ]
            if curve and several:
                n, born, eps = zip(*curve, strict=True)
                row[2].semilogy(n, born, "o-", color=colour, markersize=3, label=f"{family}, Z* (me)")
                row[2].semilogy(n, eps, "s--", color=colour, markersize=3, label=f"{family}, eps_inf (10⁻³)")
        if several:
            row[2].set(xlabel="training structures", ylabel="RMSE on the test structures")
            row[2].legend(fontsize=5)
        w = np.linspace(material.to - 80, result["DFT"]["LO"] + 80, 2000)
        height = raman_spectrum(material, result["DFT"], WIDTHS[key], w).max()
        row[-1].plot(w, raman_spectrum(material, result["DFT"], WIDTHS[key], w) / height, color="k", label="DFPT")
        for family, colour in colours.items():
            own = result["curves"].get(f"1 {family}")
            if own:
                spectrum = raman_spectrum(material, own["equilibrium"], WIDTHS[key], w) / height
                row[-1].plot(w, spectrum, "--", color=colour, linewidth=1, label=family)
        row[-1].set(xlabel="wavenumber (cm⁻¹)", ylabel="Raman intensity", title="532 nm, 300 K")
        row[-1].legend(fontsize=6)
    return figure


if __name__ == "__main__":
    main()
