"""Find listeners that more can reach than should: JMX and Redis first, then what nobody documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from portguard.core.resolve import NEVER_OPEN_TO_ALL
from portguard.model.finding import Finding, Kind, Severity
from portguard.model.net import AddressSet, Transport
from portguard.model.path import Outcome
from portguard.model.policy import opened_to

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from portguard.core.reach import Reach
    from portguard.model.exposure import Exposure
    from portguard.model.listener import Listener
    from portguard.model.path import PathReport
    from portguard.model.policy import Policy, Service
    from portguard.model.snapshot import Snapshot

EPHEMERAL = range(32768, 61000)
"""The kernel's default range of ports that it gives to clients (ip_local_port_range)."""

_DHCP_CLIENT = frozenset({68, 546})

_TITLE = {
    "redis": "Redis",
    "redis-sentinel": "Redis Sentinel",
    "redis-cluster": "Redis cluster bus",
    "jmx": "JMX",
    "jmx-rmi": "JMX RMI",
    "jdwp": "JDWP (Java debugger)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Port:
    """All sockets of one service on one port: SO_REUSEPORT and v4 beside v6 are one thing to an administrator."""

    sockets: tuple[Listener, ...]
    services: tuple[Service, ...]
    """Documented services on this port, ranges that make nothing expected left out."""
    application: str | None
    """What must never be exposed, if this is it."""

    @property
    def widest(self) -> Listener:
        return max(self.sockets, key=lambda row: (row.wildcard, not row.loopback, len(row.versions)))

    @property
    def allowed(self) -> AddressSet:
        """Addresses that the documents let in."""
        out = AddressSet()
        for service in self.services:
            out |= opened_to(service)
        return out


def listener_findings(
    policy: Policy, snapshot: Snapshot, reach: Reach, sensitive: Mapping[int, Exposure]
) -> Iterator[Finding]:
    """Judge every socket that others might reach. Of listeners that could not be read nothing is said here."""
    wider: list[tuple[_Port, AddressSet]] = []
    for port in _ports(policy, snapshot.listeners or (), sensitive):
        socket = port.widest
        report = reach.port(socket.transport, socket.port)
        beyond = report.having(Outcome.OPEN) - port.allowed
        unsure = report.having(Outcome.UNKNOWN) - port.allowed
        if port.application is not None:
            if beyond or unsure:
                yield _service_exposed(policy, port, beyond, unsure, report)
        elif not port.services:
            yield _unexpected(policy, port, beyond, unsure)
        elif all(service.local for service in port.services):
            if beyond:
                yield _not_local(policy, port, beyond)
        elif beyond:
            wider.append((port, beyond))
    if wider:
        yield _wider(policy, wider)


def _ports(
    policy: Policy, listeners: Sequence[Listener], sensitive: Mapping[int, Exposure]
) -> Iterator[_Port]:
    groups: dict[tuple[Transport, int, str | None], list[Listener]] = {}
    for row in listeners:
        if not row.loopback:
            groups.setdefault((row.transport, row.port, row.owner.unit or row.owner.process), []).append(row)
    for (transport, number, _), sockets in sorted(groups.items(), key=lambda item: (item[0][1], item[0][0])):
        services = tuple(
            service
            for service in policy.inbound
            if service.transport is transport
            and service.ports is not None
            and number in service.ports
            and not service.dynamic
        )
        seen = next((sensitive[row.cookie].application for row in sockets if row.cookie in sensitive), None)
        documented = next((row.application for row in services if row.application in NEVER_OPEN_TO_ALL), None)
        application = seen or documented
        if application is None and not services and _client_socket(transport, number):
            continue
        yield _Port(sockets=tuple(sockets), services=services, application=application)


def _client_socket(transport: Transport, port: int) -> bool:
    """Say whether this is a client waiting for answers: unconnected UDP on a port the kernel hands out, or DHCP."""
    return transport is Transport.UDP and (port in EPHEMERAL or port in _DHCP_CLIENT)


def reachable_from(policy: Policy, sources: AddressSet) -> tuple[str, ...]:
    """Name who is among these sources: zones of the configuration, and ``anyone else`` for the rest."""
    names: list[str] = []
    rest = sources
    # Zones before single servers, and of several names for the same hosts only the first.
    for zone, networks in sorted(policy.zones.items(), key=lambda row: ("/" in row[0], row[0])):
        if rest & networks:
            names.append(zone)
            rest -= networks
    if rest:
        names.append("anyone else" if names else "anyone")
    return tuple(names)


def _where(socket: Listener) -> str:
    who = ", ".join(part for part in (socket.owner.process, socket.owner.unit) if part)
    return f"{socket} ({who})" if who else str(socket)


def _service_exposed(
    policy: Policy, port: _Port, beyond: AddressSet, unsure: AddressSet, report: PathReport
) -> Finding:
    socket = port.widest
    title = _TITLE.get(port.application or "", port.application or "")
    zones = sorted({service.zone for service in port.services if opened_to(service)})
    shown = ", ".join(zones[:2]) + (f" and {len(zones) - 2} more" if len(zones) > 2 else "")
    documented = f"documented for {shown} only" if zones else "documented for nobody on the network"
    names = reachable_from(policy, beyond or unsure)
    if beyond:
        message = f"{title} on {_where(socket)} is reachable from {', '.join(names)}; {documented}"
    else:
        message = f"{title} on {_where(socket)} may be reachable from {', '.join(names)}; {documented}"
    outcome = Outcome.OPEN if beyond else Outcome.UNKNOWN
    deciding = next(
        (
            row
            for row in report.within(beyond or unsure).branches
            if row.outcome is outcome and row.by is not None
        ),
        None,
    )
    return _finding(
        Kind.SERVICE_EXPOSED,
        Severity.CRITICAL if beyond else Severity.ERROR,
        message,
        port,
        subject=port.application or "",
        reachable="yes" if beyond else "unknown",
        names=names,
        by=str(deciding.by) if deciding is not None else None,
    )


def _unexpected(policy: Policy, port: _Port, beyond: AddressSet, unsure: AddressSet) -> Finding:
    socket = port.widest
    strangers = beyond - policy.admins
    names = reachable_from(policy, beyond or unsure)
    if beyond:
        tail = f"and {', '.join(names)} can reach it"
    elif unsure:
        tail = f"and {', '.join(names)} may be able to reach it"
    else:
        tail = "and the firewall lets nobody in"
    # What could not be evaluated is not taken for closed.
    severity = Severity.ERROR if strangers or unsure - policy.admins else Severity.WARNING
    reachable = "yes" if beyond else "unknown" if unsure else "no"
    message = f"{_where(socket)} is not documented for this role, {tail}"
    return _finding(Kind.LISTENER_UNEXPECTED, severity, message, port, reachable=reachable, names=names)


def _not_local(policy: Policy, port: _Port, beyond: AddressSet) -> Finding:
    flow = port.services[0].flow
    names = reachable_from(policy, beyond)
    message = f"{_where(port.widest)} belongs on loopback ({flow}), and {', '.join(names)} can reach it"
    return _finding(Kind.LISTENER_UNEXPECTED, Severity.ERROR, message, port, reachable="yes", names=names)


def _finding(
    kind: Kind,
    severity: Severity,
    message: str,
    port: _Port,
    *,
    reachable: str,
    names: tuple[str, ...],
    subject: str = "",
    by: str | None = None,
) -> Finding:
    socket = port.widest
    return Finding(
        kind=kind,
        severity=severity,
        message=message,
        subject=subject,
        transport=socket.transport,
        address=str(socket.address),
        address_class="wildcard" if socket.wildcard else "address",
        port=socket.port,
        flow=port.services[0].flow if port.services else None,
        unit=socket.owner.unit,
        process=socket.owner.process,
        pid=socket.owner.pid,
        evidence={
            "reachable": reachable,
            "reachable_from": list(names),
            "exe": socket.owner.exe,
            "uid": socket.uid,
            **({"service": port.application} if port.application else {}),
            **({"by": by} if by else {}),
        },
    )


def _wider(policy: Policy, wider: Sequence[tuple[_Port, AddressSet]]) -> Finding:
    """One finding for all: on a host without a closing firewall every documented port is wider than its zones."""
    names = [f"{port.widest.port}/{port.widest.transport}" for port, _ in wider]
    everyone = AddressSet()
    for _, beyond in wider:
        everyone |= beyond
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return Finding(
        kind=Kind.FLOW_WIDER,
        severity=Severity.NOTICE,
        message=(
            f"{len(names)} documented ports are open beyond their zones: {shown}"
            if len(names) > 1
            else f"the documented port {shown} is open beyond its zones"
        ),
        evidence={"ports": names, "reachable_from": list(reachable_from(policy, everyone))},
    )
