"""Fixtures of the tests of NEP and TNEP models."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure


@pytest.fixture(scope="module", autouse=True)
def figures_are_not_drawn():
    """Write empty files instead of figures, which take most of the time of a small run; ``test_run.py`` draws them."""

    def savefig(figure, target, **options):
        Path(target).touch()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        yield
