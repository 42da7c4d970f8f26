"""Check that the code in an artifact only calculates.

The code of a TorchScript archive runs when the model is called, and a ``__setstate__`` runs as soon as it is loaded.
An archive is accepted only if its code consists of arithmetic on tensors, the operators of this package, and functions
that are themselves in the archive.  Code that accesses files, other libraries or C++ objects is refused before torch
loads the archive.  The LAMMPS plugin applies the same rules (``lammps_plugin/src/shared/archive_check.cpp``).
"""

from __future__ import annotations

import ast
import pickletools
import re
import zipfile
from pathlib import Path

import torch

from ..errors import ModelFileError

RULES = Path(__file__).with_name("code_rules.inc")
"""Rules that this module and the LAMMPS plugin share: a raw string of C++ with a section for each list of words."""


def read_rules() -> dict[str, list[str]]:
    """Return the lines of each section of the rules."""
    sections: dict[str, list[str]] = {}
    for line in RULES.read_text(encoding="ascii").splitlines()[1:-1]:
        if line.startswith("[") and line.endswith("]"):
            lines = sections.setdefault(line[1:-1], [])
        else:
            lines.append(line)
    return sections


_RULES = read_rules()
_WORDS = {name: frozenset(" ".join(lines).split()) for name, lines in _RULES.items()}
OPERATORS = _WORDS["operators"]
"""Operators (``aten``) that a model may use: arithmetic, shapes, lists and dictionaries."""
_PRIM, _ROOTS, _NOT_CALLED = _WORDS["prim"], _WORDS["roots"], _WORDS["not called"]
_SPECIAL = _WORDS["methods"]  # special methods that the code may define
_MEMBERS, _GLOBALS = (re.compile(_RULES[name][0]) for name in ("members", "globals"))


def check_code(archive: zipfile.ZipFile, path) -> None:
    """Raise ModelFileError if an archive contains code or objects that a model does not need.

    Parameters
    ----------
    archive : zipfile.ZipFile
    path : str or path
        Name of the file for the message.
    """
    names = archive.namelist()
    if len({name.lower() for name in names}) < len(names):
        _refuse(path, "two members of the same name")
    if len({name.partition("/")[0] for name in names}) != 1:
        _refuse(path, "members in several folders")
    for name in names:
        inner = name.partition("/")[2]
        if not _MEMBERS.fullmatch(inner):
            _refuse(path, f"the member '{inner[:80]}'")
        if inner.endswith(".py"):
            _check_source(archive.read(name), path)
        elif inner in ("data.pkl", "constants.pkl"):
            _check_objects(archive.read(name), path)


def _refuse(path, what):
    raise ModelFileError(
        f"{path}: contains {what}, which no model of tnep_calc has, so it is not loaded: export the model with "
        "'tnep export'"
    )


def _check_objects(data, path):
    try:
        for code, argument, _ in pickletools.genops(data):
            if code.name == "GLOBAL" and not _GLOBALS.fullmatch(str(argument)):
                _refuse(path, f"an object of the class {str(argument)[:80]}")
            if code.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
                _refuse(path, f"the instruction {code.name}")
    except (ValueError, UnicodeDecodeError, IndexError) as error:
        raise ModelFileError(f"{path}: damaged list of parameters ({str(error)[:80]}): export it again") from error


def _check_source(data, path):
    try:
        text = data.decode("ascii")
        if re.search(r"[^\n\t -~]|\\\n", text):
            _refuse(path, "code with control characters")
        tree = ast.parse(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise ModelFileError(f"{path}: its code cannot be read ({type(error).__name__}): export it again") from error
    inside: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if node not in inside:
                _check_chain(node, inside, path)
        elif isinstance(node, ast.Name):
            if node.id in _ROOTS and node not in inside:
                _refuse(path, f"code that takes '{node.id}' as a value")
        elif isinstance(node, ast.FunctionDef):
            if node.name.startswith("__") and node.name not in _SPECIAL:
                _refuse(path, f"a method {node.name}")
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            _refuse(path, "code that imports")
        elif isinstance(node, ast.Call):
            _check_call(node, path)


def _check_call(node, path):
    if isinstance(node.func, ast.Name):
        if node.func.id in _NOT_CALLED:
            _refuse(path, f"code that calls {node.func.id}")
        if node.func.id == "getattr":
            name = node.args[1] if len(node.args) == 2 else None
            if not isinstance(name, ast.Constant) or not _is_harmless(str(name.value)):
                _refuse(path, "code that looks up an operator by name")
    elif not isinstance(node.func, ast.Attribute):
        _refuse(path, "code that calls a computed function")


def _check_chain(node, inside, path):
    """Check one dotted name, and add its parts to `inside`, so that they are not checked again."""
    words: list[str] = []
    part = node
    while isinstance(part, ast.Attribute):
        inside.add(part)
        words.append(part.attr)
        part = part.value
    words.reverse()
    root = part.id if isinstance(part, ast.Name) else ""
    if root in _ROOTS:
        inside.add(part)
    name = ".".join([root, *words])
    if root == "torch":
        allowed = words in (["autograd", "grad"], ["device"]) or len(words) == 1 and _is_harmless(words[0])
    elif root == "ops":
        allowed = len(words) == 2 and (
            words[0] == "tnep"
            or words[0] == "prim"
            and words[1] in _PRIM
            or words[0] == "aten"
            and words[1] in OPERATORS
        )
    elif root == "__torch__":
        allowed = words[:2] != ["torch", "classes"]
    else:
        allowed = all(map(_is_harmless, words))
    if not allowed:
        _refuse(path, f"code that uses {name[:80]}")


def _is_harmless(name):
    """Return whether a name is that of an allowed operator, or of no operator at all, so that torch cannot call one."""
    if name in OPERATORS or name in _SPECIAL:
        return True
    return name not in _WORDS["not used"] and not hasattr(torch.ops.aten, name)
