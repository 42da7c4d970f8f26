"""``tnep export``: turn a nep.txt, or the mean of several models, into an artifact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import InputError
from ..io.files import check_output

_EPILOG = """
A nep.txt does not say in which unit a dipole or polarizability was trained. Published models differ: many are in
e*bohr and bohr^3 (atomic units), and tutorials for susceptibilities use N*chi. Give the unit once, here. ASE and LAMMPS
then get e*A and e*A^2/V.

Several models of the electric enthalpy, trained from one configuration with different seeds, are exported as one
model that predicts their mean, which is more accurate than each of them. It computes neighbours and densities once for
all of them, and runs wherever a single model runs.

An artifact serves both precisions: 'dtype=' of TNEPCalculator and 'precision' of LAMMPS choose. --dtype states the one
that LAMMPS uses if the input asks for none.

With --data the artifact stores the range of the atomic environments in the training data, so that ASE, LAMMPS and
'tnep predict' say when a structure is outside of it. 'tnep train' does this for its models.

examples:
  tnep export nep.txt model.pt
  tnep export member1/model.pt member2/model.pt member3/model.pt mean.pt
  tnep export dipole/nep.txt dipole.pt --unit e*bohr
  tnep export nep.txt fast.pt --dtype float32
  tnep export nep.txt model.pt --data train.xyz
  tnep export quartz/model.pt fast.pt --dtype float32
"""


def add_arguments(parser):
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "source",
        type=Path,
        nargs="+",
        help="nep.txt of GPUMD or of 'tnep train' (plain or .gz), artifacts of two or more enthalpy models, or one "
        "artifact with --dtype or --data",
    )
    parser.add_argument("artifact", type=Path, help="file to write, e.g. model.pt")
    parser.add_argument(
        "--dtype",
        choices=("float64", "float32"),
        help="precision in LAMMPS unless its input says 'precision' (default: float64 for a nep.txt)",
    )
    parser.add_argument(
        "--data", type=Path, nargs="+", metavar="FILE", help="training data, whose range the artifact then stores"
    )
    parser.add_argument(
        "--unit",
        help="unit of the training data: e*A (default), e*bohr, debye for a dipole; "
        "e*A^2/V (default), A^3, bohr^3, N*chi for a polarizability",
    )
    parser.add_argument(
        "--model-type",
        choices=("potential", "dipole", "polarizability"),
        help="kind of a nep.txt written before mid-2023, whose first line does not say it",
    )
    parser.add_argument("--force", action="store_true", help="overwrite the artifact if it exists")


def run(args):
    """Export, and print what the artifact predicts."""
    from ..artifact import export_artifact, is_artifact
    from ..artifact.enthalpy import export_mean
    from ..io.gpumd.nep_txt import read_nep

    check_output(args.artifact, args.force, inputs=[*args.source, *(args.data or [])])
    if len(args.source) == 1 and is_artifact(args.source[0]):
        metadata = _change(args)
    elif len(args.source) == 1:
        parameters = read_nep(args.source[0], args.model_type)
        known = _range(args.data, parameters.species, parameters.cutoff)
        origin = {"source": args.source[0].name}
        metadata = export_artifact(parameters, args.artifact, args.dtype or "float64", args.unit, None, origin, known)
    else:
        given = [
            f"--{name.replace('_', '-')}" for name in ("dtype", "data", "unit", "model_type") if getattr(args, name)
        ]
        if given:
            raise InputError(f"{', '.join(given)}: not for a mean, which takes it from its models")
        metadata = export_mean(args.source, args.artifact)
    names = ("family", "kind", "dtype", "cutoff", "species", "quantities", "units")
    args.numbers.update({name: getattr(metadata, name) for name in names}, artifact=args.artifact)
    what = f"{metadata.family} {metadata.kind}"
    if len(args.source) > 1:
        what = f"{metadata.kind}, mean of {len(args.source)} models"
    print(f"{args.artifact}: {what}, {metadata.dtype}, cutoff {metadata.cutoff:g} Å")
    print(f"  species    {' '.join(metadata.species)}")
    print(f"  quantities {' '.join(metadata.quantities)}")
    if metadata.kind in metadata.units:
        print(f"  unit       {metadata.units[metadata.kind]}")
    if metadata.training_range is not None:
        print(f"  range      of {metadata.training_range['structures']} training structures")


def _range(files, species, cutoff):
    """Return the range of the training data in some files as a table, or None without files."""
    from ..artifact.training_range import TrainingRange
    from ..io.structures.read import read_structures

    return TrainingRange.of(read_structures(files)[0], species, cutoff).table() if files else None


def _change(args):
    """Write an artifact for another precision, or with the range of training data, and return its metadata."""
    from ..artifact import in_precision, save_artifact
    from ..artifact.archive import load_stored

    (source,) = args.source
    given = [f"--{name.replace('_', '-')}" for name in ("unit", "model_type") if getattr(args, name)]
    if given:
        raise InputError(f"{', '.join(given)}: only for a nep.txt, but {source} is an artifact, which states it")
    if not (args.dtype or args.data):
        raise InputError(
            f"{source} is an artifact already: give a nep.txt, several models for a mean, or --dtype or --data"
        )
    model = load_stored(source)
    if args.dtype:
        model = in_precision(model, "float64")
        model = replace(model, metadata=replace(model.metadata, dtype=args.dtype))
    if args.data:
        known = _range(args.data, model.metadata.species, model.metadata.cutoff)
        model = replace(model, metadata=replace(model.metadata, training_range=known))
    save_artifact(model, args.artifact)
    return model.metadata
