"""``tnep export``: nep.txt -> artifact."""

from __future__ import annotations

from pathlib import Path

from ..io.files import check_output

_EPILOG = """
A nep.txt does not say in which unit a dipole or polarizability was trained. Published models differ: many are in
e*bohr and bohr^3 (atomic units), tutorials for susceptibilities use N*chi. Give the unit once, here; ASE and LAMMPS
then get e*A and e*A^2/V.

examples:
  tnep export nep.txt model.pt
  tnep export dipole/nep.txt dipole.pt --unit e*bohr
  tnep export nep.txt fast.pt --dtype float32
"""


def add_arguments(parser):
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("source", type=Path, help="nep.txt of GPUMD or of 'tnep train' (plain or .gz)")
    parser.add_argument("artifact", type=Path, help="file to write, e.g. model.pt")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="arithmetic (float64)")
    parser.add_argument(
        "--unit", help="unit of the training data: e*A (default), e*bohr, debye for a dipole; "
        "e*A^2/V (default), A^3, bohr^3, N*chi for a polarizability",
    )  # fmt: skip
    parser.add_argument(
        "--model-type", choices=("potential", "dipole", "polarizability"),
        help="kind of a model written before mid-2023, whose first line does not tell it",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="overwrite the artifact if it exists")


def run(args):
    """Export and print what the artifact gives."""
    from ..artifact import export_artifact

    check_output(args.artifact, args.force)
    metadata = export_artifact(args.source, args.artifact, dtype=args.dtype, unit=args.unit, model_type=args.model_type)
    print(f"{args.artifact}: {metadata.family} {metadata.kind}, {metadata.dtype}, cutoff {metadata.cutoff:g} Å")
    print(f"  species    {' '.join(metadata.species)}")
    print(f"  quantities {' '.join(metadata.quantities)}")
    if metadata.kind != "potential":
        print(f"  unit       {metadata.units[metadata.kind]}")
