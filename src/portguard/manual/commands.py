"""``portguard(8)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.manual import parsers
from portguard.manual.roff import bold, entry, escaped, header, prose, section, verbatim

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.manual.parsers import Command, Option

_FILES = (
    (
        "/etc/portguard/portguard.toml",
        "the configuration, see `portguard.toml(5)`; every key with its default, commented out",
    ),
    (
        "/etc/portguard/conf.d/*.toml",
        "read after it, in name order: yours, and your configuration management's",
    ),
    ("/etc/portguard/catalogue.d/*.toml", "catalogue files of your own"),
    ("/run/portguard/status.json", "what the daemon knows; `portguard status` reads it"),
    ("/var/lib/portguard", "what has been told, so that a restart tells nothing twice"),
)
_SEE = "portguard.toml(5), portguard\\-events(7), nft(8), systemd(1), journalctl(1)"


def page(*, date: str, version: str) -> str:
    """Write the page."""
    return "\n".join(_lines(date, version)) + "\n"


def _lines(date: str, version: str) -> Iterator[str]:
    rows = parsers.commands()
    yield from header("portguard", 8, "System Administration", date=date, version=version)
    yield section("Name")
    yield r"portguard \- guard of the documented ports of print\-management servers"
    yield section("Synopsis")
    for row in rows:
        for one in _leaves(row):
            yield synopsis(one)
            yield ".br"
    yield section("Description")
    yield prose(parsers.description())
    yield section("Commands")
    for row in rows:
        yield from _command(row)
    yield section("Examples and exit codes")
    yield from verbatim(parsers.epilog().strip().splitlines())
    yield section("Files")
    for path, text in _FILES:
        yield from entry(bold(path), text)
    yield section("See also")
    yield _SEE


def _leaves(row: Command) -> Iterator[Command]:
    """Give what can be called: a command, or its own commands where it has some."""
    yield from row.commands or (row,)


def synopsis(row: Command) -> str:
    """Write one call."""
    return " ".join([bold("portguard"), bold(row.name), *map(_spelled, row.options)])


def _spelled(option: Option) -> str:
    value = rf"\fI{escaped(option.value)}\fR" if option.value is not None else ""
    if option.many:
        value += " ..."
    text = f"{bold(option.flags[-1])} {value}".strip() if option.flags else value
    return f"[{text}]" if option.optional else text


def _command(row: Command) -> Iterator[str]:
    yield f".SS portguard {escaped(row.name)}"
    yield prose(row.description)
    for option in row.options:
        yield from _entry(option)
    for inner in row.commands:
        yield ".PP"
        yield synopsis(inner)
        yield ".RS 4"
        yield ".PP"
        yield prose(inner.description)
        for option in inner.options:
            yield from _entry(option)
        if inner.epilog:
            yield from verbatim(inner.epilog.strip().splitlines())
        yield ".RE"
    if row.epilog:
        yield from verbatim(row.epilog.strip().splitlines())


def _entry(option: Option) -> list[str]:
    names = ", ".join(map(bold, option.flags))
    value = rf"\fI{escaped(option.value)}\fR" if option.value is not None else ""
    return entry(f"{names} {value}".strip(), option.help or "see the examples")
