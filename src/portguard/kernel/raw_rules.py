"""What nft's listings leave out of rules, asked of the kernel itself.

* nft takes ``meta nfproto ipv6`` or ``meta protocol ip6`` in front of ``reject with tcp reset`` for something that it had added itself,
  and lists neither (1.0.6): a rule for one version then reads like one for both.
* Of matches and targets that iptables-nft stores in its own format nft's JSON has the name; its text has the rest for most of them
  (``ruleset_text``), and for some it has nothing, or less than they say (``xt_formats``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from portguard.errors import ObserveError
from portguard.kernel.generation import NFGENMSG, NFNL_SUBSYS_NFTABLES
from portguard.kernel.netlink import ATTRIBUTE, attributes, request, string
from portguard.kernel.tables import FAMILIES
from portguard.kernel.xt_formats import is_read, read

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
_NFTA_XT_NAME, _NFTA_XT_REVISION, _NFTA_XT_INFO = 1, 2, 3
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


class _Raw(NamedTuple):
    """What the kernel says of one rule beyond its listing."""

    version: str | None
    xt: tuple[list[Json] | None, ...]
    """Statements for each match and target that is read from the format of iptables; None for one that is not understood."""


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
    return isinstance(body, dict) and is_read(str(body.get("type")), str(body.get("name")))


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
            out[handle] = _raw(expressions, key.family)
    return out


def _raw(expressions: list[tuple[str, dict[int, memoryview]]], family: str) -> _Raw:
    version: str | None = None
    xt: list[list[Json] | None] = []
    key = 0
    for name, data in expressions:
        if name == "cmp" and int.from_bytes(data.get(_NFTA_CMP_OP, b"")) == _NFT_CMP_EQ:
            value = dict(attributes(data[_NFTA_CMP_DATA], 0)).get(_NFTA_DATA_VALUE, b"")
            version = version or _VERSIONS.get((key, bytes(value)))
        elif name in {"match", "target"} and is_read(name, string(data[_NFTA_XT_NAME])):
            revision = int.from_bytes(data.get(_NFTA_XT_REVISION, b""))
            info = bytes(data.get(_NFTA_XT_INFO, b""))
            xt.append(read(name, string(data[_NFTA_XT_NAME]), revision, family, info))
        key = int.from_bytes(data.get(_NFTA_META_KEY, b"")) if name == "meta" else 0
    return _Raw(version, tuple(xt))


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
