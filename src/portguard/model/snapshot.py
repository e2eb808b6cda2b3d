"""What was seen at one moment, and what could not be."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portguard.model.listener import Listener, Owner
    from portguard.model.net import IPAddress, IPNetwork, Transport
    from portguard.model.ruleset import Ruleset


class Scope(StrEnum):
    """Parts of the world that are read separately and fail separately."""

    LISTENERS = "listeners"
    RULESET = "ruleset"
    ADDRESSES = "addresses"
    LEGACY_TABLES = "iptables-legacy"
    OWNERS = "socket owners"
    EVENTS = "events"
    NAMESPACE = "network namespace"
    CONNECTIONS = "connections"
    LEASES = "DHCP leases"
    CONTAINER_NETWORKS = "container networks"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Gap:
    """A part of the world that could not be read. Nothing is concluded about it."""

    scope: str
    """A :class:`Scope`, or finer: ``ruleset inet firewalld``."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network interface and its own addresses."""

    index: int
    name: str
    up: bool
    addresses: tuple[tuple[IPAddress, int], ...]
    """Own addresses with their prefix length."""
    master: int | None = None
    """Index of the bridge or bond that it is part of."""
    lower: int | None = None
    """Index of the interface that carries it (VLAN, macvlan)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route of any table, except those of the ``local`` table, which repeat own addresses."""

    network: IPNetwork
    interface: int | None
    gateway: IPAddress | None = None
    source: IPAddress | None = None
    metric: int = 0
    table: int = 254


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """An entry of the ARP or ND cache."""

    address: IPAddress
    interface: int
    mac: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Interfaces, routes and neighbours of the network namespace."""

    interfaces: tuple[Interface, ...] = ()
    routes: tuple[Route, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()


SAME_ENDS = 64
"""Connections between one peer and one address of this host that are described; more tell nothing new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A connected socket whose peer was asked for. A v4-mapped peer is given as the IPv4 address that it is."""

    peer: IPAddress
    peer_port: int
    local: IPAddress
    local_port: int
    transport: Transport
    state: str
    """``established``, ``opening``, ``closing``, or ``closed`` within the last minute (TIME_WAIT)."""
    owner: Owner = field(compare=False)
    """Who holds the socket; nothing is known of one that is closed."""

    @property
    def order(self) -> tuple[int, int, int, int, int, str, str]:
        """What to sort by: Python does not compare addresses of two IP versions."""
        ends = (self.peer.version, int(self.peer), self.peer_port, int(self.local), self.local_port)
        return (*ends, self.transport, self.state)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Lease:
    """An address that DHCP gave to this host, or that this host gave to another one."""

    place: str
    """File that says so."""
    address: str
    """The address, as it can be parsed."""
    interface: str | None = None
    """Interface that holds it, where the file tells."""
    given: bool = False
    """This host is the DHCP server and gave it away."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ContainerNetwork:
    """A network that a container engine is told to make, or may pick networks from."""

    place: str
    """File that says so."""
    name: str
    """Name of the network, or of the setting."""
    network: str
    """The network, as it can be parsed; host bits are masked."""
    interface: str | None = None
    """Bridge of the network, where the file tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What files say of addresses that are, or will be, in use here. What could not be read is in ``gaps``."""

    leases: tuple[Lease, ...] = ()
    networks: tuple[ContainerNetwork, ...] = ()
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything seen at one moment; None where it could not be read, with the reason in ``gaps``."""

    listeners: tuple[Listener, ...] | None
    ruleset: Ruleset | None
    links: Links | None
    gaps: tuple[Gap, ...] = ()
    brief: tuple[Listener, ...] = ()
    """Listeners that were announced and had ceased to listen before they could be looked at. Each is shown once."""
    connections: tuple[Connection, ...] | None = None
    """Connections with peers in a reserved range; None where they were not asked for or could not be read."""
    surroundings: Surroundings | None = None
    """None where nobody asked for them."""

    def with_brief(self) -> Snapshot:
        """Count those among the listeners that were gone before they could be looked at."""
        if not self.brief or self.listeners is None:
            return self
        return replace(self, listeners=(*self.listeners, *self.brief))
