"""``tnep predict``: evaluate models on the structures of a file and compare with its labels."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from ..errors import InputError
from ..families import ROLES

EPILOG = """\
Predictions are compared with the labels of the file: energy, forces, stress or virial, dipole, born_charges, and
polarizability or epsilon_inf. The table has the root mean square error (also relative to the spread of the label), the
mean absolute error and R2. Energies, virials, dipoles and polarizabilities are taken per atom. Dipoles of periodic
structures are compared modulo e times the lattice vectors. The mean of the Born charges of each structure is subtracted
from its labels (acoustic sum rule). A model of the electric enthalpy predicts all of these. It evaluates a structure
with an electric_field in that field. A radnet model predicts dipole and polarizability. If the model stores the range
of its training data, a note says how many structures are outside of it, and how far.

examples:
  tnep predict test.extxyz --energy energy/model.pt --plot parity.png
  tnep predict test.extxyz --dipole dipole/nep.txt --susceptibility pol/nep.txt -o predictions.extxyz
  tnep predict test.extxyz --dipole dip/member*/model.pt --plot parity.png        # means and error bars
  tnep predict SiO2.extxyz --enthalpy quartz/model.pt
  tnep predict train.xyz --dipole published/nep.txt --dipole-unit e*bohr --no-fold
"""


def add_arguments(parser):
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="extended xyz, with or without labels")
    for role, help_text in (
        ("energy", "potential: nep.txt or artifact"),
        ("dipole", "dipole model: nep.txt or artifact"),
        ("susceptibility", "polarizability model: nep.txt or artifact"),
        ("enthalpy", "electric-enthalpy model: artifact"),
        ("radnet", "radnet model of dipole and polarizability: artifact"),
    ):
        parser.add_argument(f"--{role}", nargs="+", metavar="MODEL", help=f"{help_text}; several: an ensemble")
    parser.add_argument("--dipole-unit", help="unit in which the dipole model of a nep.txt was trained (default e*A)")
    parser.add_argument(
        "--susceptibility-unit", help="the same for the polarizability (default e*A^2/V; also A^3, bohr^3, N*chi)"
    )
    parser.add_argument(
        "--no-fold", action="store_true", help="do not compare dipoles of periodic structures modulo e times the cell"
    )
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, ..., or auto")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="predictions to write (extended xyz)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw parity plots (.png, .pdf or .svg)")
    parser.add_argument("--force", action="store_true", help="overwrite output files")


def run(args):
    """Predict, compare, print the table."""
    from ..calculators.tnep import TNEPCalculator
    from ..io.files import check_output
    from ..io.structures.extxyz import read_dataset
    from ..plotting.style import check_figure_name
    from ..training.results.prediction import compare_ensemble

    models = {role: getattr(args, role) for role in ROLES if getattr(args, role) is not None}
    if not models:
        raise InputError("give at least one model: --enthalpy, --radnet, --energy, --dipole or --susceptibility")
    for path in filter(None, (args.output, args.plot)):
        check_output(path, args.force, [*args.files, *(model for given in models.values() for model in given)])
    if args.plot:
        check_figure_name(args.plot)
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.INFO)
    structures = read_dataset(args.files)
    calculator = TNEPCalculator(
        **models,
        dipole_unit=args.dipole_unit,
        susceptibility_unit=args.susceptibility_unit,
        skin=0.0,
        device=args.device,
    )
    predictions, compared = compare_ensemble(structures, calculator, fold=not args.no_fold)
    _print_table(compared, len(structures))
    notes = calculator.range_check.survey(predictions)
    for line in notes:
        print(f"note: {line}")
    args.numbers.update(structures=len(structures), errors=[_numbers(panel) for panel in compared], notes=notes)
    if args.output:
        _write(args.output, predictions, args.force)
    if args.plot:
        if not compared:
            raise InputError("nothing to plot: the file has no label that these models predict")
        from ..plotting.style import save_figure
        from ..plotting.training import plot_parity

        save_figure(plot_parity(compared), args.plot, args.force)


def _numbers(panel):
    """Return the errors of one quantity, in the unit of the label."""
    (errors,) = panel["splits"].values()
    scalars = {name: errors[name] for name in ("rmse", "mae", "r2", "std", "spread", "count")}
    return {"quantity": panel["name"], "unit": panel["unit"], **scalars}


def _print_table(compared, count):
    from ..training.common.parity import lines_of

    print(f"{count} structure{'s' * (count > 1)}")
    if not compared:
        print("the file has no label that these models predict")
        return
    print("\n".join(lines_of(compared)))


def _write(path, predictions, force):
    """Write predictions under the keys that ``tnep train`` reads."""
    from ase import Atoms
    from ase.io import write

    from ..io.files import atomic_output

    frames = []
    for p in predictions:
        atoms = Atoms(p.symbols, p.positions, cell=p.cell, pbc=p.pbc)
        atoms.info |= {
            name: value
            for name in ("energy", "virial", "dipole", "polarizability")
            if (value := getattr(p, name)) is not None
        }
        if p.forces is not None:
            atoms.arrays["forces"] = p.forces
        if p.born_charges is not None:
            atoms.arrays["born_charges"] = p.born_charges.reshape(len(p), 9)
        frames.append(atoms)
    with atomic_output(path, force) as temporary:
        write(temporary, frames, format="extxyz")
