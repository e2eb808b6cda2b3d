"""The IP version that a rule asks for where nft's listings hide it, asked of the kernel itself.

nft takes ``meta nfproto ipv6`` or ``meta protocol ip6`` in front of ``reject with tcp reset`` for something that it had added itself,
and leaves it out of its JSON and its text (1.0.6): a rule for one version then reads like one for both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from portguard.errors import ObserveError
from portguard.kernel.generation import NFGENMSG, NFNL_SUBSYS_NFTABLES
from portguard.kernel.netlink import ATTRIBUTE, attributes, request, string

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from portguard.model.ruleset import Json, Rule, Ruleset, Table, TableKey

_NFPROTO_INET = 1
_NFT_MSG_GETRULE = (NFNL_SUBSYS_NFTABLES << 8) | 7
_NFTA_RULE_TABLE, _NFTA_RULE_CHAIN, _NFTA_RULE_HANDLE, _NFTA_RULE_EXPRESSIONS = 1, 2, 3, 4
_NFTA_EXPR_NAME, _NFTA_EXPR_DATA = 1, 2
_NFTA_META_KEY = 2
_NFTA_CMP_OP, _NFTA_CMP_DATA = 2, 3
_NFTA_DATA_VALUE = 1
_NFT_META_PROTOCOL, _NFT_META_NFPROTO = 1, 15
_NFT_CMP_EQ = 0
_VERSIONS = {
    (_NFT_META_NFPROTO, b"\x02"): "ipv4",
    (_NFT_META_NFPROTO, b"\x0a"): "ipv6",
    (_NFT_META_PROTOCOL, b"\x08\x00"): "ipv4",
    (_NFT_META_PROTOCOL, b"\x86\xdd"): "ipv6",
}
"""What is asked for (NFPROTO_IPV4 and NFPROTO_IPV6, ETH_P_IP and ETH_P_IPV6), as nft spells the version."""


def with_versions(ruleset: Ruleset, sock: socket.socket) -> Ruleset:
    """Give the ruleset with the IP versions that its listing hides. Raises ObserveError when the kernel cannot be asked."""
    tables = {
        key: _completed(table, sock) if key.family == "inet" else table
        for key, table in ruleset.tables.items()
    }
    if all(tables[key] is table for key, table in ruleset.tables.items()):
        return ruleset
    return replace(ruleset, tables=tables)


def _completed(table: Table, sock: socket.socket) -> Table:
    found = {
        chain: _versions(sock, table.key, chain)
        for chain, rules in table.rules.items()
        if any(_hides(rule.expr) for rule in rules)
    }
    if not any(found.values()):
        return table
    rules = {
        chain: tuple(_told(rule, found.get(chain, {})) for rule in rules)
        for chain, rules in table.rules.items()
    }
    return replace(table, rules=rules)


def _hides(expr: tuple[Json, ...]) -> bool:
    """Whether a rule rejects by TCP reset and names no IP version in any way."""
    if {"reject": {"type": "tcp reset"}} not in expr:
        return False
    spelled = repr(expr)
    return not any(word in spelled for word in ("'nfproto'", "'protocol': 'ip'", "'protocol': 'ip6'"))


def _told(rule: Rule, versions: dict[int, str]) -> Rule:
    version = versions.get(rule.handle)
    if version is None or not _hides(rule.expr):
        return rule
    match = {"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": version}}
    return replace(rule, expr=(match, *rule.expr))


def _versions(sock: socket.socket, key: TableKey, chain: str) -> dict[int, str]:
    """Versions that the rules of a chain ask for, by handle."""
    ask = NFGENMSG.pack(_NFPROTO_INET, 0, 0)
    ask += _text(_NFTA_RULE_TABLE, key.name) + _text(_NFTA_RULE_CHAIN, chain)
    out: dict[int, str] = {}
    try:
        answers = request(sock, _NFT_MSG_GETRULE, ask, dump=True)
    except OSError as error:
        raise ObserveError(
            f"cannot list the rules of {key} {chain} from the kernel: {error.strerror or error}"
        ) from error
    for message in answers:
        fields = dict(attributes(message.payload, NFGENMSG.size))
        version = _asked_for(fields.get(_NFTA_RULE_EXPRESSIONS, memoryview(b"")))
        # Kernels before 5.7 list the whole table, whatever chain is asked for: handles are unique in a table.
        if version is not None:
            out[int.from_bytes(fields[_NFTA_RULE_HANDLE])] = version
    return out


def _asked_for(expressions: memoryview) -> str | None:
    """Read ``meta load nfproto`` or ``meta load protocol`` with the ``cmp eq`` behind it."""
    key = 0
    for name, data in _expressions(expressions):
        if name == "cmp" and int.from_bytes(data.get(_NFTA_CMP_OP, b"")) == _NFT_CMP_EQ:
            value = dict(attributes(data[_NFTA_CMP_DATA], 0))[_NFTA_DATA_VALUE]
            if (version := _VERSIONS.get((key, bytes(value)))) is not None:
                return version
        key = int.from_bytes(data.get(_NFTA_META_KEY, b"")) if name == "meta" else 0
    return None


def _expressions(expressions: memoryview) -> Iterator[tuple[str, dict[int, memoryview]]]:
    for _, element in attributes(expressions, 0):
        fields = dict(attributes(element, 0))
        data = fields.get(_NFTA_EXPR_DATA, memoryview(b""))
        yield string(fields[_NFTA_EXPR_NAME]), dict(attributes(data, 0))


def _text(kind: int, value: str) -> bytes:
    raw = value.encode(errors="backslashreplace") + b"\0"
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(raw), kind) + raw + bytes(-len(raw) % 4)
