"""What the routing tables say of the addresses of a packet (``fib``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.core.path.constants import WORDS
from portguard.core.path.values import BySource, Operand, Unsure, Value
from portguard.model.net import intersect, merge, subtract

if TYPE_CHECKING:
    from portguard.core.path.packet import Packet
    from portguard.core.path.world import World
    from portguard.model.ruleset import Json

_LINK_LOCAL = ((0xFE80 << 112, (0xFEC0 << 112) - 1),)


def fib(body: dict[str, Json]) -> Operand | None:
    """Compile a question to the routing tables; None when it is not one that is evaluated."""
    flags = body.get("flags")
    flags = frozenset([flags] if isinstance(flags, str) else flags or ())
    result = body.get("result")
    if not flags <= {"saddr", "daddr", "iif", "mark"}:
        return None
    if result == "type" and "iif" not in flags:
        return Operand("fib type", _source_kind if "saddr" in flags else _destination_kind, about="plain")
    if result in {"oif", "oifname", "check"} and flags >= {"saddr", "iif"} and "daddr" not in flags:
        by_mark = "mark" in flags

        def way_back(packet: Packet, world: World) -> Value:
            if by_mark and packet.mark != 0:
                return Unsure("the packet mark may choose another routing table")
            return _way_back(packet, world)

        return Operand("exists", way_back, interface=True, about="plain")
    return None


def _destination_kind(packet: Packet, world: World) -> Value:
    if packet.mark is None:
        return Unsure("the packet mark may choose another routing table")
    if packet.here or world.is_own(packet.version, packet.destination):
        return WORDS["fib type"]["local"]
    kinds = world.kinds(packet.version) if world.links is not None and packet.destination else None
    for kind, addresses in (kinds or {}).items():
        if not subtract(packet.destination, addresses):
            return WORDS["fib type"][kind]
    return Unsure("what kind of address the destination is")


def _source_kind(packet: Packet, world: World) -> Value:
    kinds = world.kinds(packet.version)
    if kinds is None:
        return Unsure("what kind of address the source is depends on the routes")
    return BySource(tuple((WORDS["fib type"][kind], sources) for kind, sources in kinds.items()))


def _way_back(packet: Packet, world: World) -> Value:
    """Whether the way back to the source leads out by the interface it came in by (the reverse path filter)."""
    if world.links is None:
        return Unsure("the routes back to the source are not known")
    name = next(iter(packet.interfaces))
    ways = world.ways(packet.version)
    sure = [pair for part, names in ways if names == {name} for pair in part]
    other = [pair for part, names in ways if name not in names for pair in part]
    if packet.version == 6:
        # Link-local sources are looked up on the interface they came in by.
        sure += [pair for part, names in ways if name in names for pair in intersect(part, _LINK_LOCAL)]
    return BySource(((1, merge(sure)), (0, merge(other))))
