"""nft's text for the values and expressions of libnftables' JSON: what statements are made of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from portguard.model.ruleset import Json

BITWISE = ("&", "|", "^", "<<", ">>")
_HEX_KEYS = frozenset({("meta", "mark"), ("ct", "mark")})
_BARE_META = frozenset({"iif", "iifname", "iifgroup", "oif", "oifname", "oifgroup"})


def value_text(value: Json) -> str:
    """Spell a value: a number, an address, a range, a set, a reference to a set."""
    match value:
        case bool():
            return "exists" if value else "missing"
        case str() | int():
            return str(value)
        case {"prefix": {"addr": addr, "len": length}}:
            return f"{value_text(addr)}/{length}"
        case {"range": [first, last]}:
            return f"{value_text(first)}-{value_text(last)}"
        case {"set": list() as members}:
            return f"{{ {', '.join(_element_text(member) for member in members)} }}"
        case {"set": member}:
            return value_text(member)
        case {"concat": list() as parts}:
            return " . ".join(value_text(part) for part in parts)
        case {"elem": {"val": inner, **extras}}:
            return value_text(inner) + _element_extras(extras)
        case {"map": {"key": key, "data": data}}:
            return f"{value_text(key)} map {value_text(data)}"
        case dict() if len(value) == 1:
            ((kind, body),) = value.items()
            spell = _EXPRESSIONS.get(kind)
            try:
                return json.dumps(value) if spell is None else spell(body)
            except (KeyError, TypeError, ValueError, AttributeError):
                # A newer nft's shape of a known word: its JSON says more than a wrong spelling.
                return json.dumps(value)
        case _:
            return json.dumps(value)


def _element_text(member: Json) -> str:
    """Spell an element of a set, or ``key : value`` of a map."""
    if isinstance(member, list) and len(member) == 2:
        key, data = member
        return f"{value_text(key)} : {verdict_text(data) or value_text(data)}"
    return value_text(member)


def verdict_text(value: Json) -> str | None:
    """Spell a verdict (``accept``, ``jump x``); None when it is none."""
    if isinstance(value, dict) and len(value) == 1:
        ((kind, body),) = value.items()
        if kind in {"jump", "goto"} and isinstance(body, dict) and "target" in body:
            return f"{kind} {body['target']}"
        if kind in {"accept", "drop", "continue", "return"} and body is None:
            return str(kind)
    return None


def _element_extras(extras: Mapping[Any, Json]) -> str:
    out = " counter" if "counter" in extras else ""
    out += f" timeout {_duration(extras['timeout'])}" if "timeout" in extras else ""
    out += f" expires {_duration(extras['expires'])}" if "expires" in extras else ""
    return out + (f' comment "{extras["comment"]}"' if "comment" in extras else "")


def _duration(seconds: Json) -> str:
    """Spell seconds as nft does: ``1d2h3m4s``."""
    if not isinstance(seconds, int):
        return str(seconds)
    out = ""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, seconds = divmod(seconds, size)
        out += f"{count}{unit}" if count else ""
    return out or "0s"


# Expressions: the left side of a match, keys of maps, values of assignments.


def _payload(body: Mapping[str, Json]) -> str:
    if "base" in body:
        return f"@{body['base']},{body['offset']},{body['len']}"
    return f"{body['protocol']} {body['field']}"


def _meta(body: Mapping[str, Json]) -> str:
    key = str(body["key"])
    return key if key in _BARE_META else f"meta {key}"


def _ct(body: Mapping[str, Json]) -> str:
    return f"ct {body['dir']} {body['key']}" if "dir" in body else f"ct {body['key']}"


def _fib(body: Mapping[str, Json]) -> str:
    flags = body["flags"]
    return f"fib {' . '.join(flags) if isinstance(flags, list) else flags} {body['result']}"


def _numgen(body: Mapping[str, Json]) -> str:
    offset = f" offset {body['offset']}" if body.get("offset") else ""
    return f"numgen {body['mode']} mod {body['mod']}{offset}"


def _hash(name: str) -> Callable[[Mapping[str, Json]], str]:
    def spell(body: Mapping[str, Json]) -> str:
        key = f" {value_text(body['expr'])}" if "expr" in body else ""
        seed = f" seed 0x{body['seed']:x}" if "seed" in body else ""
        offset = f" offset {body['offset']}" if body.get("offset") else ""
        return f"{name}{key} mod {body['mod']}{seed}{offset}"

    return spell


def _exthdr(body: Mapping[str, Json]) -> str:
    return f"{body['name']} {body['field']}" if "field" in body else f"exthdr {body['name']}"


def _tcp_option(body: Mapping[str, Json]) -> str:
    if "base" in body:
        return f"tcp option @{body['base']},{body['offset']},{body['len']}"
    return f"tcp option {body['name']}" + (f" {body['field']}" if "field" in body else "")


def _ip_option(body: Mapping[str, Json]) -> str:
    return f"ip option {body['name']}" + (f" {body['field']}" if "field" in body else "")


def _keyed(name: str) -> Callable[[Mapping[str, Json]], str]:
    return lambda body: f"{name} {body['key']}"


def _operation(sign: str) -> Callable[[Sequence[Json]], str]:
    def spell(sides: Sequence[Json]) -> str:
        left, *rest = sides
        return f" {sign} ".join([value_text(left), *(_operand(left, side) for side in rest)])

    return spell


def _operand(left: Json, side: Json) -> str:
    """Spell the right side of a bitwise operation: hexadecimal for marks, ``(a | b)`` for a list of flags."""
    if isinstance(side, list):
        return "(" + " | ".join(value_text(item) for item in side) + ")"
    return constant_text(left, side)


_EXPRESSIONS: dict[str, Callable[[Json], str]] = {
    "payload": _payload,
    "meta": _meta,
    "ct": _ct,
    "fib": _fib,
    "numgen": _numgen,
    "jhash": _hash("jhash"),
    "symhash": _hash("symhash"),
    "exthdr": _exthdr,
    "tcp option": _tcp_option,
    "ip option": _ip_option,
    "socket": _keyed("socket"),
    "rt": lambda body: f"rt {body['family']} {body['key']}" if "family" in body else f"rt {body['key']}",
    "osf": lambda body: f"osf {body['key']}",
    **{sign: _operation(sign) for sign in BITWISE},
}


def is_mark(expr: Json) -> bool:
    """Whether an expression is a packet or connection mark, whose numbers nft prints in hexadecimal."""
    while isinstance(expr, dict) and len(expr) == 1:
        ((kind, body),) = expr.items()
        if kind in BITWISE and isinstance(body, list):
            expr = body[0]
            continue
        return isinstance(body, dict) and (kind, body.get("key")) in _HEX_KEYS
    return False


def constant_text(left: Json, right: Json) -> str:
    """Spell the right side of a comparison with ``left``."""
    if is_mark(left):
        if isinstance(right, int) and not isinstance(right, bool):
            return f"0x{right:08x}"
        if isinstance(right, dict) and isinstance(right.get("set"), list):
            return f"{{ {', '.join(constant_text(left, item) for item in right['set'])} }}"
        if isinstance(right, dict) and isinstance(right.get("range"), list):
            return "-".join(constant_text(left, item) for item in right["range"])
    match left:
        case {"payload": {"base": _}} if isinstance(right, int):
            return f"0x{right:x}"
        case {"ct": {"key": "expiration"}} if isinstance(right, int):
            return _duration(right)
        case {"meta": {"key": key}} if key in {"iif", "iifname", "oif", "oifname", "hour", "day", "time"}:
            return quoted_text(right)
        case (
            {"ct": {"key": "helper"}}
            | {"osf": _}
            | {"meta": {"key": "iifkind" | "oifkind" | "ibrname" | "obrname"}}
        ):
            return quoted_text(right)
        case {"fib": {"result": "oif" | "oifname"}} if isinstance(right, str):
            return quoted_text(right)
        case _:
            return value_text(right)


def quoted_text(value: Json) -> str:
    """Spell a value of a type that nft quotes: an interface name, a helper, a time."""
    match value:
        case str():
            return value if value.startswith("@") else f'"{value}"'
        case {"range": [first, last]}:
            return f"{quoted_text(first)}-{quoted_text(last)}"
        case {"set": list() as members}:
            return f"{{ {', '.join(_quoted_element(member) for member in members)} }}"
        case _:
            return value_text(value)


def _quoted_element(member: Json) -> str:
    if isinstance(member, list) and len(member) == 2:
        return f"{quoted_text(member[0])} : {verdict_text(member[1]) or value_text(member[1])}"
    return quoted_text(member)


def listed_text(value: Json) -> str:
    """Spell a list of flags with commas, or one value."""
    return ",".join(value_text(item) for item in value) if isinstance(value, list) else value_text(value)
