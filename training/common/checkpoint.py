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
from tnep_calc.io.files import atomic_output, check_members, check_readable
from tnep_calc.structures import LABELS, LabelledStructure

from . import processes
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
        labels = [getattr(s, name) for name in LABELS]
        if labels[-1] is None:  # structures without the label that was added last have the hash of earlier versions
            del labels[-1]
        for value in (s.positions, s.cell, s.pbc, s.weight, s.electric_field, *labels):
            data.update(b"-" if value is None else np.ascontiguousarray(value).tobytes())
    return data.hexdigest()


def fingerprint(config: BaseConfig, structures: Sequence[LabelledStructure]) -> dict[str, str]:
    """Return hashes of data and settings that identify a run: file names, lengths and intervals do not count."""
    groups = geometry_groups(structures)
    found = {"configuration": hash_of_settings(config.identity()), "data": hash_of_data(structures)}
    if len(np.unique(groups)) < len(groups) and (config.data.test_fraction or config.data.validation_fraction):
        found["split"] = hashlib.sha256(
            groups.astype("<i8").tobytes()
        ).hexdigest()  # earlier versions split such geometries
    if config.start is not None:
        found["start"] = hashlib.sha256(config.start.read_bytes()).hexdigest()
    return found


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Call `write` with a temporary path in the same folder, flush that file to disk, and rename it to `path`."""
    with atomic_output(path, force=True) as temporary:
        write(temporary)
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint; a kill at any moment leaves the old or the new file.

    Of several processes, only the first writes it.
    """
    if processes.rank() > 0:
        return
    content = {"format": FORMAT, **_on_cpu(state)}

    def write(temporary):
        with open(temporary, "wb") as file:  # its errors say what is wrong with a path, those of torch do not
            torch.save(content, file)

    write_atomically(path, write)


def _on_cpu(value: Any) -> Any:
    """Return nested containers with their tensors on the CPU, so that any machine can resume from them."""
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
        check_members(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types, with advice that does not apply
        words = (str(error).strip().splitlines() or [type(error).__name__])[0].split(". ")[0][:200]
        raise DataFileError(f"{path}: cannot be read as a checkpoint ({words}); {advice}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else None
        raise DataFileError(f"{path}: expected a checkpoint of format {FORMAT}, found {found}; {advice}")
    return state


def load_matching(path: Path, fingerprint: Mapping[str, str]) -> dict[str, Any]:
    """Read the checkpoint from which a run resumes; every ``restore`` of a trainer raises the errors below.

    Parameters
    ----------
    path : path
    fingerprint : mapping of str to str
        Hashes of everything that affects the result of the run.

    Raises
    ------
    DataFileError
        If the file is not a checkpoint of this version.
    InputError
        If it belongs to a run of another configuration, other data or another engine.
    """
    state = load_checkpoint(path)
    if not isinstance(state.get("fingerprint"), dict):
        raise DataFileError(f"{path}: this checkpoint does not name its run; use --restart to discard it")
    for what in {**fingerprint, **state["fingerprint"]}:
        if state["fingerprint"].get(what) != fingerprint.get(what):
            raise InputError(
                f"{path} was written with another {what} or another engine: train in another folder, or use --restart "
                "to discard it"
            )
    return state
