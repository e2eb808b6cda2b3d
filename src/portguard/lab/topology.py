"""Who lives in the lab: namespaces, their networks, and which client stands for which zone.

Pure. Each kind of client has a network of its own, so that a rule for one zone is proven against the others.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portguard.model.net import EVERYTHING, AddressSet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portguard.model.flow import Catalogue
    from portguard.model.net import IPNetwork

Interface4 = ipaddress.IPv4Interface
Interface6 = ipaddress.IPv6Interface
Address = Interface4 | Interface6
"""An address with the prefix length of its link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One namespace behind the router."""

    name: str
    v4: Interface4
    """Address and prefix length on its link; the router holds the first address of the network."""
    v6: Interface6

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Both addresses, IPv4 first."""
        return (self.v4, self.v6)

    @property
    def gateways(self) -> tuple[Address, ...]:
        """The router's addresses on the same link."""
        return (
            Interface4(f"{self.v4.network[1]}/{self.v4.network.prefixlen}"),
            Interface6(f"{self.v6.network[1]}/{self.v6.network.prefixlen}"),
        )


def _host(name: str, v4: str, v6: str) -> Host:
    return Host(name=name, v4=Interface4(v4), v6=Interface6(v6))


SERVER = _host("server", "10.0.0.10/24", "2001:db8:0:1::10/64")
WORKSTATION = _host("workstation", "10.1.0.10/16", "2001:db8:1::10/48")
PRINTER = _host("printer", "10.2.0.10/16", "2001:db8:2::10/48")
ADMIN = _host("admin", "10.9.0.10/24", "2001:db8:9::10/48")
PEER = _host("peer", "10.4.0.11/16", "2001:db8:4::11/48")
STRANGER = _host("stranger", "198.51.100.23/24", "2001:db8:ffff::23/48")

CLIENTS = (WORKSTATION, PRINTER, ADMIN, PEER, STRANGER)
"""Namespaces that connect to the server."""

HOSTS = (SERVER, *CLIENTS)

ROUTER = "router"
"""The namespace that joins them: it forwards between the links and filters nothing."""

_ZONES = {"workstations": WORKSTATION, "printers": PRINTER, "admins": ADMIN}
_DEFINED_BY_THEMSELVES = frozenset({"any"})
"""Zones whose networks no configuration states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A place from which the lab connects: a client namespace and the addresses it uses there."""

    client: str
    """Name of the namespace."""
    zones: tuple[str, ...]
    """Zones and components that it stands for; none for the stranger."""
    v4: Interface4
    v6: Interface6

    def address(self, version: int) -> str:
        """Source address of one IP version, 4 or 6."""
        return str(self.v4.ip if version == 4 else self.v6.ip)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """The lab's networks for one catalogue."""

    zones: dict[str, tuple[IPNetwork, ...]]
    """Networks of each zone, as the configuration states them."""
    components: tuple[str, ...]
    """Components that the peer server runs."""
    sources: tuple[Source, ...]
    """Every place to connect from; the stranger is the last."""

    def source_for(self, peers: AddressSet) -> Source | None:
        """Find a client that a service admits: the stranger where anyone may come, else the first that fits."""
        if peers == EVERYTHING:
            return self.stranger
        return next((source for source in self.sources if source.v4.ip in peers), None)

    @property
    def peers(self) -> tuple[str, ...]:
        """Addresses of the peer server."""
        return (str(PEER.v4.ip), str(PEER.v6.ip))

    @property
    def stranger(self) -> Source:
        """The client that belongs to no zone."""
        return self.sources[-1]

    def extra_addresses(self, host: Host) -> tuple[Address, ...]:
        """Addresses that a namespace holds beside its own, for the zones that share it."""
        return tuple(
            address
            for source in self.sources
            if source.client == host.name and source.v4 != host.v4
            for address in (source.v4, source.v6)
        )


def plan(catalogue: Catalogue, roles: Iterable[str]) -> Topology:
    """Give every zone that is a client of the roles a network, and every component a peer server.

    The components of the roles themselves run on the peer server too: a cluster has more than one node.
    """
    clients = _clients(catalogue, roles)
    zones: dict[str, tuple[IPNetwork, ...]] = {}
    sources: list[Source] = []
    for zone, host in _ZONES.items():
        zones[zone] = (host.v4.network, host.v6.network)
        sources.append(Source(client=host.name, zones=(zone,), v4=host.v4, v6=host.v6))
    homes = {component.id: component.zone for component in catalogue.components}
    components = tuple(sorted(name for name in clients if name in homes and homes[name] is None))
    sources.append(Source(client=PEER.name, zones=components, v4=PEER.v4, v6=PEER.v6))
    others = {homes[name] or name if name in homes else name for name in clients - set(components)}
    for number, zone in enumerate(sorted(others - _ZONES.keys() - _DEFINED_BY_THEMSELVES), start=1):
        v4 = ipaddress.IPv4Network((int(PEER.v4.network.network_address) + (number << 8), 24))
        v6 = ipaddress.IPv6Network((int(PEER.v6.network.network_address) + (number << 64), 64))
        zones[zone] = (v4, v6)
        sources.append(
            Source(
                client=PEER.name,
                zones=(zone,),
                v4=Interface4((v4[10], PEER.v4.network.prefixlen)),
                v6=Interface6((v6[16], PEER.v6.network.prefixlen)),
            )
        )
    sources.append(Source(client=STRANGER.name, zones=(), v4=STRANGER.v4, v6=STRANGER.v6))
    return Topology(zones=zones, components=components, sources=tuple(sources))


def _clients(catalogue: Catalogue, roles: Iterable[str]) -> set[str]:
    """Name the zones and components that connect to any component of the roles."""
    own = {name for role in roles for name in catalogue.role_by_id[role].components}
    return {client for flow in catalogue.flows if flow.server in own for client in flow.clients}
