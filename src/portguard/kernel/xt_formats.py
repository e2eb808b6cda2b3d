"""Matches and targets of iptables in the kernel's own format, read into the statements of libnftables' JSON.

Only those for which nft's text has no words (ICMP types, CT, translations of IPv6), or for which it says less than they do
(address types of both ends, connection states beside DNAT, marks with a mask). The structs are those of the kernel's
include/uapi/linux/netfilter*/ headers.
"""

from __future__ import annotations

import struct
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from portguard.model.ruleset import Json

LOSSY = "lossy"
"""Key in an ``xt`` statement: nft's text says less than this match does, so it is not to be read from there."""

_ANY = 255
_RANGE = struct.Struct("=I16s16s2s2s")
"""flags, lowest and highest address, lowest and highest port (struct nf_nat_range)"""
_MAP_IPS, _PROTO_SPECIFIED = 0x1, 0x2
_ADDRTYPE = struct.Struct("=HHI")
"""types of the source, of the destination, flags (struct xt_addrtype_info_v1)"""
_ADDRTYPE_INVERT_SOURCE, _ADDRTYPE_INVERT_DEST = 0x1, 0x2
_TYPES = (
    "unspec",
    "unicast",
    "local",
    "broadcast",
    "anycast",
    "multicast",
    "blackhole",
    "unreachable",
    "prohibit",
)
"""By bit (XT_ADDRTYPE_*), as ``fib`` spells them."""
_ROUTED = frozenset({"local", "anycast", "unreachable"})
"""Types that IPv6 asks the routes for (match_type6 of net/netfilter/xt_addrtype.c)."""
_CONNTRACK = struct.Struct("=128xII2xHHHHHHHH")
"""Beyond the addresses: expiry, four ports, what is asked for and turned around, states, status (struct xt_conntrack_mtinfo3)"""
_STATE_BESIDE = 0x1 | 0x8 | 0x100
"""INVALID, NEW, UNTRACKED: states that a first packet may have."""
_STATE_NAT = 0x40 | 0x80
_ABOUT_STATE = 0x1
"""XT_CONNTRACK_STATE, of what is turned around: nft's text leaves that out for SNAT and DNAT."""
_CONNMARK = struct.Struct("=IIIBBB")
"""mark, mask of the connection's, mask of the packet's, direction and length of a shift, mode (struct xt_connmark_tginfo2)"""
_SET, _SAVE, _RESTORE = 0, 1, 2
_FULL = (1 << 32) - 1
_CT = struct.Struct("=HH")
"""flags, zone (the beginning of struct xt_ct_target_info)"""
_NOTRACK = 0x1
_PACKET_MARK: Json = {"meta": {"key": "mark"}}
_CONNECTION_MARK: Json = {"ct": {"key": "mark"}}


def read(kind: str, name: str, revision: int, family: str, info: bytes) -> list[Json] | None:
    """Read a match or a target. None: it is none of those read here, or not understood."""
    revisions, reader = _READERS.get((kind, name), (frozenset[int](), None))
    try:
        return None if reader is None or revision not in revisions else reader(info, family)
    except (struct.error, ValueError):
        return None


def is_read(kind: str, name: str) -> bool:
    """Whether it is one of those read here."""
    return (kind, name) in _READERS


def _icmp(info: bytes, header: str) -> list[Json] | None:
    """Read type, lowest and highest code, and whether all of it is turned around (struct ipt_icmp, struct ip6t_icmp)."""
    kind, low, high, inverted = info[:4]
    every_code = (low, high) == (0, _ANY)
    if kind == _ANY and header == "icmp":
        # "! --icmp-type any" is nothing at all; nft's text has it as every ICMP.
        nothing = _match({"payload": {"protocol": header, "field": "type"}}, {"range": [0, _ANY]}, "!=")
        return [nothing] if inverted else []
    if inverted and not every_code:
        return _lossy(header.replace("v6", "6"))
    out = [_match({"payload": {"protocol": header, "field": "type"}}, kind, "!=" if inverted else "==")]
    if not every_code:
        code = low if low == high else {"range": [low, high]}
        out.append(_match({"payload": {"protocol": header, "field": "code"}}, code))
    return out


