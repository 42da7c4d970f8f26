"""Options shared by ``tnep phonons`` and ``tnep loto``, and checks of the files that they name."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError

MODELS = ("enthalpy", "energy", "radnet", "dipole", "susceptibility")
STRAIN = 0.1
"""Largest deviation of the cell before its relaxation from that of a file of ``--raman-from``, in primitive vectors."""


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name models, and ``--born``, which replaces a model of the Born charges."""
    group = parser.add_argument_group("models (artifact of tnep, or nep.txt)")
    group.add_argument(
        "--enthalpy",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="electric enthalpy: predicts everything below; several: an ensemble",
    )
    group.add_argument("--energy", type=Path, nargs="+", metavar="FILE", help="potential: forces; also polymlp.yaml")
    group.add_argument("--radnet", type=Path, nargs="+", metavar="FILE", help="radnet: Born charges, eps_inf and Raman")
    group.add_argument("--dipole", type=Path, nargs="+", metavar="FILE", help="dipole: Born charges")
    group.add_argument(
        "--susceptibility", type=Path, nargs="+", metavar="FILE", help="polarizability: eps_inf and Raman"
    )
    group.add_argument(
        "--born",
        type=Path,
        metavar="FILE",
        help="Born charges and eps_inf from a file instead of models: BORN, VASP, ABINIT (output, DDB), "
        "ph.x (output, dynamical matrix of Gamma) or extended xyz",
    )


def add_supercell_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of relaxation, supercell and force constants."""
    group = parser.add_argument_group("force constants")
    relaxation = group.add_mutually_exclusive_group()
    relaxation.add_argument("--no-relax", action="store_true", help="keep cell and positions as they are in the file")
    relaxation.add_argument("--fixed-cell", action="store_true", help="relax the positions only")
    group.add_argument(
        "--fmax", type=float, default=1e-4, metavar="EV/A", help="largest force after relaxation (default: 1e-4)"
    )
    group.add_argument(
        "--length",
        type=float,
        metavar="A",
        help="smallest height of the supercell (default: twice the cutoff of the model, at least 10)",
    )
    group.add_argument(
        "--dim",
        type=int,
        nargs=3,
        metavar="N",
        help="supercell as repeats of the conventional cell, instead of --length",
    )
    group.add_argument(
        "--displacement", type=float, default=0.01, metavar="A", help="length of the displacements (default: 0.01)"
    )
    group.add_argument(
        "--random",
        type=int,
        metavar="N",
        help="N supercells with random displacements, fitted by symfc (default: systematic displacements)",
    )
    group.add_argument("--symprec", type=float, default=1e-4, metavar="A", help="symmetry tolerance (default: 1e-4)")
    group.add_argument(
        "--nac",
        choices=("gonze", "wang"),
        default="gonze",
        help="non-analytic term: Gonze-Lee (default) or Wang; both agree at q -> 0",
    )
    group.add_argument("--no-nac", action="store_true", help="do not use Born charges (metals)")
    group.add_argument("--restart", action="store_true", help="delete the results of a previous run in the folder")


def calculator_of(args: argparse.Namespace):
    """Return the calculator of the given models, and their provenance (file names and checksums).

    Raises
    ------
    InputError
        If no model gives forces, a file is missing, or models do not fit together.
    """
    from ..calculators.tnep import TNEPCalculator
    from ..io.files import sha256
    from ..phonons.anharmonic.polymlp import PolymlpCalculator, is_polymlp

    given = {role: getattr(args, role) for role in MODELS if getattr(args, role)}
    if "enthalpy" not in given and "energy" not in given:
        raise InputError("forces need a model: --enthalpy FILE or --energy FILE")
    for paths in given.values():
        for path in paths:
            _check_file(path)
    sources = {role: paths[0] if len(paths) == 1 else paths for role, paths in given.items()}
    known = {role: [{"file": path.name, "sha256": sha256(path)} for path in paths] for role, paths in given.items()}
    if "energy" in given and is_polymlp(given["energy"][0]):
        if given != {"energy": given["energy"][:1]}:
            raise InputError("a polynomial potential only gives forces: leave out the other models, and add --born")
        return PolymlpCalculator(given["energy"][0]), {"models": known}
    return TNEPCalculator(**sources), {"models": known}


def settings_of(args: argparse.Namespace, raman: bool):
    """Return the :class:`tnep_calc.phonons.workflow.Settings` of the options; `raman` asks for Raman tensors.

    Raises
    ------
    InputError
        If a value is not valid, or a file is given that another option leaves out.
    """
    from ..phonons.workflow import Settings

    if args.no_nac and args.born is not None:
        raise InputError("--no-nac does not use the charges of --born: leave out one of them")
    if not raman and getattr(args, "raman_from", None) is not None:
        raise InputError("--no-raman does not use the files of --raman-from: leave out one of them")
    return Settings(
        relax=not args.no_relax,
        fixed_cell=args.fixed_cell,
        fmax=args.fmax,
        symprec=args.symprec,
        length=args.length,
        dim=None if args.dim is None else tuple(args.dim),
        displacement=args.displacement,
        random=args.random,
        nac=None if args.no_nac else args.nac,
        raman=raman,
    )


def born_source(args: argparse.Namespace):
    """Return a function that reads the file of ``--born`` for a phonopy object, or None without that option."""
    if args.born is None:
        return None
    _check_file(args.born)
    from ..io.born import read_born

    return lambda phonon: read_born(args.born, phonon)


def _check_file(path: Path) -> None:
    """Raise InputError before the forces are computed if a file is missing that is read after them."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")


def raman_source(args: argparse.Namespace):
    """Return a function that reads the files of ``--raman-from`` for a phonopy object, or None without that option."""
    if args.raman_from is None:
        return None
    for path in args.raman_from:
        _check_file(path)
    from ..phonons.raman_source import gradient_from_files

    return lambda phonon: gradient_from_files(args.raman_from, phonon)


def check_files(args: argparse.Namespace, phonon) -> None:
    """Read the files of ``--born`` and ``--raman-from`` for the structure before its relaxation.

    Parameters
    ----------
    args : Namespace
    phonon : phonopy.Phonopy
        Of the structure as it is given.

    Raises
    ------
    InputError, DataFileError
        If a file is damaged or does not fit.
    """
    from ..io.born import check_response, read_born
    from ..phonons.raman_source import gradient_from_files

    if args.born is not None:
        check_response(*read_born(args.born, phonon), len(phonon.primitive))
    if getattr(args, "raman_from", None) is not None:
        gradient_from_files(args.raman_from, phonon, STRAIN)


def is_finished(args: argparse.Namespace) -> bool:
    """Return whether the structure is a file with force constants, and no model is given."""
    from ..phonons.loading import is_phonon_file

    return not any(getattr(args, role) for role in MODELS) and is_phonon_file(args.structure)


def finished_phonons(args: argparse.Namespace):
    """Return the :class:`tnep_calc.phonons.workflow.Phonons` of a file with force constants."""
    from ..io.files import sha256
    from ..phonons.loading import load_phonon
    from ..phonons.workflow import phonons_of

    provenance = {
        "structure": args.structure.name,
        "structure_sha256": sha256(args.structure),
        "command": "tnep " + " ".join(args.argv),
    }
    return phonons_of(
        load_phonon(args.structure),
        settings_of(args, not args.no_raman),
        born=born_source(args),
        gradient=raman_source(args),
        provenance=provenance,
        log=lambda line: print(line, flush=True),
    )
