"""``tnep data``: convert, merge and check labelled structures, and describe them on an HTML page."""

from __future__ import annotations

import logging
import sys
from dataclasses import asdict
from pathlib import Path

from ..errors import InputError

LISTED = 10
"""Largest number of structures listed for one finding."""

EPILOG = """\
Inputs may be extended xyz (also GPUMD's), ASE databases, VASP (OUTCAR or vasprun.xml, with LEPSILON or LCALCEPS),
Quantum ESPRESSO (XML of pw.x), ABINIT (main output, DDB, _GSR.nc, _DDB.nc), and displaced supercells with forces of
phono3py or phonopy (phono3py_params.yaml). Files that end in .gz, .bz2 or .xz are decompressed. The output is
extended xyz in eV, A, e and V/A, with energy, forces, stress, dipole (e*A per cell, folded), born_charges [atom,
dipole component, displacement component], polarizability (e*A^2/V per cell) and electric_field.

Runs of one geometry in several finite electric fields form a set. The structure at E = 0 gets the polarizability and
the Born charges from finite differences. Each run in a field becomes a structure with electric_field, dipole, forces,
and the enthalpy U - E.P as its energy.
  Quantum ESPRESSO  lelfield = .true., at E = 0 with efield_cart = 0 0 0
  ABINIT            berryopt = 4, at E = 0 berryopt = -1; files of the same geometry are merged
  VASP              OUTCAR with EFIELD_PEAD, at E = 0 with LCALCPOL; forces in a field are not read: use LCALCEPS

examples:
  tnep data train.extxyz SiO2-*.xml                    four XML files per structure
  tnep data train.extxyz fields.abo E*/OUTCAR          all fields in one ABINIT output, one OUTCAR per field
  tnep data all.extxyz old.extxyz run*/OUTCAR.xz bn.db
  tnep data all.extxyz run*/OUTCAR --skip-bad          lists the files that cannot be used, and goes on
  tnep data all.extxyz chi.db --key susceptibility=chi_dft
  tnep data qm7b.extxyz test.xyz.gz --unit dipole=e*bohr --unit polarizability=bohr^3
  tnep data --check all.extxyz                         duplicates, units, sum rules, polarization jumps, outliers
  tnep data --report all.html all.extxyz               the same on a page, with histograms
"""


def add_arguments(parser):
    """Declare the arguments."""
    from ..io.structures.read import KINDS

    parser.epilog = EPILOG
    parser.usage = "tnep data OUT.extxyz IN [IN ...] [options] | --check IN [IN ...] | --report PAGE.html IN [IN ...]"
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="output (unless checking), then inputs")
    parser.add_argument("--check", action="store_true", help="only print what looks wrong (exit status 1 after errors)")
    parser.add_argument("--report", type=Path, metavar="PAGE.html", help="only write a page about the inputs")
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
        help="label that every structure at zero field must have (repeatable)",
    )
    parser.add_argument("--kind", choices=sorted(KINDS), help="kind of the inputs (default: found from their content)")
    parser.add_argument(
        "--skip-bad", action="store_true", help="list inputs that cannot be used, and go on with the others"
    )
    parser.add_argument("--force", action="store_true", help="overwrite the output")


def run(args):
    """Convert, check or report."""
    from ..io.files import check_output

    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    if not args.check and not args.report:
        _convert(args)
        return 0
    if args.report:
        check_output(args.report, args.force, args.files)
    structures, _ = _read(args, args.files)
    if args.report:
        from ..datasets.report import write_data_report

        write_data_report(args.report, structures, ", ".join(path.name for path in args.files[:3]), args.force)
        print(f"{len(structures)} structures described in {args.report}")
    args.numbers["structures"] = len(structures)
    return _check(args, structures) if args.check else 0


def _read(args, paths):
    from ..io.structures.problems import Problems
    from ..io.structures.read import convert_units, read_structures

    keys, units = (dict(_pair(option, text) for text in getattr(args, option)) for option in ("key", "unit"))
    problems = Problems()
    structures, sources = read_structures(paths, keys, args.require, args.kind, problems)
    bad = problems.messages
    if len(bad) == 1 and not args.skip_bad:
        raise problems.error()
    for message in bad:
        print(f"cannot be used: {message}", file=sys.stderr)
    if bad and not args.skip_bad:
        raise InputError(
            f"{len(bad)} inputs cannot be used (listed above), so nothing was written: mend them, or leave them out "
            "with --skip-bad"
        )
    if not structures:
        raise InputError("no input can be used")
    return convert_units(structures, units), sources


def _convert(args):
    from ..io.files import check_output
    from ..io.structures.extxyz import write_dataset
    from ..io.structures.read import without_paths

    output, *inputs = args.files
    if not inputs:
        raise InputError("give an output file and at least one input, or use --check or --report to inspect files")
    if output.suffix not in (".extxyz", ".xyz"):
        raise InputError(f"{output}: the output comes first, and its name must end in .extxyz (or .xyz)")
    check_output(output, args.force, inputs)
    structures, sources = _read(args, inputs)
    write_dataset(output, without_paths(structures), args.force)
    labels = _labels(structures)
    for line in _lines(labels, sources):
        print(line)
    print(f"{len(structures)} structures in {output}; 'tnep data --check {output}' checks them")
    args.numbers.update(
        structures=len(structures),
        labels=labels,
        sources=[{"files": s.files, "kind": s.kind, "structures": s.structures} for s in sources],
        output=output,
    )


def _check(args, structures):
    from ..datasets.checks import check_structures, summary

    findings = check_structures(structures)
    args.numbers["findings"] = [asdict(finding) for finding in findings]
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


def _labels(structures):
    """Return the number of structures with each label, without zeros."""
    from ..structures import LABELS

    counts = {label: sum(getattr(s, label) is not None for s in structures) for label in (*LABELS, "electric_field")}
    return {label: count for label, count in counts.items() if count}


def _lines(labels, sources):
    from ..io.structures.read import KINDS

    for source in sources:
        files = f"{len(source.files)} files" if len(source.files) > 1 else str(source.files[0])
        yield f"{source.structures:6d}  {files} ({KINDS[source.kind]})"
    for label, count in labels.items():
        yield f"{count:6d}  with {label}"
