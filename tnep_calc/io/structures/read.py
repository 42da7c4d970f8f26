"""Read labelled structures from any kind of data file, recognized by its name and its first bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import DataFileError, InputError
from ...structures import LABELS, LabelledStructure
from ...units import DIPOLE_UNITS, EPSILON_0, POLARIZABILITY_UNITS
from ..files import COMPRESSED, read_bytes
from ..phonopy_files import is_phonopy_yaml
from ..series.collect import SUSCEPTIBILITY, UNIT_NAMES
from .abinit import read_abinit
from .ase_db import read_ase_db
from .displaced import read_displaced
from .espresso import read_espresso
from .extxyz import read_dataset
from .problems import Problems, collecting
from .vasp import read_vasp

KINDS = {
    "extxyz": "extended xyz (also of GPUMD)",
    "ase-db": "database of ASE",
    "vasp": "VASP: OUTCAR or vasprun.xml",
    "espresso": "Quantum ESPRESSO: XML of pw.x",
    "abinit": "ABINIT: main output, DDB, _GSR.nc or _DDB.nc",
    "phono3py": "phono3py or phonopy: displaced supercells with forces and energies (phono3py_params.yaml)",
}
"""Kinds of files, with descriptions."""


_OTHERS = {
    "Program PWSCF": "the text output of pw.x: give the XML file of the run (PREFIX.save/data-file-schema.xml)",
    "Program CP ": "the output of cp.x, which is not read: compute the labels with pw.x, and give its XML file",
    'NAME="QEXML"': "a data-file.xml of Quantum ESPRESSO before 6.2, which is not read: run pw.x of a newer version",
    "ekinc": "a table of the energies of cp.x (.evp), which has no structures",
    "CP2K|": "output of CP2K, which is not read as labels: convert it ('tnep series' reads its dipoles)",
    "Invoking FHI-aims": "output of FHI-aims, which is not read: convert it to extended xyz",
    "Entering Gaussian System": "output of Gaussian, which is not read: convert it to extended xyz",
    "* O   R   C   A *": "output of ORCA, which is not read: convert it to extended xyz",
    "Welcome to SIESTA": "output of SIESTA, which is not read: convert it to extended xyz",
    "CASTEP": "output of CASTEP, which is not read: convert it to extended xyz",
    "ITEM: TIMESTEP": "a dump of LAMMPS, a trajectory without labels: give it to 'tnep series' with models",
    "LAMMPS (": "a log of LAMMPS, which has no structures",
    "#CIF": "a CIF file, which has no labels",
    "data_": "a CIF file, which has no labels",
}
"""Other programs' files: what their first lines contain, and what to do with them."""


@dataclass(frozen=True)
class Source:
    """Files of one kind that were read together, and the number of structures read from them."""

    kind: str
    files: tuple[Path, ...]
    structures: int


def kind_of(path: str | Path) -> str:
    """Return the kind of a file (a key of ``KINDS``).

    Raises
    ------
    DataFileError
        If the file is missing or of an unknown kind.
    """
    path = Path(path)
    suffix = Path(path.stem).suffix if path.suffix.lower() in COMPRESSED else path.suffix
    if suffix.lower() in (".db", ".json"):
        return "ase-db"
    head = read_bytes(path)[:2000]
    if head.startswith((b"\x89HDF", b"CDF")):
        return "abinit"
    text = head.decode("utf-8", "replace")
    start = text.lstrip()
    if start.startswith("<"):
        if "espresso" in text:
            return "espresso"
        if "<modeling" in text:
            return "vasp"
    elif start.split("\n", 1)[0].strip().isdecimal():
        return "extxyz"
    elif start.startswith("vasp."):
        return "vasp"
    elif "DERIVATIVE DATABASE" in text or "of ABINIT" in text:
        return "abinit"
    elif is_phonopy_yaml(path) and start.startswith(("phono3py:", "phonopy:")):
        return "phono3py"
    for sign, words in _OTHERS.items():
        if sign in text:
            raise DataFileError(f"{path}: is {words}")
    known = "; ".join(KINDS.values())
    raise DataFileError(f"{path}: unknown kind of file; known: {known}")


