"""What mode ``contain`` closes, and the order that a person gave."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from portguard.model.net import AddressSet

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from portguard.model.net import Intervals, Transport
    from portguard.model.policy import Mode, Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedPort:
    """An exposed port that is closed to everyone but whom the documents let in."""

    transport: Transport
    port: int
    application: str
    """What stands behind it, e.g. ``redis``."""
    zones: tuple[str, ...] = ()
    """Documented zones, which still get in. Empty: nobody does."""
    allowed: AddressSet = AddressSet()
    """Addresses of those zones."""

    def __str__(self) -> str:
        return f"{self.port}/{self.transport} ({self.application})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SparedPort:
    """An exposed port that is never closed, whatever stands behind it."""

    transport: Transport
    port: int
    why: str

    def __str__(self) -> str:
        return f"{self.port}/{self.transport}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """Everything that is closed, and what must never be."""

    ports: tuple[ClosedPort, ...] = ()
    """By transport and port, each once."""
    spared: tuple[SparedPort, ...] = ()
    safe_tcp: Intervals = ()
    """Ports that stay open even to the reserved range: fail-safe, and where sshd listens."""
    safe_udp: Intervals = ()
    interfaces: tuple[str, ...] = ()
    """Interfaces, or patterns that end in ``*``, on which the reserved range is used rightly."""
    seen: Mapping[tuple[Transport, int], float] = field(default_factory=dict, compare=False)
    """When each port was last exposed, on the monotonic clock."""


class OrderState(StrEnum):
    """How far an order has come."""

    CONFIRMED = "confirmed"
    """In force until another one. Orders that close nothing are so at once."""
    WAITING = "waiting"
    """Of ``contain``: the dead man runs, or is about to be started; without a word it ends by itself."""
    WITHDRAWN = "withdrawn"
    """Of ``contain``, asked for by the configuration: not confirmed in time, or rolled back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The mode that a person ordered, beside the one that the configuration names.

    The last word wins: an order holds until the next one, or until a configuration with another mode or other roles.
    """

    mode: Mode
    state: OrderState = OrderState.CONFIRMED
    configured: Mode
    """Mode of the configuration when it was given."""
    roles: tuple[str, ...]
    before: Mode
    """Mode to go back to."""
    confirm_within: float = 120.0
    """Seconds that the dead man runs."""

    def fits(self, policy: Policy) -> bool:
        """Say whether it was given under this configuration's mode and roles."""
        return self.configured is policy.mode and self.roles == policy.roles


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """For a while nothing is written."""

    until: datetime
    """UTC."""
    ends: float
    """The same on the monotonic clock, which nobody sets."""
    reason: str
