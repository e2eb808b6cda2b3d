"""What mode ``contain`` has to close: exactly what is exposed, and never anybody's way in. Pure."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from portguard.core.exposed import listener_findings
from portguard.core.path import evaluate
from portguard.core.reach import Reach, own_addresses
from portguard.core.render import OWN_TABLE
from portguard.core.resolve import NEVER_OPEN_TO_ALL
from portguard.model.containment import ClosedPort, Closing, SparedPort
from portguard.model.finding import Kind
from portguard.model.net import AddressSet, Transport, merge
from portguard.model.path import Outcome, PathClass
from portguard.model.policy import opened_to
from portguard.model.ruleset import Ruleset

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from portguard.model.exposure import Exposure
    from portguard.model.finding import Finding
    from portguard.model.listener import Listener
    from portguard.model.net import Intervals
    from portguard.model.policy import Policy, Service
    from portguard.model.ruleset import Table
    from portguard.model.snapshot import Connection, Links, Snapshot

LINGER = 60.0
"""Seconds for which a port stays closed after it was last exposed: a service that restarts must find it closed."""
MOST = 256
"""Ports that are closed at most; nothing that this is for has more, and whoever opens thousands makes no table huge."""

_SSH = 22
_SSH_PROCESSES = frozenset({"sshd", "dropbear"})
_SSH_UNITS = frozenset({"ssh.service", "sshd.service", "ssh.socket", "sshd.socket", "dropbear.service"})

Key = tuple[Transport, int]
"""Transport and port."""
NOTHING = Closing()


def work_out(
    policy: Policy,
    snapshot: Snapshot,
    sensitive: Mapping[int, Exposure],
    before: Closing = NOTHING,
    now: float = 0.0,
) -> Closing:
    """Work out what is to be closed.

    It is judged as if portguard closed nothing, else what is closed would look as if it need not be. Where sockets or
    ruleset could not be read, ``before`` stays as it is: what is not seen is not gone.
    """
    if snapshot.ruleset is None or snapshot.listeners is None:
        return before
    found, spared = _exposed(policy, snapshot, sensitive)
    last = {**before.seen, **dict.fromkeys(found, now)}
    kept = {
        (port.transport, port.port): port
        for port in before.ports
        if now - last.get((port.transport, port.port), now) < LINGER
    }
    ports = {key: _let_in(port, policy) for key, port in (kept | found).items()}
    return Closing(
        ports=tuple(ports[key] for key in sorted(ports)),
        spared=tuple(spared),
        safe_tcp=safe(policy, snapshot.listeners, Transport.TCP),
        safe_udp=safe(policy, snapshot.listeners, Transport.UDP),
        interfaces=tuple(_interfaces(policy, snapshot.links)),
        seen={key: last[key] for key in ports if key in last},
    )


def without_own(ruleset: Ruleset) -> Ruleset:
    """Give the ruleset as it would be without portguard's table, which opens nothing that somebody else shuts."""
    return replace(ruleset, tables={key: table for key, table in ruleset.tables.items() if key != OWN_TABLE})


def cut(
    table: Table, connections: Iterable[Connection], links: Links | None
) -> tuple[tuple[Connection, str], ...]:
    """Name the connections that could not be made again if this table of ours were in force, with the deciding rule."""
    alone = Ruleset(generation=0, tables={table.key: table})
    out = []
    for connection in connections:
        if connection.peer.is_loopback:
            continue
        ask = PathClass(
            transport=Transport.TCP,
            port=connection.local_port,
            destination=own_addresses(links)
            if connection.local.is_unspecified
            else AddressSet.of(str(connection.local).partition("%")[0]),
            sources=AddressSet.of(str(connection.peer).partition("%")[0]),
        )
        for branch in evaluate(alone, ask, links).branches:
            if branch.outcome is not Outcome.OPEN:
                out.append((connection, str(branch.by or branch.reason)))
                break
    return tuple(out)


def still_open(closing: Closing, reach: Reach) -> tuple[ClosedPort, ...]:
    """Name what others than the documented can reach all the same."""
    return tuple(
        port
        for port in closing.ports
        if reach.port(port.transport, port.port).having(Outcome.OPEN) - port.allowed
    )


def ssh_ports(listeners: Iterable[Listener]) -> frozenset[int]:
    """Ports on which this host lets its administrators in: where an sshd of root's, or its unit, listens."""
    return frozenset(
        row.port
        for row in listeners
        if row.transport is Transport.TCP
        # A process names itself as it likes: only root's word is taken.
        and (row.owner.unit in _SSH_UNITS or (row.uid == 0 and row.owner.process in _SSH_PROCESSES))
    )


