"""Directive ``tnep-commands``: a section for each command of ``tnep``, made from its argument parser."""

import argparse
import os

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from tnep_calc.cli import COMMANDS, build_parser


def subparser(name: str) -> argparse.ArgumentParser:
    """Return the parser of one command, with its arguments."""
    parser = build_parser(name)
    action = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return action.choices[name]


def invocation(action: argparse.Action) -> str:
    """Return the invocation of an argument, e.g. ``-o FILE, --output FILE``."""
    return argparse.HelpFormatter("tnep")._format_action_invocation(action)


def definition(parser: argparse.ArgumentParser, action: argparse.Action) -> nodes.definition_list_item:
    """Return one argument with its help text."""
    values = {**vars(action), "prog": parser.prog}
    text = (action.help or "") % values
    if action.choices is not None and not action.option_strings:
        text += f" ({', '.join(map(str, action.choices))})"
    return nodes.definition_list_item(
        "", nodes.term("", "", nodes.literal("", invocation(action))), nodes.definition("", nodes.paragraph("", text))
    )


def command_section(name: str) -> nodes.section:
    """Return the section about one command: description, usage, arguments by group, and the closing text."""
    parser = subparser(name)
    section = nodes.section("", nodes.title("", "", nodes.literal("", f"tnep {name}")), ids=[f"tnep-{name}"])
    section += nodes.paragraph("", parser.description or "")
    usage = parser.format_usage().removeprefix("usage: ")
    section += nodes.literal_block(usage, usage, language="none")
    for group in parser._action_groups:
        actions = [a for a in group._group_actions if a.help is not argparse.SUPPRESS]
        if not actions:
            continue
        section += nodes.rubric("", (group.title or "").capitalize())
        if group.description:
            section += nodes.paragraph("", group.description)
        items = nodes.definition_list(classes=["options"])
        items.extend(definition(parser, action) for action in actions)
        section += items
    if parser.epilog:
        section += nodes.rubric("", "Notes and examples")
        section += nodes.literal_block(parser.epilog, parser.epilog.strip("\n"), language="none")
    return section


class Commands(SphinxDirective):
    """All commands, in the order of ``tnep --help``."""

    def run(self):
        """Return the sections."""
        os.environ["COLUMNS"] = "100"  # width of the usage lines
        sections = []
        for name in COMMANDS:
            section = command_section(name)
            self.state.document.note_explicit_target(section)
            sections.append(section)
        return sections


def setup(app: Sphinx) -> dict:
    """Register the directive."""
    app.add_directive("tnep-commands", Commands)
    return {"parallel_read_safe": True}
