"""Where the files that tests read lie."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
EXAMPLES = ROOT / "examples"
SHARED = ROOT.parent / "shared"


def shared_data(name):
    """Path of a folder or file of the project's shared reference data, or a skip that says what is missing."""
    path = SHARED / "data" / name
    if not path.exists():
        pytest.skip(f"reference data {name} is not beside the checkout")
    return path
