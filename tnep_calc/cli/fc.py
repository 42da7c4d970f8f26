"""``tnep fc``: second- and third-order force constants from a machine-learned potential or any calculator."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import DataFileError, InputError

EPILOG = """\
DATA has displaced supercells with forces and energies. It is one of
  phono3py_params.yaml or phonopy_params.yaml, also .xz
  phono3py_disp.yaml, followed by the outputs of its supercells
  structures, with --reference (a unit cell) and --supercell
  a unit cell, with --supercell and a model: no data are needed

A potential is fitted to the first --ntrain supercells and tested on the last --ntest. It predicts the forces of the
displacements that phono3py needs, and phono3py turns them into force constants.

The folder gets the potential, errors.json, fc2.hdf5, fc3.hdf5, phono3py.yaml and phono3py_mlp_eval_dataset.yaml.
phono3py's own commands read these files, and 'tnep ltc' computes the thermal conductivity from them. A run that was
killed resumes when the same command is given again, also in the middle of a fit. A finished potential is used again.
'--potential nep' fits a NEP for small displacements by linear least squares. It is a nep.txt like any other.

'mpiexec -n 4 tnep fc ...' computes the forces on all ranks, and --processes N on N processes of this machine.

examples:
  tnep fc phono3py_params_NaCl.yaml.xz -o nacl --ntrain 80 --ntest 10
  tnep fc phono3py_params_NaCl.yaml.xz -o nacl-nep --potential nep --set angular_cutoff=8
  tnep fc phono3py_params_NaCl.yaml.xz -o direct --potential none
  tnep fc supercells.extxyz -o mgo --reference POSCAR --supercell 2 2 2 --displacements random --number 100
  tnep fc POSCAR -o bn --energy model.pt --supercell 3 3 3
  tnep fc phono3py_params_NaCl.yaml.xz -o steps --convergence 20,40,60,80 --mesh 11 11 11
"""

CHECKPOINTS = ("forces.npz", "forces-fc2.npz")
"""Files of the forces computed so far; they are deleted when the force constants are written."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``tnep fc``."""
    parser.epilog = EPILOG
    parser.add_argument("data", metavar="DATA", type=Path, help="displaced supercells, or a unit cell")
    parser.add_argument(
        "outputs",
        metavar="OUTPUT",
        nargs="*",
        type=Path,
        help="outputs for the supercells of phono3py_disp.yaml in their order, or more structures",
    )
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "--reference",
        metavar="FILE",
        type=Path,
        help="unit cell without displacements, or the supercell itself with --supercell 1",
    )
    parser.add_argument("--supercell", type=int, nargs="+", metavar="N", help="1, 3 or 9 integers")
    parser.add_argument(
        "--fc2-supercell",
        nargs="+",
        metavar="N",
        help="supercell of fc2, or 'same' for that of fc3 (default: as in DATA)",
    )
    parser.add_argument(
        "--born", metavar="FILE", type=Path, help="file BORN for the non-analytic term (default: that of DATA, if any)"
    )
    parser.add_argument(
        "--symprec",
        type=float,
        default=1e-5,
        metavar="A",
        help="tolerance of the symmetry search in A (default: %(default)g)",
    )
    potential = parser.add_argument_group("potential")
    potential.add_argument(
        "--potential",
        metavar="KIND|FILE",
        help="polymlp (pypolymlp, default with DATA), nep (fitted here), none (the forces of DATA), "
        "or a file: polymlp.yaml, phono3py.pmlp, nep.txt, an artifact",
    )
    potential.add_argument("--energy", metavar="MODEL", help="the same as --potential MODEL")
    potential.add_argument(
        "--calculator",
        metavar="MODULE:NAME",
        help="any ASE calculator: a class or function that returns one when called without arguments",
    )
    potential.add_argument("--ntrain", type=int, metavar="N", help="supercells to train on (default: all but --ntest)")
    potential.add_argument("--ntest", type=int, metavar="N", help="supercells to test on (default: a tenth)")
    potential.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="parameter of pypolymlp (cutoff=8, gtinv_maxl=8,8, ...) or of the fit of a NEP (radial_cutoff, "
        "angular_cutoff, n_max, basis_size, l_max)",
    )
    moves = parser.add_argument_group("displacements and force constants")
    moves.add_argument(
        "--displacements",
        choices=("systematic", "random"),
        default="systematic",
        help="displace single atoms and pairs, or all atoms at random (default: %(default)s)",
    )
    moves.add_argument("--number", type=int, metavar="N", help="pairs of random supercells (plus and minus)")
    moves.add_argument(
        "--amplitude",
        type=float,
        default=0.01,
        metavar="A",
        help="length of a displacement in A (default: %(default)g)",
    )
    moves.add_argument("--seed", type=int, default=0, metavar="N", help="for random displacements and subsets")
    moves.add_argument(
        "--solver",
        choices=("fd", "symfc"),
        help="finite differences or symfc's fit (default: fd for systematic displacements, else symfc)",
    )
    moves.add_argument("--cutoff", type=float, metavar="A", help="largest distance of a pair in fc3 (default: all)")
    moves.add_argument("--processes", type=int, default=1, metavar="N", help="processes for the forces (default: 1)")
    steps = parser.add_argument_group("convergence with the number of supercells")
    steps.add_argument("--convergence", metavar="N,N,...", help="sizes of the training set; the test set is fixed")
    steps.add_argument("--subsets", type=int, default=3, metavar="N", help="training sets of each size (default: 3)")
    steps.add_argument(
        "--mesh",
        type=int,
        nargs=3,
        default=(11, 11, 11),
        metavar="N",
        help="mesh of the conductivity (default: 11 11 11)",
    )
    steps.add_argument(
        "--temperature", type=float, default=300.0, metavar="K", help="of the conductivity (default: %(default)g)"
    )
    parser.add_argument("--restart", action="store_true", help="delete the results of a previous run in the folder")


