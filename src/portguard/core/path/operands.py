"""What a rule looks at: the left sides of matches and the keys of maps, read from a packet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from portguard.core.path.constants import WORDS, number
from portguard.core.path.packet import Packet, Tracking
from portguard.model.net import intersect, merge

if TYPE_CHECKING:
    from collections.abc import Callable

    from portguard.core.path.world import World
    from portguard.model.net import Intervals
    from portguard.model.ruleset import Json


class Unsure(NamedTuple):
    """A value that is not known from here, with the reason."""

    reason: str


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


_LINK_LOCAL = ((0xFE80 << 112, (0xFEC0 << 112) - 1),)
_PORTED = frozenset({"tcp", "udp"})
_NUMBER = {"tcp": 6, "udp": 17}
_SYN = 2
_STATE_BITS = WORDS["ct state"]
_DNAT_BIT = WORDS["ct status"]["dnat"]
_DNAT_DONE_BIT, _SNAT_DONE_BIT = 1 << 8, 1 << 7


def operand(expr: Json) -> Operand:
    """Compile an expression. One that is not understood reads as not known, with its spelling as the reason."""
    if isinstance(expr, dict) and len(expr) == 1:
        ((kind, body),) = expr.items()
        make = _MAKERS.get(kind)
        if make is not None and isinstance(body, dict):
            found = make(body)
            if found is not None:
                return found
        if kind in {"&", "|", "^", "<<", ">>"} and isinstance(body, list) and len(body) >= 2:
            return _bitwise(kind, body)
    return _unsure(f"{_spelled(expr)} is not known beforehand")


def _spelled(expr: Json) -> str:
    from portguard.model.nft_values import value_text  # noqa: PLC0415 - only for what is not understood

    return value_text(expr)


def _unsure(reason: str, **more: Any) -> Operand:
    value = Unsure(reason)
    return Operand("number", lambda _packet, _world: value, **more)


def _known(value: int | str, kind: str, about: str = "plain") -> Operand:
    return Operand(kind, lambda _packet, _world: value, about=about)


# Payload.


def _payload(body: dict[str, Json]) -> Operand | None:
    if "base" in body:
        return _raw_payload(body)
    protocol, field = body.get("protocol"), body.get("field")
    if protocol in {"tcp", "udp", "th"}:
        return _transport_header(str(protocol), str(field))
    if protocol in {"ip", "ip6"}:
        return _network_header(4 if protocol == "ip" else 6, str(field))
    if protocol in {"icmp", "icmpv6"}:
        return _icmp(4 if protocol == "icmp" else 6, str(protocol), str(field))
    if protocol in {
        "sctp",
        "dccp",
        "udplite",
        "esp",
        "ah",
        "comp",
        "igmp",
        "gre",
        "vxlan",
        "geneve",
        "gretap",
    }:
        # None of them is asked about.
        return Operand("number", lambda _packet, _world: ABSENT, transports=frozenset(), about="port")
    return None


def _transport_header(protocol: str, field: str) -> Operand | None:
    transports = _PORTED if protocol == "th" else frozenset({protocol})

    def only(reader: Callable[[Packet], Value]) -> Callable[[Packet, World], Value]:
        def read(packet: Packet, _world: World) -> Value:
            if packet.transport in transports:
                return reader(packet)
            # ``th`` does not ask for the protocol: of an echo request it reads bytes that are no ports.
            return Unsure("th reads the bytes of an echo request") if protocol == "th" else ABSENT

        return read

    limit = None if protocol == "th" else transports
    if field == "dport":
        moved = Unsure("the port comes out of a translation")
        return Operand(
            "port",
            only(lambda packet: moved if packet.port is None else packet.port),
            about="port",
            transports=limit,
        )
    if field == "flags" and protocol == "tcp":
        return Operand("tcp flags", only(lambda _packet: _SYN), about="plain", transports=limit)
    unknown = Unsure(f"{protocol} {field} differs from packet to packet")
    kind = "port" if field == "sport" else "number"
    return Operand(kind, only(lambda _packet: unknown), transports=limit)


def _raw_payload(body: dict[str, Json]) -> Operand | None:
    if (body.get("base"), body.get("offset"), body.get("len")) == ("th", 16, 16):
        return _transport_header("th", "dport")
    return None


def _network_header(version: int, field: str) -> Operand | None:
    kind = "v4" if version == 4 else "v6"
    versions = (version,)

    def only(reader: Callable[[Packet], Value]) -> Callable[[Packet, World], Value]:
        return lambda packet, _world: reader(packet) if packet.version == version else ABSENT

    if field == "saddr":
        return Operand(kind, only(lambda _packet: 0), source=True, about="source", versions=versions)
    if field == "daddr":
        return Operand(kind, only(_destination), destination=True, versions=versions)
    if field in {"protocol", "nexthdr"}:
        return Operand("proto", only(_protocol), about="plain", versions=versions)
    if field == "version":
        return Operand("number", only(lambda _packet: version), about="plain", versions=versions)
    if field == "frag-off":
        # Not a fragment; whether it may be fragmented (the DF bit) is up to the sender.
        return Operand("number", only(lambda _packet: Bits(0, 0x4000)), about="plain", versions=versions)
    if field == "hdrlength":
        return Operand("number", only(lambda _packet: 5), about="plain", versions=versions)
    unknown = Unsure(f"ip{'' if version == 4 else '6'} {field} differs from packet to packet")
    return Operand("number", only(lambda _packet: unknown), versions=versions)


def _destination(packet: Packet) -> Value:
    if not packet.destination:
        return Unsure("the destination comes out of a translation")
    # Destinations that a rule's constants tell apart were told apart before: any one stands for all.
    return packet.destination[0][0]


def _protocol(packet: Packet) -> int:
    if packet.transport == "icmp":
        return 1 if packet.version == 4 else 58
    return _NUMBER[packet.transport]


def _icmp(version: int, protocol: str, field: str) -> Operand:
    def read(packet: Packet, _world: World) -> Value:
        if packet.version != version or packet.transport != "icmp":
            return ABSENT
        if field == "type":
            return 8 if version == 4 else 128
        return 0 if field == "code" else Unsure(f"{protocol} {field} differs from packet to packet")

    return Operand(
        f"{protocol} type", read, about="port", versions=(version,), transports=frozenset({"icmp"})
    )


# Meta.


def _meta(body: dict[str, Json]) -> Operand | None:
    key = body.get("key")
    if key in {"iifname", "iif"}:
        return Operand("name", _interface, interface=True, about="plain")
    if key in {"oifname", "oif"}:
        return Operand("name", _way_out, about="plain")
    if key == "l4proto":
        return Operand("proto", lambda packet, _world: _protocol(packet), about="plain")
    if key == "nfproto":
        return Operand("nfproto", lambda packet, _world: 2 if packet.version == 4 else 10, about="plain")
    if key == "protocol":
        return Operand(
            "ethertype", lambda packet, _world: 0x0800 if packet.version == 4 else 0x86DD, about="plain"
        )
    if key == "mark":
        unknown = Unsure("the packet mark is set to something that is not known")
        return Operand("mark", lambda packet, _world: unknown if packet.mark is None else packet.mark)
    if key == "pkttype":
        return Operand("pkttype", lambda _packet, _world: 0, about="plain")
    return None


def _interface(packet: Packet, _world: World) -> Value:
    return next(iter(packet.interfaces))


def _way_out(packet: Packet, world: World) -> Value:
    if packet.hook not in {"forward", "postrouting"}:
        # Before the routing decision, and of packets for this host, nft reads an empty name.
        return ""
    name = world.out_by(packet.version, packet.destination)
    return Unsure("the interface by which it is forwarded is not known") if name is None else name


# Connection tracking.


def _ct(body: dict[str, Json]) -> Operand | None:
    key, direction = body.get("key"), body.get("dir")
    if key == "state":
        return Operand("ct state", _ct_state, about="plain")
    makers: dict[str, tuple[str, Callable[[Packet], Value]]] = {
        "status": ("ct status", _ct_status),
        "direction": ("ct direction", lambda _packet: 0),
        "mark": (
            "mark",
            lambda packet: Unsure("the connection mark") if packet.ct_mark is None else packet.ct_mark,
        ),
        "l3proto": ("nfproto", lambda packet: 2 if packet.version == 4 else 10),
        "protocol": ("proto", _protocol),
    }
    if isinstance(key, str) and key in makers and direction in {None, "original"}:
        kind, reader = makers[key]
        return Operand(kind, _tracked(reader), about="plain" if key in {"direction", "protocol"} else "other")
    if direction == "original" and isinstance(key, str):
        return _ct_original(key)
    return Operand("number", _tracked(lambda _packet: Unsure(f"ct {key} is not known beforehand")))


def _tracked(reader: Callable[[Packet], Value]) -> Callable[[Packet, World], Value]:
    """Read something of the connection: absent where there is none."""

    def read(packet: Packet, _world: World) -> Value:
        if packet.tracking is Tracking.NEW:
            return reader(packet)
        if packet.tracking is Tracking.UNSURE:
            return Unsure("the chain runs at the very priority of connection tracking")
        return ABSENT

    return read


def _ct_state(packet: Packet, _world: World) -> Value:
    match packet.tracking:
        case Tracking.NEW:
            return _STATE_BITS["new"]
        case Tracking.UNTRACKED:
            return _STATE_BITS["untracked"]
        case Tracking.BEFORE:
            return _STATE_BITS["invalid"]
        case Tracking.UNSURE:
            return Unsure("the chain runs at the very priority of connection tracking")


def _ct_status(packet: Packet) -> Value:
    # Whether the kernel has set up a (null) translation yet shows in two bits that nft has no word for.
    return Bits(_DNAT_BIT if packet.translated else 0, _DNAT_DONE_BIT | _SNAT_DONE_BIT)


def _ct_original(key: str) -> Operand:
    family, _, field = key.rpartition(" ")
    if field == "proto-dst":
        return Operand(
            "port",
            _tracked(_first_port),
            about="port",
        )
    if field in {"saddr", "daddr"} and family in {"ip", "ip6"}:
        version = 4 if family == "ip" else 6
        if field == "daddr":
            reader = _tracked(
                lambda packet: _first_destination(packet) if packet.version == version else ABSENT
            )
            return Operand("v4" if version == 4 else "v6", reader, destination=True)
        reader = _tracked(lambda packet: 0 if packet.version == version else ABSENT)
        return Operand("v4" if version == 4 else "v6", reader, source=True, about="source")
    return Operand("number", _tracked(lambda _packet: Unsure(f"ct original {key} is not evaluated")))


def _first_destination(packet: Packet) -> Value:
    """Read the destination that the client wrote."""
    if not packet.translated:
        return _destination(packet)
    first = packet.original[0]
    if len(first) == 1 and first[0][0] == first[0][1]:
        return first[0][0]
    return Unsure("which of this host's addresses the client wrote")


def _first_port(packet: Packet) -> Value:
    port = packet.original[1] if packet.translated else packet.port
    return Unsure("ct original proto-dst of an echo request") if port is None else port


# Routing.


def _fib(body: dict[str, Json]) -> Operand | None:
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
    return Unsure("what kind of address the destination is")


def _source_kind(packet: Packet, world: World) -> Value:
    kinds = world.kinds_of_source(packet.version)
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


# Bitwise operations.


def _bitwise(sign: str, body: list[Json]) -> Operand:
    inner = operand(body[0])
    side = body[1] if len(body) == 2 else body[1:]
    value = number(side, inner.kind if inner.kind in WORDS or inner.kind in {"v4", "v6"} else "mark")
    if inner.kind == "name" or value is None:
        return _unsure(f"{_spelled({sign: body})} is not evaluated", interface=inner.interface)
    if inner.source or inner.destination:
        # ``address & mask`` is turned around by the matcher, onto the constants; nothing else is.
        return _unsure(f"{_spelled({sign: body})} is not evaluated", versions=inner.versions)

    def read(packet: Packet, world: World) -> Value:
        found = inner.read(packet, world)
        if isinstance(found, int):
            found = Bits(found, 0)
        if not isinstance(found, Bits):
            return found if found is ABSENT or isinstance(found, Unsure) else Unsure("a value of the source")
        out = _apply(sign, found, value)
        return out.value if out.unknown == 0 else out

    return inner._replace(read=read)


def _apply(sign: str, left: Bits, right: int) -> Bits:
    match sign:
        case "&":
            return Bits(left.value & right, left.unknown & right)
        case "|":
            return Bits(left.value | right, left.unknown & ~right)
        case "^":
            return Bits(left.value ^ right, left.unknown)
        case "<<":
            return Bits(left.value << right & 0xFFFFFFFF, left.unknown << right & 0xFFFFFFFF)
        case _:
            return Bits(left.value >> right, left.unknown >> right)


_MAKERS: dict[str, Callable[[dict[str, Json]], Operand | None]] = {
    "payload": _payload,
    "meta": _meta,
    "ct": _ct,
    "fib": _fib,
}


def mask_of(expr: Json) -> int | None:
    """Mask of ``address & mask``; None when the expression is not that."""
    match expr:
        case {
            "&": [{"payload": {"protocol": ("ip" | "ip6") as protocol, "field": ("saddr" | "daddr")}}, mask]
        }:
            return number(mask, "v4" if protocol == "ip" else "v6")
        case _:
            return None
