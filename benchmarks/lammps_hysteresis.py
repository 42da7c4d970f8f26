"""Coercive field of BaTiO3 with 1,080 atoms in LAMMPS, beside the published runs of that size.

Run ``python benchmarks/lammps_hysteresis.py [MODEL] [--json FILE]``; it needs LAMMPS with the plugin in this
environment.  MODEL is an electric-enthalpy model of Ba, Ti and O, by default the one of ``examples/batio3_cycle``.

The input is the template ``hysteresis`` of ``tnep lammps``: E_z = 0.3636 V/A cos(2 pi t / T) at 300 K, T = 200 ps as
published.  A run covers the times from `--begin` to `--until`.  The published runs switch at 60 ps, so 45 to 65 ps are
enough for one coercive field at the published rate; 0 to 200 ps is the whole cycle.

The published values are means over 20 runs, from the logs of 1,080 atoms in the repository of Falletta et al., Nat.
Commun. 16, 4031 (2025): first sign change of the polarization in each half of a cycle.
"""

from __future__ import annotations

import lzma
import re
import runpy
import tempfile
from pathlib import Path

from cases import record, start, write_records

from tnep_calc.artifact import read_metadata
from tnep_calc.lammps import lammps_input, run_lammps, write_structure
from tnep_calc.units import E_PER_A2_TO_MICROCOULOMB_PER_CM2, V_PER_A_TO_MV_PER_CM

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "batio3_cycle"
PUBLISHED = {"up to down": (-11.27, 0.31), "down to up": (11.38, 0.28)}  # MV/cm at 300 K: mean, deviation of one run
TIMESTEP = 0.002  # ps


def cycle(folder, model, atoms, options, seed):
    """Return field (MV/cm) and polarization (microC/cm2) along a run, and CPU microseconds per atom and step."""
    folder.mkdir()
    write_structure(folder / "structure.data", atoms, read_metadata(model).species)
    steps = round((options.until - options.begin) / TIMESTEP)
    text = lammps_input("hysteresis", model).replace("run          ${steps}", f"run          {steps}")
    text = text.replace("PI*time/", f"PI*(time+{options.begin})/")
    values = {
        "dt": TIMESTEP,
        "steps": round(options.period / TIMESTEP),
        "temperature": options.temperature,
        "Emax": options.amplitude,
        "seed": seed,
    }
    done = run_lammps(text, folder, options.ranks, values)
    table = done.table("loop.dat")
    polarization = E_PER_A2_TO_MICROCOULOMB_PER_CM2 * table["f_F[3]"] / atoms.get_volume()
    seconds = float(re.search(r"Loop time of (\S+)", done.text)[1])
    seconds *= options.ranks * float(re.search(r"([\d.]+)% CPU use with", done.text)[1]) / 100
    return V_PER_A_TO_MV_PER_CM * table["v_Ez"], polarization, 1e6 * seconds / steps / len(atoms)


def main():
    parser = start(__doc__)
    parser.add_argument("model", type=Path, nargs="?", help="default: the model of examples/batio3_cycle")
    parser.add_argument("--repeat", type=int, default=2, help="blocks of 135 atoms per axis (default: 2, 1,080 atoms)")
    parser.add_argument("--period", type=float, default=200.0, help="of the field, in ps (default: 200)")
    parser.add_argument("--begin", type=float, default=45.0, help="time of the first step, in ps (default: 45)")
    parser.add_argument("--until", type=float, default=65.0, help="time of the last step, in ps (default: 65)")
    parser.add_argument("--amplitude", type=float, default=0.3636, help="V/A (default: 0.3636)")
    parser.add_argument("--temperature", type=float, default=300.0, help="K (default: 300)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="one run for each (default: 1 2)")
    parser.add_argument("--ranks", type=int, default=1, help="MPI ranks (default: 1)")
    args = parser.parse_args()
    example = runpy.run_path(str(EXAMPLE / "run.py"))
    atoms = example["barium_titanate"](args.repeat)
    records = []
    with tempfile.TemporaryDirectory() as name:
        model = args.model
        if model is None:
            model = Path(name) / "batio3.pt"
            model.write_bytes(lzma.decompress((EXAMPLE / "batio3.pt.xz").read_bytes()))
        for seed in args.seeds:
            field, polarization, cost = cycle(Path(name) / str(seed), model.resolve(), atoms, args, seed)
            found = example["crossings"](field, polarization)
            case = f"{len(atoms)} atoms, {args.temperature:g} K, period {args.period:g} ps, seed {seed}"
            print(f"{case}: {cost:.1f} CPU us per atom and step; largest P {polarization.max():.1f} microC/cm2")
            for (direction, (mean, deviation)), value in zip(PUBLISHED.items(), found, strict=False):
                print(f"  {direction}: {value:+.2f} MV/cm (published: {mean:+.2f}, of one run +-{deviation:.2f})")
                records.append(record(case, f"coercive field, {direction}", "published", value, mean, "MV/cm"))
    if args.json:
        write_records(args.json, records)


if __name__ == "__main__":
    main()
