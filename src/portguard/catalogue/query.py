"""Questions that people and commands ask of the catalogue: who uses a port, what a role needs, who disagrees.

Pure: a catalogue in, values out. Nothing here knows a site's networks; that is ``core.resolve``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from portguard.errors import UsageError
from portguard.model.flow import ONLY_LOCALHOST, Scope
from portguard.model.net import PortRange, Transport
from portguard.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from portguard.model.flow import Catalogue, Flow, Role, Source

SCHEMA = 1
"""Schema number of ``portguard catalogue --json``."""

WIDE = 64
"""A range of more ports than this documents a path, not listeners; ``core.resolve`` draws the line at the same place."""


class Match(IntEnum):
    """How narrowly a flow names a port, narrowest first."""

    PORT = 0
    RANGE = 1
    DYNAMIC = 2
    """In a range from which ports are picked at run time: no statement about this port."""
    SOURCE = 3
    """Among the ports of the client's side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One flow that names a port."""

    flow: Flow
    ports: PortRange
    """The port or range of the flow that holds it."""
    match: Match

    @property
    def documents(self) -> bool:
        """Whether it says what the port is for: a wide range and source ports do not."""
        return self.match in (Match.PORT, Match.RANGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """Flows of different components that want the same port of one host."""

    transport: Transport
    ports: PortRange
    flows: tuple[Flow, ...]

    @property
    def components(self) -> tuple[str, ...]:
        """Components that claim it, in the catalogue's order."""
        return tuple(dict.fromkeys(flow.server for flow in self.flows))

    @property
    def settings(self) -> tuple[str, ...]:
        """Settings that can move one of them."""
        return tuple(dict.fromkeys(flow.setting for flow in self.flows if flow.setting))


def role(catalogue: Catalogue, name: str) -> Role:
    """Find a role, or a component as a role of itself alone. Raises UsageError with near misses."""
    found = catalogue.role_by_id.get(name)
    if found is None:
        raise UsageError(f"no role {name!r}{did_you_mean(name, catalogue.role_by_id)}")
    return found


def inbound(catalogue: Catalogue, components: Collection[str]) -> tuple[Flow, ...]:
    """Flows that a host with these components accepts, from others or from itself, in the documents' order."""
    return tuple(flow for flow in catalogue.flows if flow.server in components)


def outbound(catalogue: Catalogue, components: Collection[str]) -> tuple[Flow, ...]:
    """Flows that a host with these components opens to something that it does not run itself."""
    return tuple(
        flow
        for flow in catalogue.flows
        if flow.server not in components and any(client in components for client in flow.clients)
    )


def in_use(flows: Iterable[Flow], features: Collection[str]) -> tuple[Flow, ...]:
    """Flows that remain on a site that uses these features and no other."""
    return tuple(flow for flow in flows if flow.in_use(features))


def far_sides(catalogue: Catalogue, flows: Iterable[Flow], components: Collection[str]) -> tuple[str, ...]:
    """Zones, then other servers' components, that open these flows to a host with these components.

    A component that the catalogue places in a zone is not named: its zone is. Nor is ``any``, which needs no addresses.
    """
    sides: set[str] = set()
    for flow in flows:
        for client in flow.clients if not local_only(flow) else ():
            component = catalogue.component_by_id.get(client)
            if client not in components:
                sides.add(component.zone if component is not None and component.zone else client)
    return tuple(sorted(sides - {"any"}, key=lambda side: ("/" in side, side)))


def by_port(flows: Iterable[Flow]) -> list[Flow]:
    """Order flows for reading: by first port, then as documented; those without a port last."""
    return sorted(
        flows, key=lambda flow: (flow.ports[0] if flow.ports else PortRange(65535, 65535), not flow.ports)
    )


def spoken(transport: Transport) -> tuple[Transport, ...]:
    """Single protocols that a flow may use; both of those with ports where the document does not say."""
    return transport.each() or (Transport.TCP, Transport.UDP)


def using(
    catalogue: Catalogue,
    port: int,
    transport: Transport | None = None,
    components: Collection[str] | None = None,
) -> tuple[Use, ...]:
    """Flows that name a port, the narrowest statement first; within a match in the documents' order.

    With ``components``, only flows that one of them accepts or opens.
    """
    uses = []
    for flow in catalogue.flows:
        if transport is not None and transport not in spoken(flow.transport):
            continue
        if components is not None and not (
            flow.server in components or set(components).intersection(flow.clients)
        ):
            continue
        use = _use(flow, port)
        if use is not None:
            uses.append(use)
    return tuple(sorted(uses, key=lambda use: (use.match, len(use.ports))))


def _use(flow: Flow, port: int) -> Use | None:
    """Say how a flow names a port, by the narrowest of its ranges that holds it."""
    for ranges, source in ((flow.ports, False), (flow.source_ports, True)):
        holding = min((ports for ports in ranges if port in ports), key=len, default=None)
        if holding is None:
            continue
        if source:
            match = Match.SOURCE
        elif flow.dynamic or len(holding) > WIDE:
            match = Match.DYNAMIC
        else:
            match = Match.RANGE if len(holding) > 1 else Match.PORT
        return Use(flow=flow, ports=holding, match=match)
    return None


def nearest(
    catalogue: Catalogue, port: int, transport: Transport | None = None, count: int = 4
) -> tuple[Use, ...]:
    """Documented ports around an undocumented one, nearest first: for the reader who mistyped or is off by one."""
    found: dict[PortRange, tuple[int, Flow]] = {}
    for flow in catalogue.flows:
        if flow.dynamic or (transport is not None and transport not in spoken(flow.transport)):
            continue
        for ports in flow.ports:
            if len(ports) <= WIDE and port not in ports:
                distance = ports.first - port if port < ports.first else port - ports.last
                found.setdefault(ports, (distance, flow))
    near = sorted(found.items(), key=lambda item: (item[1][0], item[0]))[:count]
    return tuple(
        Use(flow=flow, ports=ports, match=Match.RANGE if len(ports) > 1 else Match.PORT)
        for ports, (_, flow) in near
    )


def disputes(catalogue: Catalogue, flow: Flow) -> tuple[Flow, ...]:
    """Flows whose documents state otherwise about the same thing, whichever side of the dispute names the other."""
    return tuple(
        other
        for other in catalogue.flows
        if other.id != flow.id and (other.id in flow.disputes or flow.id in other.disputes)
    )


def clashes(flows: Iterable[Flow]) -> tuple[Clash, ...]:
    """Ports that the servers of different flows would both listen on, if they stood on one host.

    Ranges from which ports are picked at run time do not count.
    """
    claims = [
        (transport, ports, flow)
        for flow in flows
        if not flow.dynamic
        for transport in spoken(flow.transport)
        for ports in flow.ports
        if len(ports) <= WIDE
    ]
    found: dict[tuple[Transport, PortRange], dict[str, Flow]] = {}
    for number, (transport, ports, flow) in enumerate(claims):
        for transport_, ports_, other in claims[number + 1 :]:
            first, last = max(ports.first, ports_.first), min(ports.last, ports_.last)
            if transport == transport_ and first <= last and flow.server != other.server:
                found.setdefault((transport, PortRange(first, last)), {}).update(
                    {flow.id: flow, other.id: other}
                )
    return tuple(
        Clash(transport=transport, ports=ports, flows=tuple(flows.values()))
        for (transport, ports), flows in sorted(found.items(), key=lambda item: (item[0][1], item[0][0]))
    )


def cites(sources: Iterable[Source]) -> list[str]:
    """Spell sources briefly, one text for each document: ``001:9, 43``."""
    lines: dict[str, list[int]] = {}
    for source in sources:
        lines.setdefault(source.document, []).append(source.line)
    return [f"{document}:{', '.join(map(str, numbers))}" for document, numbers in lines.items()]


def local_only(flow: Flow) -> bool:
    """Whether the flow belongs on loopback: listening there is right, being reachable is a finding."""
    return flow.need == ONLY_LOCALHOST or flow.scope is Scope.LOCALHOST


def to_json(catalogue: Catalogue) -> dict[str, Any]:
    """Spell the whole catalogue as ``portguard catalogue --json`` promises it."""
    return {
        "schema": SCHEMA,
        "documents": [
            {"id": row.id, "product": row.product, "title": row.title} for row in catalogue.documents
        ],
        "zones": [{"id": row.id, "title": row.title} for row in catalogue.zones],
        "components": [
            {
                "id": row.id,
                "product": row.product,
                "title": row.title,
                "listens": row.listens,
                "zone": row.zone,
            }
            for row in catalogue.components
        ],
        "roles": [role_json(row) for row in catalogue.role_by_id.values()],
        "flows": [flow_json(row) for row in catalogue.flows],
        "reserved": [
            {"network": str(row.network), "product": row.product, "sources": _sources(row.sources)}
            for row in catalogue.reserved
        ],
        "digest": catalogue.digest,
    }


def role_json(row: Role) -> dict[str, Any]:
    """Spell one role."""
    return {
        "id": row.id,
        "title": row.title,
        "components": list(row.components),
        "features": list(row.features),
    }


def flow_json(flow: Flow) -> dict[str, Any]:
    """Spell one flow; the same keys for every flow."""
    return {
        "id": flow.id,
        "product": flow.product,
        "clients": list(flow.clients),
        "server": flow.server,
        "transport": flow.transport.value,
        "ports": [[ports.first, ports.last] for ports in flow.ports],
        "application": flow.application,
        "security": flow.security.value,
        "need": flow.need,
        "scope": flow.scope.value,
        "setting": flow.setting,
        "purpose": flow.purpose,
        "sources": _sources(flow.sources),
        "hosts": list(flow.hosts),
        "source_ports": [[ports.first, ports.last] for ports in flow.source_ports],
        "dynamic": flow.dynamic,
        "note": flow.note,
        "disputes": list(flow.disputes),
    }


def _sources(sources: Iterable[Source]) -> list[dict[str, Any]]:
    return [{"document": source.document, "line": source.line} for source in sources]
