"""The tree of tests: folders as in the package, and shared code in ``helpers``."""

import ast

from helpers.paths import ROOT

TESTS = ROOT / "tests"


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_no_test_imports_a_test():
    wrong = []
    for path in TESTS.rglob("*.py"):
        for name in imported(path):
            first = name.split(".")[0]
            if first == "conftest" or first.startswith("test_") or first == "tests":
                wrong.append(f"{path.relative_to(ROOT)} imports {name}: move what both need to tests/helpers")
    assert not wrong, "\n".join(wrong)


def test_every_test_is_in_a_folder_of_the_package():
    assert not list(TESTS.glob("test_*.py"))
