"""The reference of the documentation has every public function and class, and every option of every command."""

import argparse
import importlib.util
import inspect
import re
import sys
from importlib import import_module

import pytest

from helpers.paths import ROOT
from tnep_calc.cli import COMMANDS

pytestmark = pytest.mark.slow
pytest.importorskip("sphinx")


def extension(name, monkeypatch):
    """Import one of the Sphinx extensions of the site."""
    specification = importlib.util.spec_from_file_location(f"site_{name}", ROOT / "docs" / "_ext" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, specification.name, module)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_described(command, monkeypatch):
    commands = extension("commands", monkeypatch)
    text = commands.command_section(command).astext()
    for action in commands.subparser(command)._actions:
        if action.help is argparse.SUPPRESS:
            continue
        assert action.help, f"tnep {command}: {action.dest} has no help"
        for name in action.option_strings or [action.metavar or action.dest]:
            assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text), f"{name} of tnep {command} is missing"


def public_modules():
    """Return the names of all public modules but those of the commands, from their files."""
    for package, folder in (("tnep_calc", ROOT / "tnep_calc"), ("tnep_calc.training", ROOT / "training")):
        for path in sorted(folder.rglob("*.py")):
            parts = [part for part in path.relative_to(folder).with_suffix("").parts if part != "__init__"]
            if not any(part.startswith("_") or part in ("cli", "csrc", "training") for part in parts):
                yield ".".join((package, *parts))


def listed(modules):
    """Return the modules that the pages of the reference show."""
    found = []
    for page in sorted((ROOT / "docs" / "reference" / "api").glob("*.rst")):
        for words in re.findall(r"^\.\. tnep-modules:: (.*(?:\n   .*)*)", page.read_text(), flags=re.MULTILINE):
            found += modules.modules_shown(words)
    return found


def test_every_module_is_shown_once(monkeypatch):
    modules = extension("modules", monkeypatch)
    found = listed(modules)
    assert len(found) == len(set(found)), sorted(name for name in set(found) if found.count(name) > 1)
    missing = set(public_modules()) - set(found) - {"tnep_calc"}  # it only re-exports
    assert not missing, f"add to docs/reference/api: {', '.join(sorted(missing))}"


def test_every_public_function_has_a_docstring(monkeypatch):
    """Sphinx leaves out what has no docstring."""
    bare = []
    for name in listed(extension("modules", monkeypatch)):
        module = import_module(name)
        for member, value in vars(module).items():
            own = getattr(value, "__module__", None) == name and not member.startswith("_")
            if own and (inspect.isfunction(value) or inspect.isclass(value)) and not value.__doc__:
                bare.append(f"{name}.{member}")
    assert not bare, bare
