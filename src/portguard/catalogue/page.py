"""``docs/ports.md`` from the catalogue: per role a table of ports, with the line of the document behind each.

``python -m portguard.catalogue.page > docs/ports.md``; ``make docs`` runs it, and a test compares the two.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from portguard.catalogue import load, query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from portguard.model.flow import Catalogue, Flow, Role

_HEAD = """\
# Ports by role

Made from the catalogue by `make docs`; do not edit it. Own products are described in [catalogue.md](catalogue.md).

Each table shows one kind of server: what it accepts, then what it opens to others. Ports that only an unused feature
needs are not opened; *localhost* is right on loopback and a finding when others can reach it. `?` is what a document
leaves open. A source such as `001:43` is line 43 of document 001. Servers that combine roles have the ports of both.
"""


def page(catalogue: Catalogue) -> str:
    """Write the whole page. The same catalogue always gives the same text."""
    return "\n".join(_lines(catalogue)) + "\n"


def _lines(catalogue: Catalogue) -> Iterator[str]:
    yield _HEAD
    yield from _table(
        ("Document", "Title"),
        ((row.id, _text(row.title)) for row in sorted(catalogue.documents, key=lambda row: row.id)),
    )
    yield ""
    yield from _table(
        ("Role", "What the server is"),
        ((f"[{role.id}](#{_anchor(role.id)})", _text(role.title)) for role in catalogue.roles),
    )
    for role in catalogue.roles:
        yield ""
        yield from _role(catalogue, role)
    disputed = [(flow, query.disputes(catalogue, flow)) for flow in catalogue.flows]
    yield "\n## Where documents disagree\n"
    yield from _table(
        ("Flow", "says", "but"),
        (
            (
                f"`{flow.id}`",
                _statement(flow),
                "<br>".join(f"`{other.id}`: {_statement(other)}" for other in others),
            )
            for flow, others in disputed
            if others
        ),
    )
    notes = [(flow, flow.note) for flow in catalogue.flows if flow.note]
    yield "\n## Notes on single flows\n"
    yield from _table(
        ("Flow", "Source", "Note"), ((f"`{flow.id}`", _sources(flow), _text(note)) for flow, note in notes)
    )


def _role(catalogue: Catalogue, role: Role) -> Iterator[str]:
    yield f"## {role.id}\n"
    yield f"{_text(role.title)}: {', '.join(f'`{name}`' for name in role.components)}."
    if role.features:
        yield f"Always in use: {', '.join(f'`{name}`' for name in role.features)}."
    inbound = query.inbound(catalogue, role.components)
    outbound = query.outbound(catalogue, role.components)
    for heading, far, flows in (("Accepts", "From", inbound), ("Opens", "To", outbound)):
        if flows:
            yield f"\n### {heading}: {role.id}\n"
            yield from _table(
                ("Port", far, "Need", "Purpose", "Source"),
                (
                    _row(flow, flow.clients if far == "From" else (flow.server,))
                    for flow in query.by_port(flows)
                ),
            )
    clashes = query.clashes(inbound)
    if clashes:
        yield f"\n### Ports that two components want: {role.id}\n"
        yield from _table(
            ("Port", "Components", "Settings that move one"),
            (
                (f"{clash.ports}/{clash.transport}", _names(clash.components), _names(clash.settings))
                for clash in clashes
            ),
        )


def _row(flow: Flow, far: Iterable[str]) -> tuple[str, ...]:
    transport = "?" if flow.transport == "unknown" else flow.transport.value
    ports = "<br>".join(f"{ports}/{transport}" for ports in flow.ports)
    if not ports:
        ports = transport if transport == "icmp" else f"?/{transport}"
    if flow.setting:
        ports += f"<br>`{flow.setting}`"
    purpose = _text(flow.purpose)
    if flow.hosts:
        purpose += f" ({_names(flow.hosts)})"
    if flow.source_ports:
        purpose += f" (from ports {', '.join(map(str, flow.source_ports))})"
    need = flow.need if flow.feature is None else f"`{flow.feature}`"
    return ports, "<br>".join(far), need, purpose, _sources(flow)


def _statement(flow: Flow) -> str:
    ports = ", ".join(map(str, flow.ports)) or "no port"
    return f"{ports}/{flow.transport} at {flow.server} ({_sources(flow)})"


def _sources(flow: Flow) -> str:
    return "; ".join(query.cites(flow.sources)) or "none"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _text(text: str) -> str:
    """Keep the text of a catalogue from ending a cell or reading as markup."""
    return re.sub(r"([|\\`*_\[\]<>])", r"\\\1", text)


def _anchor(heading: str) -> str:
    """Anchor that forges give a heading: lower case, punctuation dropped, blanks as dashes."""
    return re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    sys.stdout.write(page(load.load()))
