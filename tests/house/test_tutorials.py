"""The tutorials run from an empty folder: the code cells of ``docs/tutorials`` in order, each page in its own kernel.

``make notebooks`` runs them; the test suite only checks the pages.
"""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from helpers.paths import ROOT

PAGES = [page for page in sorted((ROOT / "docs" / "tutorials").glob("*.md")) if page.stem != "index"]
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def cells(page):
    """Return the code cells of a page, without the lines of options."""
    return [re.sub(r"^:.*\n", "", text, flags=re.MULTILINE) for text in CELL.findall(page.read_text())]


@pytest.mark.slow
@pytest.mark.tutorial
@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_tutorial_runs(page, monkeypatch):
    import nbclient
    import nbformat

    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    shutil.rmtree(ROOT / "build" / "tutorials" / page.stem, ignore_errors=True)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells(page)])
    client = nbclient.NotebookClient(
        notebook, timeout=500, kernel_name="python3", resources={"metadata": {"path": str(page.parent)}}
    )
    client.execute()
    figures = sum("image/png" in out.get("data", {}) for cell in notebook.cells for out in cell.get("outputs", ()))
    assert figures, "a tutorial shows at least one figure"


def test_every_tutorial_is_in_the_index():
    index = (ROOT / "docs" / "tutorials" / "index.md").read_text()
    assert len(PAGES) >= 1 and all(f"\n{page.stem}\n" in index and f"({page.name})" in index for page in PAGES)
