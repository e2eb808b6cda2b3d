"""What nft's listings leave out of rules, asked of the kernel itself.

* nft takes ``meta nfproto ipv6`` or ``meta protocol ip6`` in front of ``reject with tcp reset`` for something that it had added itself,
  and lists neither (1.0.6): a rule for one version then reads like one for both.
* Of matches and targets that iptables-nft stores in its own format nft's JSON has the name. Its text has the rest
  (``ruleset_text``), but for ICMP types that nft has no words for, as ufw and shorewall ask for them, and for DNAT to an IPv6 address.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, NamedTuple

from portguard.errors import ObserveError
from portguard.kernel.generation import NFGENMSG, NFNL_SUBSYS_NFTABLES
from portguard.kernel.netlink import ATTRIBUTE, attributes, request, string
from portguard.kernel.tables import FAMILIES

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from portguard.model.ruleset import Json, Rule, Ruleset, Table, TableKey

_NUMBERS = {name: number for number, name in FAMILIES.items()}
_NFT_MSG_GETRULE = (NFNL_SUBSYS_NFTABLES << 8) | 7
_NFTA_RULE_TABLE, _NFTA_RULE_CHAIN, _NFTA_RULE_HANDLE, _NFTA_RULE_EXPRESSIONS = 1, 2, 3, 4
_NFTA_EXPR_NAME, _NFTA_EXPR_DATA = 1, 2
_NFTA_META_KEY = 2
_NFTA_CMP_OP, _NFTA_CMP_DATA = 2, 3
_NFTA_DATA_VALUE = 1
_NFTA_XT_NAME, _NFTA_XT_INFO = 1, 3
"""Of matches and targets alike."""
_NFT_META_PROTOCOL, _NFT_META_NFPROTO = 1, 15
_NFT_CMP_EQ = 0
_VERSIONS = {
    (_NFT_META_NFPROTO, b"\x02"): "ipv4",
    (_NFT_META_NFPROTO, b"\x0a"): "ipv6",
    (_NFT_META_PROTOCOL, b"\x08\x00"): "ipv4",
    (_NFT_META_PROTOCOL, b"\x86\xdd"): "ipv6",
}
"""What is asked for (NFPROTO_IPV4 and NFPROTO_IPV6, ETH_P_IP and ETH_P_IPV6), as nft spells the version."""
_ICMP = {"icmp": "icmp", "icmp6": "icmpv6"}
"""Matches of iptables, and nft's name of the header they look at (struct ipt_icmp, struct ip6t_icmp)."""
_ANY = 255
_RANGE = struct.Struct("=I16s16s2s2s")
"""flags, lowest and highest address, lowest and highest port (struct nf_nat_range)"""
_MAP_IPS, _PROTO_SPECIFIED = 0x1, 0x2


class _Raw(NamedTuple):
    """What the kernel says of one rule beyond its listing."""

    version: str | None
    xt: tuple[list[Json] | None, ...]
    """Statements for each ICMP match and DNAT in the format of iptables; None for one that is not understood."""


def with_details(ruleset: Ruleset, sock: socket.socket) -> Ruleset:
    """Give the ruleset with what its listing leaves out. Raises ObserveError when the kernel cannot be asked."""
    tables = {key: _completed(table, sock) for key, table in ruleset.tables.items()}
    if all(tables[key] is table for key, table in ruleset.tables.items()):
        return ruleset
    return replace(ruleset, tables=tables)


def _completed(table: Table, sock: socket.socket) -> Table:
    inet = table.key.family == "inet"
    wanted = [
        chain
        for chain, rules in table.rules.items()
        if any((inet and _hides_version(rule)) or any(map(_is_read, rule.expr)) for rule in rules)
    ]
    if not wanted:
        return table
    rules = dict(table.rules)
    for chain in wanted:
        found = _raw_rules(sock, table.key, chain)
        rules[chain] = tuple(_told(rule, found.get(rule.handle), inet=inet) for rule in rules[chain])
    return replace(table, rules=rules)


def _hides_version(rule: Rule) -> bool:
    """Whether a rule rejects by TCP reset and names no IP version in any way."""
    if {"reject": {"type": "tcp reset"}} not in rule.expr:
        return False
    spelled = repr(rule.expr)
    return not any(word in spelled for word in ("'nfproto'", "'protocol': 'ip'", "'protocol': 'ip6'"))


def _is_read(statement: Json) -> bool:
    """Whether a statement is one of those in the format of iptables that are read here."""
    body = statement.get("xt") if isinstance(statement, dict) else None
    if not isinstance(body, dict):
        return False
    return body.get("name") in (_ICMP if body.get("type") == "match" else {"DNAT"})


