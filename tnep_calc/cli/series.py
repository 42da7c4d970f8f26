"""``tnep series``: LAMMPS or GPUMD output, or models on a trajectory, to a time series file."""

from __future__ import annotations

import argparse
import re
import shlex

from ..io.series.collect import FORMATS, UNIT_NAMES
from ..io.series.plain import TIME_NAMES

EPILOG = """\
LAMMPS: write the computes with fix ave/time, one row per sample (here every 2 and 4 steps), with enough digits:

  compute dip all tnep/dipole dipole.pt B N
  compute pol all tnep/polarizability polarizability.pt B N
  fix     d all ave/time 2 1 2 c_dip[*] file dipole.dat format " %.12g"
  fix     p all ave/time 4 1 4 c_pol[*] file polarizability.dat format " %.12g"

  tnep series dipole.dat polarizability.dat -o run.h5 --timestep 0.5 --temperature 300 --cell 18.2

The two files may have different sampling intervals. A file with 3 values per row is a dipole, one with 6
(xx yy zz xy xz yz) or 9 (row by row) a polarizability; choose from larger files with --dipole-columns c_dip.
Values are taken to be in e*A and e*A^2/V, as these computes write them under 'units metal' and 'units real'.
Rows repeated by a restart are used once (the later ones), and an unfinished last line is left out; both are reported.

GPUMD: dipole.out and polarizability.out (xx yy zz xy yz zx). GPUMD writes the unit of its training data, so that
--dipole-unit and --polarizability-unit are required: models made with calorine are usually in e*A; the published water
(Xu et al. 2024) and QM7B models are in e*bohr and bohr^3; models of the susceptibility give N*chi (number of atoms
times chi, which needs the volume). Several runs in one file become separate pieces.

  tnep series dipole.out -o run.h5 --dipole-unit e*bohr --timestep 0.5 --temperature 298 --cell 18.208

Other programs: dpdt.out of GPUMD (current and polarization), property files and #EXTRAS of i-PI, the output of CP2K
with &MOMENTS, an OUTCAR of VASP with LCALCPOL or LDIPOL are known by their content; anything else as columns:

  tnep series dpdt.out -o run.h5 --temperature 300 --cell 12.1
  tnep series moments.txt -o run.h5 --format columns --time-unit ps --dipole-unit debye --temperature 300 --cell 12.1

Models on a stored trajectory (any format of ASE): give the models and the time between frames. With several models
of a quantity (an ensemble) every one gets a file, run-member1.h5, run-member2.h5, ..., and 'tnep ir run-member*.h5'
draws their mean and spread.

  tnep series md.extxyz -o run.h5 --interval 1fs --temperature 300 --dipole-model dip/member*/model.pt
  tnep series md.extxyz -o run.h5 --interval 1fs --temperature 300 --enthalpy-model quartz/member*/model.pt

Sample often enough: the fastest vibration needs at least two samples per period (4000 cm^-1: every 4 fs; 1 fs is good).
"""


def parse_time(text: str) -> float:
    """Return a time in fs from ``0.5``, ``0.5fs`` or ``0.0005ps``."""
    match = re.fullmatch(r"([0-9.eE+-]+) *(fs|ps)?", text.strip())
    try:
        value = float(match[1]) * (1000.0 if match[2] == "ps" else 1.0) if match else 0.0
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a time such as 0.5, 0.5fs or 0.0005ps, got '{text}'")
    return value


