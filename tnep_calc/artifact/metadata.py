"""Metadata of a model file: family, kind, quantities, species, cutoff, units, index orders, provenance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import torch

from .. import __version__
from ..errors import InputError, ModelFileError
from ..io.content import parse_json
from .training_range import is_range

FORMAT = 1
"""Version of the file format that this package writes; older formats are read, newer ones are refused."""
METADATA_FILE = "tnep_calc.json"
DTYPES = {"float64": torch.float64, "float32": torch.float32}
MAX_CUTOFF = 1000.0
"""Largest cutoff in Å that is accepted: the neighbour lists for a larger one would not fit in memory."""
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
    """Metadata of an artifact.

    Attributes
    ----------
    family : str
        Model family, ``"nep"``, ``"enthalpy"`` or ``"radnet"``.
    kind : str
        ``"potential"``, ``"dipole"``, ``"polarizability"``, ``"enthalpy"`` (all three in one model) or ``"radnet"``
        (dipole, polarizability or both).
    quantities : tuple of str
        What ``forward`` can return (names of the contract in ``tnep_calc.models``).
    species : tuple of str
        Chemical symbols in the order of the species index.
    cutoff : float
        Largest cutoff in Å.
    dtype : str
        Type of the arithmetic, ``"float64"`` or ``"float32"`` (results are always float64).  In a file it is the type
        for those who ask for none.
    units : dict
        ``length`` (A), ``energy`` (eV), ``dipole`` (e*A), ``polarizability`` (e*A^2/V, or N*chi for the susceptibility
        times the number of atoms), and, for enthalpy models of third order in the field, ``hyperpolarizability``
        (e*A^3/V^2).
    provenance : dict
        Where the model comes from, as free text.
    format : int
        Version of the file format.
    package_version, torch_version : str
        Versions of the package and of torch that wrote the file.
    conventions : dict
        Index orders and signs, in words.
    training_range : dict, optional
        Range of the environments in the training data, see ``artifact.training_range``.  Files of earlier versions and
        models that were exported without their data have none.
    weights : str
        Type of the parameters and tables, ``"float64"`` or ``"float32"``; by default that of the arithmetic.  A file
        has them in float64, from which both types of the arithmetic are made; files of earlier versions may have
        float32.
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
    training_range: dict | None = None
    weights: str = ""

    def __post_init__(self):
        if not self.weights:
            object.__setattr__(self, "weights", self.dtype)

    @classmethod
    def from_json(cls, text: str, path) -> Metadata:
        """Return the metadata from the text of a file's JSON member.

        Raises
        ------
        ModelFileError
            If the text is not valid JSON, has a newer format, or lacks an entry or has one of the wrong type.
        """
        try:
            data = parse_json(text)
            version = int(data["format"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ModelFileError(f"{path}: its {METADATA_FILE} cannot be read ({error})") from error
        if version > FORMAT:
            raise ModelFileError(
                f"{path}: file format {version}, written by tnep_calc {data.get('package_version', '?')}, is newer "
                f"than this tnep_calc {__version__} reads (format {FORMAT}): update the package, or export it again"
            )
        names = {f.name for f in fields(cls)}
        missing = sorted(names - set(data) - {"training_range", "weights"})
        if missing:
            raise ModelFileError(f"{path}: its {METADATA_FILE} lacks {', '.join(missing)}: export the model again")
        data = {"weights": data["dtype"], "training_range": None} | {name: data[name] for name in names & set(data)}
        for name, (expected, holds) in _EXPECTED.items():
            if not holds(data[name]):
                raise ModelFileError(
                    f"{path}: '{name}' in its {METADATA_FILE} must be {expected}, found {str(data[name])[:60]!r}: "
                    "export the model again"
                )
        return cls(**{**data, "quantities": tuple(data["quantities"]), "species": tuple(data["species"])})


def _is_string(value):
    return isinstance(value, str)


def _is_list_of_strings(value):
    return isinstance(value, list) and bool(value) and all(map(_is_string, value))


def _is_table_of_strings(value):
    return isinstance(value, dict) and all(map(_is_string, value.values()))


def _is_cutoff(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < MAX_CUTOFF


_EXPECTED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **{name: ("a string", _is_string) for name in ("family", "kind", "package_version", "torch_version")},
    **{name: (f"one of {', '.join(DTYPES)}", lambda value: value in list(DTYPES)) for name in ("dtype", "weights")},
    **{name: ("a list of strings", _is_list_of_strings) for name in ("quantities", "species")},
    **{name: ("a table of strings", _is_table_of_strings) for name in ("units", "conventions")},
    "provenance": ("a table", lambda value: isinstance(value, dict)),
    "training_range": ("a range of training data or null", is_range),
    "cutoff": (f"a number between 0 and {MAX_CUTOFF:g} (Å)", _is_cutoff),
}
"""Entries of a file: a description for messages, and a function that checks the value."""


def check_dtype(dtype: str) -> None:
    """Raise ``InputError`` unless the type of the arithmetic is one of ``DTYPES``."""
    if dtype not in DTYPES:
        raise InputError(f"dtype must be {' or '.join(DTYPES)}, got '{dtype}'")
