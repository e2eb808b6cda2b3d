"""Fields of packet headers: addresses, ports, protocols, flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.core.path.values import ABSENT, Bits, Operand, Unsure, Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from portguard.core.path.packet import Packet
    from portguard.core.path.world import World
    from portguard.model.ruleset import Json

_PORTED = frozenset({"tcp", "udp"})
_NUMBER = {"tcp": 6, "udp": 17}
_SYN = 2


def payload(body: dict[str, Json]) -> Operand | None:
    """Compile a field of a header; None when it is not one that is evaluated."""
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
            port=True,
        )
    if field == "flags" and protocol == "tcp":
        return Operand("tcp flags", only(lambda _packet: _SYN), about="plain", transports=limit)
    # Nobody sends from port 0: shorewall and others drop what claims to.
    within = ((1, 65535),) if field == "sport" else None
    unknown = Unsure(f"{protocol} {field} differs from packet to packet", within)
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
        return Operand(kind, only(_source), source=True, about="source", versions=versions)
    if field == "daddr":
        return Operand(kind, only(destination), destination=True, versions=versions)
    if field in {"protocol", "nexthdr"}:
        return Operand("proto", only(protocol), about="plain", versions=versions)
    if field == "version":
        return Operand("number", only(lambda _packet: version), about="plain", versions=versions)
    if field == "frag-off":
        # Not a fragment; whether it may be fragmented (the DF bit) is up to the sender.
        return Operand("number", only(lambda _packet: Bits(0, 0x4000)), about="plain", versions=versions)
    if field == "hdrlength":
        return Operand("number", only(lambda _packet: 5), about="plain", versions=versions)
    unknown = Unsure(f"ip{'' if version == 4 else '6'} {field} differs from packet to packet")
    return Operand("number", only(lambda _packet: unknown), versions=versions)


def _source(packet: Packet) -> Value:
    """Stand for the source: constants beside it are sets of sources."""
    return Unsure("the source comes out of a translation") if packet.masked else 0


def destination(packet: Packet) -> Value:
    """Read the destination address."""
    if not packet.destination:
        return Unsure("the destination comes out of a translation")
    # Destinations that a rule's constants tell apart were told apart before: any one stands for all.
    return packet.destination[0][0]


def protocol(packet: Packet) -> int:
    """Number of the transport protocol."""
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

    # nft spells every code in the words for unreachable destinations, whatever the type.
    return Operand(
        f"{protocol} {'code' if field == 'code' else 'type'}",
        read,
        about="port",
        versions=(version,),
        transports=frozenset({"icmp"}),
    )
