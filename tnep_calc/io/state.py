"""The state of a folder with partial results: a killed calculation resumes, another calculation is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..errors import DataFileError, InputError
from .content import read_json
from .files import atomic_output

STATE = "state.json"


def check_state(folder: Path, key: str, results: Sequence[str], restart: bool = False) -> None:
    """Make the folder of a calculation, or check that existing results in it are of the same calculation.

    Parameters
    ----------
    folder : path
    key : str
        Fingerprint of the calculation, which is different if any of its inputs is.
    results : sequence of str
        Patterns of the names of the results.
    restart : bool
        Delete existing results.

    Raises
    ------
    InputError
        If the folder has results of another calculation and `restart` is not set.
    DataFileError
        If the state of the folder cannot be read.
    """
    state = folder / STATE
    folder.mkdir(parents=True, exist_ok=True)
    if state.exists():
        try:
            known = read_json(state, "the state of a folder")["fingerprint"]
        except (DataFileError, KeyError, TypeError) as error:
            raise DataFileError(f"{state} cannot be read ({error}): use --restart or another folder") from error
        found = [path for pattern in results for path in folder.glob(pattern)]
        if found and known != key and not restart:
            raise InputError(
                f"{folder} has results of another calculation (structure, model or settings differ): "
                "use --restart to delete them, or another folder"
            )
        if known != key or restart:
            for path in found:
                path.unlink(missing_ok=True)
    with atomic_output(state, force=True) as temporary:
        temporary.write_text(json.dumps({"fingerprint": key}) + "\n")
