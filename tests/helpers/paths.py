"""Paths of the files that tests read."""

from pathlib import Path

import pytest

from helpers import optional

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
EXAMPLES = ROOT / "examples"


def shared_data(name):
    """Return the path of reference data, of ``tests/data`` or optional; skip the test with the reason if absent."""
    if (DATA / name).exists():
        return DATA / name
    reason = optional.absent(name)
    if reason:
        pytest.skip(reason)
    return optional.SHARED / "data" / name
