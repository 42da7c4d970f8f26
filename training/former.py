"""What a former run has left in an output directory: what is in the way of the next one, what --restart discards."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from tnep_calc.errors import InputError

from .run_files import ARTIFACT, CHECKPOINT, ENSEMBLE, LOG, NEP, RESULTS
from .tables import BaseConfig

log = logging.getLogger(__name__)

_FILES = (CHECKPOINT, ARTIFACT, NEP, LOG, RESULTS, ENSEMBLE, "loss.png", "history.png", "parity.npz", "parity.png")
_ELSEWHERE = "use another output directory, or --restart to discard it"


def check_former(config: BaseConfig, restart: bool) -> None:
    """Raise ``InputError`` if results of a former run would be overwritten, or be taken for those of this one.

    Parameters
    ----------
    config : BaseConfig
        Of a single model or an ensemble.
    restart : bool
        What a former run has left will be discarded; then only the model to start from must not be among it.
    """
    folder, n = config.directory, config.ensemble.n_splits
    if restart:
        if config.start is not None and config.start.resolve() in [path.resolve() for path in _left_in(folder)]:
            raise InputError(f"model.start is {config.start}, which --restart would discard: copy it elsewhere")
        return
    for path in [folder / f"member{k + 1}" / NEP for k in range(n)] or [folder / NEP]:
        if path.exists() and not (folder / CHECKPOINT).exists():
            raise InputError(f"{path} exists, but no checkpoint in {folder}: {_ELSEWHERE}")
    if not n and (folder / ENSEMBLE).exists():
        raise InputError(f"{folder} has an ensemble: {_ELSEWHERE}")
    for number, member in _members_in(folder):
        if 0 < n < number and (member / ARTIFACT).exists():
            raise InputError(f"{member} is of an ensemble of more than {n} members, and 'member*' would name it too: "
                             f"move it away, {_ELSEWHERE}")  # fmt: skip


def discard(folder: Path) -> None:
    """Remove the files that a former run, of one model or of an ensemble, has left in its output directory."""
    left = _left_in(folder)
    for path in left:
        path.unlink()
    for _, member in _members_in(folder):
        if not any(member.iterdir()):
            member.rmdir()
    if left:
        log.info("--restart: %d files of a former run in %s are discarded", len(left), folder)


def _left_in(folder):
    places = [folder, *(member for _, member in _members_in(folder))]
    return [path for place in places for name in _FILES if (path := place / name).is_file()]


def _members_in(folder):
    """Numbers and paths of the directories of members."""
    found = [(re.fullmatch(r"member(\d+)", path.name), path) for path in folder.glob("member*") if path.is_dir()]
    return sorted((int(match[1]), path) for match, path in found if match)
