"""Dielectric constants of an enthalpy model: LAMMPS and ASE at rest, and LAMMPS at finite temperature in two ways.

Run ``python benchmarks/lammps_dielectric.py MODEL --data FILE [--json FILE]``; it needs LAMMPS with the plugin in this
environment.  First, eps_zz of clamped and of relaxed atoms in a small field, by the template of ``tnep lammps`` and by
ASE.  Then three Langevin trajectories in the fields -E, 0 and E along z give

* the response, ``1 + (<P(E)> - <P(-E)>) / (2 eps0 V E)`` with the dipole in the field, and
* ``1 + <alpha> / (eps0 V) + <dM^2> / (eps0 V k T)`` from the polarizability and the fluctuations without a field
  (Neumann and Steinhauser, Chem. Phys. Lett. 102, 508 (1983)), from the file of fix tnep/spectrum.

Both hold for a cell of any size.  Errors are standard errors over blocks of a twentieth of a trajectory.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
from ase.io import read
from ase.optimize import BFGS
from cases import record, start, write_records

from tnep_calc import TNEPCalculator
from tnep_calc.artifact import read_metadata
from tnep_calc.io.series.accumulated import read_signals
from tnep_calc.lammps import lammps_input, run_lammps
from tnep_calc.spectra import static_dielectric
from tnep_calc.spectra.static import electronic_dielectric
from tnep_calc.units import EPSILON_0

BLOCKS = 20
INPUT = """
units metal
atom_style atomic
read_data {data}
pair_style tnep
pair_coeff * * {model} {elements}
neighbor 1.0 bin
velocity all create {temperature} {seed} mom yes rot no
timestep 0.001
fix 1 all nve
fix 2 all langevin {temperature} {temperature} 0.5 {seed} zero yes
fix F all tnep/field 0 0 {field}
compute m all tnep/dipole {model} {elements}
compute a all tnep/polarizability {model} {elements}
thermo_style custom step temp vol
thermo 20000
run 5000
fix p all ave/time 5 1 5 f_F[3] file dipole.dat format ' %.12g'
fix s all tnep/spectrum 5 file static.corr dipole c_m polarizability c_a temperature {temperature} resolution 100
run {steps}
"""


def at_rest(folder, model, data):
    """Return eps_zz of clamped and relaxed atoms from LAMMPS, and the same from ASE."""
    shutil.copy(data, folder / "structure.data")
    text = lammps_input("dielectric", model)
    done = run_lammps(text, folder)
    ours = [float(value) for value in re.findall(r"eps_zz of \w+ atoms: (\S+)", done.text) if value[0].isdigit()]
    atoms = read(folder / "structure.data", format="lammps-data")
    strength, start, eps = 0.01, 0.0, []
    for field in (0.0, strength):
        atoms.calc = TNEPCalculator(enthalpy=model, efield=[0, 0, field])
        if field:
            eps.append(atoms.get_dipole_moment()[2] - start)
        BFGS(atoms, logfile=None).run(fmax=1e-6, steps=500)
        start = start if field else atoms.get_dipole_moment()[2]
    eps.append(atoms.get_dipole_moment()[2] - start)
    return ours, [1 + change / (EPSILON_0 * atoms.get_volume() * strength) for change in eps]


def main():
    parser = start(__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="data file of LAMMPS")
    parser.add_argument("--field", type=float, default=0.05, help="V/A (default: %(default)g)")
    parser.add_argument("--temperature", type=float, default=300.0, help="K (default: %(default)g)")
    parser.add_argument("--steps", type=int, default=200_000, help="of 1 fs (default: %(default)d)")
    parser.add_argument("--seed", type=int, default=4928, help="of the random numbers (default: %(default)d)")
    args = parser.parse_args()
    elements = " ".join(read_metadata(args.model).species)
    dipoles = {}
    with tempfile.TemporaryDirectory() as name:
        ours, theirs = at_rest(Path(name), args.model.resolve(), args.data)
    for what, one, two in zip(("clamped", "relaxed"), ours, theirs, strict=True):
        print(f"eps_zz of {what} atoms: LAMMPS {one:.6f}, ASE {two:.6f}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        for sign in (-1, 0, 1):
            folder = Path(name) / f"field{sign}"
            text = INPUT.format(
                data=args.data.resolve(),
                model=args.model.resolve(),
                elements=elements,
                temperature=args.temperature,
                field=sign * args.field,
                steps=args.steps,
                seed=args.seed,
            )
            done = run_lammps(text, folder)
            dipoles[sign] = done.table("dipole.dat")["f_F[3]"]
            print(f"field {sign * args.field:+g} V/A: <P_z> = {dipoles[sign].mean():.6f} e A", flush=True)
        series = read_signals(Path(name) / "field0" / "static.corr")
    electronic = electronic_dielectric(series.polarizability.pieces(), series.volume)
    static = static_dielectric(series.dipole.pieces(), series.volume, args.temperature, electronic.tensor)
    fluctuation, error = static.tensor[2, 2], static.errors[2, 2]
    blocks = [np.mean(np.array_split(dipoles[1], BLOCKS)[k]) - np.mean(np.array_split(dipoles[-1], BLOCKS)[k])
              for k in range(BLOCKS)]  # fmt: skip
    unit = 2 * EPSILON_0 * series.volume * args.field
    response, response_error = 1 + np.mean(blocks) / unit, np.std(blocks, ddof=1) / np.sqrt(BLOCKS) / unit
    print(f"eps_zz from the response to a field:         {response:.3f} +- {response_error:.3f}")
    print(f"eps_zz from alpha and the fluctuations:      {fluctuation:.3f} +- {error:.3f}")
    print(f"eps_inf,zz from alpha:                       {electronic.tensor[2, 2]:.4f}")
    difference = abs(response - fluctuation) / np.hypot(response_error, error)
    print(f"difference: {difference:.2f} standard errors")
    if args.json:
        case = f"{args.model.name}, {args.temperature:g} K"
        records = [record(case, "difference of eps", "limit", difference, 2.0, "standard errors")]
        records += [
            record(case, f"eps {what}", "ASE", a, b, "1")
            for what, a, b in zip(("clamped", "relaxed"), ours, theirs, strict=True)
        ]
        write_records(args.json, records)


if __name__ == "__main__":
    main()
