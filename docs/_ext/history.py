"""Directive ``tnep-history``: a section for each benchmark, with a table of its records of every date."""

import json
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "history"
LABELS = ("case", "quantity", "peer", "unit", "samples", "atoms")
"""Keys that say what a record is about; all other numbers are results."""


def entries(folder: Path = FOLDER) -> dict[str, list[dict]]:
    """Return the entries of the history by benchmark, the newest first."""
    found: dict[str, list[dict]] = {}
    for path in sorted(folder.glob("????-??-??-*.json"), reverse=True):
        found.setdefault(path.stem[11:], []).append(json.loads(path.read_text()))
    return found


def label(record: dict) -> str:
    """Return the words that say what a record is about.

    Examples
    --------
    >>> label({"case": "ours", "samples": 1000000, "cpu_seconds": 4.5})
    'ours, 1,000,000 samples'
    """
    words = []
    for key in LABELS:
        value = record.get(key)
        if value in (None, ""):
            continue
        words.append(f"{value:,} {key}" if isinstance(value, int) else str(value))
    return ", ".join(words)


def rows(entry: dict) -> list[list[str]]:
    """Return the cells of the table of one entry: the label of each record, and its numbers with their names."""
    table = []
    for record in entry["records"]:
        numbers = {k: v for k, v in record.items() if k not in LABELS and isinstance(v, int | float)}
        table.append([label(record), ", ".join(f"{k.replace('_', ' ')} {v:.4g}" for k, v in numbers.items())])
    return table


def table_of(head: list[str], body: list[list[str]]) -> nodes.table:
    """Return a table of plain text."""
    group = nodes.tgroup("", *[nodes.colspec(colwidth=1) for _ in head], cols=len(head))
    for kind, lines in ((nodes.thead, [head]), (nodes.tbody, body)):
        part = kind()
        for line in lines:
            part += nodes.row("", *[nodes.entry("", nodes.paragraph("", cell)) for cell in line])
        group += part
    return nodes.table("", group)


def sections() -> list[nodes.section]:
    """Return a section for each benchmark."""
    found = []
    for name, dated in entries().items():
        section = nodes.section("", nodes.title("", name), ids=[f"history-{name}"])
        for entry in dated:
            section += nodes.rubric("", entry["date"])
            command = nodes.literal("", entry["command"])
            note = f" ({entry['note']})" if entry["note"] else ""
            versions = ", ".join(f"{k} {v}" for k, v in entry["versions"].items())
            section += nodes.paragraph("", "", command, nodes.Text(f"; {entry['machine']}{note}; {versions}"))
            section += table_of(["case", "result"], rows(entry))
        found.append(section)
    return found


class History(SphinxDirective):
    """All benchmarks with a history, in the order of their names."""

    def run(self):
        """Return the sections."""
        self.env.note_reread()
        found = sections()
        for section in found:
            self.state.document.note_explicit_target(section)
        return found


def setup(app: Sphinx) -> dict:
    """Register the directive."""
    app.add_directive("tnep-history", History)
    return {"parallel_read_safe": True}
