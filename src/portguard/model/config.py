"""What the administrator wrote, validated; its shape is promised in ``docs/configuration.md``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portguard.model.paths import Paths
from portguard.model.policy import HealLimits, Manager, Mode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from portguard.model.net import AddressSet, IPNetwork, PortRange, Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Failsafe:
    """A port that is never closed, whatever else is configured."""

    transport: Transport
    ports: PortRange
    zone: str
    """The zone that ``from`` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """Something that this site runs beside the product, documented by the administrator."""

    transport: Transport
    ports: PortRange
    zone: str
    unit: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """How often the daemon looks where nothing tells it of a change. Seconds."""

    listeners: float = 1.0
    full: float = 60.0
    """A full pass: finds drift that nobody announced."""
    heartbeat: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One validated configuration."""

    roles: tuple[str, ...]
    mode: Mode = Mode.OBSERVE
    manager: Manager | None = None
    """None: ``auto``."""
    features: tuple[str, ...] = ()
    zones: Mapping[str, AddressSet] = field(default_factory=dict)
    hosts: Mapping[str, AddressSet] = field(default_factory=dict)
    """Other servers, by component."""
    settings: Mapping[str, PortRange] = field(default_factory=dict)
    failsafe: tuple[Failsafe, ...] = ()
    extra: tuple[Extra, ...] = ()
    reserved: tuple[IPNetwork, ...] = ()
    """Ranges beside the catalogue's, which are always included."""
    reserved_interfaces: tuple[str, ...] = ()
    limits: HealLimits = HealLimits()
    intervals: Intervals = Intervals()
    listener_grace: float = 30.0
    confirm_within: float = 120.0
    """Seconds for which the kernel closes anything before a person has confirmed it."""
    paths: Paths = Paths()
    files: tuple[Path, ...] = ()
    """Files it was read from, in order."""
    digest: str = ""
    """SHA-256 of those files and of the environment variables that took part, hex."""
