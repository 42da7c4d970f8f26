"""Run the examples in docstrings of the package and of ``training/``."""

import doctest
import importlib

import pytest

from helpers.paths import ROOT


def documented():
    """Return the names of the modules whose docstrings hold an example."""
    for package, folder in (("tnep_calc", ROOT / "tnep_calc"), ("tnep_calc.training", ROOT / "training")):
        for path in sorted(folder.rglob("*.py")):
            if ">>> " in path.read_text():
                parts = path.relative_to(folder).with_suffix("").parts
                yield ".".join((package, *(part for part in parts if part != "__init__")))


@pytest.mark.parametrize("name", list(documented()))
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0 and result.failed == 0
