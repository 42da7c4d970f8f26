"""Describe a calculator for ``print``, and rebuild it from the description in a database row or a trajectory."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..artifact import Artifact
from ..errors import InputError, MissingFileError, ModelFileError
from ..families import ROLES
from ..io.files import sha256

_OTHER_NAMES = {  # likely wrong keyword -> the right one
    "polarizability": "susceptibility",
    "chi": "susceptibility",
    "dielectric_tensor": "susceptibility",
    "potential": "energy",
    "model": "energy",
    "born_charges": "dipole",
    "born_effective_charges": "dipole",
    "polarization": "dipole",
    "field": "efield",
    "electric_field": "efield",
    "unit": "dipole_unit",
    "polarizability_unit": "susceptibility_unit",
}
_ASE_KEYWORDS = ("atoms", "label", "restart", "directory", "ignore_bad_restart_file")


def check_keywords(given: Collection[str], own: Sequence[str]) -> None:
    """Raise ``InputError`` for unknown keywords, which ASE would accept silently.

    Parameters
    ----------
    given : collection of str
        Keywords that the calculator does not define; those of ASE's ``Calculator`` are accepted.
    own : sequence of str
        Keywords that the calculator defines.
    """
    for name in given:
        if name in _ASE_KEYWORDS:
            continue
        near = [_OTHER_NAMES[name]] if name in _OTHER_NAMES else difflib.get_close_matches(name, own, n=1)
        hint = f"did you mean {near[0]}=?" if near else f"known: {', '.join(own)}"
        raise InputError(f"TNEPCalculator has no keyword '{name}': {hint}")


def describe_sources(sources: Mapping[str, Any]) -> dict[str, Any]:
    """Return the models of a calculator as plain values that can be stored as JSON.

    Parameters
    ----------
    sources : mapping
        Role -> the value of its keyword: a file, a model in memory, a list of either, or None.

    Returns
    -------
    dict
        Role -> ``{"file": path, "sha256": digest}`` for a file, ``{"in_memory": class name}`` for a model in memory,
        or a list of these.  Roles whose value is None are left out.
    """
    out: dict[str, Any] = {}
    for role, source in sources.items():
        if source is not None:
            several = isinstance(source, (list, tuple))
            out[role] = [_describe(one) for one in source] if several else _describe(source)
    return out


def _describe(source):
    if isinstance(source, (str, os.PathLike)):
        path = Path(source).resolve()
        return {"file": str(path), "sha256": sha256(path)}
    return {"in_memory": type(source).__name__}


def from_description(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments that rebuild a calculator from its description.

    Parameters
    ----------
    described : mapping
        Models as returned by `describe_sources`, and the other keywords with their values.

    Raises
    ------
    ModelFileError
        If a file is missing or has changed since the description was made.
    InputError
        If a model was not given as a file.
    """
    keywords = dict(described)
    for role in ROLES:
        if role in keywords:
            entry = keywords[role]
            keywords[role] = [_file(role, one) for one in entry] if isinstance(entry, list) else _file(role, entry)
    return keywords


def _file(role, entry):
    if "file" not in entry:
        raise InputError(f"{role}= was a model in memory ({entry.get('in_memory')}), which cannot be loaded again")
    path = Path(entry["file"])
    if not path.exists():
        raise MissingFileError(f"{path}: the file of {role}= does not exist any more")
    if sha256(path) != entry["sha256"]:
        raise ModelFileError(f"{path}: the file of {role}= has changed since it was recorded (different SHA-256)")
    return str(path)


def describe_models(models: Sequence[Artifact]) -> str:
    """Return a short text that describes one model or an ensemble."""
    meta = models[0].metadata
    count = f"{len(models)} models, " if len(models) > 1 else ""
    return f"{count}{meta.kind} ({meta.family}) of {' '.join(meta.species)}, cutoff {meta.cutoff:g} Å, {meta.dtype}"
