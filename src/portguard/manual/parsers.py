"""Every command of the parser, as data: for the manual page and for the completion.

The parser's own help is not quoted: argparse words it otherwise in each version of Python, and a package is to have the same
bytes wherever it is built.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from portguard.cli.app import COMMANDS, parser


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option or one operand."""

    flags: tuple[str, ...]
    """Empty for an operand."""
    value: str | None
    """Name of its value; None for a flag that takes none."""
    choices: tuple[str, ...]
    file: bool
    """Whether the value names a file."""
    optional: bool
    many: bool
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command, or one of its own commands: ``catalogue show``."""

    name: str
    description: str
    options: tuple[Option, ...]
    epilog: str
    commands: tuple[Command, ...] = ()


def commands() -> tuple[Command, ...]:
    """Give every command, in the order of ``--help``."""
    return tuple(_of(name, _inner(parser(name))[name]) for name in COMMANDS)


def epilog() -> str:
    """Give what stands below the list of commands."""
    return parser(None).epilog or ""


def description() -> str:
    """Give the sentence that says what the program is."""
    return parser(None).description or ""


def _inner(top: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Find the parsers of a parser's own commands."""
    for action in top._actions:  # noqa: SLF001 - argparse has no other way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return dict(action.choices)
    return {}


def _of(name: str, one: argparse.ArgumentParser) -> Command:
    return Command(
        name=name,
        description=one.description or "",
        options=tuple(
            _option(action)
            for action in one._actions  # noqa: SLF001
            if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)  # noqa: SLF001
            and action.help != argparse.SUPPRESS
        ),
        epilog=one.epilog or "",
        commands=tuple(_of(f"{name} {inner}", row) for inner, row in _inner(one).items()),
    )


def _option(action: argparse.Action) -> Option:
    takes = action.nargs != 0
    metavar = action.metavar if isinstance(action.metavar, str) else None
    choices = tuple(str(choice) for choice in action.choices or ())
    name = metavar or ("|".join(choices) if choices else action.dest.upper())
    return Option(
        flags=tuple(action.option_strings),
        value=name if takes else None,
        choices=choices,
        file=name == "FILE",
        optional=bool(action.option_strings) or action.nargs in ("?", "*"),
        many=action.nargs in ("*", "+"),
        help=(action.help or "") % {"default": action.default, "prog": "portguard"},
    )