def safe(policy: Policy, listeners: Iterable[Listener], transport: Transport) -> Intervals:
    """Ports that are never closed to anybody."""
    found = [
        (service.ports.first, service.ports.last)
        for service in policy.inbound
        if service.flow.startswith("failsafe/")
        and service.transport is transport
        and service.ports is not None
    ]
    if transport is Transport.TCP:
        found += [(port, port) for port in {_SSH, *ssh_ports(listeners)}]
    return merge(found)


# --- what is exposed -------------------------------------------------------------------------------------------


def _exposed(
    policy: Policy, snapshot: Snapshot, sensitive: Mapping[int, Exposure]
) -> tuple[dict[Key, ClosedPort], list[SparedPort]]:
    """Find the ports to close, and those that are exposed and must stay."""
    assert snapshot.ruleset is not None
    assert snapshot.listeners is not None
    bare = replace(
        snapshot,
        ruleset=without_own(snapshot.ruleset),
        # Of all other sockets nothing has to be asked: a path evaluation each would double the cost of a look.
        listeners=tuple(_suspects(policy, snapshot.listeners, sensitive)),
    )
    reach = Reach(bare.ruleset, bare.links, bare.listeners)
    found: dict[Key, ClosedPort] = {}
    spared: list[SparedPort] = []
    for finding in listener_findings(policy, bare, reach, sensitive):
        if not _open_to_strangers(finding):
            continue
        assert finding.transport is not None
        assert finding.port is not None
        key = (finding.transport, finding.port)
        if why := _spare(policy, snapshot.listeners, key, len(found)):
            spared.append(SparedPort(transport=key[0], port=key[1], why=why))
        else:
            found[key] = ClosedPort(
                transport=key[0], port=key[1], application=str(finding.evidence["service"])
            )
    return found, spared


def _open_to_strangers(finding: Finding) -> bool:
    # What only may be reachable is not closed: it is reported, and nothing is proven.
    return finding.kind is Kind.SERVICE_EXPOSED and finding.evidence.get("reachable") == "yes"


def _suspects(
    policy: Policy, listeners: Iterable[Listener], sensitive: Mapping[int, Exposure]
) -> Iterator[Listener]:
    rows = tuple(listeners)
    ports = {(row.transport, row.port) for row in rows if row.cookie in sensitive}
    documented = [
        row for row in policy.inbound if row.application in NEVER_OPEN_TO_ALL and row.ports is not None
    ]
    for row in rows:
        if (row.transport, row.port) in ports or any(_serves(service, row) for service in documented):
            yield row


def _serves(service: Service, row: Listener) -> bool:
    return service.transport is row.transport and service.ports is not None and row.port in service.ports


def _spare(policy: Policy, listeners: Iterable[Listener], key: Key, closed: int) -> str | None:
    """Say why a port is never closed, if it is not."""
    transport, port = key
    if transport is Transport.TCP and port == _SSH:
        return "port 22 is never closed"
    if transport is Transport.TCP and port in ssh_ports(listeners):
        return "sshd listens there"
    if any(first <= port <= last for first, last in safe(policy, listeners, transport)):
        return "[failsafe] keeps it open"
    return f"{MOST} ports are closed already" if closed >= MOST else None


def _let_in(port: ClosedPort, policy: Policy) -> ClosedPort:
    """Fill in whom the documents let in: the configuration may be another one than when the port was found."""
    services = [
        service
        for service in policy.inbound
        if service.transport is port.transport
        and service.ports is not None
        and port.port in service.ports
        and not service.dynamic
        and opened_to(service)
    ]
    allowed = AddressSet()
    for service in services:
        allowed |= opened_to(service)
    return replace(port, zones=tuple(sorted({service.zone for service in services})), allowed=allowed)


def _interfaces(policy: Policy, links: Links | None) -> Iterator[str]:
    """Spell the interfaces of the product as nft can: a name, or a beginning and ``*``; others by who matches now."""
    names = {interface.name for interface in links.interfaces} if links is not None else set()
    out: set[str] = set()
    for pattern in policy.reserved_interfaces:
        stem = pattern.removesuffix("*")
        if stem and not set(stem) & set("*?["):
            out.add(pattern)
        else:
            out |= {name for name in names if fnmatchcase(name, pattern)}
    yield from sorted(out)
