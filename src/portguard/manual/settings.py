"""``portguard.toml(5)``: keys and defaults from the schema, words from the file that is shipped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portguard.config.schema import TABLES, keys_of
from portguard.manual.roff import bold, header, prose, section, verbatim

if TYPE_CHECKING:
    from collections.abc import Iterator

_TABLE = re.compile(r"#(\[+([\w.]+)\]+)$")
_KEY = re.compile(r"#(\"[^\"]+\"|[A-Za-z_]\w*) = (.*)$")

_READING = (
    (
        "`portguard` reads `/etc/portguard/portguard.toml`, then `/etc/portguard/conf.d/*.toml` in name order, then environment"
        " variables that begin with `PORTGUARD_`. A table adds to what was said before; a value or a list replaces it."
    ),
    (
        "A change is taken over at once. A file with a fault changes nothing: portguard goes on with what it had, and says what"
        " is wrong. `python3 -m portguard.config FILE` names every fault before that."
    ),
    (
        "Durations are seconds, or texts such as `10m` or `1h 30m`. Networks are written `10.1.0.0/16` or `2001:db8:1::/48`, or as a"
        " single address."
    ),
)
_ENVIRONMENT = (
    "PORTGUARD_MODE=heal",
    "PORTGUARD_PATHS__STATUS=/tmp/status.json",
    "PORTGUARD_ZONES__PRINTERS='[\"10.2.0.0/16\"]'",
)


def page(shipped: str, *, date: str, version: str) -> str:
    """Write the page from the text of the shipped ``portguard.toml``."""
    return "\n".join(_lines(shipped, date, version)) + "\n"


def _lines(shipped: str, date: str, version: str) -> Iterator[str]:
    found = Shipped(shipped)
    yield from header("portguard.toml", 5, "File Formats", date=date, version=version)
    yield section("Name")
    yield r"portguard.toml \- what this server is, who its clients are, and what portguard may write"
    yield section("Synopsis")
    yield prose("/etc/portguard/portguard.toml")
    yield ".br"
    yield prose("/etc/portguard/conf.d/*.toml")
    yield section("Description")
    for text in _READING:
        yield ".PP"
        yield prose(text)
    yield section("Keys")
    models = {path: keys_of(table) for path, table in TABLES.items()}
    # Tables whose keys are names of the site's own choosing have no model; the file has examples of them.
    named: dict[tuple[str, ...], list[str]] = {
        (key,): [] for key in models[()] if (key,) in found.headings and (key,) not in models
    }
    tables = {(): models[()], **named, **models}
    for path, keys in tables.items():
        shown = [key for key in keys if (*path, key) in found.keys]
        if path in found.headings:
            yield f".SS {bold(found.headings[path])}"
            yield from _paragraphs(found.words[path])
            if not keys:
                yield from verbatim(
                    f"{key[-1]} = {value}" for key, value in found.keys.items() if key[:-1] == path
                )
        for key in shown:
            words = found.words[(*path, key)]
            yield ".TP" if words else ".PP"
            yield bold(f"{key} = {found.keys[(*path, key)]}")
            yield from _paragraphs(words)
    yield section("Environment")
    yield prose("Two underscores step into a table; lists and tables are JSON.")
    yield from verbatim(_ENVIRONMENT)
    yield section("See also")
    yield r"portguard(8), portguard\-events(7)"


def _paragraphs(words: str) -> list[str]:
    """Spell what the file says; the lines of a list in it stay lines."""
    first, *rest = words.split("\n")
    return [prose(first), *(line for item in rest for line in (".br", prose(item)))] if words else []


class Shipped:
    """What the shipped file says about each table and key. Prose has a space behind its ``#``, a key has none."""

    def __init__(self, text: str) -> None:
        self.headings: dict[tuple[str, ...], str] = {}
        """Tables, as they are written there."""
        self.keys: dict[tuple[str, ...], str] = {}
        """The default or an example of each key, as it is written there."""
        self.words: dict[tuple[str, ...], str] = {}
        """What stands above a table or a key; each item of a list on a line of its own."""
        here: tuple[str, ...] = ()
        words = ""
        for line in text.splitlines():
            if match := _TABLE.match(line):
                here = tuple(match[2].split("."))
                self.headings[here] = match[1]
                self.words[here], words = words, ""
            elif match := _KEY.match(line):
                self.keys[(*here, match[1])] = match[2]
                self.words[(*here, match[1])], words = words, ""
            elif line.startswith("#   "):
                words += "\n" + " ".join(line.removeprefix("#").split())
            elif line.startswith("# "):
                words += (" " if words else "") + line.removeprefix("# ").strip()
            else:
                words = ""
