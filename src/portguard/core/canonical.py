"""One spelling per rule body, so that comparing is ``==``.

The kernel and libnftables respell what they are given: elements are sorted, a set of one becomes the element, ``/32``
becomes the bare address, counters come back with figures. Two bodies that do the same must compare equal, and two that
do not must never: what is not known here is left as it is.
"""

from __future__ import annotations

import ipaddress
import json
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portguard.model.ruleset import Json, Rule

_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "ipv6-icmp": 58}
"""nft prints a protocol by its name of ``/etc/protocols``, and by its number on a host without that file."""


def body(expr: Iterable[Json]) -> str:
    """Spell the statements of a rule without counter values; equal for rules that do the same."""
    return _body(json.dumps([_uncounted(statement) for statement in expr], separators=(",", ":")))


@lru_cache(maxsize=4096)
def _body(spelled: str) -> str:
    """Respell a body. Remembered, because a heal compares the same fifty rules with the same fifty rules again."""
    statements = [_statement(statement) for statement in json.loads(spelled)]
    return json.dumps(statements, sort_keys=True, separators=(",", ":"))


def _uncounted(statement: Json) -> Json:
    """Leave out the figures of an anonymous counter; the name of a named one is content."""
    if isinstance(statement, dict) and isinstance(statement.get("counter"), dict) and len(statement) == 1:
        return {"counter": None}
    return statement


def rule_body(rule: Rule) -> str:
    """Spell a rule. Its comment and handle are names, not content: they take no part."""
    return body(rule.expr)


def element(value: Json) -> str:
    """Spell an element of a set."""
    if isinstance(value, dict) and "elem" in value:
        # {"elem": {"val": …, "counter": …, "comment": …}}: timeouts stay, statistics go.
        inner = value["elem"]
        kept = {key: inner[key] for key in ("timeout",) if key in inner}
        return json.dumps([_value(inner["val"]), kept], sort_keys=True)
    return json.dumps([_value(value), {}], sort_keys=True)


def _statement(statement: Json) -> Json:
    if not isinstance(statement, dict) or len(statement) != 1:
        return statement
    (name, argument), *_ = statement.items()
    if name == "match" and isinstance(argument, dict):
        # libnftables writes "==" where it may have been given "in" for a set on the right, and reads both alike.
        operation = argument.get("op")
        left = _value(argument.get("left"))
        right = argument.get("right")
        right = _value(_numbered(right) if left == {"meta": {"key": "l4proto"}} else right)
        if isinstance(right, list):
            right = sorted(right, key=_order)  # a list of flags comes back in the kernel's order
        if operation == "in" and not _flags(left):
            operation = "=="
        return {"match": {"op": operation, "left": left, "right": right}}
    return {name: _value(argument)}


def _flags(left: Json) -> bool:
    """Whether the left side is a bit field, for which ``in`` means "any of these bits"."""
    return isinstance(left, dict) and (left.get("ct", {}).get("key") in {"state", "status"} or "&" in left)


def _numbered(protocols: Json) -> Json:
    """Spell protocols, one or a set of them, by their numbers."""
    match protocols:
        case str():
            return _PROTOCOLS.get(protocols, protocols)
        case {"set": [*members]} if len(protocols) == 1:
            return {"set": [_numbered(member) for member in members]}
        case _:
            return protocols


def _value(value: Json) -> Json:
    match value:
        case str():
            return _address(value)
        case {"prefix": {"addr": addr, "len": length}} if len(value) == 1:
            return _prefix(addr, length)
        case {"range": [first, last]} if len(value) == 1 and first == last:
            return _value(first)
        case {"set": members} if len(value) == 1:
            rows = members if isinstance(members, list) else [members]
            spelled = sorted((_value(row) for row in rows), key=_order)
            return spelled[0] if len(spelled) == 1 else {"set": spelled}
        case dict():
            return {key: _value(inner) for key, inner in value.items()}
        case list():
            return [_value(inner) for inner in value]
        case _:
            return value


def _order(value: Json) -> str:
    return json.dumps(value, sort_keys=True)


def _address(text: str) -> str:
    if ":" not in text:
        return text
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        return text


def _prefix(addr: Json, length: Json) -> Json:
    if not isinstance(addr, str) or not isinstance(length, int):
        return {"prefix": {"addr": addr, "len": length}}
    try:
        network = ipaddress.ip_network((addr, length), strict=False)
    except ValueError:
        return {"prefix": {"addr": addr, "len": length}}
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return {"prefix": {"addr": str(network.network_address), "len": length}}
