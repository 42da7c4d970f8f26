"""``tnep series``: write a time series file from LAMMPS or GPUMD output, or by evaluating models on a trajectory."""

from __future__ import annotations

import argparse
import re

from ..errors import InputError
from ..io.series.collect import FORMATS, UNIT_NAMES
from ..io.series.plain import TIME_NAMES
from .series_shared import cell_of, command_line, lengths

EPILOG = """\
LAMMPS: write the computes with fix ave/time, one row per sample (here every 2 and 4 steps), with enough digits:

  compute dip all tnep/dipole dipole.pt B N
  compute pol all tnep/polarizability polarizability.pt B N
  fix     d all ave/time 2 1 2 c_dip[*] file dipole.dat format " %.12g"
  fix     p all ave/time 4 1 4 c_pol[*] file polarizability.dat format " %.12g"

  tnep series dipole.dat polarizability.dat -o run.h5 --timestep 0.5 --temperature 300 --cell 18.2

The two files may have different sampling intervals. A file with 3 values per row is a dipole, one with 6
(xx yy zz xy xz yz) or 9 (row by row) a polarizability. For files with more columns, choose them with
--dipole-columns c_dip. Values are read in e*A and e*A^2/V, as these computes write them under 'units metal' and
'units real'. Of rows that a restart has written twice, the later ones are used. An incomplete last line is dropped.
Both are reported.

GPUMD: dipole.out and polarizability.out (xx yy zz xy yz zx). GPUMD writes them in the unit of the model's training
data, so that --dipole-unit and --polarizability-unit are required. Models made with calorine are usually in e*A. The
published water (Xu et al. 2024) and QM7B models are in e*bohr and bohr^3. Models of the susceptibility give N*chi
(number of atoms times chi), which needs the volume. Several runs in one file become separate pieces.

  tnep series dipole.out -o run.h5 --dipole-unit e*bohr --timestep 0.5 --temperature 298 --cell 18.208

Other programs: dpdt.out of GPUMD (current and polarization), property files and #EXTRAS of i-PI, the output of CP2K
with &MOMENTS, and an OUTCAR of VASP with LCALCPOL or LDIPOL are recognized by their content. Read anything else as
columns:

  tnep series dpdt.out -o run.h5 --temperature 300 --cell 12.1
  tnep series moments.txt -o run.h5 --format columns --time-unit ps --dipole-unit debye --temperature 300 --cell 12.1

Models on a stored trajectory (any format of ASE): give the models and the time between frames. Several models of one
quantity are an ensemble. Each of them gets a file, run-member1.h5, run-member2.h5, ..., and 'tnep ir run-member*.h5'
draws their mean and spread.

  tnep series md.extxyz -o run.h5 --interval 1fs --temperature 300 --dipole-model dip/member*/model.pt
  tnep series md.extxyz -o run.h5 --interval 1fs --temperature 300 --enthalpy-model quartz/member*/model.pt

The ranks of mpiexec share the frames of a trajectory. Finished parts are kept in run.h5.parts until the series is
written. If the run is killed, the same command resumes it.

  mpiexec -n 4 tnep series md.extxyz -o run.h5 --interval 1fs --temperature 300 --dipole-model dipole.pt

With --phonons DIR, the folder of 'tnep phonons' for the same crystal, the normal coordinates of its modes at Gamma are
written too. 'tnep ir --modes' and 'tnep raman --modes' then give the spectrum, shift and lifetime of every mode.

  tnep series md.extxyz -o run.h5 --interval 1fs --temperature 300 --enthalpy-model model.pt --phonons phonons

Sample often enough: the fastest vibration needs at least two samples per period (4000 cm^-1: every 4 fs; 1 fs is good).
"""


def parse_time(text: str) -> float:
    """Return the time in fs of a text such as ``0.5``, ``0.5fs`` or ``0.0005ps``.

    Raises
    ------
    argparse.ArgumentTypeError
        If the text is not a positive time.
    """
    match = re.fullmatch(r"([0-9.eE+-]+) *(fs|ps)?", text.strip())
    try:
        value = float(match[1]) * (1000.0 if match[2] == "ps" else 1.0) if match else 0.0
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a time such as 0.5, 0.5fs or 0.0005ps, got '{text}'")
    return value


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
    parser.add_argument(
        "--temperature", type=float, metavar="K", help="temperature in K (may also be given to 'tnep ir')"
    )
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
        help="with --format columns: unit of the first column; none: the file has no time (add --interval); "
        "not needed if a comment in the file says it, as '# time [fs]'",
    )
    parser.add_argument("--format", choices=FORMATS, help="of the files (default: found from their first lines)")
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
            help=f"columns of the {name} by name (c_dip: all of c_dip[...]) or number (2-4; column 1 is the step)",
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
        help="artifact of an electric enthalpy, for dipole and polarizability at zero field; several: an ensemble",
    )
    models.add_argument(
        "--radnet-model",
        nargs="+",
        metavar="MODEL",
        help="artifact of a radnet model of dipole and polarizability; several: an ensemble",
    )
    models.add_argument(
        "--current",
        action="store_true",
        help="add the current sum_j Z_j . v_j of the cell and that of each species (the frames need velocities)",
    )
    models.add_argument(
        "--phonons",
        metavar="DIR",
        help="project the frames on the modes in this folder of 'tnep phonons', for 'tnep ir --modes' and 'tnep raman "
        "--modes'",
    )
    models.add_argument(
        "--interval",
        type=parse_time,
        metavar="TIME",
        help="time between frames, or between rows without a time, e.g. 1, 2fs",
    )
    models.add_argument(
        "--isolated", action="store_true", help="the frames have no cell: the atoms are a molecule or a cluster"
    )
    models.add_argument(
        "--restart", action="store_true", help="delete the finished parts of a previous run (FILE.h5.parts)"
    )
    parser.add_argument("--atoms", type=int, metavar="N", help="number of atoms; needed for the unit N*chi only")
    parser.add_argument("--allow-gaps", action="store_true", help="split the series into pieces at missing samples")
    parser.add_argument("--force", action="store_true", help="overwrite the output file")


def run(args: argparse.Namespace) -> None:
    """Collect the files, or evaluate the models, and write the series."""
    if args.dipole_model or args.polarizability_model or args.enthalpy_model or args.radnet_model:
        from .series_models import evaluate

        evaluate(args)
        return
    from ..io.files import check_output
    from ..io.series.collect import cell_from_numbers, collect_series
    from ..io.series.timeseries import QUANTITIES, write_timeseries

    if args.phonons:
        raise InputError(
            "--phonons projects the frames of a trajectory: give its file and a model, e.g. --dipole-model"
        )
    check_output(args.output, args.force, args.files)
    cell = cell_from_numbers(args.cell) if args.cell else None
    if args.structure:
        cell = cell_of(args.structure)
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
            args.numbers[name] = lengths(sampled)
            length = len(sampled.values) * sampled.dt / 1000
            print(
                f"{name}: {len(sampled.values)} samples every {sampled.dt:g} fs ({length:g} ps), "
                f"{len(sampled.starts)} piece{'s' * (len(sampled.starts) > 1)}, read as {unit}"
            )
    for label, value, unit in (("temperature", series.temperature, "K"), ("volume", series.volume, "A^3")):
        print(f"{label}: {value:g} {unit}" if value is not None else f"{label}: not given ('tnep ir' will need it)")
    print(f"wrote {args.output}")
    args.numbers.update(temperature_K=series.temperature, volume_A3=series.volume, output=args.output)