def command_line(args: argparse.Namespace) -> str:
    """Return the command line that these arguments came from, for provenance."""
    return shlex.join(["tnep", *args.argv])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``tnep series``."""
    parser.epilog = EPILOG
    parser.add_argument("files", nargs="+", metavar="FILE", help="output of fix ave/time (LAMMPS), or GPUMD's *.out")
    parser.add_argument("-o", "--output", required=True, metavar="FILE.h5", help="time series file to write (HDF5)")
    parser.add_argument(
        "--timestep",
        type=parse_time,
        metavar="TIME",
        help="time step of the simulation in fs, or with a unit: 0.5, 0.5fs, 0.0005ps (LAMMPS 'units metal' counts in "
        "ps); not needed where GPUMD's header gives the interval",
    )
    parser.add_argument("--temperature", type=float, metavar="K", help="temperature in K (or later, to tnep ir)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--volume", type=float, metavar="A3", help="volume of the cell in A^3 (NPT: the average)")
    size.add_argument(
        "--cell",
        type=float,
        nargs="+",
        metavar="X",
        help="cell instead of the volume, in A: a (cube), a b c, a b c alpha beta gamma (degrees), or nine numbers "
        "(lattice vectors in rows); needed to unwrap branches of the polarization",
    )
    size.add_argument(
        "--structure",
        metavar="FILE",
        help="take the cell from this structure file (any format of ASE; NAME.data is a data file of LAMMPS)",
    )
    parser.add_argument(
        "--time-unit",
        choices=TIME_NAMES,
        help="with --format columns: unit of the first column; none: there is no time (add --interval)",
    )
    parser.add_argument("--format", choices=FORMATS, help="of the files (default: by their first lines)")
    parser.add_argument(
        "--dipole-unit",
        choices=UNIT_NAMES["dipole"],
        help="unit of the dipole in the file (default for LAMMPS: e*A; GPUMD: must be given)",
    )
    parser.add_argument(
        "--polarizability-unit",
        choices=UNIT_NAMES["polarizability"],
        help="unit of the polarizability in the file (default for LAMMPS: e*A^2/V; GPUMD: must be given)",
    )
    parser.add_argument(
        "--current-unit", choices=UNIT_NAMES["current"], help="unit of the current (default for LAMMPS: e*A/fs)"
    )
    for name in ("dipole", "polarizability", "current"):
        parser.add_argument(
            f"--{name}-columns",
            metavar="COLUMNS",
            help=f"columns of the {name} by name (c_dip: all of c_dip[...]) or number (2-4; the step is 1)",
        )
    models = parser.add_argument_group("models on a trajectory")
    for name in ("dipole", "polarizability"):
        models.add_argument(
            f"--{name}-model",
            nargs="+",
            metavar="MODEL",
            help=f"artifact or nep.txt of the {name}; several: an ensemble",
        )
    models.add_argument(
        "--enthalpy-model",
        nargs="+",
        metavar="MODEL",
        help="artifact of an electric enthalpy, which gives both (at zero field); several: an ensemble",
    )
    models.add_argument(
        "--radnet-model",
        nargs="+",
        metavar="MODEL",
        help="artifact of a radnet model of both; several: an ensemble",
    )
    models.add_argument(
        "--current",
        action="store_true",
        help="add the current sum_j Z_j . v_j, of the cell and of each species (the frames need velocities)",
    )
    models.add_argument(
        "--interval", type=parse_time, metavar="TIME", help="time between frames (or rows without a time), e.g. 1, 2fs"
    )
    models.add_argument(
        "--isolated", action="store_true", help="the frames have no cell: the atoms are a molecule or a cluster"
    )
    parser.add_argument("--atoms", type=int, metavar="N", help="number of atoms, only for the unit N*chi")
    parser.add_argument("--allow-gaps", action="store_true", help="missing samples split the series into pieces")
    parser.add_argument("--force", action="store_true", help="overwrite the output file")


def run(args: argparse.Namespace) -> None:
    """Collect the files, or evaluate the models, and write the series."""
    if args.dipole_model or args.polarizability_model or args.enthalpy_model or args.radnet_model:
        _evaluate(args)
        return
    from ..io.files import check_output
    from ..io.series.collect import cell_from_numbers, collect_series
    from ..io.series.timeseries import QUANTITIES, write_timeseries

    check_output(args.output, args.force)
    cell = cell_from_numbers(args.cell) if args.cell else None
    if args.structure:
        cell = _cell_of(args.structure)
    chosen = {name: getattr(args, f"{name}_columns") for name in QUANTITIES}
    series, notes = collect_series(
        args.files,
        timestep=args.timestep,
        temperature=args.temperature,
        volume=args.volume,
        cell=cell,
        file_format=args.format,
        units={name: getattr(args, f"{name}_unit") for name in QUANTITIES},
        time_unit=args.time_unit,
        interval=args.interval,
        columns={name: wanted for name, wanted in chosen.items() if wanted},
        allow_gaps=args.allow_gaps,
        atoms=args.atoms,
        command=command_line(args),
    )
    write_timeseries(args.output, series, args.force)
    for note in notes:
        print(f"note: {note}")
    for name in QUANTITIES:
        sampled = getattr(series, name)
        if sampled is not None:
            unit = sampled.provenance["source_unit"]
            length = len(sampled.values) * sampled.dt / 1000
            print(
                f"{name}: {len(sampled.values)} samples every {sampled.dt:g} fs ({length:g} ps), "
                f"{len(sampled.starts)} piece{'s' * (len(sampled.starts) > 1)}, read as {unit}"
            )
    for label, value, unit in (("temperature", series.temperature, "K"), ("volume", series.volume, "A^3")):
        print(f"{label}: {value:g} {unit}" if value is not None else f"{label}: not given (tnep ir asks for it)")
    print(f"wrote {args.output}")


def _evaluate(args):
    """Write a series for every member of the models on a trajectory."""
    from pathlib import Path

    from ..calculators.tnep import TNEPCalculator
    from ..calculators.trajectory import evaluate_trajectory
    from ..errors import InputError
    from ..io.files import check_output, sha256
    from ..io.series.timeseries import write_timeseries
    from ..io.structures.trajectory import Trajectory

    if len(args.files) != 1:
        raise InputError("models are evaluated on one trajectory file")
    for option in ("timestep", "volume", "cell", "format", "atoms"):
        if getattr(args, option) is not None:
            raise InputError(f"--{option} is not for models on a trajectory, which has cell and atoms itself")
    for name in ("enthalpy", "radnet"):
        given = {
            "enthalpy": args.enthalpy_model,
            "radnet": args.radnet_model,
            "dipole": args.dipole_model,
            "polarizability": args.polarizability_model,
        }
        if given.pop(name) and any(given.values()):
            raise InputError(f"--{name}-model gives dipole and polarizability: leave the other models out")
    members = max(
        len(m or []) for m in (args.dipole_model, args.polarizability_model, args.enthalpy_model, args.radnet_model)
    )
    output = Path(args.output)
    outputs = (
        [output]
        if members == 1
        else [output.with_name(f"{output.stem}-member{k + 1}{output.suffix}") for k in range(members)]
    )
    for path in outputs:
        check_output(path, args.force)
    (path,) = args.files

    trajectory = Trajectory(path, args.interval, args.allow_gaps)
    cell = None if args.structure is None else _cell_of(args.structure)

    calculator = TNEPCalculator(
        dipole=args.dipole_model,
        susceptibility=args.polarizability_model,
        dipole_unit=args.dipole_unit,
        susceptibility_unit=args.polarizability_unit,
        enthalpy=args.enthalpy_model,
        radnet=args.radnet_model,
    )
    source = {"source": Path(path).name, "source_sha256": sha256(path), "notes": "models evaluated by tnep series"}
    trajectory.cell = cell
    found = evaluate_trajectory(
        trajectory, calculator, None, args.temperature, source, command_line(args), args.isolated, args.current
    )
    if trajectory.repeated:
        print(f"{trajectory.repeated} frames occur again (a restart?) and were left out")
    sampled = next(item for item in (found[0].dipole, found[0].polarizability) if item is not None)
    pieces = len(trajectory.starts)
    print(f"{len(sampled.values)} frames every {trajectory.dt:g} fs, {pieces} piece{'s' * (pieces > 1)}")
    for target, series in zip(outputs, found, strict=True):
        write_timeseries(target, series, args.force)
        print(f"wrote {target}")


def _cell_of(path):
    import ase.io
    import numpy as np

    from ..errors import DataFileError

    try:
        atoms = ase.io.read(path, format="lammps-data" if str(path).endswith(".data") else None)
    except Exception as error:
        raise DataFileError(f"{path} cannot be read as a structure ({error})") from error
    if isinstance(atoms, list) or atoms.cell.rank < 3:
        raise DataFileError(f"{path} has no three-dimensional cell")
    return np.array(atoms.cell)
