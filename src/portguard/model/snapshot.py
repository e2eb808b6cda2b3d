"""What was seen at one moment, and what could not be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portguard.model.listener import Listener
    from portguard.model.net import IPAddress, IPNetwork
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything seen at one moment; None where it could not be read, with the reason in ``gaps``."""

    listeners: tuple[Listener, ...] | None
    ruleset: Ruleset | None
    links: Links | None
    gaps: tuple[Gap, ...] = ()
