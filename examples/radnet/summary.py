"""Tables and figures of the study: errors on the test structures, the crystal at equilibrium, learning curves, Raman.

python examples/radnet/summary.py study

Writes summary.md (all tables), summary.json (their numbers) and, for each material, parity_*.png, learning_*.png and
raman_*.png into the folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import figures
import torch
from measures import (
    PROPERTIES,
    QUANTITIES,
    as_atoms,
    calculator_of,
    compare,
    equilibrium,
    longitudinal,
    mean_errors,
    reference,
    seconds_of,
    trained,
    transverse,
)
from study import FAMILIES, MATERIALS, SHARES, Material

from tnep_calc.io.files import atomic_output
from tnep_calc.io.structures.extxyz import read_dataset
from tnep_calc.plotting.style import styled


def collect(folder: Path) -> dict[str, Any]:
    """Return the numbers of all trained models.

    Returns
    -------
    dict
        By material with trained models: ``DFT``, see :func:`measures.reference`; ``atoms``, the number of atoms of a
        structure; and ``curves``, which has by share and family ``structures``, ``pairs`` (:func:`measures.compare`),
        ``equilibrium`` (:func:`measures.equilibrium`), and seconds of the training and CPU seconds of one structure.
    """
    results: dict[str, Any] = {}
    for key, material in MATERIALS.items():
        if not (folder / key / "test.extxyz").exists():
            continue
        tests = read_dataset(folder / key / "test.extxyz")
        curves: dict[float, dict[str, Any]] = {}
        for share in SHARES:
            place = folder / key / f"{share:g}"
            for family in (family for family in FAMILIES if trained(place, family)):
                runs = [json.loads((place / kind / "results.json").read_text()) for kind in FAMILIES[family]]
                calculator = calculator_of(place, family)
                curves.setdefault(share, {})[family] = {
                    "structures": len(runs[0]["splits"]["train"]),
                    "training seconds": sum(run["seconds"] for run in runs),
                    "CPU seconds": seconds_of(calculator, as_atoms(tests[0])),
                    "equilibrium": equilibrium(calculator, material),
                    "pairs": compare(calculator, tests, material),
                }
            if trained(place, "enthalpy"):  # the family with forces
                to = transverse(calculator_of(place, "enthalpy"), material)
                for own in curves[share].values():
                    at = own["equilibrium"]
                    at["TO"], at["LO of models"] = to, longitudinal(material, at["Z*"], at["eps_inf"], to)
        if curves:
            results[key] = {"DFT": reference(material), "atoms": len(tests[0]), "curves": curves}
    return results


def as_table(heads: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _rows(result):
    """Yield family and numbers of every model of a material, the smallest training sets first."""
    for share in sorted(result["curves"]):
        yield from result["curves"][share].items()


def error_table(material: Material, result) -> list[str]:
    """Return the table of the errors on the test structures."""
    heads = [f"{material.name}, MAE / RMSE", "structures"]
    heads += [f"{name}, {unit}" for name, (unit, _) in QUANTITIES.items()] + ["training, s"]
    rows = []
    for family, own in _rows(result):
        cells = [
            " / ".join(f"{factor * e:.3g}" for e in mean_errors(own["pairs"][name]))
            for name, (_, factor) in QUANTITIES.items()
        ]
        rows.append([family, str(own["structures"]), *cells, f"{own['training seconds']:.0f}"])
    return as_table(heads, rows)


def equilibrium_table(material: Material, result) -> list[str]:
    """Return the table of the ideal crystal, which no model is trained on."""
    heads = [f"{material.name}, ideal crystal", "structures", "Z*, e", "eps_inf", "d eps_yz/du_x, 1/Å"]
    heads += ["d eps/du, MAE / RMSE, 1/Å", "LO with the TO of DFT, cm⁻¹", "error, %"]
    heads += ["LO all from models (TO), cm⁻¹", "error, %"]
    dft = result["DFT"]
    first = [f"{dft['Z*']:.4f}", f"{dft['eps_inf']:.4f}", f"{dft['raman']:.3f}", "", f"{dft['LO']:.2f}", ""]
    rows = [["DFPT", "", *first, f"{dft['LO']:.2f} ({material.to:.2f})", ""]]
    for family, own in _rows(result):
        at = own["equilibrium"]
        cells = [f"{at['Z*']:.4f}", f"{at['eps_inf']:.4f}", f"{at['raman']:.3f}"]
        cells += [f"{at['raman MAE']:.2g} / {at['raman RMSE']:.2g}", f"{at['LO']:.2f}", _percent(at["LO"], dft["LO"])]
        if "TO" in at:
            cells += [f"{at['LO of models']:.2f} ({at['TO']:.2f})", _percent(at["LO of models"], dft["LO"])]
        rows.append([family, str(own["structures"]), *cells, *[""] * (8 - len(cells))])
    return as_table(heads, rows)


def _percent(value: float, expected: float) -> str:
    return f"{100 * (value / expected - 1):+.3f}"


def best_table(material: Material, result) -> list[str]:
    """Return the table of the family with the smallest RMSE by number of training structures, if there are others."""
    rows = []
    for share in sorted(result["curves"]):
        own = result["curves"][share]
        if len(own) < 2:
            continue
        cells = []
        for name in QUANTITIES:
            errors = sorted((mean_errors(values["pairs"][name])[1], family) for family, values in own.items())
            others = ", ".join(f"{family} {error / errors[0][0]:.2g}" for error, family in errors[1:])
            cells.append(f"**{errors[0][1]}** 1, {others}")
        rows.append([str(next(iter(own.values()))["structures"]), *cells])
    return as_table([f"{material.name}, structures", *QUANTITIES], rows) if rows else []


def time_table(results) -> list[str]:
    """Return the table of the CPU seconds of P, Z*, eps_inf and d eps/du of one structure.

    ABINIT has the derivatives of eps_inf by central differences: six calculations per atom, and the first one.
    """
    rows = []
    for key, result in results.items():
        material = MATERIALS[key]
        count = 1 + 6 * result["atoms"]
        abinit = material.abinit * count
        name = f"{material.name}, {result['atoms']} atoms"
        rows.append([name, f"ABINIT, {count} calculations", f"{abinit:.0f}", "1"])
        for family, own in result["curves"].get(1.0, {}).items():
            rows.append([name, family, f"{own['CPU seconds']:.2g}", f"{abinit / own['CPU seconds']:,.0f}"])
    return as_table(["structure", "", "CPU s", "ABINIT / model"], rows)


def main() -> None:
    """Print and write the tables, and draw the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="folder of examples/radnet/run.py")
    folder = parser.parse_args().study
    torch.set_num_threads(1)
    results = collect(folder)
    parts = []
    for key, result in results.items():
        for make in (error_table, best_table, equilibrium_table):
            parts += [*make(MATERIALS[key], result), ""]
    parts += [f"CPU seconds of {', '.join(PROPERTIES).replace('_', ' ')}:", "", *time_table(results)]
    text = "\n".join(parts) + "\n"
    print(text)
    with atomic_output(folder / "summary.md", force=True) as temporary:
        temporary.write_text(text)
    with atomic_output(folder / "summary.json", force=True) as temporary:
        temporary.write_text(json.dumps(results, indent=1, default=_as_errors))
    drawings = {"parity": figures.parity, "learning": figures.learning_curves, "raman": figures.raman}
    with styled():
        for key, result in results.items():
            for name, draw in drawings.items():
                path = folder / f"{name}_{key}.png"
                with atomic_output(path, force=True) as temporary:
                    draw(key, result).savefig(temporary, dpi=150)
                print(f"figure: {path}")


def _as_errors(pair) -> dict[str, float]:
    """Return MAE and RMSE instead of all components, for the file of numbers."""
    return dict(zip(("MAE", "RMSE"), mean_errors(pair), strict=True))


if __name__ == "__main__":
    main()
