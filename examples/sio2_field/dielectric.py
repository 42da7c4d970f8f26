"""Dielectric function of alpha-quartz from molecular dynamics: transverse and longitudinal peaks, and static constant.

    python examples/sio2_field/modes.py model.pt                             # quartz/modes
    python examples/sio2_field/spectrum.py model.pt --repeat 2 --time 50 --phonons quartz/modes    # quartz/series.h5
    python examples/sio2_field/dielectric.py model.pt [--output quartz]

`tnep dielectric` transforms the dipole of the run.  The peaks of eps'' are compared with the harmonic TO frequencies of
the same model, those of the loss -Im(1/eps) with its LO frequencies, and the static constant with DFPT.  All are given
with the energies that the modes have in the run, and with k_B T for each mode (`--equal-energies`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase.io import read
from run import DFT
from spectrum import without_time_step

from tnep_calc import TNEPCalculator
from tnep_calc.io.files import atomic_output
from tnep_calc.io.series.timeseries import TimeSeries, read_timeseries
from tnep_calc.spectra import dielectric_spectrum, static_dielectric
from tnep_calc.spectra.equipartition import at_equal_energy, energy_ratios
from tnep_calc.spectra.estimate import jackknife_error
from tnep_calc.spectra.measured import dielectric_columns
from tnep_calc.spectra.peaks import find_peaks

EPS_INF = 2.428  # DFPT, mean of the directions
BLOCKS = 8
"""Parts of the run that are left out one by one for the errors."""
LAST = 1500.0  # cm^-1
WEAKEST = 0.03
"""Smallest strength of a mode that is compared, relative to the strongest of its direction."""
AXES = {"x, y": ((1.0, 0.0, 0.0), ("xx", "yy")), "z": ((0.0, 0.0, 1.0), ("zz",))}
"""Axis, and the components of eps whose mean is used: x and y are equivalent by symmetry."""


def transverse(data: dict, axis) -> list[float]:
    """Return the frequencies (cm^-1) of the modes with a dipole along an axis, without the weakest."""
    wavenumbers = np.array(data["modes"]["wavenumbers_cm-1"])
    strengths = (np.array(data["infrared"]["mode_charges_e_per_sqrt_amu"]) @ axis) ** 2
    found = wavenumbers[strengths > WEAKEST * strengths.max()]
    return [float(w) for w in found[np.append(True, np.diff(found) > 1.0)]]


def longitudinal(data: dict, axis) -> list[float]:
    """Return the frequencies (cm^-1) of the longitudinal modes for q along an axis."""
    for branch in data["lo_to"]:
        q = np.array(branch["q"]) / np.linalg.norm(branch["q"])
        if abs(q @ np.array(axis)) > 0.999:
            rows = zip(branch["wavenumbers_cm-1"], branch["longitudinal"], strict=True)
            return [w for w, share in rows if share > 0.5]
    raise SystemExit(f"phonons.json has no LO-TO splitting along {axis}")


def expected_peaks(data: dict) -> dict[tuple[str, str, float], float]:
    """Return the harmonic frequencies (cm^-1) by axis, kind (TO or LO) and rounded frequency."""
    return {
        (name, kind, round(w, 1)): w
        for name, (axis, _) in AXES.items()
        for kind, found in (("TO", transverse(data, axis)), ("LO", longitudinal(data, axis)))
        for w in found
    }


def peaks_of(spectrum, expected: dict) -> dict:
    """Return the nearest peak (cm^-1) of eps'' (TO) or of the loss (LO) to every expected one; NaN beyond 5 %."""
    positions = {}
    for name, (_, components) in AXES.items():
        eps = np.mean([dielectric_columns(spectrum.values, component) for component in components], axis=0)
        for kind, values in (("TO", eps.imag), ("LO", (-1 / eps).imag)):
            found = [peak.position for peak in find_peaks(spectrum.wavenumber, values, prominence=0.01)]
            for key, reference in expected.items():
                if key[:2] == (name, kind):
                    nearest = min(found, key=lambda peak: abs(peak - reference), default=np.nan)
                    near = abs(nearest - reference) < 0.05 * reference
                    positions[key] = float(without_time_step(nearest)) if near else np.nan
    return positions


def response(series: TimeSeries, rows, equal: bool, eps_inf, resolution: float, expected: dict) -> np.ndarray:
    """Return the positions of the expected peaks (cm^-1) and the static constant, from some rows of a run.

    Parameters
    ----------
    series : TimeSeries
        With dipole and modes.
    rows : list of slice
        Uninterrupted parts of the run.
    equal : bool
        Whether every mode gets the energy k_B T.
    eps_inf : ndarray, shape (3, 3)
    resolution : float, in cm^-1
    expected : dict
        Of :func:`expected_peaks`.
    """
    dipole, modes = [series.dipole.values[part] for part in rows], series.modes
    if equal:
        ratios = energy_ratios([modes.velocities[part] for part in rows], modes.sets, series.temperature)
        motion = [modes.coordinates[part] for part in rows]
        dipole = at_equal_energy(dipole, motion, modes.charges, modes.sets, ratios)
    common = {"volume": series.volume, "temperature": series.temperature, "dipole": dipole, "eps_inf": eps_inf}
    options = {"resolution": resolution, "blocks": 0, "tensor": True, "max_wavenumber": LAST}
    found = peaks_of(dielectric_spectrum(series.dipole.dt, **common, **options), expected)
    static = static_dielectric(**common, dt=series.dipole.dt).mean
    return np.array([*found.values(), static])


def left_out(samples: int) -> list[list[slice]]:
    """Return the rows of a run without each of its blocks."""
    edges = [samples * k // BLOCKS for k in range(BLOCKS + 1)]
    parts = [(slice(0, first), slice(last, samples)) for first, last in zip(edges, edges[1:], strict=False)]
    return [[part for part in both if part.stop > part.start] for both in parts]


def with_errors(series: TimeSeries, equal: bool, eps_inf, resolution: float, expected: dict):
    """Return :func:`response` of the run, and its standard errors from the run with each block left out."""
    n = len(series.dipole.values)
    whole = response(series, [slice(0, n)], equal, eps_inf, resolution, expected)
    others = [response(series, rows, equal, eps_inf, resolution, expected) for rows in left_out(n)]
    return whole, jackknife_error(np.array(others))


def table(expected: dict, found: dict[str, tuple[np.ndarray, np.ndarray]]) -> list[str]:
    """Return lines with every peak beside the harmonic one of the same model; columns are the keys of `found`.

    Modes that are too weak for a peak of their own are named in the last line.
    """
    lines = [f"{'axis':<6}{'kind':<6}{'harmonic':>9}" + "".join(f"{name + ', cm^-1':>30}" for name in found)]
    hidden = []
    for k, ((axis, kind, _), reference) in enumerate(expected.items()):
        if any(np.isnan(values[k]) for values, _ in found.values()):
            hidden.append(f"{kind} {reference:.1f} ({axis})")
            continue
        cells = [f"{axis:<6}{kind:<6}{reference:>9.1f}"]
        for values, errors in found.values():
            percent = 100 * (values[k] / reference - 1)
            cells.append(f"{values[k]:>13.1f} +- {errors[k]:4.1f} {percent:+6.2f} %")
        lines.append("".join(cells))
    return [*lines, f"no peak of their own: {'; '.join(hidden)}"] if hidden else lines


def main() -> None:
    """Call `tnep dielectric`, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="enthalpy model of Si and O")
    parser.add_argument("--output", type=Path, default=Path("quartz"), help="folder with series.h5 and modes")
    parser.add_argument("--resolution", type=float, default=8.0, help="cm^-1 (default: 8)")
    options = parser.parse_args()
    out = options.output
    series = read_timeseries(out / "series.h5")
    if series.modes is None:
        parser.error(f"{out / 'series.h5'} has no modes: run spectrum.py with --phonons {out / 'modes'}")
    cell = read(out / "modes" / "relaxed.json")
    eps_inf = TNEPCalculator(enthalpy=options.model).get_property("dielectric_tensor", cell)
    words = [out / "series.h5", "-o", out / "eps.h5", "--plot", out / "eps.png", "--static", out / "eps0.png"]
    words += ["--tensor", "--max", f"{LAST:g}", "--resolution", str(options.resolution), "--force"]
    tnep = Path(sys.executable).parent / "tnep"
    numbers = [f"{x:.6f}" for x in np.ravel(eps_inf)]
    subprocess.run([tnep, "dielectric", *words, "--equal-energies", "--eps-inf", *numbers], check=True)
    data = json.loads((out / "modes" / "phonons.json").read_text())
    expected = expected_peaks(data)
    found = {
        name: with_errors(series, equal, eps_inf, options.resolution, expected)
        for name, equal in (("energies of the run", False), ("k_B T per mode", True))
    }
    lines = table(expected, found)
    harmonic = np.trace(data["response"]["eps_static"]) / 3
    values = "; ".join(f"{name} {v[-1]:.3f} +- {e[-1]:.3f}" for name, (v, e) in found.items())
    lines.append(f"\nstatic eps: {values}; harmonic {harmonic:.3f}; DFPT {EPS_INF + DFT['ionic']:.3f}")
    text = "\n".join(lines)
    print("\n" + text)
    with atomic_output(out / "dielectric.txt", force=True) as temporary:
        temporary.write_text(text + "\n")


if __name__ == "__main__":
    main()
