"""``tnep lammps``: print a complete LAMMPS input for a model."""

from __future__ import annotations

from pathlib import Path

from ..io.files import atomic_output, check_output

_EPILOG = """
The input is printed, or written to the file of -o. Elements, cutoff and units are filled in from the model. Values that
you may want to change are variables at the top of the input, which LAMMPS's option -var also sets. --structure writes
the data file that the input reads.

examples:
  tnep lammps quartz.pt --template ir --structure quartz.cif --repeat 4 4 4 -o in.ir
  mpiexec -n 4 lmp -in in.ir
  tnep lammps energy.pt --template field --dipole dipole.pt --polarizability alpha.pt > in.field
"""
NAMES = ("nve", "npt", "ir", "raman", "spectrum", "field", "dielectric", "hysteresis")


def add_arguments(parser):
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("model", help="artifact of a potential or of an electric enthalpy (tnep export, tnep train)")
    parser.add_argument(
        "--template",
        required=True,
        choices=NAMES,
        help="nve, npt: dynamics; ir, raman: dynamics with the output for spectra; spectrum: the same without a "
        "stored series, from correlation functions; field: dynamics in an electric "
        "field; dielectric: dielectric constants from the response to a field; hysteresis: a cycle of the field",
    )
    parser.add_argument("--dipole", metavar="FILE", help="dipole model, if the model is a potential")
    parser.add_argument("--polarizability", metavar="FILE", help="polarizability model, if the model is a potential")
    parser.add_argument(
        "--data", metavar="FILE", default="structure.data", help="data file that the input reads (default: %(default)s)"
    )
    parser.add_argument("--structure", metavar="FILE", help="structure (any format of ASE) to write as that data file")
    parser.add_argument(
        "--repeat", type=int, nargs=3, default=(1, 1, 1), metavar=("X", "Y", "Z"), help="repeats of the structure"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="input to write (default: print it)")
    parser.add_argument("--force", action="store_true", help="overwrite files that exist")


def run(args):
    """Print or write the input."""
    from ..lammps import lammps_input, structure_text

    name = args.output.name if args.output else f"in.{args.template}"
    text = lammps_input(args.template, args.model, args.data, args.dipole, args.polarizability, name)
    if args.output:
        check_output(args.output, args.force)
    written = False
    if args.structure:
        from ..artifact import read_metadata
        from ..io.structures.single import read_structure

        atoms = read_structure(args.structure).repeat(tuple(args.repeat))
        data = structure_text(atoms, read_metadata(args.model).species)
        written = not (Path(args.data).is_file() and Path(args.data).read_bytes() == data.encode())
        if written:  # the file may be there already, from an input of another template
            check_output(args.data, args.force, [args.structure])
            with atomic_output(args.data, force=args.force) as temporary:
                Path(temporary).write_text(data)
    if args.output is None:
        print(text, end="")
        return
    with atomic_output(args.output, force=args.force) as temporary:
        Path(temporary).write_text(text)
    print(f"wrote {args.output}" + (f" and {args.data}" if written else ""))
    if args.structure and not written:
        print(f"{args.data} has this structure already")
