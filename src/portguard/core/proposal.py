"""What a configuration for this host could say: roles, features, zones to define, the way in, and what runs beside."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portguard.core.exposed import EPHEMERAL
from portguard.core.resolve import resolve
from portguard.core.roles import Candidate, Port, choose, features_in_use
from portguard.model.config import Config, Failsafe
from portguard.model.net import AddressSet, PortRange, Transport

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from portguard.model.exposure import Exposure
    from portguard.model.flow import Catalogue
    from portguard.model.listener import Listener
    from portguard.model.net import IPAddress, IPNetwork
    from portguard.model.policy import Manager, Policy
    from portguard.model.snapshot import Gap, Interface, Links

ADMINS = "admins"
_SSHD = frozenset({"ssh.service", "ssh.socket", "sshd.service", "sshd.socket"})
_DHCP_CLIENT = frozenset({68, 546})
_HERE = frozenset({"workstations", "printers", "terminals", "mobile-devices", "local-network"})
"""Zones whose clients may well be on the host's own networks; of the others nothing is known here."""

_WORTH_A_LINE = 0.5
"""Fit from which another role is mentioned beside the proposed one."""

_SINGLE = {4: 31, 6: 127}
"""Prefix lengths from which a network holds no clients: point-to-point links and single addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneNeed:
    """A zone, or another server's component, that the proposed roles need and that only a person can define."""

    name: str
    ports: tuple[str, ...]
    """What it reaches here: ``8001/tcp``."""
    flows: tuple[str, ...]
    open_until_defined: bool
    """Open to any address as long as it is not defined; False where nobody is let in (Redis, JMX)."""
    suggested: tuple[IPNetwork, ...] = ()
    """Own networks, which may be right; nothing where they would be a blind guess."""

    @property
    def component(self) -> bool:
        """Whether it belongs into ``[hosts]``."""
        return "/" in self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A port that listens and that the proposed roles do not document."""

    port: Port
    addresses: tuple[str, ...]
    unit: str | None
    process: str | None
    application: str | None
    """What it is, if it is something that must never be exposed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Everything that ``portguard init`` writes down."""

    chosen: tuple[Candidate, ...]
    """Nothing: no role is convincing."""
    others: tuple[Candidate, ...]
    features: tuple[str, ...]
    shared_features: tuple[str, ...]
    """Features that share their ports with others, so that listeners do not tell which one is in use."""
    manager: Manager
    zones: tuple[ZoneNeed, ...]
    ssh_ports: tuple[int, ...]
    admin: IPAddress | None
    """Where the administrator is connected from right now."""
    beside: tuple[Beside, ...]
    holders: Mapping[Port, str]
    """Who holds a port, for the comments."""
    gaps: tuple[Gap, ...] = ()

    @property
    def roles(self) -> tuple[str, ...]:
        """Ids of the proposed roles, the main one first."""
        return tuple(row.role.id for row in self.chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of the host; what could not be is in ``gaps``."""

    listeners: tuple[Listener, ...]
    links: Links | None
    manager: Manager
    sensitive: Mapping[int, Exposure]
    admin: tuple[IPAddress, int] | None
    """Address of the administrator's present connection, and the port that it came in on."""
    gaps: tuple[Gap, ...] = ()


def propose(
    catalogue: Catalogue,
    found: Sequence[Candidate],
    seen: Seen,
    *,
    given: Collection[str] = (),
    others: int = 5,
) -> Proposal:
    """Put a proposal together from candidates (best first) and what was seen; ``given`` roles are taken as they are."""
    by_id = {row.role.id: row for row in found}
    chosen = tuple(by_id[name] for name in given) if given else choose(tuple(found))
    sure, shared = features_in_use(chosen, seen.listeners)
    ssh = _ssh_ports(seen)
    roles = tuple(row.role.id for row in chosen)
    failsafe = tuple(
        Failsafe(transport=Transport.TCP, ports=PortRange(port, port), zone=ADMINS) for port in ssh
    )
    policy = resolve(Config(roles=roles, features=sure, failsafe=failsafe), catalogue)
    return Proposal(
        chosen=chosen,
        others=tuple(
            row for row in found if row.role.id not in roles and (not roles or row.fit >= _WORTH_A_LINE)
        )[:others],
        features=sure,
        shared_features=shared,
        manager=seen.manager,
        zones=_zones(policy, seen.links),
        ssh_ports=ssh,
        admin=seen.admin[0] if seen.admin else None,
        beside=_beside(policy, seen, ssh) if roles else (),
        holders=_holders(seen.listeners),
        gaps=seen.gaps,
    )


