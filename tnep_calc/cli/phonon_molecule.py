"""``tnep phonons`` for molecules: vibrations with infrared and Raman activities."""

from __future__ import annotations

import argparse

from ..errors import InputError

OF_CRYSTALS = (
    "born",
    "raman_from",
    "widths",
    "directions",
    "porto",
    "polarization_scan",
    "md_infrared",
    "md_raman",
    "length",
    "dim",
    "random",
)
"""Options that need a crystal."""


def check_options(args: argparse.Namespace) -> None:
    """Raise InputError before the first force for options that are not of molecules or not valid."""
    from ..phonons.analysis import Conditions

    if given := [name for name in OF_CRYSTALS if getattr(args, name) not in (None, [])]:
        words = ", ".join("--" + name.replace("_", "-") for name in given)
        raise InputError(f"{args.structure} has no periodic cell and is treated as a molecule: leave out {words}")
    Conditions(args.temperature, args.laser, args.width)


def run_molecule(args: argparse.Namespace, atoms, calculator, provenance: dict) -> None:
    """Compute the vibrations of a molecule, and print and write the table of infrared and Raman activities."""
    from ..phonons.analysis import Conditions
    from ..phonons.molecule import vibrations
    from ..phonons.report import mode_sheet, write_sheet
    from ..phonons.results import write_numbers

    args.output.mkdir(parents=True, exist_ok=True)
    found = vibrations(atoms, calculator, relax=not args.no_relax, fmax=args.fmax, displacement=args.displacement)
    conditions = Conditions(args.temperature, args.laser, args.width)
    sheet = mode_sheet(found.modes, found.charges, None, found.tensors, conditions)._replace(title="vibrations")
    for note in found.notes:
        print(note)
    print(sheet.text())
    write_sheet(args.output / "modes.csv", sheet)
    args.numbers.update(
        {
            "provenance": provenance,
            "notes": found.notes,
            "symbols": found.atoms.get_chemical_symbols(),
            "positions_A": found.atoms.positions,
            "wavenumbers_cm-1": found.modes.wavenumbers,
            "eigenvectors": found.modes.eigenvectors,
            "mode_charges_e_per_sqrt_amu": found.charges,
            "raman_tensors_A2_per_sqrt_amu": found.tensors,
        }
    )
    write_numbers(args.output / "phonons.json", args.numbers)
    print(f"\ntables: {args.output / 'modes.csv'}, {args.output / 'phonons.json'}")
