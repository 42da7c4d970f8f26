"""Directive ``tnep-modules``: the public names of a module, or of all modules of a package, from their docstrings."""

import pkgutil
from importlib import import_module

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def modules_of(name: str) -> list[str]:
    """Return `name` and the public modules below it, sorted."""
    module = import_module(name)
    found = [name]
    for info in pkgutil.walk_packages(getattr(module, "__path__", []), f"{name}."):
        if not any(part.startswith("_") for part in info.name.split(".")):
            found.append(info.name)
    return sorted(found)


def members_of(name: str) -> list[str]:
    """Return the lines after ``automodule``: the members that a module defines, and the names a package re-exports."""
    module = import_module(name)
    names = ", ".join(f"``{n}``" for n in getattr(module, "__all__", ())) if hasattr(module, "__path__") else ""
    more = ["", f"Can be imported from ``{name}`` itself: {names}."] if names else []
    return ["   :members:", "   :ignore-module-all:", *more]


def modules_shown(arguments: str) -> list[str]:
    """Return the modules that the arguments of a directive name.

    Examples
    --------
    >>> modules_shown("tnep_calc.io -tnep_calc.io.series -tnep_calc.io.structures -tnep_calc.io.gpumd")[:2]
    ['tnep_calc.io', 'tnep_calc.io.born']
    """
    words = arguments.split()
    left_out = {name for word in words if word[0] == "-" for name in modules_of(word[1:])}
    return [name for word in words if word[0] != "-" for name in modules_of(word) if name not in left_out]


class Modules(SphinxDirective):
    """One section per module; the arguments are names of modules and packages, ``-NAME`` leaves one out."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        """Return the sections."""
        lines = []
        for name in modules_shown(self.arguments[0]):
            lines += [name, "-" * len(name), "", f".. automodule:: {name}", *members_of(name), ""]
        container = nodes.section()
        container.document = self.state.document
        source = self.get_source_info()[0]
        self.state.nested_parse(StringList(lines, source=source), self.content_offset, container, match_titles=True)
        return container.children


def setup(app: Sphinx) -> dict:
    """Register the directive."""
    app.add_directive("tnep-modules", Modules)
    return {"parallel_read_safe": True}
