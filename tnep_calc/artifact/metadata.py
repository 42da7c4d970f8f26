"""What a model file knows about itself: family, quantities, species, cutoff, units, orders, provenance."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import torch

from .. import __version__
from ..errors import InputError, ModelFileError

FORMAT = 1
"""Version of the file format that this package writes; older ones are read, newer ones refused."""
METADATA_FILE = "tnep_calc.json"
DTYPES = {"float64": torch.float64, "float32": torch.float32}
MOST_CUTOFF = 1000.0
"""Largest cutoff in Å that is taken for one: the lists of neighbours of a larger one fit in no memory."""
UNITS = {"length": "A", "energy": "eV", "dipole": "e*A", "polarizability": "e*A^2/V"}
CONVENTIONS = {
    "vectors": "r_neighbor - r_center",
    "virial": "-sum r[a] dU/dr[b]",
    "virials": "attributed to the neighbour",
    "born_charges": "[atom, dipole component, displacement component]",
    "polarizability_gradient": "[atom, displacement component, i, j]",
    "piezoelectric": "[dipole component, a, b] = sum r[a] dP/dr[b]",
}


@dataclass(frozen=True)
class Metadata:
    """What an artifact knows about itself.

    Attributes
    ----------
    family : str
        Model family, ``"nep"``, ``"enthalpy"`` or ``"radnet"``.
    kind : str
        ``"potential"``, ``"dipole"``, ``"polarizability"``, ``"enthalpy"`` (all of them in one) or ``"radnet"``
        (dipole, polarizability or both).
    quantities : tuple of str
        What ``forward`` gives (names of the contract in ``tnep_calc.models``).
    species : tuple of str
        Chemical symbols in the order of the species index.
    cutoff : float
        Largest cutoff in Å.
    dtype : str
        Type of the arithmetic, ``"float64"`` or ``"float32"`` (results are always float64).
    units : dict
        ``length`` (A), ``energy`` (eV), ``dipole`` (e*A), ``polarizability`` (e*A^2/V, or N*chi for the susceptibility
        times the number of atoms), ``hyperpolarizability`` (e*A^3/V^2) of enthalpy models of third order in the field.
    provenance : dict
        Where the model comes from (free text values).
    format, package_version, torch_version
        Version of the file format, of the package and of torch that wrote it.
    conventions : dict
        Index orders and signs, in words.
    """

    family: str
    kind: str
    quantities: tuple[str, ...]
    species: tuple[str, ...]
    cutoff: float
    dtype: str
    units: dict
    provenance: dict = field(default_factory=dict)
    format: int = FORMAT
    package_version: str = __version__
    torch_version: str = torch.__version__
    conventions: dict = field(default_factory=lambda: dict(CONVENTIONS))

    @classmethod
    def from_json(cls, text: str, path) -> Metadata:
        """Return the metadata of a file, or say what is wrong with them."""
        try:
            data = json.loads(text)
            version = int(data["format"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ModelFileError(f"{path}: its {METADATA_FILE} cannot be read ({error})") from error
        if version > FORMAT:
            raise ModelFileError(
                f"{path}: file format {version}, written by tnep_calc {data.get('package_version', '?')}, is newer "
                f"than this tnep_calc {__version__} reads (format {FORMAT}): update the package, or export it again"
            )
        names = {f.name for f in fields(cls)}
        missing = sorted(names - set(data))
        if missing:
            raise ModelFileError(f"{path}: its metadata lack {', '.join(missing)}: export the model again")
        data = {name: data[name] for name in names}
        for name, (expected, holds) in _EXPECTED.items():
            if not holds(data[name]):
                raise ModelFileError(
                    f"{path}: '{name}' in its {METADATA_FILE} must be {expected}, found {str(data[name])[:60]!r}: "
                    "export the model again"
                )
        return cls(**{**data, "quantities": tuple(data["quantities"]), "species": tuple(data["species"])})


def _is_text(value):
    return isinstance(value, str)


def _are_texts(value):
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


def _are_pairs(value):
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_cutoff(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < MOST_CUTOFF


_EXPECTED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **{name: ("a text", _is_text) for name in ("family", "kind", "dtype", "package_version", "torch_version")},
    **{name: ("a list of texts", _are_texts) for name in ("quantities", "species")},
    **{name: ("a table of texts", _are_pairs) for name in ("units", "conventions")},
    "provenance": ("a table", lambda value: isinstance(value, dict)),
    "cutoff": (f"a number between 0 and {MOST_CUTOFF:g} (Å)", _is_cutoff),
}
"""What the entries of a file must be, in words and as a test."""


def check_dtype(dtype: str) -> None:
    """Raise ``InputError`` unless the type of the arithmetic is one of ``DTYPES``."""
    if dtype not in DTYPES:
        raise InputError(f"dtype must be {' or '.join(DTYPES)}, got '{dtype}'")
