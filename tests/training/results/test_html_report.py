"""The page of a report: complete in one file, with everything escaped."""

import base64
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from tnep_calc.errors import InputError
from tnep_calc.plotting.page import Picture, Section, Table, write_page


def test_page_is_complete_and_escaped(tmp_path):
    figure = Figure()
    figure.subplots().plot([0, 1], [1, 0])
    table = Table(
        ["<name>", "value"],
        [["a & b", 0.123456], ["count", 7], ["flag", True], ["x", np.float64(2)], ["n", np.int64(11)]],
        "c<d",
    )
    page = tmp_path / "page.html"
    write_page(page, "T<i>tle", [Section("First & last", ["a < b", table, Picture(figure, 'a "figure"')])])
    text = page.read_text()
    for piece in (
        "T&lt;i&gt;tle",
        "First &amp; last",
        "<p>a &lt; b</p>",
        "&lt;name&gt;",
        "a &amp; b",
        "c&lt;d",
        '<td class="number">0.1235</td>',
        '<td class="number">7</td>',
        '<td class="number">11</td>',
        "<td>True</td>",
    ):
        assert piece in text, piece
    assert "<i>" not in text and not re.search(r'(src|href)="(?!data:)', text)
    (data,) = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    assert base64.b64decode(data).startswith(b"\x89PNG")


def test_existing_page(tmp_path):
    page = tmp_path / "page.html"
    write_page(page, "one", [])
    write_page(page, "two", [])
    with pytest.raises(InputError, match="exists"):
        write_page(page, "three", [], force=False)
    assert "two" in page.read_text() and [p.name for p in tmp_path.iterdir()] == ["page.html"]