def _told(rule: Rule, raw: _Raw | None, *, inet: bool) -> Rule:
    """Put what the kernel says where the listing leaves it out."""
    if raw is None:
        return rule
    expr: list[Json] = []
    if inet and raw.version is not None and _hides_version(rule):
        expr.append(_match({"meta": {"key": "nfproto"}}, raw.version))
    places = [place for place, statement in enumerate(rule.expr) if _is_read(statement)]
    # Where the text had words for some of them, which of them are left is not told.
    told = dict(zip(places, raw.xt, strict=True)) if len(places) == len(raw.xt) else {}
    for place, statement in enumerate(rule.expr):
        known = told.get(place)
        expr.extend([statement] if known is None else known)
    return rule if tuple(expr) == rule.expr else replace(rule, expr=tuple(expr))


def _raw_rules(sock: socket.socket, key: TableKey, chain: str) -> dict[int, _Raw]:
    """Ask for the rules of a chain, by handle."""
    ask = NFGENMSG.pack(_NUMBERS.get(key.family, 0), 0, 0)
    ask += _text(_NFTA_RULE_TABLE, key.name) + _text(_NFTA_RULE_CHAIN, chain)
    try:
        answers = request(sock, _NFT_MSG_GETRULE, ask, dump=True)
    except OSError as error:
        said = error.strerror or error
        raise ObserveError(f"cannot list the rules of {key} {chain} from the kernel: {said}") from error
    out: dict[int, _Raw] = {}
    for message in answers:
        fields = dict(attributes(message.payload, NFGENMSG.size))
        if _NFTA_RULE_HANDLE in fields:
            handle = int.from_bytes(fields[_NFTA_RULE_HANDLE])
            expressions = list(_expressions(fields.get(_NFTA_RULE_EXPRESSIONS, memoryview(b""))))
            out[handle] = _raw(expressions, version6=key.family == "ip6")
    return out


def _raw(expressions: list[tuple[str, dict[int, memoryview]]], *, version6: bool) -> _Raw:
    version: str | None = None
    xt: list[list[Json] | None] = []
    key = 0
    for name, data in expressions:
        if name == "cmp" and int.from_bytes(data.get(_NFTA_CMP_OP, b"")) == _NFT_CMP_EQ:
            value = dict(attributes(data[_NFTA_CMP_DATA], 0)).get(_NFTA_DATA_VALUE, b"")
            version = version or _VERSIONS.get((key, bytes(value)))
        elif name == "match" and (match := string(data[_NFTA_XT_NAME])) in _ICMP:
            xt.append(_icmp(_ICMP[match], bytes(data.get(_NFTA_XT_INFO, b""))))
        elif name == "target" and string(data[_NFTA_XT_NAME]) == "DNAT":
            xt.append(_dnat(bytes(data.get(_NFTA_XT_INFO, b""))) if version6 else None)
        key = int.from_bytes(data.get(_NFTA_META_KEY, b"")) if name == "meta" else 0
    return _Raw(version, tuple(xt))


def _icmp(header: str, info: bytes) -> list[Json] | None:
    """Read type, lowest and highest code, and whether all of it is turned around. None: it is not understood."""
    if len(info) < 4:
        return None
    kind, low, high, inverted = info[:4]
    every_code = (low, high) == (0, _ANY)
    if kind == _ANY or (inverted and not every_code):
        return [] if kind == _ANY and not inverted else None
    out = [_match({"payload": {"protocol": header, "field": "type"}}, kind, "!=" if inverted else "==")]
    if not every_code:
        code = low if low == high else {"range": [low, high]}
        out.append(_match({"payload": {"protocol": header, "field": "code"}}, code))
    return out


def _dnat(info: bytes) -> list[Json] | None:
    """Read a translation to IPv6 addresses. None: it is not understood."""
    if len(info) < _RANGE.size:
        return None
    flags, first, last, low, high = _RANGE.unpack_from(info)
    body: dict[str, Json] = {}
    if flags & _MAP_IPS:
        ends = [str(IPv6Address(first)), str(IPv6Address(last))]
        body["addr"] = ends[0] if first == last else {"range": ends}
    if flags & _PROTO_SPECIFIED:
        ports = [int.from_bytes(low), int.from_bytes(high)]
        body["port"] = ports[0] if low == high else {"range": ports}
    return [{"dnat": body}] if body else None


def _match(left: Json, right: Json, op: str = "==") -> Json:
    return {"match": {"op": op, "left": left, "right": right}}


def _expressions(expressions: memoryview) -> Iterator[tuple[str, dict[int, memoryview]]]:
    for _, element in attributes(expressions, 0):
        fields = dict(attributes(element, 0))
        data = fields.get(_NFTA_EXPR_DATA, memoryview(b""))
        yield string(fields[_NFTA_EXPR_NAME]), dict(attributes(data, 0))


def _text(kind: int, value: str) -> bytes:
    raw = value.encode(errors="backslashreplace") + b"\0"
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(raw), kind) + raw + bytes(-len(raw) % 4)
