"""``tnep loto``: LO-TO splitting by direction, from models or from phonopy files."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from ..errors import InputError
from ..parallel import communicator
from .phonon_options import (
    add_model_arguments,
    add_supercell_arguments,
    born_source,
    calculator_of,
    check_files,
    is_finished,
    settings_of,
)

EPILOG = """\
Prints the modes at q -> 0 for directions of q, with the TO mode that each comes from, the share of its dipole along q,
and the Lyddane-Sachs-Teller check. The sum of the Born charges is shown before and after its correction, because the
correction shifts the LO modes.

examples:
  tnep loto POSCAR --enthalpy model.pt --directions 1 0 0  0 0 1
  tnep loto phonopy_params.yaml                                 # any phonopy calculation with Born charges
  tnep loto phonopy_params.yaml --born BORN --angle 0 0 1  1 0 0 --plot angle.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``tnep loto``."""
    parser.epilog = EPILOG
    parser.add_argument(
        "structure",
        type=Path,
        help="structure for models, or force constants (phonopy, q2r.x, ph.x)",
    )
    add_model_arguments(parser)
    add_supercell_arguments(parser)
    group = parser.add_argument_group("directions")
    group.add_argument(
        "--directions",
        type=float,
        nargs="+",
        metavar="Q",
        help="Cartesian, three numbers each (default: principal axes)",
    )
    group.add_argument(
        "--angle",
        type=float,
        nargs=6,
        metavar="Q",
        help="rotate q from one direction to another (six numbers) and print the modes at each angle",
    )
    group.add_argument("--all", action="store_true", help="print all modes, not only those with a dipole along q")
    group.add_argument("--csv", type=Path, metavar="FILE", help="write the table (with --angle: the scan)")
    group.add_argument("--plot", type=Path, metavar="FILE", help="draw the scan of --angle (png, pdf, svg)")
    group.add_argument("--keep", type=Path, metavar="DIR", help="keep the forces in this folder, and resume from it")


def phonopy_object(args: argparse.Namespace, comm=None):
    """Return the phonopy object of a file, or of a calculation with models."""
    if is_finished(args):
        from ..phonons.loading import load_phonon

        phonon = load_phonon(args.structure)
        if args.born is not None:
            from ..phonons.nac import set_nac

            charges, dielectric = born_source(args)(phonon)
            set_nac(phonon, charges, dielectric, method=args.nac)
        return phonon
    calculator, provenance = calculator_of(args)
    from ..io.structures.single import read_structure
    from ..phonons.workflow import run_phonons

    atoms = read_structure(args.structure)
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(comm.bcast(scratch) if comm else scratch)
        return run_phonons(
            atoms,
            calculator,
            folder,
            settings_of(args, raman=False),
            born=born_source(args),
            check=lambda phonon: check_files(args, phonon),
            comm=comm,
            restart=args.restart,
            provenance=provenance,
            log=lambda line: print(line, flush=True),
        ).phonon


def _directions(args: argparse.Namespace):
    """Return the directions of ``--directions``, shape (n, 3), or None, and check the other options of directions."""
    import numpy as np

    from ..io.files import check_output
    from ..phonons.loto import check_directions, scan_directions
    from ..plotting.style import check_figure_name

    if args.plot is not None and args.angle is None:
        raise InputError("--plot draws the scan of --angle: give both")
    for path in filter(None, (args.csv, args.plot)):
        check_output(path, force=True)
    if args.plot is not None:
        check_figure_name(args.plot)
    if args.angle is not None:
        scan_directions(args.angle[:3], args.angle[3:])
    if args.directions is None:
        return None
    if len(args.directions) % 3:
        raise InputError(f"--directions needs three numbers for each direction, got {len(args.directions)}")
    vectors = np.array(args.directions).reshape(-1, 3)
    check_directions(vectors)
    return vectors


def run(args: argparse.Namespace) -> None:
    """Print the table."""
    comm = communicator()
    directions = _directions(args)
    phonon = phonopy_object(args, comm)
    if comm is not None and comm.rank:
        return
    import numpy as np

    from ..phonons.analysis import different_axes
    from ..phonons.infrared import mode_charges, principal_axes, static_dielectric
    from ..phonons.loto import angle_scan, assign, lyddane_sachs_teller
    from ..phonons.modes import gamma_modes
    from ..phonons.nac import charges_of
    from ..phonons.report import loto_sheet, lst_sheet, tensor_text, write_sheet

    charges, modes = charges_of(phonon), gamma_modes(phonon)
    unstable, static, tensors = modes.imaginary(), None, [charges.dielectric]
    if not unstable:
        static = static_dielectric(charges.dielectric, mode_charges(charges.used, modes), modes)
        tensors.append(static)
    if directions is None:
        axes = principal_axes(tensors[-1])
        directions = axes[different_axes(tensors, axes)]
    print(f"eps_inf      {tensor_text(charges.dielectric)}")
    if static is None:
        print(f"eps_0        none, as the structure is unstable: {', '.join(unstable)}; imaginary is negative below")
    else:
        print(f"eps_0        {tensor_text(static)}")
    print(
        f"charge sum   {np.abs(charges.sum_before).max():.3e} e before, {np.abs(charges.sum_after).max():.1e} e after: "
        f"{charges.correction}\nmethod       {charges.method}\n"
    )
    rows = [
        (q, *assign(phonon, q, modes), None if static is None else lyddane_sachs_teller(phonon, q, modes))
        for q in directions
    ]
    sheet = loto_sheet(modes, rows, everything=args.all)
    print(sheet.text())
    if static is not None:
        print("\n" + lst_sheet(rows).text())
    args.numbers.update(
        eps_inf=charges.dielectric, eps_static=static, charge_sum_e=charges.sum_before, modes=sheet.records()
    )
    if args.angle is not None:
        from ..phonons.report import scan_sheet

        scan = angle_scan(phonon, args.angle[:3], args.angle[3:])
        sheet = scan_sheet(scan)
        print("\n" + sheet.text())
        args.numbers["scan"] = sheet.records()
        if args.plot is not None:
            import matplotlib

            matplotlib.use("Agg")
            from ..plotting.phonons import plot_angle_scan
            from ..plotting.style import save_figure

            save_figure(plot_angle_scan(scan), args.plot, force=True)
    if args.csv is not None:
        write_sheet(args.csv, sheet)
