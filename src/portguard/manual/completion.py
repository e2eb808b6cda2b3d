"""Completion for bash: commands, options, their choices, and files where a file is wanted."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from portguard.manual import parsers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.manual.parsers import Command, Option

_HEAD = """\
# bash completion for portguard(8); made from its parser.

_portguard() {
    local current=$2 previous=$3 command= word
    COMPREPLY=()
    # The command is the first word that is no option, with one of its own commands behind it where it has some.
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$command $word" in
"""

_MIDDLE = """\
        esac
    done
    case "$command $previous" in
"""

_TAIL = """\
        esac
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
        ;;
    esac
}
complete -F _portguard portguard
"""


def script() -> str:
    """Write the script."""
    return "".join(_lines())


def _lines() -> Iterator[str]:
    rows = parsers.commands()
    every = [one for row in rows for one in (row, *row.commands)]
    yield _HEAD
    for one in every:
        before, _, last = one.name.rpartition(" ")
        yield f"        {shlex.quote(f'{before} {last}')}) command={shlex.quote(one.name)} ;;\n"
    yield _MIDDLE
    for one in every:
        for option in one.options:
            yield from _value(one, option)
    yield "    *)\n"
    yield "        local words=\n"
    yield '        case "$command" in\n'
    yield f"        '') words={shlex.quote(' '.join([*(row.name for row in rows), '--help', '--version']))} ;;\n"
    for one in every:
        words = [
            *(inner.name.rpartition(" ")[2] for inner in one.commands),
            *(flag for option in one.options for flag in option.flags),
            *(choice for option in one.options if not option.flags for choice in option.choices),
            "--help",
        ]
        yield f"        {shlex.quote(one.name)}) words={shlex.quote(' '.join(words))} ;;\n"
    yield _TAIL


def _value(one: Command, option: Option) -> Iterator[str]:
    """Complete the value of an option."""
    if not option.flags or option.value is None:
        return
    patterns = " | ".join(shlex.quote(f"{one.name} {flag}") for flag in option.flags)
    if option.choices:
        words = shlex.quote(" ".join(option.choices))
        yield f'    {patterns})\n        mapfile -t COMPREPLY < <(compgen -W {words} -- "$current")\n        ;;\n'
    elif option.file:
        yield f'    {patterns})\n        mapfile -t COMPREPLY < <(compgen -f -- "$current")\n        ;;\n'
    else:
        yield f"    {patterns}) ;;\n"
