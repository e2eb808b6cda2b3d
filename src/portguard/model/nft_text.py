"""nft's text for libnftables' JSON: what a person reads in ``plan``, ``why`` and the journal.

It is for reading. What is compared, committed and evaluated is always the JSON itself. The spelling follows
``nft list`` of 1.0.6; counters are shown without their numbers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from portguard.model.nft_values import BITWISE, constant_text, is_mark, listed_text, quoted_text, value_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from portguard.model.ruleset import Json

__all__ = ["statements_text", "value_text"]


def statements_text(expr: Sequence[Json]) -> str:
    """Spell the statements of a rule; what has no spelling here is shown as its JSON, never left out."""
    return " ".join(_statement_text(statement) for statement in expr)


def _statement_text(statement: Json) -> str:
    if isinstance(statement, dict) and len(statement) == 1:
        ((kind, body),) = statement.items()
        spell = _STATEMENTS.get(kind)
        if spell is not None:
            try:
                return spell(body)
            except (KeyError, TypeError, ValueError, AttributeError):
                # A newer nft's shape of a known word: its JSON says more than a wrong spelling.
                return json.dumps(statement)
    return json.dumps(statement)


def _match(body: Mapping[str, Json]) -> str:
    op, left, right = body["op"], body["left"], body["right"]
    flags = isinstance(left, dict) and left.get("payload") == {"protocol": "tcp", "field": "flags"}
    match left:
        case {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, mask]}:
            sign = "" if op == "==" else f"{op} "
            return f"tcp flags {sign}{listed_text(right)} / {listed_text(mask)}"
    spelled = listed_text(right) if isinstance(right, list) else constant_text(left, right)
    bitwise = isinstance(left, dict) and len(left) == 1 and next(iter(left)) in BITWISE
    if op == "in" or (op == "==" and not bitwise and not (flags and isinstance(right, str))):
        return f"{value_text(left)} {spelled}"
    return f"{value_text(left)} {op} {spelled}"


def _vmap(body: Mapping[str, Json]) -> str:
    return f"{value_text(body['key'])} vmap {constant_text(body['key'], body['data'])}"


def _reject(body: Mapping[str, Json] | None) -> str:
    if not body:
        return "reject"
    kind, code = body.get("type"), body.get("expr")
    if kind == "tcp reset":
        return "reject with tcp reset"
    if kind == "icmpx" and code == "port-unreachable":
        return "reject"
    return f"reject with {kind} {code}"


def _counter(body: Json) -> str:
    if isinstance(body, dict) and "map" in body:
        return f"counter name {value_text(body)}"
    return f'counter name "{body}"' if isinstance(body, str) else "counter"


def _limit(body: Json) -> str:
    if isinstance(body, str):
        return f'limit name "{body}"'
    over = "over " if body.get("inv") else ""
    unit = body.get("rate_unit", "packets")
    burst, burst_unit = body.get("burst", 0), body.get("burst_unit", "packets")
    out = f"limit rate {over}{body['rate']}{'' if unit == 'packets' else ' ' + unit}/{body['per']}"
    plain = (unit == "packets" and burst == 5) or burst == 0
    return out if plain else f"{out} burst {burst} {burst_unit}"


def _quota(body: Json) -> str:
    if isinstance(body, str):
        return f'quota name "{body}"'
    used = f" used {body['used']} {body['used_unit']}" if body.get("used") else ""
    return f"quota {'over ' if body.get('inv') else ''}{body['val']} {body['val_unit']}{used}"


def _log(body: Mapping[str, Json] | None) -> str:
    body = body or {}
    out = "log"
    out += f' prefix "{body["prefix"]}"' if "prefix" in body else ""
    out += f" group {body['group']}" if "group" in body else ""
    out += f" snaplen {body['snaplen']}" if "snaplen" in body else ""
    out += f" queue-threshold {body['queue-threshold']}" if "queue-threshold" in body else ""
    out += f" level {body['level']}" if "level" in body else ""
    if "flags" in body:
        flags = body["flags"]
        out += f" flags {flags}" if isinstance(flags, str) else "".join(f" flags {flag}" for flag in flags)
    return out


def _nat(name: str) -> Callable[[Json], str]:
    def spell(body: Mapping[str, Json] | None) -> str:
        if not body:
            return name
        out = name + (f" {body['family']}" if "family" in body else "")
        target = value_text(body["addr"]) if "addr" in body else ""
        if "port" in body:
            if ":" in target and "addr" in body:
                target = f"[{target}]"
            target += f":{value_text(body['port'])}"
        out += f" to {target}" if target else ""
        flags = body.get("flags", [])
        flags = [flags] if isinstance(flags, str) else flags
        return f"{out} {','.join(flags)}" if flags else out

    return spell


def _queue(body: Mapping[str, Json] | None) -> str:
    body = body or {}
    flags = body.get("flags", [])
    flags = [flags] if isinstance(flags, str) else flags
    out = "queue" + (f" flags {','.join(flags)}" if flags else "")
    return out + (f" to {value_text(body['num'])}" if "num" in body else "")


def _mangle(body: Mapping[str, Json]) -> str:
    key, value = body["key"], body["value"]
    spelled = listed_text(value) if isinstance(value, list) else constant_text(key, value)
    match value:
        case {"map": {"key": inner, "data": data}}:
            spelled = f"{value_text(inner)} map {_map_data(key, data)}"
    return f"{value_text(key)} set {spelled}"


def _map_data(key: Json, data: Json) -> str:
    """Spell the data of a map whose values are assigned to ``key``."""
    if is_mark(key) and isinstance(data, dict) and isinstance(data.get("set"), list):
        pairs = (
            f"{value_text(item[0])} : {constant_text(key, item[1])}"
            if isinstance(item, list)
            else value_text(item)
            for item in data["set"]
        )
        return f"{{ {', '.join(pairs)} }}"
    return value_text(data)


def _set(body: Mapping[str, Json]) -> str:
    inner = "".join(" " + _statement_text(statement) for statement in body.get("stmt", []))
    return f"{body['op']} {body['set']} {{ {value_text(body['elem'])}{inner} }}"


def _map_statement(body: Mapping[str, Json]) -> str:
    return f"{body['op']} {body['map']} {{ {value_text(body['elem'])} : {value_text(body['data'])} }}"


def _meter(body: Mapping[str, Json]) -> str:
    size = f" size {body['size']}" if "size" in body else ""
    return f"meter {body['name']}{size} {{ {value_text(body['key'])} {_statement_text(body['stmt'])} }}"


def _ct_count(body: Mapping[str, Json]) -> str:
    return f"ct count {'over ' if body.get('inv') else ''}{body['val']}"


def _tproxy(body: Mapping[str, Json]) -> str:
    out = "tproxy" + (f" {body['family']}" if "family" in body else "")
    target = value_text(body["addr"]) if "addr" in body else ""
    if ":" in target:
        target = f"[{target}]"
    if "port" in body:
        target += f":{value_text(body['port'])}"
    return f"{out} to {target}"


def _xt(body: Mapping[str, Json] | None) -> str:
    body = body or {}
    return f'xt {body.get("type", "?")} "{body.get("name", "?")}"'


def _synproxy(body: Json) -> str:
    if not isinstance(body, dict):
        return "synproxy" if body is None else f'synproxy name "{body}"'
    out = "synproxy"
    out += f" mss {body['mss']}" if "mss" in body else ""
    out += f" wscale {body['wscale']}" if "wscale" in body else ""
    return out + "".join(f" {flag}" for flag in body.get("flags", []))


def _word(name: str) -> Callable[[Json], str]:
    return lambda _: name


def _target(name: str) -> Callable[[Mapping[str, Json]], str]:
    return lambda body: f"{name} {body['target']}"


def _object(name: str) -> Callable[[Json], str]:
    return lambda body: (
        f"{name} set {quoted_text(body)}" if isinstance(body, str) else json.dumps({name: body})
    )


def _dup(body: Mapping[str, Json]) -> str:
    device = f" device {quoted_text(body['dev'])}" if "addr" in body and "dev" in body else ""
    return f"dup to {value_text(body['addr']) if 'addr' in body else quoted_text(body['dev'])}{device}"


_STATEMENTS: dict[str, Callable[[Json], str]] = {
    "match": _match,
    "vmap": _vmap,
    "accept": _word("accept"),
    "drop": _word("drop"),
    "continue": _word("continue"),
    "return": _word("return"),
    "jump": _target("jump"),
    "goto": _target("goto"),
    "queue": _queue,
    "reject": _reject,
    "counter": _counter,
    "limit": _limit,
    "quota": _quota,
    "log": _log,
    "dnat": _nat("dnat"),
    "snat": _nat("snat"),
    "redirect": _nat("redirect"),
    "masquerade": _nat("masquerade"),
    "tproxy": _tproxy,
    "notrack": _word("notrack"),
    "mangle": _mangle,
    "set": _set,
    "map": _map_statement,
    "meter": _meter,
    "ct count": _ct_count,
    "ct helper": _object("ct helper"),
    "ct timeout": _object("ct timeout"),
    "ct expectation": _object("ct expectation"),
    "secmark": lambda body: f"meta secmark set {quoted_text(body)}",
    "synproxy": _synproxy,
    "xt": _xt,
    "dup": _dup,
    "fwd": lambda body: f"fwd to {quoted_text(body['dev']) if isinstance(body, dict) else quoted_text(body)}",
    "flow": lambda body: f"flow {body['op']} {body['flowtable']}",
    "last": _word("last"),
}
