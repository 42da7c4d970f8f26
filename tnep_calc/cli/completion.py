"""``tnep completion``: print the script that completes commands and options in a shell."""

from __future__ import annotations

import argparse

from ..errors import InputError

EPILOG = """\
examples:
  tnep completion bash >> ~/.local/share/bash-completion/completions/tnep    # bash, for all new shells
  tnep completion zsh > ~/.zfunc/_tnep                                       # zsh, with ~/.zfunc in fpath
  eval "$(tnep completion bash)"                                             # bash, for this shell only
"""
SHELLS = ("bash", "zsh", "tcsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``tnep completion``."""
    parser.epilog = EPILOG
    parser.add_argument("shell", choices=SHELLS, help="shell that reads the script")


def run(args: argparse.Namespace) -> None:
    """Print the script."""
    try:
        import shtab
    except ImportError as error:
        raise InputError("shell completion needs shtab: pip install shtab") from error

    from . import build_parser

    parser = build_parser("completion")
    for command in _commands(parser):
        for action in command._actions:
            if action.choices is None and action.nargs != 0 and action.type not in (int, float):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, args.shell))


def _commands(parser):
    """Return the parsers of all commands."""
    action = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return action.choices.values()
