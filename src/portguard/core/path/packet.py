"""The packets that are followed through a ruleset: everything about them but their sources is one value.

What is followed is an *ordinary* first packet of a connection: no IP options or extension headers, no fragment, TCP
flags SYN alone, sent to this host's link-layer address. Its length, TTL, source port and TCP options are not known.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from portguard.model.net import Intervals, intersect, merge, union

if TYPE_CHECKING:
    from portguard.model.ruleset import Rule, TableKey

FULL: dict[int, Intervals] = {4: ((0, (1 << 32) - 1),), 6: ((0, (1 << 128) - 1),)}
"""Every address of a version."""
LOOPBACK: dict[int, Intervals] = {4: ((0x7F000000, 0x7FFFFFFF),), 6: ((1, 1),)}


class Tracking(Enum):
    """What connection tracking has made of a packet so far."""

    BEFORE = "before"
    """It has not seen it yet: an expression that asks for it finds nothing, and its state reads as invalid."""
    NEW = "new"
    UNTRACKED = "untracked"
    TEMPLATE = "template"
    """A rule chose its zone beforehand: that reads as a new connection, of which nothing else is known yet."""
    UNSURE = "unsure"
    """A base chain at its very priority may run before or after it."""


class Packet(NamedTuple):
    """What is known of a class of packets at one point of its way, beside its sources."""

    version: int
    transport: str
    """``tcp``, ``udp`` or ``icmp`` (echo request of either version)."""
    port: int | None
    """Destination port as it reads now. None: ICMP, or a translation picks it from a range."""
    destination: Intervals
    """Destination as it reads now; empty when a translation chooses one that is not known here."""
    interfaces: frozenset[str]
    """Interfaces by which it may have come in: all of them meet the same fate up to here."""
    mark: int | None = 0
    """Packet mark; None: not known."""
    ct_mark: int | None = 0
    tracking: Tracking = Tracking.BEFORE
    translated: bool = False
    """A translation of its destination was set up."""
    rewritten: bool | None = False
    """It made a difference (``ct status dnat``): a translation to where the packet goes anyway does not. None: not known."""
    here: bool = False
    """A redirect sends it to this host, whatever the destination reads."""
    original: tuple[Intervals, int | None] = ((), None)
    """Destination and port that the client wrote, once they are translated."""
    filled: frozenset[tuple[TableKey, str]] = frozenset()
    """Sets to which a rule on the way may have added its source."""
    emptied: frozenset[tuple[TableKey, str]] = frozenset()
    """Sets out of which a rule on the way may have taken its source."""
    masked: bool = False
    """A translation of its source was set up: what its source reads from here on is not known."""
    hook: str = "prerouting"


class Trail:
    """One thing that happened on the way, and what happened before it. Equal trails are joined."""

    __slots__ = ("_hash", "before", "chain", "effect", "rule", "selective", "table")

    def __init__(
        self,
        before: Trail | None,
        table: TableKey,
        chain: str,
        rule: Rule | None,
        effect: str,
        *,
        selective: bool = False,
    ) -> None:
        self.before = before
        self.table = table
        self.chain = chain
        self.rule = rule
        """None: the policy of the base chain."""
        self.effect = effect
        self.selective = selective
        """A jump whose condition names sources, a port or a set: what is decided beyond it is meant for those."""
        self._hash = hash((before, table, chain, id(rule), effect))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Trail)
            and self._hash == other._hash
            and self.rule is other.rule
            and (self.table, self.chain, self.effect) == (other.table, other.chain, other.effect)
            and self.before == other.before
        )


class Flow(NamedTuple):
    """A class of packets with its sources, under way."""

    packet: Packet
    sources: Intervals
    trail: Trail | None = None
    """What mattered in the base chain it is in."""
    doubt: str | None = None
    """Why it is not sure that these packets get here at all."""
    past: Any = None
    """What earlier base chains did: see :class:`~portguard.core.path.report.Past`."""


def same_way(left: Packet, right: Packet) -> bool:
    """Whether nothing was changed about a packet; interfaces and destination may have been told apart."""
    return left._replace(interfaces=right.interfaces, destination=right.destination) == right


def joined(flows: list[Flow]) -> list[Flow]:
    """Put flows together that stand at the same point and differ in nothing that can matter from here on."""
    if len(flows) < 2:
        return flows
    groups: dict[tuple[Packet, Trail | None, int], list[Flow]] = {}
    for flow in flows:
        groups.setdefault((flow.packet, flow.trail, id(flow.past)), []).append(flow)
    out = [_joined(group) for group in groups.values()]
    if 1 < len(out) <= 64:
        out = _joined_over(out, "interfaces")
        out = _joined_over(out, "destination")
    return out


def _joined(group: list[Flow]) -> Flow:
    if len(group) == 1:
        return group[0]
    doubt = next((flow.doubt for flow in group if flow.doubt), None)
    sources = merge(pair for flow in group for pair in flow.sources)
    return group[0]._replace(sources=sources, doubt=doubt)


def _joined_over(flows: list[Flow], dimension: str) -> list[Flow]:
    """Join flows with the same sources that differ only in their interfaces, or only in their destination."""
    blank: Any = frozenset() if dimension == "interfaces" else ()
    groups: dict[tuple[Packet, Intervals, Trail | None, int], list[Flow]] = {}
    for flow in flows:
        key = (flow.packet._replace(**{dimension: blank}), flow.sources, flow.trail, id(flow.past))
        groups.setdefault(key, []).append(flow)
    if len(groups) == len(flows):
        return flows
    out = []
    for group in groups.values():
        packet = group[0].packet
        for flow in group[1:]:
            if dimension == "interfaces":
                packet = packet._replace(interfaces=packet.interfaces | flow.packet.interfaces)
            else:
                packet = packet._replace(destination=union(packet.destination, flow.packet.destination))
        out.append(_joined([flow._replace(packet=packet) for flow in group]))
    return out


def meets(left: Intervals, right: Intervals) -> bool:
    """Whether two sets of numbers have one in common."""
    return bool(intersect(left, right))