def run(args: argparse.Namespace) -> None:
    """Compute and write the force constants."""
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.INFO)
    from ..phonons.anharmonic.evaluation import workers

    if args.processes < 1:
        raise InputError(f"--processes must be at least 1, got {args.processes}")
    with workers(args.processes) as (leads, executor):
        if leads:
            _lead(args, executor)


def _lead(args, executor) -> None:
    from ..phonons.anharmonic.force_constants import check_options, force_constants, write_force_constants
    from .fc_potential import fitting, given_potential, print_errors

    check_options(args.displacements, args.number, args.amplitude, args.solver)
    potential = given_potential(args)
    source, data = _source(args, potential)
    sizes = _sizes(args)
    fitted = potential is None and args.potential != "none"
    fit = fitting(args, data) if fitted else None
    sets: Any = _sets(args, len(data), sizes) if fitted else None
    _claim(args, potential)
    options = {
        "displacements": args.displacements,
        "number": args.number,
        "amplitude": args.amplitude,
        "solver": args.solver,
        "cutoff": args.cutoff,
    }
    if sizes:
        _convergence(args, source, data, fit, sizes, options, executor)
        return
    if fit is not None:
        train, test = sets
        potential = fit(train, test, args.output)
        args.numbers["errors"] = print_errors(args.output, data, potential, {"train": train, "test": test}, executor)
    elif potential is not None and data is not None:
        args.numbers["errors"] = print_errors(args.output, data, potential, {"all": range(len(data))}, executor)
    if potential is None:
        try:
            result = force_constants(source, solver=args.solver, cutoff=args.cutoff)
        except InputError as error:
            raise InputError(f"{args.data}: {error}") from error
    else:
        result = force_constants(
            source,
            potential,
            executor=executor,
            checkpoint=args.output / CHECKPOINTS[0],
            identity=potential.identity,
            seed=args.seed,
            **options,
        )
    written = write_force_constants(result, args.output, evaluated=potential is not None)
    for name in CHECKPOINTS:
        (args.output / name).unlink(missing_ok=True)
    print("wrote " + ", ".join(map(str, written)))
    args.numbers["files"] = written


def _source(args, potential):
    """Return the structure with its data as a phono3py object, and the data for training (None if there are none)."""
    from ..io.displaced_supercells import training_data
    from ..io.phonopy_files import is_phonopy_yaml
    from ..io.structures.single import read_structure
    from ..io.supercells import bare_structure, read_supercells, set_nac
    from ..phonons.anharmonic.force_constants import with_fc2_supercell

    fc2 = None if args.fc2_supercell in (None, ["same"]) else [_integer(word) for word in args.fc2_supercell]
    if args.reference is None and not is_phonopy_yaml(args.data):
        if potential is None or args.supercell is None:
            raise InputError(
                f"{args.data} is not a phono3py file: give --reference and --supercell for displaced structures, or "
                "--supercell and a model (--potential FILE) for a unit cell"
            )
        source = bare_structure(read_structure(args.data), args.supercell, args.symprec, fc2)
        if args.born is not None:
            set_nac(source, args.born)
        return source, None
    source = read_supercells(args.data, args.outputs, args.reference, args.supercell, args.born, args.symprec)
    if args.fc2_supercell is not None:
        source = with_fc2_supercell(source, fc2)
    if potential is None and args.potential == "none":
        return source, None
    try:
        return source, training_data(source, args.data)
    except DataFileError:
        if potential is None:
            raise
        return source, None


def _integer(word):
    try:
        return int(word)
    except ValueError:
        raise InputError(f"--fc2-supercell takes integers or 'same', got '{word}'") from None


def _sizes(args):
    if args.convergence is None:
        return []
    try:
        sizes = [int(word) for word in args.convergence.split(",")]
    except ValueError:
        raise InputError(f"--convergence takes numbers like 20,40,60, got '{args.convergence}'") from None
    if args.potential not in (None, "polymlp", "nep") or args.energy or args.calculator:
        raise InputError("--convergence trains potentials: use --potential polymlp or nep")
    if args.ntrain is not None:
        raise InputError("--convergence sets the sizes of the training set: leave out --ntrain")
    return sizes


