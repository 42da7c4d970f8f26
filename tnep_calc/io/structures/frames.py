"""Frames of (extended) xyz files, checked before ASE's parser sees them.

ASE's reader stops at an empty line, accepts rows with too many columns, and is case-sensitive about keys.  This module
finds all frames, checks the number of rows and columns, and changes the keys of headers to those that ASE expects.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataFileError
from ...structures import FIELDS
from ...units import BOHR, HARTREE
from ..content import check_nesting
from ..files import reading

MAX_COLUMNS = 1000
"""Largest number of columns of one row."""

_COUNT = re.compile(r"\d{1,12}$")
_PAIR = re.compile(r"""(?P<key>[^\s="']+)\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<plain>\S+))""")
_NAMES = {"lattice": "Lattice", "properties": "Properties", "pbc": "pbc"}
_KINDS = {"s": "S", "r": "R", "i": "I", "l": "L"}
_UNIT_KEY = re.compile(r"(?:units?[-_](?P<after>.+)|(?P<before>.*?)[-_]?units?)$")

_ENERGY = {
    "ev": 1.0,
    "hartree": HARTREE,
    "ha": HARTREE,
    "eh": HARTREE,
    "au": HARTREE,
    "a.u.": HARTREE,
    "rydberg": HARTREE / 2,
    "ry": HARTREE / 2,
    "mev": 1e-3,
}
_LENGTH = {"a": 1.0, "å": 1.0, "ang": 1.0, "angstrom": 1.0, "bohr": BOHR, "a0": BOHR, "au": BOHR, "a.u.": BOHR}
UNITS: dict[str, Mapping[str, float]] = {
    "energy": _ENERGY,
    "forces": {f"{e}/{x}": e_in / x_in for e, e_in in _ENERGY.items() for x, x_in in _LENGTH.items()}
    | {"au": HARTREE / BOHR, "a.u.": HARTREE / BOHR},
}
"""Units that a header may state for a label and that are converted, with their values in eV and Å."""
_A = ("å", "angstrom", "ang", "a")
_DIPOLE = tuple(f"e{times}{a}" for times in ("*", "", " ") for a in _A)
_POLARIZABILITY = tuple(f"e{times}{a}^2/v" for times in ("*", "", "^2*") for a in _A)
_OURS = {
    "energy": ("ev",),
    "forces": tuple(f"ev/{a}" for a in _A),
    "length": _A,
    "position": _A,
    "time": ("fs",),
    "virial": ("ev",),
    "stress": tuple(f"ev/{a}{power}" for a in _A for power in ("^3", "3", "³")),
    "dipole": _DIPOLE,
    "atomic_dipole": _DIPOLE,
    "born_charges": ("e", "|e|", "1"),
    "polarizability": _POLARIZABILITY,
    "atomic_polarizability": _POLARIZABILITY,
    "polarizability_gradient": tuple(f"e{times}{a}/v" for times in ("*", "", "^2*") for a in _A),
    "epsilon_inf": ("1", "dimensionless"),
    "susceptibility": ("1", "dimensionless"),
    "epsilon_gradient": tuple(f"1/{a}" for a in _A),
    "electric_field": tuple(f"v/{a}" for a in _A),
    "charge": ("e", "|e|", "1"),
}
"""The units of the package."""
_OPTIONS = ("dipole", "polarizability")  # the units that 'tnep data' converts
_SYSTEMS = ("metal", "ase", "ev", "ev,å", "ev,a", "ev,ang", "ev,angstrom", "angstrom")  # values of ``units`` as a whole
_PLACES = {"position": ("pos", "positions", "coords", "coordinates", "lattice", "cell", "distance"), "time": ("dt",)}
_QUANTITIES = {key: name for name, keys in (FIELDS | _PLACES).items() for key in (name, *keys)} | {
    "length": "length",
    "field": "electric_field",
    "efield": "electric_field",
    "epsilon": "epsilon_inf",
    "eps": "epsilon_inf",
}
"""Names of quantities in keys such as ``forces_unit``, and what they mean."""


@dataclass(frozen=True)
class Frame:
    """One frame of a file.

    Attributes
    ----------
    line : int
        Line with the number of atoms, counted from 1.
    text : str
        Number of atoms, header and rows, in the form that ASE reads.
    header : dict of str to str
        Values of the header by key, in lower case.
    factors : dict of str to float
        Factors that convert labels to the package's units, for labels with another unit in the header.
    """

    line: int
    text: str
    header: dict[str, str]
    factors: dict[str, float]


def frames_of(path: str | Path, text: str) -> Iterator[Frame]:
    """Yield the frames of an (extended) xyz file.

    Parameters
    ----------
    path : path
        File, for messages.
    text : str
        Content of the file.  Empty lines between frames are skipped.

    Raises
    ------
    DataFileError
        If a frame has fewer rows than its number of atoms, a row has another number of columns than the header says, or
        the header names an unknown unit; the message names the line.
    """
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        first = lines[at].strip()
        if not _COUNT.match(first):
            raise DataFileError(f"{path}, line {at + 1}: expected the number of atoms of a frame, found {first[:60]!r}")
        count = int(first)
        if count > len(lines) - at - 2:
            left = max(0, len(lines) - at - 2)
            raise DataFileError(f"{path}, line {at + 1}: a frame of {count} atoms, but {left} lines follow its header")
        rows = lines[at + 2 : at + 2 + count]
        where = f"{path}, line {at + 2}"
        with reading(where, "a header of extended xyz"):
            check_nesting(lines[at + 1])
        header, pairs = read_header(lines[at + 1], where)
        _check_rows(path, at + 3, rows, _columns(pairs.get("properties"), where))
        yield Frame(at + 1, "\n".join([first, header, *rows, ""]), pairs, unit_factors(pairs, where))
        at += 2 + count


def read_header(line: str, where: str) -> tuple[str, dict[str, str]]:
    """Return the second line of a frame with the keys that ASE expects, and its values by key in lower case.

    Parameters
    ----------
    line : str
    where : str
        File and line, for messages.

    Raises
    ------
    DataFileError
        If a key has two different values.
    """
    pairs: dict[str, str] = {}

    def known(match):
        key = match["key"].lower()
        value = next(v for v in (match["double"], match["single"], match["plain"]) if v is not None)
        if match["plain"] is not None:
            value = value.rstrip(",")  # "i = 1, time = 0.5, E = -17.2" of CP2K
        if pairs.setdefault(key, value) != value:
            raise DataFileError(f"{where}: {key} is given twice, as {pairs[key][:40]!r} and {value[:40]!r}")
        if key not in _NAMES:
            return match[0]
        if key == "pbc":
            value = " ".join(_truth(word) for word in re.split(r"[\s,]+", value.strip("[] ")))
        if key == "properties":
            words = value.split(":")
            words[1::3] = [_KINDS.get(word.lower(), word) for word in words[1::3]]
            value = ":".join(words)
        return f'{_NAMES[key]}="{value}"'

    return _PAIR.sub(known, line), pairs


def _truth(word):
    return {"t": "T", "true": "T", "1": "T", "f": "F", "false": "F", "0": "F"}.get(word.lower(), word)


def _columns(properties, where):
    """Return the number of columns of a row, or None if the header does not say it."""
    if properties is None:
        return None
    words = properties.split(":")
    widths = words[2::3]
    if len(words) % 3 or not all(word.isdecimal() and 0 < int(word) <= MAX_COLUMNS for word in widths):
        raise DataFileError(f"{where}: Properties must be name:type:columns triples, found {properties[:80]!r}")
    return sum(map(int, widths))


def _check_rows(path, start, rows, columns):
    for k, row in enumerate(rows):
        found = len(row.split())
        if found == 0 or (columns is not None and found != columns) or (columns is None and found < 4):
            expected = f"{columns} columns, as Properties says" if columns is not None else "a symbol and three numbers"
            raise DataFileError(f"{path}, line {start + k}: expected {expected}, found {found} columns")


def unit_factors(pairs: Mapping[str, str], where: str, free: Collection[str] = ()) -> dict[str, float]:
    """Return the factors that convert labels to eV and Å, by label, for those whose unit the header states.

    Parameters
    ----------
    pairs : mapping of str to str
        Values of a header by key in lower case.
    where : str
        File and line, for messages.
    free : collection of str, optional
        Quantities that may have any unit.

    Raises
    ------
    DataFileError
        If a unit is unknown, or is not that of the package and cannot be converted.
    """
    factors: dict[str, float] = {}
    for key, value in pairs.items():
        match = _UNIT_KEY.match(key)
        if match is None:
            continue
        words, unit = match["after"] or match["before"], value.strip().lower().replace("angstroms", "angstrom")
        if not words and re.sub(r"[\s/]+|, *", ",", unit) not in _SYSTEMS:
            raise DataFileError(f"{where}: {key}={value} is not eV and Å: convert the values")
        what = _quantity(words)
        if what in free:
            continue
        exact = what is not None and words in (what, f"{what}s", what.removesuffix("s"))
        known = UNITS.get(str(what), {}) if exact else {}
        if known and unit not in known:
            raise DataFileError(f"{where}: unknown unit {value!r} of the {what}; known: {', '.join(known)}")
        if known:
            factors |= {str(what): known[unit]} if known[unit] != 1.0 else {}
        elif what is not None and unit not in _OURS[what]:
            other = f", or remove this key and use 'tnep data --unit {what}=UNIT'" if what in _OPTIONS else ""
            expected = _OURS[what][0].replace("å", "Å").replace("v", "V")
            raise DataFileError(f"{where}: {key} is {value!r}, expected {expected}: convert the values{other}")
    return factors


def _quantity(words):
    """Return the quantity that the name of a unit is for, e.g. ``energy`` of ``ref_energy``; None if it is unknown."""
    for name in (words, words.removesuffix("s")):
        for key in sorted(_QUANTITIES, key=len, reverse=True):
            if name == key or name.endswith((f"_{key}", f"-{key}")):
                return _QUANTITIES[key]
    return None
