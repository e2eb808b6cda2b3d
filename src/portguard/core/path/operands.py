"""What a rule looks at: the left sides of matches and the keys of maps, compiled into what reads them from a packet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portguard.core.path.constants import WORDS, number
from portguard.core.path.headers import payload, protocol
from portguard.core.path.routing import fib
from portguard.core.path.tracked import ct
from portguard.core.path.values import ABSENT, Bits, Operand, Unsure, Value
from portguard.model.nft_values import value_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from portguard.core.path.packet import Packet
    from portguard.core.path.world import World
    from portguard.model.ruleset import Json


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
    return _unsure(f"{value_text(expr)} is not known beforehand")


def _unsure(reason: str, **more: Any) -> Operand:
    value = Unsure(reason)
    return Operand("number", lambda _packet, _world: value, **more)


def _known(value: int | str, kind: str, about: str = "plain") -> Operand:
    return Operand(kind, lambda _packet, _world: value, about=about)


# Meta.


def _meta(body: dict[str, Json]) -> Operand | None:
    key = body.get("key")
    if key in {"iifname", "iif"}:
        return Operand("name", _interface, interface=True, about="plain")
    if key in {"oifname", "oif"}:
        return Operand("name", _way_out, about="plain")
    if key == "l4proto":
        return Operand("proto", lambda packet, _world: protocol(packet), about="plain")
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


# Bitwise operations.


def _bitwise(sign: str, body: list[Json]) -> Operand:
    inner = operand(body[0])
    side = body[1] if len(body) == 2 else body[1:]
    value = number(side, inner.kind if inner.kind in WORDS or inner.kind in {"v4", "v6"} else "mark")
    if inner.kind == "name" or value is None:
        return _unsure(f"{value_text({sign: body})} is not evaluated", interface=inner.interface)
    if inner.source or inner.destination:
        # ``address & mask`` is turned around by the matcher, onto the constants; nothing else is.
        return _unsure(f"{value_text({sign: body})} is not evaluated", versions=inner.versions)

    def read(packet: Packet, world: World) -> Value:
        found = inner.read(packet, world)
        if isinstance(found, int):
            found = Bits(found, 0)
        if not isinstance(found, Bits):
            return found if found is ABSENT or isinstance(found, Unsure) else Unsure("a value of the source")
        out = _apply(sign, found, value)
        return out.value if out.unknown == 0 else out

    # Of a number that was made out of the port, constants say nothing about the port.
    return inner._replace(read=read, about="other" if inner.port else inner.about)


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


def _extension(body: dict[str, Json]) -> Operand:
    """Compile a question for an extension header, which an ordinary packet does not have: asked whether there is one it says no, and it has no fields."""
    return _never(6, body)


def _option(body: dict[str, Json]) -> Operand:
    """Compile a question for an IP option: likewise."""
    return _never(4, body)


def _never(version: int, body: dict[str, Json]) -> Operand:
    versions = (version,)
    if "field" in body:
        return Operand("number", lambda _packet, _world: ABSENT, versions=versions)
    # Of the other version's packets not even that can be asked.
    return Operand(
        "exists",
        lambda packet, _world: 0 if packet.version == version else ABSENT,
        about="plain",
        versions=versions,
    )


_MAKERS: dict[str, Callable[[dict[str, Json]], Operand | None]] = {
    "payload": payload,
    "meta": _meta,
    "ct": ct,
    "fib": fib,
    "exthdr": _extension,
    "ip option": _option,
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
