"""Directive ``tnep-configuration``: tables of all keys of a training configuration, made from its dataclasses."""

import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from importlib import import_module

from docutils import nodes
from docutils.statemachine import StringList
from numpydoc.docscrape import NumpyDocString
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def documented(cls: type) -> dict[str, tuple[str, list[str]]]:
    """Return type and text of every key from the docstrings of a dataclass and its bases."""
    found = {}
    for base in reversed(cls.__mro__[:-1]):
        for names, kind, text in NumpyDocString(base.__doc__ or "")["Attributes"]:
            if not kind:  # refers to the base class, which has the text
                continue
            for name in names.split(", "):
                found[name] = (kind, list(text))
    return found


def toml(value) -> str:
    """Return a default in TOML syntax."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml, value))}]"
    return "{}" if value == {} else f"{value:g}" if isinstance(value, float) and abs(value) < 1e-2 else str(value)


def default_of(field: Field) -> str:
    """Return the default of a key, or ``required``."""
    if field.default is not MISSING:
        return f"``{toml(field.default)}``"
    if field.default_factory is not MISSING:
        return f"``{toml(field.default_factory())}``"
    return "required"


def type_and_unit(text: str) -> tuple[str, str]:
    """Split ``float, default 6.0, in Å`` into type and unit.

    Examples
    --------
    >>> type_and_unit("float, default 6.0, in Å")
    ('float', 'Å')
    """
    unit = re.search(r", in (\S+)$", text)
    kind = re.split(r", (?:defaults?|in) ", text)[0]
    return kind.replace("tuple of", "list of").replace("(", "[").replace(")", "]"), unit.group(1) if unit else ""


def table_lines(name: str, cls: type, bounds: Mapping[str, object]) -> list[str]:
    """Return the section about one table of the file, as reStructuredText, with the ranges of numbers."""
    docs = documented(cls)
    title = f"[{name}]"
    summary = NumpyDocString(cls.__doc__ or "")
    lines = [title, "~" * len(title), "", *summary["Summary"], "", *summary["Extended Summary"], ""]
    lines += [".. list-table::", "   :header-rows: 1", "   :widths: 20 16 16 48", ""]
    lines += ["   * - key", "     - type and range", "     - default", "     - meaning"]
    for field in fields(cls):
        if field.name not in docs:
            raise ValueError(f"{cls.__name__}: the docstring does not describe '{field.name}'")
        kind, text = docs[field.name]
        kind, unit = type_and_unit(kind)
        lines += [
            f"   * - ``{field.name}``",
            f"     - {kind}{f', {bounds[key]}' if (key := f'{name}.{field.name}') in bounds else ''}",
            f"     - {default_of(field)}{f' {unit}' if unit else ''}",
        ]
        text = text or [""]
        lines += [f"     - {text[0]}", *(f"       {line}" for line in text[1:])]
    return [*lines, ""]


class Configuration(SphinxDirective):
    """Sections for the tables of one kind of training; the argument is the module with its ``_TABLES``."""

    required_arguments = 1

    def run(self):
        """Return the sections."""
        module = import_module(self.arguments[0])
        lines = [line for name, cls in module._TABLES.items() for line in table_lines(name, cls, module.BOUNDS)]
        container = nodes.section()
        container.document = self.state.document
        source = self.get_source_info()[0]
        self.state.nested_parse(StringList(lines, source=source), self.content_offset, container, match_titles=True)
        return container.children


def setup(app: Sphinx) -> dict:
    """Register the directive."""
    app.add_directive("tnep-configuration", Configuration)
    return {"parallel_read_safe": True}
