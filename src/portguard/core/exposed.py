"""Find listeners that more can reach than should: JMX and Redis first, then what nobody documents."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from portguard.core.danger import described, severity
from portguard.core.resolve import NEVER_OPEN_TO_ALL
from portguard.core.shut import shutting
from portguard.model.exposure import Application, Exposure
from portguard.model.finding import Finding, Kind, Severity
from portguard.model.net import AddressSet, Transport
from portguard.model.path import Outcome
from portguard.model.policy import opened_to

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from portguard.core.reach import Reach
    from portguard.model.listener import Listener
    from portguard.model.path import PathReport
    from portguard.model.policy import Policy, Service
    from portguard.model.ruleset import Ruleset
    from portguard.model.snapshot import Snapshot

EPHEMERAL = range(32768, 61000)
"""The kernel's default range of ports that it gives to clients (ip_local_port_range)."""

_DHCP_CLIENT = frozenset({68, 546})

_NO_ALARM = frozenset({Application.JVM, Application.JMX_LOCAL})
"""Not known to be what must never be exposed, or known to be harmless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Port:
    """All sockets of one service on one port: SO_REUSEPORT and v4 beside v6 are one thing to an administrator."""

    sockets: tuple[Listener, ...]
    services: tuple[Service, ...]
    """Documented services on this port, ranges that make nothing expected left out."""
    exposure: Exposure | None
    """What must never be exposed, if this is it: the least protected of the sockets."""

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
        if port.exposure is not None and port.exposure.application not in _NO_ALARM and (beyond or unsure):
            yield _service_exposed(policy, port, beyond, unsure, report, snapshot.ruleset)
        elif port.exposure is not None and port.exposure.application is Application.JMX_LOCAL:
            continue  # Its port is bound to every address, and it ends every connection from elsewhere.
        elif not port.services:
            yield _unexpected(policy, port, beyond, unsure)
        elif all(service.local for service in port.services):
            if beyond:
                yield _not_local(policy, port, beyond)
        elif beyond and port.exposure is None:
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
        exposure = _worst([sensitive[row.cookie] for row in sockets if row.cookie in sensitive])
        documented = next((row.application for row in services if row.application in NEVER_OPEN_TO_ALL), None)
        if documented is not None and (exposure is None or exposure.application in _NO_ALARM):
            # The documents say what it is where its process does not.
            exposure = Exposure(application=Application(documented), evidence=("documents",))
        if exposure is None and not services and _client_socket(transport, number):
            continue
        yield _Port(sockets=tuple(sockets), services=services, exposure=exposure)


def _worst(some: Sequence[Exposure]) -> Exposure | None:
    return min(some, key=lambda one: (not one.dangerous, one.protection.strength), default=None)


def _client_socket(transport: Transport, port: int) -> bool:
    """Say whether this is a client waiting for answers: unconnected UDP on a port the kernel hands out, or DHCP."""
    return transport is Transport.UDP and (port in EPHEMERAL or port in _DHCP_CLIENT)


def reachable_from(policy: Policy, sources: AddressSet) -> tuple[str, ...]:
    """Name who is among these sources: zones of the configuration, and ``anyone else`` for the rest."""
    return _names(tuple(policy.zones.items()), sources)


def forget_names() -> None:
    """Let go of the sources that were named: of a large set they are large."""
    _names.cache_clear()


@lru_cache(maxsize=64)
def _names(zones: tuple[tuple[str, AddressSet], ...], sources: AddressSet) -> tuple[str, ...]:
    """Name the sources. Most ports are open to the same ones, and to name them anew for each took half of a look."""
    names: list[str] = []
    rest = sources
    # Zones before single servers, and of several names for the same hosts only the first.
    for zone, networks in sorted(zones, key=lambda row: ("/" in row[0], row[0])):
        if rest & networks:
            names.append(zone)
            rest -= networks
    if rest:
        names.append("anyone else" if names else "anyone")
    return tuple(names)


def _where(socket: Listener) -> str:
    who = str(socket.owner)
    return f"{socket} ({who})" if who else str(socket)


def _service_exposed(  # noqa: PLR0917 - one port, and everything that says how bad it is
    policy: Policy,
    port: _Port,
    beyond: AddressSet,
    unsure: AddressSet,
    report: PathReport,
    ruleset: Ruleset | None,
) -> Finding:
    socket, exposure = port.widest, port.exposure
    assert exposure is not None, "called for what must not be exposed"
    zones = sorted({service.zone for service in port.services if opened_to(service)})
    shown = ", ".join(zones[:2]) + (f" and {len(zones) - 2} more" if len(zones) > 2 else "")
    documented = f"documented for {shown} only" if zones else "documented for nobody on the network"
    names = reachable_from(policy, beyond or unsure)
    unit = f"unit {socket.owner.unit}" if socket.owner.unit else None
    who = ", ".join(part for part in (socket.owner.process, unit) if part)
    message = (
        f"{described(exposure)} on {str(socket).rpartition('/')[0]}{f' ({who})' if who else ''}, "
        f"{'' if beyond else 'perhaps '}reachable from {_listed(names)}; {documented}"
    )
    outcome = Outcome.OPEN if beyond else Outcome.UNKNOWN
    branches = report.within(beyond or unsure).branches
    by = next((row.by for row in branches if row.outcome is outcome and row.by is not None), None)
    return _finding(
        Kind.SERVICE_EXPOSED,
        severity(exposure.protection, reachable=bool(beyond), documented=bool(port.services)),
        message,
        port,
        subject=exposure.application,
        reachable="yes" if beyond else "unknown",
        names=names,
        by=str(by) if by is not None else None,
        fix=shutting(ruleset, by, socket.transport, socket.port, port.allowed),
    )


def _listed(names: Sequence[str]) -> str:
    """Spell ``a, b and c``."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


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
    how_bad = Severity.ERROR if strangers or unsure - policy.admins else Severity.WARNING
    reachable = "yes" if beyond else "unknown" if unsure else "no"
    what = ""
    if port.exposure is not None and port.exposure.application is Application.JVM:
        why = ", ".join(port.exposure.evidence)
        what = f", and does not tell whether it is JMX or a debugger ({why})"
    elif port.exposure is not None:
        what = f" ({described(port.exposure)})"
    message = f"{_where(socket)}{what} is not documented for this role, {tail}"
    return _finding(Kind.LISTENER_UNEXPECTED, how_bad, message, port, reachable=reachable, names=names)


def _not_local(policy: Policy, port: _Port, beyond: AddressSet) -> Finding:
    flow = port.services[0].flow
    names = reachable_from(policy, beyond)
    message = f"{_where(port.widest)} belongs on loopback ({flow}), and {', '.join(names)} can reach it"
    return _finding(Kind.LISTENER_UNEXPECTED, Severity.ERROR, message, port, reachable="yes", names=names)


def _finding(
    kind: Kind,
    how_bad: Severity,
    message: str,
    port: _Port,
    *,
    reachable: str,
    names: tuple[str, ...],
    subject: str = "",
    by: str | None = None,
    fix: str | None = None,
) -> Finding:
    socket, exposure = port.widest, port.exposure
    known: dict[str, object] = {}
    if exposure is not None:
        known = {
            "service": exposure.application.value,
            "protection": exposure.protection.value,
            "read_from": list(exposure.evidence),
        }
    return Finding(
        kind=kind,
        severity=how_bad,
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
            **socket.owner.origin,
            **known,
            **({"by": by} if by else {}),
            **({"fix": fix} if fix else {}),
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
