"""Modes of alpha-quartz peak by peak: DFPT, harmonic model, and dynamics at several temperatures.

    python examples/sio2_field/modes.py model.pt                             # quartz/modes
    python examples/sio2_field/spectrum.py model.pt --repeat 2 --time 50 --phonons quartz/modes
    python examples/sio2_field/spectrum.py model.pt --repeat 2 --time 50 --phonons quartz/modes --temperature 100 \
        --output quartz/100K
    python examples/sio2_field/thermal.py quartz/100K/series.h5 quartz/series.h5 [--output quartz]

The error of the model is harmonic - DFPT.  The thermal shift is dynamics - harmonic, from the power spectrum of the
velocity of each normal coordinate.  To lowest order it is proportional to the temperature, so the shift of the first
run, scaled to the temperature of the last one, predicts the peaks of that run from DFPT without a fit.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from dielectric import LAST, left_out
from modes import paired
from spectrum import without_time_step

from tnep_calc.io.files import atomic_output
from tnep_calc.io.series.timeseries import TimeSeries, read_timeseries
from tnep_calc.plotting.style import BLUE, GREY, ORANGE, RED, save_figure, styled
from tnep_calc.spectra.estimate import jackknife_error
from tnep_calc.spectra.modes import mode_spectra, modes_in_run

RESOLUTION = 8.0  # cm^-1


class Row(NamedTuple):
    """A set of modes, wavenumbers in cm^-1; `shifts` has the thermal shift and its standard error by temperature."""

    irrep: str
    dfpt: float
    harmonic: float
    active: bool
    shifts: tuple[tuple[float, float], ...]


def frequencies(series: TimeSeries) -> dict[float, tuple[float, float]]:
    """Return the wavenumber in a run and its standard error (cm^-1) by the harmonic wavenumber of a set of modes."""
    modes = series.modes
    harmonic = [float(modes.wavenumbers[list(group)].mean()) for group in modes.sets]

    def found(rows):
        power = mode_spectra(
            [modes.velocities[part] for part in rows],
            modes.dt,
            RESOLUTION,
            blocks=0,
            max_wavenumber=LAST,
            sets=modes.sets,
            labels=modes.labels,
        )
        return without_time_step([row.frequency for row in modes_in_run(power, harmonic)])

    samples = len(modes.velocities)
    errors = jackknife_error(np.array([found(rows) for rows in left_out(samples)]))
    pairs = zip(found([slice(0, samples)]), errors, strict=True)
    return {w: (float(value), float(error)) for w, (value, error) in zip(harmonic, pairs, strict=True)}


def rows_of(data: dict, runs: list[TimeSeries]) -> list[Row]:
    """Return all sets of modes of `phonons.json`, by rising wavenumber of DFPT."""
    found = [frequencies(series) for series in runs]
    rows = []
    for irrep, w, reference, _, strength in paired(data):
        shifts = []
        for own in found:
            nearest = min(own, key=lambda harmonic: abs(harmonic - w))
            shifts.append((own[nearest][0] - w, own[nearest][1]))
        rows.append(Row(irrep, reference, w, strength > 0.01, tuple(shifts)))
    return rows


def table(rows: list[Row], temperatures: list[float]) -> list[str]:
    """Return lines with all columns, and with the differences from the prediction."""
    low, high = temperatures[0], temperatures[-1]
    heads = "".join(f"{f'shift {t:.0f} K':>19}" for t in temperatures)
    head = f"{'cm^-1':<6}{'DFPT':>9}{'harmonic':>10}{'model error':>13}{heads}"
    lines = [f"{head}{f'{high:.0f} K':>10}{'predicted':>11}{'difference':>16}"]
    for row in rows:
        shifts = "".join(f"{shift:>+11.2f} +- {error:4.2f}" for shift, error in row.shifts)
        run = row.harmonic + row.shifts[-1][0]
        predicted = row.dfpt + high / low * row.shifts[0][0]
        error = np.hypot(row.shifts[-1][1], high / low * row.shifts[0][1])
        lines.append(
            f"{row.irrep:<6}{row.dfpt:>9.2f}{row.harmonic:>10.2f}{row.harmonic - row.dfpt:>+13.2f}{shifts}"
            f"{run:>10.2f}{predicted:>11.2f}{run - predicted:>+8.2f} +- {error:4.2f}"
        )
    return lines


def draw(rows: list[Row], temperatures: list[float], path) -> None:
    """Draw the error of the model and the thermal shifts against the wavenumber."""
    from matplotlib import pyplot

    with styled():
        figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(6.0, 4.2), height_ratios=(1, 1.6))
        w = np.array([row.dfpt for row in rows])
        active = np.array([row.active for row in rows])
        errors = np.array([row.harmonic - row.dfpt for row in rows])
        above.axhspan(-5, 5, color=GREY, alpha=0.12, lw=0)
        for axes in (above, below):
            axes.axhline(0, color=GREY, lw=0.8)
        above.plot(w[active], errors[active], "o", color=BLUE, ms=4, label="infrared active")
        above.plot(w[~active], errors[~active], "o", color=BLUE, ms=4, mfc="white", label="others")
        above.set(ylabel="harmonic − DFPT\n(cm$^{-1}$)", ylim=(-8, 8))
        above.legend(ncols=2, loc="upper center")
        for k, (temperature, colour) in enumerate(zip(temperatures, (ORANGE, RED, GREY), strict=False)):
            shift, error = np.array([row.shifts[k] for row in rows]).T
            below.errorbar(w, shift, error, fmt="none", ecolor=colour, lw=0.8, capsize=2)
            for chosen, face in ((active, colour), (~active, "white")):
                label = f"{temperature:.0f} K" if face == colour else None
                below.plot(w[chosen], shift[chosen], "s", color=colour, mfc=face, ms=4, label=label)
        below.set(xlabel="wavenumber of DFPT (cm$^{-1}$)", ylabel="dynamics − harmonic (cm$^{-1}$)")
        below.legend(loc="lower right")
        save_figure(figure, path, force=True)
    pyplot.close(figure)


def main() -> None:
    """Print and write the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", type=Path, nargs="+", help="series.h5 of spectrum.py --phonons, by temperature")
    parser.add_argument("--output", type=Path, default=Path("quartz"), help="folder with modes (default: quartz)")
    options = parser.parse_args()
    if len(options.series) < 2:
        parser.error("give series of at least two temperatures")
    matplotlib.use("Agg")
    runs = sorted((read_timeseries(path) for path in options.series), key=lambda series: series.temperature)
    temperatures = [series.temperature for series in runs]
    rows = rows_of(json.loads((options.output / "modes" / "phonons.json").read_text()), runs)
    lines = table(rows, temperatures)
    text = "\n".join(lines)
    print(text)
    with atomic_output(options.output / "thermal.txt", force=True) as temporary:
        temporary.write_text(text + "\n")
    draw(rows, temperatures, options.output / "thermal.png")


if __name__ == "__main__":
    main()