def _ssh_ports(seen: Seen) -> tuple[int, ...]:
    """Ports on which SSH really listens, and the one that the administrator is connected through."""
    ports = {seen.admin[1]} if seen.admin else set()
    for row in seen.listeners:
        if row.transport is not Transport.TCP or row.loopback:
            continue
        if row.owner.process == "sshd" or row.owner.unit in _SSHD:
            ports.add(row.port)
    return tuple(sorted(ports))


def _zones(policy: Policy, links: Links | None) -> tuple[ZoneNeed, ...]:
    """Zones that nobody has defined yet, with what they reach."""
    own = own_networks(links, policy)
    needs: dict[str, ZoneNeed] = {}
    for row in policy.undefined:
        before = needs.get(row.zone)
        flows = (*(before.flows if before else ()), *row.flows)
        services = [service for service in policy.inbound if service.zone == row.zone and service.ports]
        ports = sorted(
            {(service.ports, service.transport.value) for service in services if service.ports},
        )
        needs[row.zone] = ZoneNeed(
            name=row.zone,
            ports=tuple(f"{numbers}/{transport}" for numbers, transport in ports),
            flows=tuple(dict.fromkeys(flows)),
            open_until_defined=row.opened_to_anyone or (before is not None and before.open_until_defined),
            suggested=own if row.zone in _HERE else (),
        )
    return tuple(sorted(needs.values(), key=lambda need: (need.component, need.name)))


def own_networks(links: Links | None, policy: Policy) -> tuple[IPNetwork, ...]:
    """Networks that the host's interfaces are on, without those that a zone may not hold."""
    found: set[IPNetwork] = set()
    for interface in links.interfaces if links is not None else ():
        found.update(_networks(interface, policy))
    v4 = [net for net in found if isinstance(net, ipaddress.IPv4Network)]
    v6 = [net for net in found if isinstance(net, ipaddress.IPv6Network)]
    return (*ipaddress.collapse_addresses(v4), *ipaddress.collapse_addresses(v6))


def _networks(interface: Interface, policy: Policy) -> Iterable[IPNetwork]:
    for address, length in interface.addresses if interface.up else ():
        if address.is_loopback or address.is_link_local or length >= _SINGLE[address.version]:
            continue
        network = ipaddress.ip_network(f"{ipaddress.ip_address(int(address))}/{length}", strict=False)
        if AddressSet.of(network) - policy.reserved:
            yield network


def _beside(policy: Policy, seen: Seen, ssh: Collection[int]) -> tuple[Beside, ...]:
    """Ports that others may reach and that neither the documents nor the failsafe know."""
    groups: dict[Port, list[Listener]] = {}
    for row in seen.listeners:
        if row.loopback or _client(row) or (row.transport is Transport.TCP and row.port in ssh):
            continue
        known = any(
            service.transport is row.transport
            and service.ports is not None
            and row.port in service.ports
            and not service.dynamic
            for service in policy.inbound
        )
        if not known:
            groups.setdefault(Port(row.transport, row.port), []).append(row)
    return tuple(
        Beside(
            port=port,
            addresses=tuple(dict.fromkeys(str(row.address) for row in rows)),
            unit=next((row.owner.unit for row in rows if row.owner.unit), None),
            process=next((row.owner.process for row in rows if row.owner.process), None),
            application=next((name for row in rows if (name := _dangerous(row, seen.sensitive))), None),
        )
        for port, rows in sorted(groups.items(), key=lambda item: (item[0].number, item[0].transport))
    )


def _dangerous(row: Listener, sensitive: Mapping[int, Exposure]) -> str | None:
    exposure = sensitive.get(row.cookie)
    return exposure.application.value if exposure is not None and exposure.dangerous else None


def _client(row: Listener) -> bool:
    """Whether this is a client that waits for answers, as ``core.exposed`` has it."""
    return row.transport is Transport.UDP and (row.port in EPHEMERAL or row.port in _DHCP_CLIENT)


def _holders(listeners: Iterable[Listener]) -> dict[Port, str]:
    names: dict[Port, list[str]] = {}
    for row in listeners:
        owner = row.owner
        name = (
            f"{owner.process} ({owner.unit})" if owner.process and owner.unit else owner.process or owner.unit
        )
        if name:
            names.setdefault(Port(row.transport, row.port), []).append(name)
    return {port: ", ".join(dict.fromkeys(found)) for port, found in names.items()}
