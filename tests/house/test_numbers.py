"""Measured numbers say whether a reader can repeat them from a clone of the repository."""

import re

from helpers.paths import ROOT


def rows_of(text, heading):
    """Cells of the rows of the first table after a heading or sentence, without its title and line."""
    lines = text[text.index(heading) :].splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows[2:]


def test_every_benchmark_of_the_page_is_in_its_table():
    text = (ROOT / "docs" / "benchmarks.md").read_text()
    rows = rows_of(text, "What a reader can repeat")
    assert all(re.match("(yes|no|ours yes)", row[-1]) for row in rows)
    listed = " ".join(row[1] for row in rows)
    named = set(re.findall(r"benchmarks/\w+\.py|tests/[\w/]+\.py|make demo", text)) - {"tests/optional_data.py"}
    assert named and not [name for name in named if name not in listed]
    for script in re.findall(r"(?:benchmarks|tests)/[\w/]+\.py", listed):
        assert (ROOT / script).exists(), script


def test_numbers_of_the_readme_say_it():
    rows = rows_of((ROOT / "README.md").read_text(), "## Measured")
    assert rows and all(re.match("(yes|no|ours): ", row[-1]) for row in rows)
    for script in re.findall(r"benchmarks/\w+\.py", str(rows)):
        assert (ROOT / script).exists(), script


def test_examples_say_whether_their_numbers_can_be_repeated():
    readmes = sorted((ROOT / "examples").glob("*/README.md"))
    assert len(readmes) == len([p for p in (ROOT / "examples").iterdir() if p.is_dir() and p.name[0] not in "._"])
    for readme in readmes:
        assert "\nCan be repeated from a clone: " in readme.read_text(), readme