def _sets(args, total, sizes):
    """Return the training and test supercells, or those of a convergence; InputError if there are too few of them."""
    from ..phonons.anharmonic.accuracy import train_and_test
    from ..phonons.anharmonic.conductivity import checked_mesh, checked_temperatures
    from ..phonons.anharmonic.convergence import training_sets

    if not sizes:
        return train_and_test(total, args.ntrain, args.ntest, args.data)
    checked_mesh(args.mesh), checked_temperatures(args.temperature)
    return training_sets(total, sizes, args.subsets, _ntest(args, total), args.seed, args.data)


def _ntest(args, total) -> int:
    return max(1, total // 10) if args.ntest is None else args.ntest


def _claim(args, potential) -> None:
    """Make the output folder and record the options of this run in it.

    Results of other data or options are deleted with ``--restart``. Without it they raise an InputError.
    """
    from ..io.files import atomic_output, sha256

    ours = {
        name: value
        for name, value in vars(args).items()
        if name not in ("command", "argv", "debug", "json", "numbers", "restart", "output", "processes")
    }
    files = [args.data, *args.outputs, *filter(None, (args.reference, args.born))]
    ours = {name: str(value) for name, value in ours.items() if name not in ("data", "outputs", "reference", "born")}
    ours |= {
        "files": [sha256(path) for path in files],
        "potential": potential.identity if potential else str(args.potential),
    }
    args.output.mkdir(parents=True, exist_ok=True)
    record = args.output / "run.json"
    if record.exists():
        theirs = _settings_of(record, args.restart)
        if theirs == ours:
            return
        if not args.restart:
            changed = ", ".join(sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)))
            raise InputError(
                f"{args.output} has a previous run that differs in {changed}: give another folder, or --restart to "
                "delete it"
            )
        _discard(args.output)
    elif any(args.output.glob("fc[23].hdf5")) and not args.restart:
        raise InputError(f"{args.output} has force constants already: give another folder, or --restart")
    with atomic_output(record, force=True) as temporary:
        temporary.write_text(json.dumps(ours, indent=1))


def _settings_of(record, restart):
    """Return the settings of a previous run; with --restart an empty table if its file is damaged."""
    from ..io.content import read_json

    try:
        return dict(read_json(record, "the settings of a previous run; --restart starts from scratch"))
    except (DataFileError, TypeError, ValueError):
        if not restart:
            raise
        return {}


def _discard(folder: Path) -> None:
    import shutil

    from ..phonons.anharmonic.force_constants import EVALUATED, FC2, FC3, STRUCTURE
    from ..phonons.anharmonic.polymlp_fit import checkpoints

    for name in (
        FC2,
        FC3,
        STRUCTURE,
        EVALUATED,
        "run.json",
        "errors.json",
        "polymlp.yaml",
        "polymlp.json",
        *(file.name for file in checkpoints("polymlp.yaml").values()),
        "convergence.csv",
        "convergence.png",
        *CHECKPOINTS,
    ):
        (folder / name).unlink(missing_ok=True)
    for path in (folder / "nep", *folder.glob("n[0-9]*-[0-9]*")):
        shutil.rmtree(path, ignore_errors=True)


def _convergence(args, source, data, fit, sizes, options, executor) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from ..io.files import atomic_output
    from ..phonons.anharmonic.convergence import by_size, convergence, convergence_csv
    from ..plotting.conductivity import plot_convergence
    from ..plotting.style import save_figure

    rows, kappa = convergence(
        source,
        data,
        fit,
        sizes,
        args.output,
        mesh=args.mesh,
        ntest=_ntest(args, len(data)),
        temperature=args.temperature,
        subsets=args.subsets,
        seed=args.seed,
        source=args.data,
        executor=executor,
        **options,
    )
    table, figure = args.output / "convergence.csv", args.output / "convergence.png"
    with atomic_output(table, force=True) as temporary:
        temporary.write_text(convergence_csv(rows))
    save_figure(plot_convergence(rows, kappa, args.temperature), figure, force=True)
    columns = {
        "kappa": "kappa W/(m K)",
        "fc2_error": "fc2 %",
        "fc3_error": "fc3 %",
        "force_rmse": "F meV/A",
        "energy_rmse": "E meV/atom",
    }
    print(f"{'supercells':>10}" + "".join(f"{title:>24}" for title in columns.values()))
    for k, size in enumerate(by_size(rows, "kappa")[0]):
        line = f"{size:>10}"
        for name in columns:
            _, mean, spread = by_size(rows, name)
            scale = 100 if name in ("fc2_error", "fc3_error") else 1
            line += f"{scale * mean[k]:>14.4g} +- {scale * spread[k]:<6.2g}"
        print(line)
    print(f"all {len(data)} supercells without a potential: kappa {kappa:.4g} W/(m K)")
    print(f"wrote {table}, {figure}")
    args.numbers.update(rows=[asdict(row) for row in rows], kappa_without_potential=kappa)
