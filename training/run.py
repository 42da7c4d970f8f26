"""Train the model of a configuration file: find the family of its ``model.kind``, and call its ``train``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from tnep_calc.errors import InputError
from tnep_calc.families import KINDS

from .common.config import read_tables


def train(path: str | Path, output: str | None = None, restart: bool = False) -> Path:
    """Train the model or the ensemble of a configuration file; a run that was stopped resumes.

    Parameters
    ----------
    path : path
        TOML file with a table ``[model]`` that has a ``kind`` of :data:`tnep_calc.families.KINDS`.
    output : str, optional
        Output directory instead of ``output.directory``, relative to the current folder.
    restart : bool, default False
        Discard the files of a previous run in the output directory, and train from scratch.

    Returns
    -------
    Path
        The output directory.

    Raises
    ------
    DataFileError
        If the configuration, the data or a checkpoint cannot be used.
    InputError
        If the kind is unknown, a key is wrong, or the output directory has another run.
    """
    model = read_tables(path).get("model")
    kind = model.get("kind") if isinstance(model, Mapping) else None
    if kind not in KINDS:
        found = "there is none" if kind is None else f"got {kind!r}"
        raise InputError(f"{path}: model.kind must be one of {', '.join(KINDS)}; {found}")
    module = import_module(f"tnep_calc.training.{KINDS[kind].training}")
    from .common.processes import joined  # it imports torch

    with joined():
        return module.train(path, output, restart)
