"""Find any use of a range that nobody but the product itself may use, on every surface (``docs/reserved.md``).

What lies in a range is an alarm. What is wider and merely contains one is a notice, and so is what denies it. What stands on an
interface that the configuration allows, or leads there, is the product's own.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from portguard.core.mentions import mentions
from portguard.core.render import OWN_TABLE
from portguard.core.reserved_links import Ground
from portguard.model.finding import Finding, Kind, Severity
from portguard.model.net import EVERYTHING, AddressSet
from portguard.model.snapshot import SAME_ENDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from portguard.core.mentions import Mention
    from portguard.model.net import IPAddress
    from portguard.model.policy import Policy
    from portguard.model.snapshot import Connection, Snapshot, Surroundings

_EACH = 20
"""Findings of one surface that are told one by one; what is beyond them is told as one."""


def reserved_findings(policy: Policy, snapshot: Snapshot) -> Iterator[Finding]:
    """Name every use of the reserved ranges; of what could not be read, nothing is said here."""
    if not policy.reserved:
        return
    ground = Ground(policy.reserved, policy.reserved_interfaces, snapshot.links)
    yield from ground.findings()
    yield from _bounded(_rules(policy, snapshot, ground), "rules and sets")
    yield from _listeners(snapshot, ground)
    yield from _bounded(_connections(snapshot.connections or (), ground), "connections")
    if snapshot.surroundings is not None:
        yield from _bounded(_leases(snapshot.surroundings, ground), "leases")
        yield from _bounded(_networks(snapshot.surroundings, ground), "container networks")
    yield from _zones(policy)


def _bounded(findings: Iterator[Finding], what: str) -> Iterator[Finding]:
    """Tell the first ones, and of the others only how many they are and how bad."""
    found = list(findings)
    yield from found[:_EACH]
    rest = found[_EACH:]
    if rest:
        alarms = [row for row in rest if row.severity is Severity.CRITICAL]
        yield Finding(
            kind=Kind.RESERVED_ADDRESS_IN_USE,
            severity=Severity.CRITICAL if alarms else Severity.NOTICE,
            message=f"{len(rest)} more {what} name addresses of a reserved range; the first: {(alarms or rest)[0].message}",
            subject=f"more {what}",
            evidence={"more": len(rest), "surface": what},
        )


def _finding(
    message: str,
    subject: str,
    address: str | None,
    evidence: Mapping[str, object],
    *,
    contains: bool = False,
    notice: bool = False,
) -> Finding:
    return Finding(
        kind=Kind.RESERVED_ADDRESS_IN_USE,
        severity=Severity.NOTICE if contains or notice else Severity.CRITICAL,
        message=message,
        subject=f"{subject} contains" if contains else subject,
        address=address,
        evidence=evidence,
    )


# --- the ruleset ------------------------------------------------------------------------------------------------


def _rules(policy: Policy, snapshot: Snapshot, ground: Ground) -> Iterator[Finding]:
    """Rules and sets of other people's tables. What merely contains a range is one notice for each table."""
    if snapshot.ruleset is None:
        return
    wide: dict[str, list[Mention]] = {}
    for row in mentions(snapshot.ruleset, policy.reserved, OWN_TABLE):
        if ground.allows_any(row.interfaces) or not any(
            ground.concerned(_first(text)) for text in row.literals
        ):
            continue
        if row.contains:
            wide.setdefault(str(row.table), []).append(row)
        else:
            yield _mention(row, ground)
    for table, rows in wide.items():
        places = list(dict.fromkeys(f"{row.place}: {', '.join(row.literals[:3])}" for row in rows))
        yield _finding(
            f"table {table} names networks that contain {ground.name(EVERYTHING)}: {places[0]}"
            + (f" and {len(places) - 1} more" if len(places) > 1 else ""),
            f"table {table}",
            None,
            {"table": table, "places": places[:_EACH], "surface": "rules"},
            contains=True,
        )


def _first(literal: str) -> IPAddress:
    return ip_address(literal.partition("/")[0].partition("-")[0])


def _mention(row: Mention, ground: Ground) -> Finding:
    surface = "rule" if row.place.startswith("chain ") else "set element"
    what = (
        f"rule {row.handle} of {row.table} {row.place.removeprefix('chain ')}"
        if surface == "rule"
        else (f"{row.place} of table {row.table}")
    )
    address = _first(row.literals[0])
    shown = ", ".join(row.literals[:3])
    if row.denies:
        message = f"{what} denies {shown}, of {ground.around(address)}: {row.text}"
    else:
        message = f"{what} names {shown}, of {ground.around(address)}: {row.text}"
    return _finding(
        message,
        f"{row.table} {row.place} {row.text}" if surface == "rule" else f"{row.table} {row.place}",
        str(address),
        {
            "surface": surface,
            "table": str(row.table),
            "chain" if surface == "rule" else "set": row.place.partition(" ")[2],
            "handle": row.handle,
            "text": row.text,
            "addresses": list(row.literals),
            "denies": row.denies,
        },
        notice=row.denies,
    )


