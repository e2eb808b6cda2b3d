"""What connection tracking knows of the first packet of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.core.path.constants import WORDS
from portguard.core.path.headers import destination, protocol
from portguard.core.path.packet import Tracking
from portguard.core.path.values import ABSENT, Bits, Operand, Unsure, Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from portguard.core.path.packet import Packet
    from portguard.core.path.world import World
    from portguard.model.ruleset import Json

_STATE_BITS = WORDS["ct state"]
_DNAT_BIT = WORDS["ct status"]["dnat"]
_DNAT_DONE_BIT, _SNAT_DONE_BIT = 1 << 8, 1 << 7


def ct(body: dict[str, Json]) -> Operand | None:
    """Compile a question to connection tracking; None when it is not one that is evaluated."""
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
        "protocol": ("proto", protocol),
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
        if packet.tracking is Tracking.TEMPLATE:
            return Unsure("before connection tracking, what a zone was chosen for is not known")
        return ABSENT

    return read


def _ct_state(packet: Packet, _world: World) -> Value:
    match packet.tracking:
        case Tracking.NEW | Tracking.TEMPLATE:
            return _STATE_BITS["new"]
        case Tracking.UNTRACKED:
            return _STATE_BITS["untracked"]
        case Tracking.BEFORE:
            return _STATE_BITS["invalid"]
        case Tracking.UNSURE:
            return Unsure("the chain runs at the very priority of connection tracking")


def _ct_status(packet: Packet) -> Value:
    # Whether the kernel has set up a (null) translation yet shows in two bits that nft has no word for.
    unknown = _DNAT_DONE_BIT | _SNAT_DONE_BIT | (_DNAT_BIT if packet.rewritten is None else 0)
    return Bits(_DNAT_BIT if packet.rewritten else 0, unknown)


def _ct_original(key: str) -> Operand:
    family, _, field = key.rpartition(" ")
    if field == "proto-dst":
        return Operand(
            "port",
            _tracked(_first_port),
            about="port",
            port=True,
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
        return destination(packet)
    first = packet.original[0]
    if len(first) == 1 and first[0][0] == first[0][1]:
        return first[0][0]
    return Unsure("which of this host's addresses the client wrote")


def _first_port(packet: Packet) -> Value:
    port = packet.original[1] if packet.translated else packet.port
    return Unsure("ct original proto-dst of an echo request") if port is None else port
