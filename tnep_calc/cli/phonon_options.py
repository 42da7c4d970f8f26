"""Options that ``tnep phonons`` and ``tnep loto`` share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..errors import InputError

MODELS = ("enthalpy", "energy", "radnet", "dipole", "susceptibility")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the models and what replaces some of them."""
    group = parser.add_argument_group("models (artifact of tnep, or nep.txt)")
    group.add_argument(
        "--enthalpy",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="electric enthalpy: gives everything; several are an ensemble",
    )
    group.add_argument("--energy", type=Path, nargs="+", metavar="FILE", help="potential: forces; polymlp.yaml too")
    group.add_argument("--radnet", type=Path, nargs="+", metavar="FILE", help="radnet: Born charges, eps_inf and Raman")
    group.add_argument("--dipole", type=Path, nargs="+", metavar="FILE", help="dipole: Born charges")
    group.add_argument(
        "--susceptibility", type=Path, nargs="+", metavar="FILE", help="polarizability: eps_inf and Raman"
    )
    group.add_argument(
        "--born",
        type=Path,
        metavar="FILE",
        help="Born charges and eps_inf from a BORN file, VASP, ABINIT (output, DDB) or extended xyz, instead of models",
    )


def add_supercell_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what decides the force constants."""
    group = parser.add_argument_group("force constants")
    group.add_argument("--no-relax", action="store_true", help="keep cell and positions as they are in the file")
    group.add_argument("--fmax", type=float, default=1e-4, metavar="EV/A", help="largest force left (default: 1e-4)")
    group.add_argument(
        "--length",
        type=float,
        metavar="A",
        help="smallest height of the supercell (default: twice the cutoff of the model, at least 10)",
    )
    group.add_argument("--dim", type=int, nargs=3, metavar="N", help="repeats of the conventional cell instead")
    group.add_argument("--displacement", type=float, default=0.01, metavar="A", help="default: 0.01")
    group.add_argument(
        "--random",
        type=int,
        metavar="N",
        help="N supercells with random displacements, fitted by symfc (default: systematic displacements)",
    )
    group.add_argument("--symprec", type=float, default=1e-4, metavar="A", help="tolerance of symmetry (default: 1e-4)")
    group.add_argument(
        "--nac",
        choices=("gonze", "wang"),
        default="gonze",
        help="non-analytic term: Gonze-Lee (default) or Wang; the same at q -> 0",
    )
    group.add_argument("--no-nac", action="store_true", help="leave Born charges out (metals)")
    group.add_argument("--restart", action="store_true", help="discard what a previous run has left in the folder")


def calculator_of(args: argparse.Namespace):
    """Return the calculator of the models, and the checksums of their files."""
    from ..calculators.tnep import TNEPCalculator
    from ..io.files import sha256
    from ..phonons.anharmonic.polymlp import PolymlpCalculator, is_polymlp

    given = {role: getattr(args, role) for role in MODELS if getattr(args, role)}
    if "enthalpy" not in given and "energy" not in given:
        raise InputError("forces need a model: --enthalpy FILE or --energy FILE")
    for paths in given.values():
        for path in paths:
            if not path.is_file():
                raise InputError(f"{path}: no such file")
    sources = {role: paths[0] if len(paths) == 1 else paths for role, paths in given.items()}
    known = {role: [{"file": path.name, "sha256": sha256(path)} for path in paths] for role, paths in given.items()}
    if "energy" in given and is_polymlp(given["energy"][0]):
        if given != {"energy": given["energy"][:1]}:
            raise InputError("a polynomial potential gives forces alone: add --born, and leave other models out")
        return PolymlpCalculator(given["energy"][0]), {"models": known}
    return TNEPCalculator(**sources), {"models": known}


def settings_of(args: argparse.Namespace, raman: bool):
    """Return the settings of the calculation."""
    from ..phonons.workflow import Settings

    return Settings(
        relax=not args.no_relax,
        fmax=args.fmax,
        symprec=args.symprec,
        length=args.length,
        dim=None if args.dim is None else tuple(args.dim),
        displacement=args.displacement,
        random=args.random,
        nac=None if args.no_nac else args.nac,
        raman=raman,
    )


def read_structure(path: Path):
    """Return the last structure of any file that ASE reads."""
    from ase.io import read

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return read(path)
    except Exception as error:  # ASE raises anything
        raise InputError(f"{path}: ASE cannot read a structure from it ({error})") from error


def communicator():
    """Return the MPI communicator of a program that was started by mpiexec, else None.

    Raises
    ------
    InputError
        If mpi4py is missing, or belongs to another MPI than mpiexec: all processes would do the same work.
    """
    sizes = [os.environ[name] for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS") if name in os.environ]
    if not sizes or int(sizes[0]) == 1:
        return None
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise InputError(f"mpiexec starts several processes, but mpi4py cannot be used: {error}") from error
    if MPI.COMM_WORLD.Get_size() != int(sizes[0]):
        raise InputError(
            f"mpiexec has started {sizes[0]} processes, but mpi4py sees {MPI.COMM_WORLD.Get_size()}: use the mpiexec "
            "of the MPI that mpi4py belongs to ('tnep info' names it)"
        )
    return MPI.COMM_WORLD


def born_source(args: argparse.Namespace):
    """Return the function that reads ``--born`` for a phonopy object, or None."""
    if args.born is None:
        return None
    from ..io.born import read_born

    return lambda phonon: read_born(args.born, phonon)
