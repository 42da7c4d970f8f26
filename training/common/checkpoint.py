"""Checkpoints: the whole state of a run in one file that appears complete or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.files import check_readable
from tnep_calc.structures import LABELS, LabelledStructure

from .config import BaseConfig
from .splits import geometry_groups

FORMAT = 3
"""Version of the checkpoint; another one is refused."""


def hash_of_settings(content: Any) -> str:
    """Return the hash of plain values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def hash_of_data(structures: Iterable[LabelledStructure]) -> str:
    """Return the hash of geometries, weights, fields and labels."""
    data = hashlib.sha256()
    for s in structures:
        data.update(" ".join(s.symbols).encode())
        for value in (s.positions, s.cell, s.pbc, s.weight, s.electric_field, *(getattr(s, name) for name in LABELS)):
            data.update(b"-" if value is None else np.ascontiguousarray(value).tobytes())
    return data.hexdigest()


def fingerprint(config: BaseConfig, structures: Sequence[LabelledStructure]) -> dict[str, str]:
    """Return hashes of what makes a run another one: data and settings, without file names, lengths and intervals."""
    groups = geometry_groups(structures)
    found = {"configuration": hash_of_settings(config.identity()), "data": hash_of_data(structures)}
    if len(np.unique(groups)) < len(groups) and (config.data.test_fraction or config.data.validation_fraction):
        found["split"] = hashlib.sha256(groups.astype("<i8").tobytes()).hexdigest()  # once, these were drawn apart
    if config.start is not None:
        found["start"] = hashlib.sha256(config.start.read_bytes()).hexdigest()
    return found


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Call `write` with a temporary name in the same folder, flush it to disk, and rename it to `path`.

    The temporary name is always the same, so that killed runs do not leave a trail of files.
    """
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
    write(temporary)
    with open(temporary, "rb+") as handle:
        os.fsync(handle.fileno())
    os.replace(temporary, path)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint; a kill at any moment leaves the old or the new file."""
    content = {"format": FORMAT, **_on_cpu(state)}

    def write(temporary):
        with open(temporary, "wb") as file:  # which says what is wrong with a place, unlike torch
            torch.save(content, file)

    write_atomically(path, write)


def _on_cpu(value: Any) -> Any:
    """Return nested containers with their tensors on the CPU, so that any machine can go on with them."""
    if isinstance(value, Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    return type(value)(map(_on_cpu, value)) if isinstance(value, (list, tuple)) else value


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint.

    Raises
    ------
    DataFileError
        If the file is not a checkpoint of this version.
    """
    advice = "use --restart to start from scratch"
    check_readable(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the unpickler meets, with advice that does not help here
        words = (str(error).strip().splitlines() or [type(error).__name__])[0].split(". ")[0][:200]
        raise DataFileError(f"{path}: cannot be read as a checkpoint ({words}); {advice}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else None
        raise DataFileError(f"{path}: expected a checkpoint of format {FORMAT}, found {found}; {advice}")
    return state


def load_matching(path: Path, fingerprint: Mapping[str, str]) -> dict[str, Any]:
    """Read the checkpoint of a run, to go on with it; every ``restore`` of a trainer raises what this does.

    Parameters
    ----------
    path : path
    fingerprint : mapping of str to str
        Hashes of what decides the result of the run.

    Raises
    ------
    DataFileError
        If the file is not a checkpoint of this version.
    InputError
        If it belongs to a run of another configuration, other data or another engine.
    """
    state = load_checkpoint(path)
    if not isinstance(state.get("fingerprint"), dict):
        raise DataFileError(f"{path}: a checkpoint that does not say what it belongs to; use --restart to discard it")
    for what in {**fingerprint, **state["fingerprint"]}:
        if state["fingerprint"].get(what) != fingerprint.get(what):
            raise InputError(
                f"{path} was written with another {what} or another engine: train in another folder, or use --restart "
                "to discard it"
            )
    return state
