"""``tnep phonons``: lattice dynamics of a crystal, or vibrations of a molecule, with their spectra."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError
from ..parallel import communicator
from .phonon_options import (
    add_model_arguments,
    add_supercell_arguments,
    born_source,
    calculator_of,
    check_files,
    finished_phonons,
    is_finished,
    raman_source,
    settings_of,
)
from .porto_options import add_porto_argument

EPILOG = """\
Relaxes the crystal under its symmetry, displaces atoms, fits force constants, and adds Born charges and eps_inf for the
LO-TO splitting. The results are phonons.html (everything on one page), figures, tables (CSV), spectra (text),
phonons.json, and files for phonopy, Euphonic and PDielec. If the run is killed, the same command resumes it.

Instead of a structure, a file with force constants can be given, and no model: phonopy_params.yaml, a file of q2r.x, or
a dynamical-matrix file of ph.x (Gamma only; text or XML). Charges and Raman tensors are then those of --born and
--raman-from.

A structure without a periodic cell is treated as a molecule: the result is a table of its vibrations with infrared and
Raman activities.

examples:
  tnep phonons POSCAR --enthalpy model.pt -o phonons
  tnep phonons bn.cif --energy e.pt --dipole d.pt --susceptibility s.pt -o phonons --porto 'z(xy)-z'
  tnep phonons nacl.cif --energy nep.txt --born BORN -o phonons
  tnep phonons si.dyn1 --raman-from si.dyn1 -o phonons                # results of ph.x, without a model
  mpiexec -n 4 tnep phonons POSCAR --enthalpy model.pt -o phonons     # displacements shared between ranks
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``tnep phonons``."""
    parser.epilog = EPILOG
    parser.add_argument("structure", type=Path, help="any file that ASE reads, or force constants (see below)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for all results")
    add_model_arguments(parser)
    add_supercell_arguments(parser)
    group = parser.add_argument_group("spectra")
    group.add_argument(
        "--temperature", type=float, default=300.0, metavar="K", help="of the Raman intensities (default: 300)"
    )
    group.add_argument("--laser", type=float, default=532.0, metavar="NM", help="laser wavelength (default: 532)")
    group.add_argument(
        "--width", type=float, default=8.0, metavar="CM-1", help="full width of lines at half maximum (default: 8)"
    )
    group.add_argument(
        "--widths",
        type=Path,
        metavar="FILE",
        help="width of each mode: kappa-*.hdf5 of phono3py (FWHM = 2 gamma), or the table widths-*K.txt of 'tnep ltc' "
        "(columns: mode, frequency, FWHM in cm^-1)",
    )
    group.add_argument(
        "--directions",
        type=float,
        nargs="+",
        metavar="Q",
        help="directions of q for the LO-TO table, Cartesian, three numbers each (default: principal axes)",
    )
    add_porto_argument(parser)
    group.add_argument(
        "--polarization-scan",
        action="append",
        default=[],
        metavar='"A(B)"',
        help="HH and HV in backscattering while both polarizations rotate about the light (repeatable): A is the "
        'direction of the light, B the polarization at angle 0, as in --porto, e.g. "z(x)"',
    )
    group.add_argument("--max", type=float, metavar="CM-1", help="last wavenumber of the spectra")
    group.add_argument(
        "--md-infrared", type=Path, metavar="FILE", help="spectrum of 'tnep ir' to draw together with that of the modes"
    )
    group.add_argument(
        "--md-raman", type=Path, metavar="FILE", help="spectrum of 'tnep raman' to draw together with that of the modes"
    )
    group.add_argument(
        "--raman-from",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="instead of a model: dielectric tensors of the primitive cell with displaced atoms (VASP, ABINIT, "
        "extended xyz; symmetry reduces the number of displacements), or a file of ph.x with Raman tensors",
    )
    group.add_argument("--no-raman", action="store_true", help="do not compute Raman spectra")


def run(args: argparse.Namespace) -> None:
    """Compute the phonons, print a summary and write the folder."""
    comm = communicator()
    if is_finished(args):
        if comm is None or comm.rank == 0:
            write_results(args, finished_phonons(args))
        return
    calculator, provenance = calculator_of(args)
    from ..io.structures.single import read_structure

    atoms = read_structure(args.structure)
    if not atoms.pbc.any():
        from .phonon_molecule import check_options, run_molecule

        check_options(args)
        if comm is None or comm.rank == 0:
            run_molecule(args, atoms, calculator, provenance)
        return
    from ..phonons.workflow import run_phonons

    provenance |= {"structure": args.structure.name, "command": "tnep " + " ".join(args.argv)}
    result = run_phonons(
        atoms,
        calculator,
        args.output,
        settings_of(args, not args.no_raman),
        born=born_source(args),
        gradient=raman_source(args),
        check=lambda phonon: check(args, phonon, calculator),
        comm=comm,
        restart=args.restart,
        provenance=provenance,
        log=lambda line: print(line, flush=True),
    )
    if comm is None or comm.rank == 0:
        write_results(args, result)


def check(args: argparse.Namespace, phonon, calculator=None) -> None:
    """Check everything that is read or used after the forces, for a structure before its relaxation.

    Raises
    ------
    InputError, DataFileError
        If a file is damaged or does not fit, or an option of the spectra is not valid.
    """
    from ..io.series.spectrum_text import read_spectrum
    from ..phonons.analysis import NEED_RAMAN
    from ..phonons.raman_source import has_gradient

    check_files(args, phonon)
    conditions = conditions_of(args, 3 * len(phonon.primitive))
    if conditions.lattice_directions:
        conditions.check_geometries(phonon.unitcell.cell)
    if (args.porto or args.polarization_scan) and (
        args.no_raman or args.raman_from is None and not has_gradient(calculator)
    ):
        raise InputError(NEED_RAMAN)
    for path in filter(None, (args.md_infrared, args.md_raman)):
        read_spectrum(path)


def conditions_of(args: argparse.Namespace, n_modes: int, bands: bool = True):
    """Return the :class:`tnep_calc.phonons.analysis.Conditions` of the spectra of `n_modes` modes."""
    import numpy as np

    from ..phonons.analysis import Conditions

    directions = None
    if args.directions is not None:
        if len(args.directions) % 3:
            raise InputError(f"--directions needs three numbers for each direction, got {len(args.directions)} numbers")
        directions = np.array(args.directions).reshape(-1, 3)
    return Conditions(
        args.temperature,
        args.laser,
        widths_of(args, n_modes),
        directions,
        tuple(args.porto),
        tuple(args.polarization_scan),
        args.lattice_directions,
        args.max,
        bands=bands,
    )


def widths_of(args: argparse.Namespace, n_modes: int):
    """Return the width of all modes (``--width``), or one per mode, shape (n_modes,), from ``--widths``; in cm⁻¹."""
    if args.widths is None:
        return args.width
    if args.widths.suffix in (".hdf5", ".h5"):
        from ..phonons.infrared import widths_of_phono3py

        return widths_of_phono3py(args.widths, args.temperature)
    from ..io.linewidths import read_linewidths

    widths = read_linewidths(args.widths)[1]
    if widths.shape != (n_modes,):
        raise InputError(f"{args.widths} must have {n_modes} widths, one per mode, got {widths.shape}")
    return widths


def write_results(args: argparse.Namespace, result) -> None:
    """Analyse the modes, print the tables, and write all files."""
    import matplotlib

    matplotlib.use("Agg")
    from ..io.series.spectrum_text import read_spectrum
    from ..phonons.analysis import analyse
    from ..phonons.export import write_exports
    from ..phonons.loading import only_gamma
    from ..phonons.report import display_sheets, facts, sheets, write_tables
    from ..phonons.results import numbers, write_numbers
    from ..plotting.phonon_page import write_phonon_page

    conditions = conditions_of(args, len(result.modes.wavenumbers), not only_gamma(result.phonon))
    analysis = analyse(result, conditions)
    print()
    for name, value in facts(result, analysis):
        print(f"{name:<24}{value}")
    for note in [*result.notes, *analysis.notes]:
        print(note)
    for sheet in display_sheets(sheets(result, analysis, conditions)):
        print("\n" + sheet.text())
    exports = write_exports(result.phonon, args.output)
    args.numbers.update(numbers(result, analysis, conditions, exports))
    write_numbers(args.output / "phonons.json", args.numbers)
    tables = write_tables(result, analysis, conditions, args.output)
    files = {"phonons.json": "all numbers, with units and provenance", **exports}
    files |= {name: "spectrum" if name.endswith(".txt") else "table" for name in tables}
    dynamics = {
        name: read_spectrum(path) for name, path in (("infrared", args.md_infrared), ("raman", args.md_raman)) if path
    }
    title = f"{_formula(result)}, {result.provenance['space_group']}"
    write_phonon_page(args.output, title, result, analysis, conditions, files, dynamics)
    print(f"\npage: {args.output / 'phonons.html'}")


def _formula(result) -> str:
    from ase.formula import Formula

    return "Lattice dynamics of " + Formula.from_list(result.phonon.primitive.symbols).reduce()[0].format("metal")
