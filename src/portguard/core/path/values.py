"""What an expression of a rule can read from a packet: a value, a value that is not known, or nothing at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from portguard.core.path.packet import Packet
    from portguard.core.path.world import World
    from portguard.model.net import Intervals


class Unsure(NamedTuple):
    """A value that is not known from here, with the reason."""

    reason: str
    within: Intervals | None = None
    """Numbers that it can be; None: any."""


class Absent:
    """The packet has no such thing: the kernel breaks off the rule, whatever it compares with."""


ABSENT = Absent()


class Bits(NamedTuple):
    """A number of which only the bits outside ``unknown`` are known."""

    value: int
    unknown: int


class BySource(NamedTuple):
    """A value that depends on the source in a way of its own: the sources of each possible value."""

    kinds: tuple[tuple[int, Intervals], ...]


Value = Any
"""int, str, Bits, BySource, Unsure or ABSENT; of a source address: its version's ``SOURCE``."""


class Operand(NamedTuple):
    """One expression, compiled."""

    kind: str
    """How constants beside it are read."""
    read: Callable[[Packet, World], Value]
    source: bool = False
    """It is the source address itself, so that constants beside it are sets of sources."""
    interface: bool = False
    """It depends on the interface, so that interfaces must be told apart before it is read."""
    destination: bool = False
    """It is the destination address: constants beside it tell destinations apart."""
    about: str = "other"
    """What it looks at, for judging how general a rule is: ``port``, ``source``, ``plain`` or ``other``."""
    versions: tuple[int, ...] = (4, 6)
    """IP versions of packets that have it."""
    transports: frozenset[str] | None = None
    """Transports of packets that have it; None: any."""
    port: bool = False
    """It depends on the destination port: where ``about`` is ``port`` it is the port itself."""