# --- sockets ----------------------------------------------------------------------------------------------------


def _listeners(snapshot: Snapshot, ground: Ground) -> Iterator[Finding]:
    """Listeners that are bound to an address of a range; those of one program on one port are one thing."""
    told = set()
    for row in (*(snapshot.listeners or ()), *snapshot.brief):
        address = getattr(row.address, "ipv4_mapped", None) or row.address
        if not ground.reserves(address) or ground.allowed_address(address):
            continue
        finding = Finding(
            kind=Kind.RESERVED_ADDRESS_IN_USE,
            severity=Severity.CRITICAL,
            message=f"{row} ({row.owner.process or 'an unknown process'}) is bound to an address of {ground.around(address)}",
            subject=f"listener {address}",
            transport=row.transport,
            address=str(address),
            address_class="address",
            port=row.port,
            unit=row.owner.unit,
            process=row.owner.process,
            pid=row.owner.pid,
            evidence={"surface": "listener", "exe": row.owner.exe, "uid": row.uid},
        )
        if finding.id not in told:
            told.add(finding.id)
            yield finding


def _connections(connections: Sequence[Connection], ground: Ground) -> Iterator[Finding]:
    """Connections with a peer in a range, one finding for each peer."""
    peers: dict[IPAddress, list[Connection]] = {}
    for row in connections:
        if ground.reserves(row.peer) and ground.concerned(row.peer) and not ground.allowed_address(row.local):
            peers.setdefault(row.peer, []).append(row)
    for peer, rows in peers.items():
        # The process of a closed connection is not known.
        row = next((one for one in rows if one.owner.pid is not None), rows[0])
        who = ", ".join(part for part in (row.owner.process, row.owner.unit) if part)
        least = "at least " if len(rows) >= SAME_ENDS else ""
        yield Finding(
            kind=Kind.RESERVED_ADDRESS_IN_USE,
            severity=Severity.CRITICAL,
            message=f"{least}{len(rows)} connections with {peer}, of {ground.around(peer)}; the first: {_ends(row)}"
            + (f" ({who})" if who else ""),
            subject=f"connection {peer}",
            address=str(peer),
            unit=None,
            process=row.owner.process,
            pid=row.owner.pid,
            evidence={
                "surface": "connection",
                "connections": [_ends(one) for one in rows[:_EACH]],
                "unit": row.owner.unit,
                "exe": row.owner.exe,
            },
        )


def _ends(row: Connection) -> str:
    local, peer = (
        f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
        for address, port in ((row.local, row.local_port), (row.peer, row.peer_port))
    )
    return f"{local} to {peer}/{row.transport} {row.state}"


# --- files ------------------------------------------------------------------------------------------------------


def _leases(surroundings: Surroundings, ground: Ground) -> Iterator[Finding]:
    for row in surroundings.leases:
        address = ip_address(row.address)
        if not ground.reserves(address) or ground.allows(row.interface) or not ground.concerned(address):
            continue
        what = (
            "is given away by DHCP" if row.given else f"was given to {row.interface or 'this host'} by DHCP"
        )
        yield _finding(
            f"{address}, of {ground.around(address)}, {what}, says {row.place}",
            f"lease {address}",
            str(address),
            {"surface": "lease", "file": row.place, "interface": row.interface, "given": row.given},
        )


def _networks(surroundings: Surroundings, ground: Ground) -> Iterator[Finding]:
    for row in surroundings.networks:
        network = ip_network(row.network)
        overlap = ground.overlap(network)
        if overlap is None or ground.allows(row.interface) or not ground.concerned(network.network_address):
            continue
        inside = overlap == AddressSet.of(network)
        relation = "lies in" if inside else "contains"
        yield _finding(
            f"the container network {row.name or row.interface or ''} {network} of {row.place} {relation} "
            f"{ground.name(overlap)}",
            f"container network {row.name} {network} of {row.place}",
            str(network.network_address) if inside else None,
            {
                "surface": "container network",
                "file": row.place,
                "network": row.network,
                "interface": row.interface,
            },
            contains=not inside,
        )


def _zones(policy: Policy) -> Iterator[Finding]:
    """Zones that are wider than a range: one that lies in it is refused when the configuration is read."""
    for name, networks in sorted(policy.zones.items()):
        within = networks & policy.reserved
        if not within or networks == EVERYTHING:
            continue
        yield _finding(
            f"the networks of {name} contain {within}, a reserved range",
            f"zone {name}",
            None,
            {"surface": "configuration", "zone": name},
            contains=True,
        )
