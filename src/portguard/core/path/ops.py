"""What a rule does, statement by statement: the closed list that the walk understands."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.core.path.lookup import Flags, Lookup
    from portguard.model.ruleset import Json, TableKey


class Test(NamedTuple):
    """The rule goes on for packets that match."""

    lookup: Lookup | Flags
    negate: bool = False


class Chance(NamedTuple):
    """The rule goes on for some packets and not for others of the same class: limits, quotas, what is opaque."""

    reason: str
    selective: bool = False
    """It may name sources or ports: a match of iptables that nft does not show."""


class Verdict(NamedTuple):
    """``accept``, ``drop``, ``reject``, ``return``, ``continue``, ``jump`` or ``goto``."""

    kind: str
    target: str = ""
    text: str = ""
    """Spelled for people; empty: like the kind."""
    masks: bool = False
    """It translates the source."""


class Branching(NamedTuple):
    """A verdict map."""

    lookup: Lookup

    def verdicts(self) -> Iterator[tuple[str, str]]:
        """Kind and target of each verdict in the map."""
        for value in [*(group.value for group in self.lookup.groups), self.lookup.catchall]:
            if isinstance(value, dict) and len(value) == 1:
                ((kind, body),) = value.items()
                yield kind, str(body.get("target", "")) if isinstance(body, dict) else ""


class Mark(NamedTuple):
    """Set the packet mark or the connection mark."""

    connection: bool
    value: Json
    lookup: Lookup | None = None
    """The map that the value is looked up in."""


class Fill(NamedTuple):
    """Add the packet's key to a set, or take it out."""

    name: tuple[TableKey, str]
    key: Lookup
    takes_out: bool = False
    held: Lookup | None = None
    """What the set holds, where it is full: for what is not in it, the rule breaks off."""


class Zone(NamedTuple):
    """Choose the zone of connection tracking."""


class Notrack(NamedTuple):
    """Keep the packet out of connection tracking."""


class Translate(NamedTuple):
    """``dnat`` and ``redirect``: a new destination, then accepted by the chain."""

    family: int | None
    """IP version that it works on; None: both."""
    address: Json
    """None: one of this host's own (redirect)."""
    port: Json
    text: str
    lookup: Lookup | None = None
    """The map that address, port or both are looked up in."""


class Hand(NamedTuple):
    """``tproxy``: handed to another socket of this host where there is one; otherwise the rule breaks off."""

    text: str


class Opaque(NamedTuple):
    """Something that may accept, drop or pass over what it sees: nothing is claimed."""

    reason: str


Op = Test | Chance | Verdict | Branching | Mark | Fill | Zone | Notrack | Translate | Hand | Opaque
