"""Directive ``tnep-modules``: the public names of a module, or of all modules of a package, from their docstrings."""

import pkgutil
from importlib import import_module

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def modules_of(name: str) -> list[str]:
    """Return the public modules at and below `name`, sorted, without packages that only hold others."""
    module = import_module(name)
    found = [name]
    for info in pkgutil.walk_packages(getattr(module, "__path__", []), f"{name}."):
        if not any(part.startswith("_") for part in info.name.split(".")):
            found.append(info.name)
    return sorted(found)


def members_of(name: str) -> list[str]:
    """Return what follows ``automodule``: of a package the names that it passes on, which its modules describe."""
    module = import_module(name)
    if not hasattr(module, "__path__"):
        return ["   :members:"]
    names = ", ".join(f"``{n}``" for n in getattr(module, "__all__", ()))
    return ["", f"Can be imported from ``{name}`` itself: {names}."] if names else []


class Modules(SphinxDirective):
    """One section per module; the arguments are names of modules and packages."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        """Return the sections."""
        lines = []
        for argument in self.arguments[0].split():
            for name in modules_of(argument):
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
