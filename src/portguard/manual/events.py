"""What is told of each event: ``portguard-events(7)``, the journal's catalogue, and the table of ``docs/events.md``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portguard.alert.explanations import EXPLANATIONS
from portguard.alert.message import FIELDS, MESSAGE_IDS
from portguard.manual.roff import bold, entry, header, prose, section, verbatim

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.alert.explanations import Explanation
    from portguard.model.finding import Kind

BEGIN = "<!-- made by make docs from portguard.alert.explanations; do not edit it here -->"
END = "<!-- end of what make docs made -->"


def page(*, date: str, version: str) -> str:
    """Write the manual page."""
    return "\n".join(_lines(date, version)) + "\n"


def catalogue() -> str:
    """Write the catalogue that ``journalctl -x`` explains messages from."""
    return "\n".join(entry for kind, row in EXPLANATIONS.items() for entry in _entry(kind, row))


def table() -> str:
    """Write the table of the docs."""
    rows = ["| kind | priority | when | MESSAGE_ID |", "|---|---|---|---|"]
    rows += (
        f"| `{kind.value}` | {row.priority} | {row.when} | `{MESSAGE_IDS[kind]}` |"
        for kind, row in EXPLANATIONS.items()
    )
    return "\n".join([BEGIN, "", *rows, "", END])


def renewed(document: str) -> str:
    """Put the table in its place in the text of ``docs/events.md``. Raises ValueError where that has none."""
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        raise ValueError("docs/events.md has lost the place of its table")
    return re.sub(rf"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: table(), document, flags=re.DOTALL)


def _lines(date: str, version: str) -> Iterator[str]:
    yield from header("portguard-events", 7, "Miscellaneous", date=date, version=version)
    yield section("Name")
    yield r"portguard\-events \- what portguard tells, and what it means"
    yield section("Description")
    yield prose(
        "Every event goes to the journal with `SYSLOG_IDENTIFIER=portguard`, facility authpriv, and a `MESSAGE_ID` of its kind that"
        " never changes. `MESSAGE` is a sentence, a bar, and `key=value` pairs of the fields below in their order."
    )
    yield from verbatim(
        ["journalctl -x -t portguard", "journalctl _SYSTEMD_UNIT=portguard.service PORTGUARD_STATE=firing"]
    )
    yield section("Events")
    for kind, row in EXPLANATIONS.items():
        yield f".SS {bold(kind.value)}"
        yield from verbatim([f"MESSAGE_ID={MESSAGE_IDS[kind]}", f"PRIORITY={row.priority}"])
        for term, text in _parts(row):
            yield from entry(bold(term), text)
        yield from verbatim(row.next)
    yield section("Fields")
    yield prose("Each with `PORTGUARD_` before it; one without a value is left out.")
    yield ".PP"
    yield prose(", ".join(f"`{name}`" for name in FIELDS))
    yield section("See also")
    yield "portguard(8), portguard.toml(5), journalctl(1)"


def _parts(row: Explanation) -> tuple[tuple[str, str], ...]:
    return (("When", row.when), ("Cause", row.cause), ("Impact", row.impact), ("portguard", row.done))


def _entry(kind: Kind, row: Explanation) -> list[str]:
    return [
        f"-- {MESSAGE_IDS[kind]}",
        f"Subject: {row.subject}",
        "Defined-By: portguard",
        "Documentation: man:portguard-events(7)",
        "",
        f"Cause: {row.cause}",
        "",
        f"Impact: {row.impact}",
        "",
        f"What portguard did: {row.done}",
        "",
        "What to do next:",
        *(f"  {line}" for line in row.next),
        "",
    ]
