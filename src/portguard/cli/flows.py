"""Flows on a terminal: as rows of a table, and one by one with everything that is known about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.catalogue import query
from portguard.model.flow import FEATURE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Group
    from rich.table import Table

    from portguard.catalogue.query import Use
    from portguard.model.flow import Catalogue, Flow
    from portguard.model.net import PortRange

_WIDE_TERMINAL = 110


def table(*columns: str) -> Table:
    """Start a table in the form of all commands: a line under the headings, no box."""
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    out = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        out.add_column(column, overflow="fold")
    return out


def facts(rows: Iterable[tuple[str, str]]) -> Table:
    """Lay out labelled facts; those without a value are left out."""
    from rich.table import Table  # noqa: PLC0415

    out = Table.grid(padding=(0, 2))
    out.add_column(no_wrap=True)
    out.add_column(overflow="fold")
    for label, value in rows:
        if value:
            out.add_row(label, escaped(value))
    return out


def flow_table(flows: Iterable[Flow], preposition: str, *, inbound: bool, width: int) -> Table:
    """Lay flows out by port, with the far side of the host that they are seen from.

    Below 110 columns everything but the port stands under the purpose: six columns beside each other do not fit.
    """
    wide = width >= _WIDE_TERMINAL
    names = (preposition.capitalize(), "Need", "Purpose", "Setting", "Source") if wide else ("Purpose",)
    out = table("Port", *names)
    out.columns[0].no_wrap = True
    for flow in query.by_port(flows):
        port, far = _stacked(port_lines(flow)), flow.clients if inbound else (flow.server,)
        if wide:
            setting, sources = escaped(flow.setting or ""), _stacked(query.cites(flow.sources))
            out.add_row(port, _stacked(far), need(flow), _purpose(flow), setting, sources)
        else:
            details = [need(flow), *query.cites(flow.sources)]
            if flow.setting:
                details.append(f"setting {flow.setting}")
            lines = (
                _purpose(flow),
                f"{preposition} {', '.join(far)}",
                f"[dim]{escaped('; '.join(details))}[/]",
            )
            out.add_row(port, _stacked(lines))
    return out


def ports_text(ports: Iterable[PortRange]) -> str:
    """Spell ports as ``514, 1514``."""
    return ", ".join(str(row) for row in ports)


def port_lines(flow: Flow) -> list[str]:
    """Spell the server's ports with their transport, one range a line; ``?`` is what the document does not say."""
    transport = "?" if flow.transport == "unknown" else flow.transport.value
    if not flow.ports:
        return [transport if flow.transport == "icmp" else f"?/{transport}"]
    return [f"{ports}/{transport}" for ports in flow.ports]


def need(flow: Flow) -> str:
    """Spell the need for a table."""
    return flow.need if flow.feature is None else f"feature {flow.feature}"


def escaped(text: str) -> str:
    """Keep rich from reading ``[...]`` of a document as markup."""
    from rich.markup import escape  # noqa: PLC0415

    return escape(text)


def _purpose(flow: Flow) -> str:
    extra = [", ".join(flow.hosts)] if flow.hosts else []
    if flow.source_ports:
        extra.append(f"from ports {ports_text(flow.source_ports)}")
    return escaped(flow.purpose) + "".join(f"\n[dim]{escaped(line)}[/]" for line in extra)


def block(catalogue: Catalogue, use: Use) -> Group:
    """Lay out one flow that names a port, with its sources and everyone who disagrees."""
    from rich.console import Group  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    rows = Table.grid(padding=(0, 1))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    for label, value in block_rows(catalogue, use):
        rows.add_row(f"  {label}", escaped(value))
    return Group(f"[bold]{escaped(use.flow.purpose)}[/]", rows)


def block_rows(catalogue: Catalogue, use: Use) -> Iterator[tuple[str, str]]:
    """Say everything that is documented about one flow, as labelled lines of plain text."""
    flow = use.flow
    transport = "transport not stated" if flow.transport == "unknown" else flow.transport.value
    security = "" if flow.security == "unknown" else f", {flow.security}"
    if flow.security == "either":
        security = ", plain or encrypted"
    yield "port", f"{ports_text(flow.ports)} {transport}, {flow.application}{security}"
    yield "flow", flow.id
    yield "server", titled(catalogue, flow.server)
    yield "clients", ", ".join(flow.clients)
    yield "need", need_sentence(flow)
    if flow.setting:
        yield "setting", flow.setting
    if flow.hosts:
        yield "hosts", ", ".join(flow.hosts)
    yield "says", _cites(flow)
    if flow.note:
        yield "note", flow.note
    for other in query.disputes(catalogue, flow):
        yield (
            "disputed",
            f"{_cites(other)}: {other.purpose}, {', '.join(port_lines(other))} at {other.server} ({other.id})",
        )


def need_sentence(flow: Flow) -> str:
    """Say what follows from the need of a flow."""
    if query.local_only(flow):
        what = "JMX" if flow.application.startswith("jmx") else "it"
        return f"localhost: {what} belongs on loopback; when others can reach it, that is a finding"
    if flow.feature is not None:
        return f"only where {flow.feature!r} is among the features of the configuration"
    if flow.need == "optional":
        return "optional: allowed, and nothing is missing when nothing listens"
    return flow.need


def document_lines(catalogue: Catalogue, flows: Iterable[Flow]) -> list[str]:
    """Name the documents behind some flows, by id."""
    cited = {source.document for flow in flows for source in flow.sources}
    return sorted(f"{row.id}  {row.title}" for row in catalogue.documents if row.id in cited)


def titled(catalogue: Catalogue, side: str) -> str:
    """Name a zone or component with its title."""
    row = catalogue.component_by_id.get(side) or catalogue.zone_by_id.get(side)
    return side if row is None else f"{row.title} ({side})"


def features(flows: Iterable[Flow]) -> list[str]:
    """Name the features that switch some of these flows on."""
    return sorted({flow.need.removeprefix(FEATURE) for flow in flows if flow.feature is not None})


def _stacked(items: Iterable[object]) -> str:
    return "\n".join(map(str, items))


def _cites(flow: Flow) -> str:
    return ", ".join(map(str, flow.sources)) or "no document"
