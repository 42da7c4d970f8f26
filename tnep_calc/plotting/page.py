"""Self-contained HTML pages of text, tables and embedded figures, for reports of data, training runs and phonons."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from .. import __version__
from ..io.files import atomic_output
from .style import styled

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #ccc }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid #eee; vertical-align: top }
td.number { text-align: right } caption { text-align: left; color: #595959 }
figure { margin: .8rem 0 } img { max-width: 100% } figcaption, footer { color: #595959; font-size: 13px }
"""


_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[-+]?\d+)?")
"""Text that is a number; it is aligned to the right of its cell, like numbers."""


@dataclass(frozen=True)
class Table:
    """A table whose cells are text or numbers; floats are shown with four digits.

    Attributes
    ----------
    columns : sequence of str
        Headings of the columns; empty for a table without headings.
    rows : sequence of sequences
        Cells of each row.
    caption : str
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure with a caption.

    Attributes
    ----------
    figure : matplotlib.figure.Figure or bytes
        Figure, or content of a PNG file.
    caption : str
    width : int, optional
        Width on the page in pixels. Default: that of the figure.
    """

    figure: Any
    caption: str = ""
    width: int | None = None


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes
    ----------
    title : str
    parts : sequence of str, Table or Picture
        A string is a paragraph of plain text.
    """

    title: str
    parts: Sequence[str | Table | Picture]


def write_page(path: str | Path, title: str, sections: Sequence[Section], force: bool = True) -> None:
    """Write a page that needs no other file; it appears complete or not at all.

    Parameters
    ----------
    path : str or path
        Usually ``*.html``.
    title : str
    sections : sequence of Section
    force : bool, default True
        Overwrite an existing file.

    Raises
    ------
    InputError
        If the file exists and `force` is not set, or its folder does not exist.
    """
    body = "\n".join(
        f"<section>\n<h2>{escape(section.title)}</h2>\n" + "\n".join(map(_html, section.parts)) + "\n</section>"
        for section in sections
    )
    text = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n"
        f"<footer>tnep_calc {escape(__version__)}</footer>\n</body>\n</html>\n"
    )
    with atomic_output(path, force) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _html(part):
    if isinstance(part, Table):
        return _table(part)
    if isinstance(part, Picture):
        return _picture(part)
    return f"<p>{escape(part)}</p>"


def _table(table):
    lines = ["<table>"]
    if table.caption:
        lines.append(f"<caption>{escape(table.caption)}</caption>")
    if table.columns:
        lines.append("<tr>" + "".join(f"<th>{escape(name)}</th>" for name in table.columns) + "</tr>")
    lines += ["<tr>" + "".join(map(_cell, row)) + "</tr>" for row in table.rows]
    return "\n".join([*lines, "</table>"])


def _cell(value):
    if isinstance(value, bool) or not isinstance(value, Real):
        kind = ' class="number"' if _NUMBER.fullmatch(str(value)) else ""
        return f"<td{kind}>{escape(str(value))}</td>"
    text = str(value) if isinstance(value, Integral) else f"{value:.4g}"
    return f'<td class="number">{text}</td>'


def _picture(picture):
    png = picture.figure
    if not isinstance(png, bytes):
        buffer = io.BytesIO()
        with styled():
            picture.figure.savefig(buffer, format="png", dpi=150)
        png = buffer.getvalue()
    data = base64.b64encode(png).decode("ascii")
    caption = escape(picture.caption)
    below = f"<figcaption>{caption}</figcaption>" if caption else ""
    width = "" if picture.width is None else f' width="{picture.width}"'
    return f'<figure><img{width} alt="{caption or "figure"}" src="data:image/png;base64,{data}">{below}</figure>'
