"""Any kind of data file to labelled structures: the kind is told from the name and the first bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import DataFileError, InputError
from ...structures import LABELS, LabelledStructure
from ...units import DIPOLE_UNITS, EPSILON_0, POLARIZABILITY_UNITS
from ..files import COMPRESSED, read_bytes
from ..series.collect import SUSCEPTIBILITY, UNIT_NAMES
from .abinit import read_abinit
from .ase_db import read_ase_db
from .espresso import read_espresso
from .extxyz import read_dataset
from .vasp import read_vasp

KINDS = {
    "extxyz": "extended xyz (also of GPUMD)",
    "ase-db": "database of ASE",
    "vasp": "VASP: OUTCAR or vasprun.xml",
    "espresso": "Quantum ESPRESSO: XML of pw.x",
    "abinit": "ABINIT: main output, DDB, _GSR.nc or _DDB.nc",
}
"""Kinds of files, with what they are."""


@dataclass(frozen=True)
class Source:
    """What came from one kind of files: their names, and how many structures."""

    kind: str
    files: tuple[Path, ...]
    structures: int


def kind_of(path: str | Path) -> str:
    """Return the kind of a file (a key of ``KINDS``).

    Raises
    ------
    DataFileError
        If it is missing or none of them.
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
    known = "; ".join(KINDS.values())
    raise DataFileError(f"{path}: not a kind of file that is known here. Known: {known}")


def read_structures(
    paths: Sequence[str | Path],
    keys: Mapping[str, str] | None = None,
    require: Sequence[str] = (),
    kind: str | None = None,
) -> tuple[list[LabelledStructure], list[Source]]:
    """Read files of any kind, one after the other.

    Runs of one geometry in electric fields belong together, and so do those of ABINIT, so all files of one DFT code are
    read at once, where the first of them stands.

    Parameters
    ----------
    paths : sequence of paths
    keys : mapping, optional
        Names of fields in extended xyz files and databases, as in :func:`tnep_calc.io.structures.extxyz.read_dataset`.
    require : sequence of str, optional
        Labels that every structure without electric field must have.
    kind : str, optional
        Kind of all files, a key of ``KINDS``, instead of what they look like.

    Returns
    -------
    structures : list of LabelledStructure
    sources : list of Source

    Raises
    ------
    DataFileError
        As the readers.
    InputError
        If `kind` or a label is unknown.
    """
    if kind is not None and kind not in KINDS:
        raise InputError(f"unknown kind of file '{kind}'; known: {', '.join(KINDS)}")
    for label in require:
        if label not in LABELS:
            raise InputError(f"unknown label '{label}'; known: {', '.join(LABELS)}")
    kinds = [(kind or kind_of(path), Path(path)) for path in paths]
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
        found = _read(name, files, keys, require)
        for structure in found:
            missing = [label for label in require if getattr(structure, label) is None]
            if missing and structure.electric_field is None:
                raise DataFileError(f"{structure.source}: has no {', '.join(missing)}, which every structure must have")
        structures += found
        sources.append(Source(name, tuple(files), len(found)))
    return structures, sources


def _read(kind, files, keys, require):
    if kind == "espresso":
        return read_espresso(files)
    if kind == "abinit":
        return read_abinit(files)
    if kind == "vasp":
        return read_vasp(files)
    (path,) = files
    reader = read_ase_db if kind == "ase-db" else read_dataset
    return reader(path, keys, require)


def convert_units(structures: Sequence[LabelledStructure], units: Mapping[str, str]) -> list[LabelledStructure]:
    """Return the structures with dipoles or polarizabilities converted to the units of the package.

    Parameters
    ----------
    structures : sequence of LabelledStructure
    units : mapping
        Unit of ``"dipole"`` (``e*A``, ``e*bohr``, ``debye``) or ``"polarizability"`` (``e*A^2/V``, ``A^3``, ``bohr^3``,
        or ``N*chi``: number of atoms times susceptibility); the shares of atoms are converted with them.

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
    """Return the structures with sources that name files without their folders (to be written into other files)."""
    shortened = []
    for s in structures:
        path, comma, place = s.source.rpartition(", ")
        path, place = (path, comma + place) if comma else (place, "")
        shortened.append(replace(s, source=Path(path).name + place))
    return shortened
