"""``tnep data``: convert and merge labelled structures, check them, and describe them in a page."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from ..errors import InputError

LISTED = 10
"""Structures that are listed below a finding."""

EPILOG = """\
Files of any kind are read: extended xyz (also GPUMD's), databases of ASE, VASP (OUTCAR or vasprun.xml, with LEPSILON or
LCALCEPS), Quantum ESPRESSO (XML of pw.x) and ABINIT (main output, DDB, _GSR.nc, _DDB.nc); .gz, .bz2 and .xz are
unpacked. The output is extended xyz in eV, A, e, V/A: energy, forces, stress, dipole (e*A per cell, folded),
born_charges [atom, dipole component, displacement component], polarizability (e*A^2/V per cell), electric_field.

Runs of one geometry in finite electric fields form a set: that at E = 0 gets the polarizability and Born charges by
differences, and those in fields become structures with electric_field, dipole, forces, and the enthalpy U - E.P.
  Quantum ESPRESSO  lelfield = .true., at E = 0 with efield_cart = 0 0 0
  ABINIT            berryopt = 4, at E = 0 berryopt = -1; files of the same geometry are merged
  VASP              OUTCAR with EFIELD_PEAD, at E = 0 with LCALCPOL; forces in a field are left out: use LCALCEPS

examples:
  tnep data train.extxyz SiO2-*.xml                    four XML files per structure
  tnep data train.extxyz fields.abo E*/OUTCAR          all fields in one ABINIT output, one OUTCAR per field
  tnep data all.extxyz old.extxyz run*/OUTCAR.xz bn.db
  tnep data all.extxyz chi.db --key susceptibility=chi_dft
  tnep data qm7b.extxyz test.xyz.gz --unit dipole=e*bohr --unit polarizability=bohr^3
  tnep data --check all.extxyz                         duplicates, units, sum rules, polarization jumps, outliers
  tnep data --report all.html all.extxyz               the same in a page, with histograms
"""


def add_arguments(parser):
    """Declare the arguments."""
    from ..io.structures.read import KINDS

    parser.epilog = EPILOG
    parser.usage = "tnep data OUT.extxyz IN [IN ...] [options] | --check IN [IN ...] | --report PAGE.html IN [IN ...]"
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="output (unless checking), then inputs")
    parser.add_argument("--check", action="store_true", help="write nothing, print what looks wrong (status 1: errors)")
    parser.add_argument("--report", type=Path, metavar="PAGE.html", help="write a page about the inputs instead")
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="FIELD=NAME",
        help="name of a field in extended xyz files and databases, e.g. energy=dft_energy (repeatable)",
    )
    parser.add_argument(
        "--unit",
        action="append",
        default=[],
        metavar="LABEL=UNIT",
        help="unit of the inputs: dipole=debye or e*bohr, polarizability=bohr^3, A^3 or N*chi (repeatable)",
    )
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="LABEL",
        help="label that every structure without field must have (repeatable)",
    )
    parser.add_argument("--kind", choices=sorted(KINDS), help="kind of the inputs, instead of what they look like")
    parser.add_argument("--force", action="store_true", help="overwrite the output")


def run(args):
    """Convert, check or report."""
    from ..io.files import check_output

    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    if not args.check and not args.report:
        _convert(args)
        return 0
    if args.report:
        check_output(args.report, args.force)
    structures, _ = _read(args, args.files)
    if args.report:
        from ..datasets.report import write_data_report

        write_data_report(args.report, structures, ", ".join(path.name for path in args.files[:3]), args.force)
        print(f"{len(structures)} structures described in {args.report}")
    return _check(structures) if args.check else 0


def _read(args, paths):
    from ..io.structures.read import convert_units, read_structures

    keys, units = (dict(_pair(option, text) for text in getattr(args, option)) for option in ("key", "unit"))
    structures, sources = read_structures(paths, keys, args.require, args.kind)
    return convert_units(structures, units), sources


def _convert(args):
    from ..io.files import check_output
    from ..io.structures.extxyz import write_dataset
    from ..io.structures.read import without_paths

    output, *inputs = args.files
    if not inputs:
        raise InputError("give an output file and at least one input; to look at a file: --check or --report")
    if output.suffix not in (".extxyz", ".xyz"):
        raise InputError(f"{output}: the output comes first, and its name must end in .extxyz (or .xyz)")
    check_output(output, args.force)
    structures, sources = _read(args, inputs)
    write_dataset(output, without_paths(structures), args.force)
    for line in _lines(structures, sources):
        print(line)
    print(f"{len(structures)} structures in {output}; 'tnep data --check {output}' looks for mistakes")


def _check(structures):
    from ..datasets.checks import check_structures, summary

    findings = check_structures(structures)
    for finding in findings:
        print(finding)
        for source in finding.sources[1:LISTED]:
            print(f"    {source}")
        if len(finding.sources) > LISTED:
            print(f"    and {len(finding.sources) - LISTED} more")
    print(summary(len(structures), findings).split("; '")[0])
    return int(any(finding.level == "error" for finding in findings))


def _pair(option, text):
    field, sign, name = text.partition("=")
    if not (field and sign and name):
        raise InputError(f"--{option} must be {'FIELD=NAME' if option == 'key' else 'LABEL=UNIT'}, found '{text}'")
    return field, name


def _lines(structures, sources):
    from ..io.structures.read import KINDS
    from ..structures import LABELS

    for source in sources:
        files = f"{len(source.files)} files" if len(source.files) > 1 else str(source.files[0])
        yield f"{source.structures:6d}  {files} ({KINDS[source.kind]})"
    for label in (*LABELS, "electric_field"):
        count = sum(getattr(s, label) is not None for s in structures)
        if count:
            yield f"{count:6d}  with {label}"
