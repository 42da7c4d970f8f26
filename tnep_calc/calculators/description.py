"""What a calculator says of itself: for ``print``, and to be made again from a database row or a trajectory."""

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

_OTHER_NAMES = {
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
_OF_ASE = ("atoms", "label", "restart", "directory", "ignore_bad_restart_file")


def check_keywords(given: Collection[str], own: Sequence[str]) -> None:
    """Raise ``InputError`` for keywords that mean nothing to the calculator; ASE would accept them silently.

    Parameters
    ----------
    given : collection of str
        Keywords that are not those of the calculator.
    own : sequence of str
        Keywords of the calculator.
    """
    for name in given:
        if name in _OF_ASE:
            continue
        near = [_OTHER_NAMES[name]] if name in _OTHER_NAMES else difflib.get_close_matches(name, own, n=1)
        hint = f"did you mean {near[0]}=?" if near else f"known: {', '.join(own)}"
        raise InputError(f"TNEPCalculator has no keyword '{name}': {hint}")


def describe_sources(sources: Mapping[str, Any]) -> dict[str, Any]:
    """Return the models of a calculator as plain values: for each role the files with their SHA-256, or a kind.

    Parameters
    ----------
    sources : mapping
        Role -> what was given for it: a file, a model in memory, a list of either, or None.
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
    """Return the keywords of a calculator from its description.

    Raises
    ------
    ModelFileError
        If a file is missing, or is not the one of that time.
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
        raise InputError(f"{role}= was a model in memory ({entry.get('in_memory')}), which no file can give back")
    path = Path(entry["file"])
    if not path.exists():
        raise MissingFileError(f"{path}: the file of {role}= is not there any more")
    if sha256(path) != entry["sha256"]:
        raise ModelFileError(f"{path}: the file of {role}= has changed since (its SHA-256 is another one)")
    return str(path)


def describe_models(models: Sequence[Artifact]) -> str:
    """Return one model, or an ensemble, as words."""
    meta = models[0].metadata
    count = f"{len(models)} models, " if len(models) > 1 else ""
    return f"{count}{meta.kind} ({meta.family}) of {' '.join(meta.species)}, cutoff {meta.cutoff:g} Å, {meta.dtype}"