def read_structures(
    paths: Sequence[str | Path],
    keys: Mapping[str, str] | None = None,
    require: Sequence[str] = (),
    kind: str | None = None,
    problems: Problems | None = None,
) -> tuple[list[LabelledStructure], list[Source]]:
    """Read files of any kind.

    All files of one DFT code are read together, at the place of the first one, because several of them may belong to
    one geometry (runs in electric fields, and the files of ABINIT).

    Parameters
    ----------
    paths : sequence of paths
    keys : mapping, optional
        Names of fields in extended xyz files and databases, as in :func:`tnep_calc.io.structures.extxyz.read_dataset`.
    require : sequence of str, optional
        Labels that every structure at zero field must have.
    kind : str, optional
        Kind of all files, a key of ``KINDS``. Default: recognized from each file.
    problems : Problems, optional
        Collects the errors of inputs that cannot be used, which are then left out. By default one error is raised for
        all of them.

    Returns
    -------
    structures : list of LabelledStructure
    sources : list of Source

    Raises
    ------
    DataFileError
        If a file cannot be read, or a structure lacks a required label.
    InputError
        If `kind` or a label is unknown.
    """
    if kind is not None and kind not in KINDS:
        raise InputError(f"unknown kind of file '{kind}'; known: {', '.join(KINDS)}")
    for label in require:
        if label not in LABELS:
            raise InputError(f"unknown label '{label}'; known: {', '.join(LABELS)}")
    bad = Problems() if problems is None else problems
    kinds = []
    for path in paths:
        with collecting(bad):
            kinds.append((kind or kind_of(path), Path(path)))
    groups: list[tuple[str, list[Path]]] = []
    for name, path in kinds:
        together = next((g for g in groups if g[0] == name in ("espresso", "abinit", "vasp")), None)
        if together:
            together[1].append(path)
        else:
            groups.append((name, [path]))
    structures: list[LabelledStructure] = []
    sources: list[Source] = []
    for name, files in groups:
        good = []
        for structure in _read(name, files, keys, require, bad):
            with collecting(bad):
                missing = [label for label in require if getattr(structure, label) is None]
                if missing and structure.electric_field is None:
                    words = ", ".join(missing)
                    raise DataFileError(f"{structure.source}: has no {words}, which every structure must have")
                good.append(structure)
        structures += good
        sources.append(Source(name, tuple(files), len(good)))
    if problems is None and bad.messages:
        raise bad.error()
    return structures, sources


def _read(kind, files, keys, require, problems):
    together = {"espresso": read_espresso, "abinit": read_abinit, "vasp": read_vasp}
    if kind in together:
        return together[kind](files, problems)
    (path,) = files
    with collecting(problems):
        if kind == "phono3py":
            return read_displaced(path)
        return read_ase_db(path, keys, require) if kind == "ase-db" else read_dataset(path, keys, require)
    return []


def convert_units(structures: Sequence[LabelledStructure], units: Mapping[str, str]) -> list[LabelledStructure]:
    """Return the structures with dipoles or polarizabilities converted to the units of the package.

    Parameters
    ----------
    structures : sequence of LabelledStructure
    units : mapping
        Unit of ``"dipole"`` (``e*A``, ``e*bohr``, ``debye``) or ``"polarizability"`` (``e*A^2/V``, ``A^3``, ``bohr^3``,
        or ``N*chi``: number of atoms times susceptibility). Atomic dipoles and polarizabilities are converted too.

    Raises
    ------
    InputError
        If a label or unit is unknown, or ``N*chi`` is the unit of a structure without cell.
    """
    for label, unit in units.items():
        if label not in UNIT_NAMES:
            raise InputError(f"units can be given for {' and '.join(UNIT_NAMES)}, not for '{label}'")
        if unit not in UNIT_NAMES[label]:
            raise InputError(f"unknown unit '{unit}' of the {label}; known: {', '.join(UNIT_NAMES[label])}")
    converted = []
    for s in structures:
        labels = {}
        for label, unit in units.items():
            for name in (label, f"atomic_{label}"):
                value = getattr(s, name)
                if value is not None:
                    labels[name] = value * _factor(s, label, unit)
        converted.append(replace(s, **labels))
    return converted


def _factor(s, label, unit):
    if unit != SUSCEPTIBILITY:
        return (DIPOLE_UNITS if label == "dipole" else POLARIZABILITY_UNITS)[unit]
    if not s.volume:
        raise InputError(f"{s.source}: has no cell, so its polarizability cannot be in {unit}")
    return EPSILON_0 * s.volume / len(s)


def without_paths(structures: Sequence[LabelledStructure]) -> list[LabelledStructure]:
    """Return the structures with file names without folders in their sources."""
    shortened = []
    for s in structures:
        path, comma, place = s.source.rpartition(", ")
        path, place = (path, comma + place) if comma else (place, "")
        shortened.append(replace(s, source=Path(path).name + place))
    return shortened
