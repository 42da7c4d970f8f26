"""The part of ``tnep phonons`` for molecules."""

from __future__ import annotations

import argparse


def run_molecule(args: argparse.Namespace, atoms, calculator, provenance: dict) -> None:
    """Calculate the vibrations of a molecule, print and write the table of infrared and Raman activities."""
    from ..phonons.analysis import Conditions
    from ..phonons.molecule import vibrations
    from ..phonons.report import mode_sheet, write_numbers, write_sheet

    args.output.mkdir(parents=True, exist_ok=True)
    found = vibrations(atoms, calculator, relax=not args.no_relax, fmax=args.fmax, displacement=args.displacement)
    conditions = Conditions(args.temperature, args.laser, args.width)
    sheet = mode_sheet(found.modes, found.charges, None, found.tensors, conditions)._replace(title="vibrations")
    for note in found.notes:
        print(note)
    print(sheet.text())
    write_sheet(args.output / "modes.csv", sheet)
    write_numbers(
        args.output / "phonons.json",
        {
            "provenance": provenance,
            "notes": found.notes,
            "symbols": found.atoms.get_chemical_symbols(),
            "positions_A": found.atoms.positions,
            "wavenumbers_cm-1": found.modes.wavenumbers,
            "eigenvectors": found.modes.eigenvectors,
            "mode_charges_e_per_sqrt_amu": found.charges,
            "raman_tensors_A2_per_sqrt_amu": found.tensors,
        },
    )
    print(f"\ntables: {args.output / 'modes.csv'}, {args.output / 'phonons.json'}")
