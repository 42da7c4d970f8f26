"""Tables and figures of the study: errors on the test structures, the crystal at equilibrium, learning curves, Raman.

python examples/radnet/summary.py study

Writes summary.md (all tables), summary.json (their numbers) and, for each material, parity_*.png, learning_*.png and
raman_*.png into the folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import figures
import numpy as np
import torch
from measures import (
    PROPERTIES,
    QUANTITIES,
    as_atoms,
    calculator_of,
    compare,
    equilibrium,
    gradients,
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
        structure; ``curves``, see :func:`curves_of`; and ``splits``, by seed what all training structures gave.
    """
    results: dict[str, Any] = {}
    for key, material in MATERIALS.items():
        curves = curves_of(folder / key, material, SHARES)
        if not curves:
            continue
        places = sorted(folder.glob(f"{key}-seed*"), key=lambda place: int(place.name.rpartition("seed")[2]))
        splits = {0: curves[1.0]} if 1.0 in curves else {}
        for place in places:
            splits |= {int(place.name.rpartition("seed")[2]): x for x in curves_of(place, material, [1.0]).values()}
        atoms = len(read_dataset(material.file)[0])
        results[key] = {"DFT": reference(material), "atoms": atoms, "curves": curves, "splits": splits}
    return results


def curves_of(folder: Path, material: Material, shares) -> dict[float, dict[str, Any]]:
    """Return the numbers of the models of one material and one split.

    Returns
    -------
    dict
        By share and family ``structures``, ``pairs`` (:func:`measures.compare`), ``gradients``
        (:func:`measures.gradients`), ``equilibrium`` (:func:`measures.equilibrium`), seconds of the training, and CPU
        seconds of one structure.
    """
    curves: dict[float, dict[str, Any]] = {}
    tests = read_dataset(folder / "test.extxyz") if (folder / "test.extxyz").exists() else []
    for share in shares:
        place = folder / f"{share:g}"
        for family in (family for family in FAMILIES if trained(place, family)):
            runs = [json.loads((place / kind / "results.json").read_text()) for kind in FAMILIES[family]]
            calculator = calculator_of(place, family)
            curves.setdefault(share, {})[family] = {
                "structures": len(runs[0]["splits"]["train"]),
                "training seconds": sum(run["seconds"] for run in runs),
                "CPU seconds": seconds_of(calculator, as_atoms(tests[0])),
                "equilibrium": equilibrium(calculator, material),
                "pairs": compare(calculator, tests, material),
                "gradients": gradients(calculator, tests, material),
            }
        if trained(place, "enthalpy"):  # the family with forces
            to = transverse(calculator_of(place, "enthalpy"), material)
            for own in curves[share].values():
                at = own["equilibrium"]
                at["TO"], at["LO of models"] = to, longitudinal(material, at["Z*"], at["eps_inf"], to)
    return curves


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


def split_table(material: Material, result) -> list[str]:
    """Return the table of the errors of several splits, if there are: their mean, and their range in brackets.

    The last row has the family that is best in every split, or the best one of each split in the order of the seeds.
    """
    splits = result["splits"]
    families = [family for family in FAMILIES if all(family in own for own in splits.values())]
    if len(splits) < 2 or not families:
        return []
    measured: dict[str, Callable] = {
        f"{name}, {unit}": lambda own, name=name, factor=factor: factor * mean_errors(own["pairs"][name])[1]
        for name, (unit, factor) in QUANTITIES.items()
    }
    measured["d eps/du, ideal crystal, 1/Å"] = lambda own: own["equilibrium"]["raman RMSE"]
    measured["LO with the TO of DFT, %"] = lambda own: 100 * abs(own["equilibrium"]["LO"] / result["DFT"]["LO"] - 1)
    values = {
        family: np.array([[measure(own[family]) for measure in measured.values()] for own in splits.values()])
        for family in families
    }
    rows = [
        [family, *(f"{mean:.2g} ({spread:.2g})" for mean, spread in zip(x.mean(0), np.ptp(x, axis=0), strict=True))]
        for family, x in values.items()
    ]
    order = np.argmin(list(values.values()), axis=0)  # [split, quantity]
    best = [families[own[0]] if (own == own[0]).all() else ", ".join(families[k] for k in own) for own in order.T]
    rows.append(["best", *(best if len(families) > 1 else [""] * len(best))])
    count = next(iter(splits[0].values()))["structures"]
    return as_table([f"{material.name}, {count} structures, RMSE of {len(splits)} splits", *measured], rows)


def gradient_table(material: Material, result) -> list[str]:
    """Return the table of d eps_inf/du at test structures, if DFT has it for one."""
    rows = []
    for seed, split in result["splits"].items():
        for family, own in split.items():
            pair = own["gradients"]
            if pair.size:
                mae, rmse = mean_errors(pair)
                spread = np.sqrt(np.mean(pair[0] ** 2))
                rows.append(
                    [family, str(seed), f"{mae:.2g} / {rmse:.2g}", f"{spread:.3g}", f"{100 * rmse / spread:.2g}"]
                )
    heads = [f"{material.name}, d eps_inf/du of a test structure", "seed of the split", "MAE / RMSE, 1/Å"]
    return as_table([*heads, "rms of DFT, 1/Å", "RMSE, % of it"], rows) if rows else []


def time_table(results) -> list[str]:
    """Return the table of the CPU seconds of P, Z*, eps_inf and d eps/du of one structure.

    ABINIT has the derivatives of eps_inf by central differences: six calculations per atom, and the first one.
    """
    rows = []
    for key, result in results.items():
        material = MATERIALS[key]
        count = 1 + 6 * result["atoms"]
        abinit = material.abinit * count
        name = material.name
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
        for make in (error_table, best_table, equilibrium_table, split_table, gradient_table):
            lines = make(MATERIALS[key], result)
            parts += [*lines, ""] if lines else []
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
    if not pair.size:
        return {}
    return dict(zip(("MAE", "RMSE"), mean_errors(pair), strict=True))


if __name__ == "__main__":
    main()
