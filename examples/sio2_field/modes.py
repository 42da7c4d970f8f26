"""Every mode of alpha-quartz at Gamma from one electric-enthalpy model, beside DFPT.

    python examples/sio2_field/modes.py model.pt [--output quartz]

Relaxes the positions in the cell of the DFT data, and computes the phonons with `tnep phonons` (page, figures and
tables in quartz/modes).  Prints a table of all modes, paired with those of DFPT by symmetry, and the static dielectric
tensor.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
from run import DFPT, DFT, quartz

from tnep_calc.io.files import atomic_output
from tnep_calc.plotting.style import BLUE, GREY, ORANGE, save_figure, styled

SILENT = {"A1": (181.81, 340.21, 438.54, 1060.26), "E": (121.24,)}
"""Modes of the DFPT data without infrared strength: cm^-1."""
EPS_INF = 2.428  # DFPT, mean of the directions


def dfpt_sets() -> dict[str, list[tuple[float, float]]]:
    """Return wavenumber (cm^-1) and infrared strength ((D/Å)²/amu, sum of partners) of DFPT, by irrep."""
    sets: dict[str, list[tuple[float, float]]] = {name: [(w, 0.0) for w in found] for name, found in SILENT.items()}
    sets["A2"] = []
    k = 0
    while k < len(DFPT):
        pair = k + 1 < len(DFPT) and DFPT[k + 1, 0] - DFPT[k, 0] < 0.5
        rows = DFPT[k : k + 2] if pair else DFPT[k : k + 1]
        sets["E" if pair else "A2"].append((rows[:, 0].mean(), rows[:, 1].sum()))
        k += len(rows)
    return {name: sorted(found) for name, found in sets.items()}


def paired(data: dict) -> list[tuple[str, float, float, float, float]]:
    """Return irrep, wavenumbers of model and DFPT (cm^-1) and strengths of both ((D/Å)²/amu) of each set of modes."""
    modes, strengths = data["modes"], np.array(data["infrared"]["intensity_D2/A2/amu"])
    rows = []
    for name, expected in dfpt_sets().items():
        found = [
            (np.mean([modes["wavenumbers_cm-1"][m] for m in group]), strengths[list(group)].sum())
            for label, group in zip(modes["irreps"], modes["degenerate_sets"], strict=True)
            if label == name and not any(modes["acoustic"][m] for m in group)
        ]
        if len(found) != len(expected):
            raise SystemExit(f"{len(found)} modes of {name}, not {len(expected)}: the structure is not alpha-quartz")
        for (w, s), (reference, strength) in zip(sorted(found), expected, strict=True):
            rows.append((name, w, reference, s, strength))
    return sorted(rows, key=lambda row: row[2])


def draw(rows, path) -> None:
    """Draw strengths of model and DFPT as sticks, and the differences of the wavenumbers."""
    from matplotlib import pyplot

    with styled():
        figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(6.0, 3.8), height_ratios=(2, 1))
        active = [row for row in rows if row[4] > 0.01]
        w, reference, s, strength = np.array([row[1:] for row in active]).T
        above.vlines(reference, 0, strength, color=GREY, lw=4, alpha=0.4, label="DFPT")
        above.vlines(w, 0, s, color=BLUE, lw=1.3, label="model")
        above.set(yscale="log", ylim=(0.1, 200), ylabel="infrared ((D/Å)$^2$/amu)")
        above.legend(loc="upper left")
        for name, colour, marker in (("A1", GREY, "s"), ("A2", BLUE, "o"), ("E", ORANGE, "^")):
            points = np.array([(row[2], row[1] - row[2]) for row in rows if row[0] == name])
            below.plot(*points.T, marker, color=colour, ms=4, label=f"${name[0]}_{name[1]}$" if name[1:] else name)
        below.axhline(0, color=GREY, lw=0.8)
        below.axhspan(-5, 5, color=GREY, alpha=0.12, lw=0)
        below.set(xlabel="wavenumber (cm$^{-1}$)", ylabel="model − DFPT\n(cm$^{-1}$)", xlim=(80, 1200), ylim=(-8, 8))
        below.legend(ncols=3, loc="upper center")
        save_figure(figure, path, force=True)
    pyplot.close(figure)


def main() -> None:
    """Compute, print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="enthalpy model of Si and O (model.pt of tnep train)")
    parser.add_argument("--output", type=Path, default=Path("quartz"), help="folder for results (default: quartz)")
    options = parser.parse_args()
    matplotlib.use("Agg")
    folder = options.output / "modes"
    folder.mkdir(parents=True, exist_ok=True)
    start = options.output / "ideal.extxyz"
    quartz().write(start)
    command = [Path(sys.executable).parent / "tnep", "phonons", start, "--enthalpy", options.model, "-o", folder]
    subprocess.run([*command, "--fixed-cell", "--fmax", "5e-4", "--polarization-scan", "x(y)"], check=True)
    data = json.loads((folder / "phonons.json").read_text())
    rows = paired(data)
    lines = [
        f"{'alpha-quartz':<10}{'cm^-1: model':>14}{'DFPT':>9}{'diff.':>7}{'(D/A)^2/amu: model':>21}{'DFPT':>9}",
        "-" * 70,
    ]
    for name, w, reference, s, strength in rows:
        lines.append(f"{name:<10}{w:>14.2f}{reference:>9.2f}{w - reference:>7.2f}{s:>21.3f}{strength:>9.3f}")
    active = [row for row in rows if row[4] > 0.01]
    worst = max(active, key=lambda row: abs(row[1] - row[2]))
    lines.append(
        f"\nlargest difference of {len(active)} infrared-active sets: {worst[1] - worst[2]:+.2f} cm^-1 ({worst[0]})"
    )
    static = np.array(data["response"]["eps_static"])
    mean, reference = np.trace(static) / 3, EPS_INF + DFT["ionic"]
    for name, value, expected in (("zz", static[2, 2], DFT["eps static zz"]), ("mean", mean, reference)):
        lines.append(f"static eps {name:<5} {value:.3f}, DFT {expected:.3f} ({100 * (value / expected - 1):+.2f} %)")
    table = "\n".join(lines)
    print("\n" + table)
    with atomic_output(options.output / "modes.txt", force=True) as temporary:
        temporary.write_text(table + "\n")
    draw(rows, options.output / "modes.png")


if __name__ == "__main__":
    main()
