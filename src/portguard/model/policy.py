"""What must be open on this host, to whom, and nothing else: the documents with this site's networks filled in."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from portguard.model.net import EVERYTHING, AddressSet, PortRange, Transport

if TYPE_CHECKING:
    from collections.abc import Mapping


class Mode(StrEnum):
    """What portguard may write. Each mode includes the ones before it."""

    OBSERVE = "observe"
    HEAL = "heal"
    CONTAIN = "contain"
    ENFORCE = "enforce"

    @property
    def writes(self) -> bool:
        """Whether it may write anything at all."""
        return self is not Mode.OBSERVE

    @property
    def closes(self) -> bool:
        """Whether it may close anything."""
        return self in (Mode.CONTAIN, Mode.ENFORCE)


class Manager(StrEnum):
    """Whose firewall decides on this host, and so where a heal has to go."""

    PORTGUARD = "portguard"
    NFTABLES = "nftables"
    FIREWALLD = "firewalld"
    UFW = "ufw"
    IPTABLES = "iptables"
    UNKNOWN = "unknown"


class Direction(StrEnum):
    """Seen from this host."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


ANYONE = "anyone"
"""Name of the zone of a rule that admits every address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One documented flow of this host, resolved to one transport, one port range and one zone."""

    flow: str
    """Id of the flow, or ``extra/…`` and ``failsafe/…`` for what the configuration adds."""
    transport: Transport
    ports: PortRange | None
    """None where the transport has no ports (ICMP) or the documents give none."""
    direction: Direction
    zone: str
    """The far side: a zone, a component, or ``anyone``."""
    peers: AddressSet
    """Addresses of the far side. Empty: on this host itself, or nobody is to be let in."""
    need: str
    application: str
    local: bool = False
    """Loopback only: listening there is right, being reachable is a finding."""
    listener_expected: bool = True
    """A missing listener is a finding. False for optional flows, ranges, and everything outbound."""
    dynamic: bool = False
    """The range is one from which ports are picked at run time: a path, which makes no listener expected."""
    unit: str | None = None
    """Unit that must hold the listener, where the configuration says so (``[[extra]]``)."""

    @property
    def key(self) -> ServiceKey:
        """What it is about, without the addresses."""
        return (self.flow, self.transport, self.ports, self.direction, self.zone)


ServiceKey: TypeAlias = tuple[str, Transport, PortRange | None, Direction, str]
"""Flow, transport, ports, direction and zone of a service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndefinedZone:
    """A zone that a flow needs and the configuration does not define."""

    zone: str
    flows: tuple[str, ...]
    opened_to_anyone: bool
    """False for flows that are never opened to everyone (Redis, JMX)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealLimits:
    """When portguard stops fighting another writer. Durations in seconds."""

    max_heals: int = 3
    """Heals of one rule within ``window`` before it is suspended."""
    window: float = 600.0
    retry_first: float = 60.0
    """First retry after a suspension; doubles with each further one."""
    retry_max: float = 900.0
    settle: float = 0.05
    """Wait after a change in somebody else's table, which often comes in several transactions."""
    writer_burst: int = 20
    """Transactions of one writer answered at once; beyond that one in ``writer_interval``."""
    writer_interval: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The resolved required set of this host."""

    roles: tuple[str, ...]
    mode: Mode
    manager: Manager | None
    """None: look at the ruleset (``auto``)."""
    services: tuple[Service, ...]
    """In a stable order: failsafe first, then by flow id."""
    zones: Mapping[str, AddressSet] = field(default_factory=dict)
    """Every zone and component of the configuration, resolved."""
    undefined: tuple[UndefinedZone, ...] = ()
    reserved: AddressSet = AddressSet()
    reserved_interfaces: tuple[str, ...] = ()
    """Interface patterns (``br-printum*``) on which the product itself uses the reserved ranges."""
    admins: AddressSet = AddressSet()
    limits: HealLimits = HealLimits()
    confirm_within: float = 120.0
    """Seconds for which the kernel closes anything before a person has confirmed it."""
    listener_grace: float = 30.0
    """Seconds a required listener may be absent before it is a finding."""
    config_digest: str = ""
    catalogue_digest: str = ""

    @property
    def inbound(self) -> tuple[Service, ...]:
        """Services that others reach on this host."""
        return tuple(service for service in self.services if service.direction is Direction.INBOUND)


def opened_to(service: Service) -> AddressSet:
    """Addresses that a heal lets in for a service: its peers, unless it belongs on loopback."""
    return AddressSet() if service.local else service.peers


__all__ = [
    "ANYONE",
    "EVERYTHING",
    "Direction",
    "HealLimits",
    "Manager",
    "Mode",
    "Policy",
    "Service",
    "UndefinedZone",
    "opened_to",
]