def _addrtype(info: bytes, family: str) -> list[Json] | None:
    source, destination, flags = _ADDRTYPE.unpack_from(info)
    if flags & ~(_ADDRTYPE_INVERT_SOURCE | _ADDRTYPE_INVERT_DEST) or (source | destination) >> len(_TYPES):
        return None
    out = []
    for types, field, turned in (
        (source, "saddr", bool(flags & _ADDRTYPE_INVERT_SOURCE)),
        (destination, "daddr", bool(flags & _ADDRTYPE_INVERT_DEST)),
    ):
        if types:
            members = [name for bit, name in enumerate(_TYPES) if types >> bit & 1]
            if family == "ip6" and not _ROUTED.issuperset(members):
                # IPv6 reads the others from the address alone: own addresses are unicast, too.
                if len(members) > 1 or members[0] not in {"unicast", "multicast"}:
                    return _lossy("addrtype")
                out.append(_fib(field, ["multicast"], turned=turned is not (members[0] == "unicast")))
            else:
                out.append(_fib(field, members, turned=turned))
    return out


def _fib(field: str, types: list[str], *, turned: bool) -> Json:
    left = {"fib": {"result": "type", "flags": [field]}}
    return _match(left, {"set": types}, "!=" if turned else "==")


def _conntrack(info: bytes, _family: str) -> list[Json] | None:
    *_, turned, states, _status = _CONNTRACK.unpack_from(info)
    if states & _STATE_NAT and (states & _STATE_BESIDE or turned & _ABOUT_STATE):
        return _lossy("conntrack")
    return None


def _lossy(name: str) -> list[Json]:
    return [{"xt": {"type": "match", "name": name, LOSSY: True}}]


def _ct(info: bytes, _family: str) -> list[Json] | None:
    """Read whether it tracks at all; whatever else it asks for, it does as a zone does."""
    flags, zone = _CT.unpack_from(info)
    if flags & _NOTRACK:
        return [{"notrack": None}]
    return [{"mangle": {"key": {"ct": {"key": "zone"}}, "value": zone}}]


def _connmark(info: bytes, _family: str) -> list[Json] | None:
    mark, of_connection, of_packet, _direction, shift, mode = _CONNMARK.unpack_from(info)
    if shift or mode not in {_SET, _SAVE, _RESTORE}:
        return None
    if mode == _SET:
        rest = ~of_connection & _FULL
        changed: Json = {"^": [{"&": [_CONNECTION_MARK, rest]}, mark]} if rest else mark
        return [{"mangle": {"key": _CONNECTION_MARK, "value": changed}}]
    to, kept, other, taken = (
        (_CONNECTION_MARK, of_connection, _PACKET_MARK, of_packet)
        if mode == _SAVE
        else (_PACKET_MARK, of_packet, _CONNECTION_MARK, of_connection)
    )
    value: Json = other if taken == _FULL else {"&": [other, taken]}
    if kept != _FULL:
        value = {"^": [{"&": [to, ~kept & _FULL]}, value]}
    return [{"mangle": {"key": to, "value": value}}]


def _translation(info: bytes, family: str, kind: str) -> list[Json] | None:
    """Read a translation to IPv6 addresses or ports; of IPv4 nft's text has it."""
    if family != "ip6":
        return None
    flags, first, last, low, high = _RANGE.unpack_from(info)
    body: dict[str, Json] = {}
    if flags & _MAP_IPS and kind == "dnat":
        ends = [str(IPv6Address(first)), str(IPv6Address(last))]
        body["addr"] = ends[0] if first == last else {"range": ends}
    if flags & _PROTO_SPECIFIED:
        ports = [int.from_bytes(low), int.from_bytes(high)]
        body["port"] = ports[0] if low == high else {"range": ports}
    if kind == "dnat" and not body:
        return None
    return [{kind: body or None}]


def _match(left: Json, right: Json, op: str = "==") -> Json:
    return {"match": {"op": op, "left": left, "right": right}}


_READERS: Mapping[
    tuple[str, str], tuple[frozenset[int], Callable[[bytes, str], list[Json] | None] | None]
] = {
    ("match", "icmp"): (frozenset({0}), lambda info, _family: _icmp(info, "icmp")),
    ("match", "icmp6"): (frozenset({0}), lambda info, _family: _icmp(info, "icmpv6")),
    ("match", "addrtype"): (frozenset({1}), _addrtype),
    ("match", "conntrack"): (frozenset({3}), _conntrack),
    ("target", "CT"): (frozenset({0, 1, 2}), _ct),
    ("target", "CONNMARK"): (frozenset({2}), _connmark),
    ("target", "DNAT"): (frozenset({1, 2}), lambda info, family: _translation(info, family, "dnat")),
    ("target", "REDIRECT"): (frozenset({0}), lambda info, family: _translation(info, family, "redirect")),
}
"""By kind and name: the revisions whose struct is known, and what reads it."""
