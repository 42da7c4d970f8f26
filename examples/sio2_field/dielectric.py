"""Dielectric function of alpha-quartz from molecular dynamics: transverse and longitudinal peaks, and static constant.

    python examples/sio2_field/spectrum.py model.pt --repeat 2 --time 50     # quartz/series.h5, about 12 minutes
    python examples/sio2_field/modes.py model.pt                             # quartz/modes
    python examples/sio2_field/dielectric.py model.pt [--output quartz]

`tnep dielectric` transforms the dipole of the run.  The peaks of eps'' are compared with the harmonic TO frequencies of
the same model, those of the loss -Im(1/eps) with its LO frequencies, and the static constant with DFPT.
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

from tnep_calc import TNEPCalculator
from tnep_calc.io.files import atomic_output
from tnep_calc.io.series.spectrum_store import load_spectrum
from tnep_calc.spectra.measured import dielectric_columns
from tnep_calc.spectra.peaks import find_peaks

EPS_INF = 2.428  # DFPT, mean of the directions
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


def table(spectrum, data: dict) -> list[str]:
    """Return lines with every peak of eps'' and of the loss, beside the harmonic frequency of the same model."""
    lines = [f"{'axis':<6}{'kind':<6}{'dynamics':>10}{'harmonic':>10}{'difference':>12}   (cm^-1)"]
    w = spectrum.wavenumber
    for name, (axis, components) in AXES.items():
        eps = np.mean([dielectric_columns(spectrum.values, component) for component in components], axis=0)
        for kind, values, expected in (
            ("TO", eps.imag, transverse(data, axis)),
            ("LO", (-1 / eps).imag, longitudinal(data, axis)),
        ):
            peaks = [peak.position for peak in find_peaks(w, values, prominence=0.01)]
            for reference in expected:
                if not peaks:
                    continue
                nearest = min(peaks, key=lambda peak: abs(peak - reference))
                if abs(nearest - reference) < 0.05 * reference:
                    difference = nearest - reference
                    percent = f"{100 * difference / reference:+.1f} %"
                    lines.append(f"{name:<6}{kind:<6}{nearest:>10.1f}{reference:>10.1f}{difference:>+9.1f}   {percent}")
    return lines


def main() -> None:
    """Call `tnep dielectric`, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="enthalpy model of Si and O")
    parser.add_argument("--output", type=Path, default=Path("quartz"), help="folder with series.h5 and modes")
    parser.add_argument("--resolution", type=float, default=8.0, help="cm^-1 (default: 8)")
    options = parser.parse_args()
    out = options.output
    cell = read(out / "modes" / "relaxed.json")
    eps_inf = TNEPCalculator(enthalpy=options.model).get_property("dielectric_tensor", cell)
    words = [out / "series.h5", "-o", out / "eps.h5", "--plot", out / "eps.png", "--static", out / "eps0.png"]
    words += ["--tensor", "--max", "1500", "--resolution", str(options.resolution), "--force", "--eps-inf"]
    tnep = Path(sys.executable).parent / "tnep"
    subprocess.run([tnep, "dielectric", *words, *(f"{x:.6f}" for x in np.ravel(eps_inf))], check=True)
    spectrum = load_spectrum(out / "eps.h5")
    data = json.loads((out / "modes" / "phonons.json").read_text())
    value, error = (spectrum.parameters[f"static_dielectric{suffix}"] for suffix in ("", "_error"))
    harmonic = np.trace(data["response"]["eps_static"]) / 3
    lines = table(spectrum, data)
    lines.append(f"\nstatic eps {value:.3f} +- {error:.3f}; harmonic {harmonic:.3f}; DFPT {EPS_INF + DFT['ionic']:.3f}")
    text = "\n".join(lines)
    print("\n" + text)
    with atomic_output(out / "dielectric.txt", force=True) as temporary:
        temporary.write_text(text + "\n")


if __name__ == "__main__":
    main()
