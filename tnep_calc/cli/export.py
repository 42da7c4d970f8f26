"""``tnep export``: nep.txt, or the mean of several models -> artifact."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ..errors import InputError
from ..io.files import check_output

_EPILOG = """
A nep.txt does not say in which unit a dipole or polarizability was trained. Published models differ: many are in
e*bohr and bohr^3 (atomic units), tutorials for susceptibilities use N*chi. Give the unit once, here; ASE and LAMMPS
then get e*A and e*A^2/V.

Several models of the electric enthalpy, trained from one configuration with different seeds, become their mean, which
is more accurate than each of them: it shares neighbours and densities, and runs wherever one model does.

examples:
  tnep export nep.txt model.pt
  tnep export member1/model.pt member2/model.pt member3/model.pt mean.pt
  tnep export dipole/nep.txt dipole.pt --unit e*bohr
  tnep export nep.txt fast.pt --dtype float32
"""


def add_arguments(parser):
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "source",
        type=Path,
        nargs="+",
        help="nep.txt of GPUMD or of 'tnep train' (plain or .gz), or artifacts of two or more enthalpy models",
    )
    parser.add_argument("artifact", type=Path, help="file to write, e.g. model.pt")
    parser.add_argument(
        "--dtype", choices=("float64", "float32"), help="arithmetic (float64; of a mean that of its models)"
    )
    parser.add_argument(
        "--unit",
        help="unit of the training data: e*A (default), e*bohr, debye for a dipole; "
        "e*A^2/V (default), A^3, bohr^3, N*chi for a polarizability",
    )
    parser.add_argument(
        "--model-type",
        choices=("potential", "dipole", "polarizability"),
        help="kind of a model written before mid-2023, whose first line does not tell it",
    )
    parser.add_argument("--force", action="store_true", help="overwrite the artifact if it exists")


def run(args):
    """Export and print what the artifact gives."""
    from ..artifact import export_artifact
    from ..artifact.enthalpy import export_mean

    check_output(args.artifact, args.force)
    if len(args.source) == 1:
        if zipfile.is_zipfile(args.source[0]):
            raise InputError(f"{args.source[0]}: an artifact already; several make a mean, one is what it is")
        metadata = export_artifact(
            args.source[0], args.artifact, args.dtype or "float64", unit=args.unit, model_type=args.model_type
        )
    else:
        given = [f"--{name.replace('_', '-')}" for name in ("dtype", "unit", "model_type") if getattr(args, name)]
        if given:
            raise InputError(f"{', '.join(given)}: only for a nep.txt; a mean has what its models have")
        metadata = export_mean(args.source, args.artifact)
    what = f"{metadata.family} {metadata.kind}"
    if len(args.source) > 1:
        what = f"{metadata.kind}, mean of {len(args.source)} models"
    print(f"{args.artifact}: {what}, {metadata.dtype}, cutoff {metadata.cutoff:g} Å")
    print(f"  species    {' '.join(metadata.species)}")
    print(f"  quantities {' '.join(metadata.quantities)}")
    if metadata.kind in metadata.units:
        print(f"  unit       {metadata.units[metadata.kind]}")
