"""Fill in what nft's JSON leaves out from ``nft -a list ruleset``: table flags, devices, matches of iptables.

nft 1.0.6 prints no devices of ingress chains, some string of its memory for table flags, and of every version the
matches and targets that iptables-nft stores in its own format show their names only. The text has all of them. Rules are
joined by their handles, which are unique within a table.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from portguard.kernel.rule_text import parse_rule
from portguard.kernel.ruleset_json import UNREADABLE_FLAGS
from portguard.kernel.xt_formats import LOSSY
from portguard.model.ruleset import Rule, Ruleset, Table, TableKey

if TYPE_CHECKING:
    from portguard.model.ruleset import Chain, Json

_TABLE = re.compile(r"^table (\S+) (\S+) \{")
_CHAIN = re.compile(r"^\tchain (\S+) \{")
_FLAGS = re.compile(r"^\tflags (\S+)$")
_HOOK = re.compile(r'^\t\ttype \S+ hook (?:ingress|egress) (?:device "([^"]+)"|devices = \{([^}]*)\})')
_NO_EFFECT = frozenset({"match", "counter", "limit", "meter"})
"""Statements that stand for matches of iptables, or for its counters."""
_RULE = re.compile(r"^\t\t(.*) # handle (\d+)$")


def needs_text(ruleset: Ruleset) -> bool:
    """Say whether the text has anything that the JSON left out."""
    return any(
        UNREADABLE_FLAGS in table.flags
        or any(
            chain.hook in {"ingress", "egress"} and chain.devices is None for chain in table.chains.values()
        )
        or any(_has_xt(rule) for rules in table.rules.values() for rule in rules)
        for table in ruleset.tables.values()
    )


def join_text(ruleset: Ruleset, text: str) -> Ruleset:
    """Give the ruleset with what the text (with handles) adds. What the text does not settle stays as it is."""
    if not needs_text(ruleset):
        return ruleset
    listing = _read(text)
    tables = {key: _joined(table, listing.get(key)) for key, table in ruleset.tables.items()}
    return replace(ruleset, tables=tables)


class _Spelled:
    """What the text says of one table."""

    def __init__(self) -> None:
        self.flags: tuple[str, ...] = ()
        self.devices: dict[str, tuple[str, ...]] = {}
        self.rules: dict[tuple[str, int], str] = {}


def _read(text: str) -> dict[TableKey, _Spelled]:
    out: dict[TableKey, _Spelled] = {}
    table: _Spelled | None = None
    chain = ""
    for line in text.splitlines():
        if found := _TABLE.match(line):
            table = out[TableKey(found[1], found[2])] = _Spelled()
        elif table is None:
            continue
        elif found := _FLAGS.match(line):
            table.flags = tuple(found[1].split(","))
        elif found := _CHAIN.match(line):
            chain = found[1]
        elif found := _HOOK.match(line):
            names = found[1] or found[2]
            table.devices[chain] = tuple(name.strip(' "') for name in names.split(","))
        elif found := _RULE.match(line):
            table.rules[chain, int(found[2])] = found[1]
    return out


def _joined(table: Table, spelled: _Spelled | None) -> Table:
    if spelled is None:
        return table
    flags = spelled.flags if UNREADABLE_FLAGS in table.flags and spelled.flags else table.flags
    chains = {name: _with_devices(chain, spelled) for name, chain in table.chains.items()}
    rules = {
        name: tuple(_with_text(rule, spelled) if _has_xt(rule) else rule for rule in rules)
        for name, rules in table.rules.items()
    }
    if (flags, chains, rules) == (table.flags, table.chains, table.rules):
        return table
    return replace(table, flags=flags, chains=chains, rules=rules)


def _with_devices(chain: Chain, spelled: _Spelled) -> Chain:
    if chain.devices is None and chain.name in spelled.devices:
        return replace(chain, devices=spelled.devices[chain.name])
    return chain


def _with_text(rule: Rule, spelled: _Spelled) -> Rule:
    text = spelled.rules.get((rule.chain, rule.handle))
    parsed = None if text is None else parse_rule(text)
    if parsed is None or not _fits(rule.expr, parsed):
        return rule
    parsed = _corrected(rule.expr, parsed)
    return replace(rule, expr=(*parsed, *_left_out(rule.expr, parsed)))


def _corrected(known: tuple[Json, ...], parsed: list[Json]) -> list[Json]:
    """Keep what the kernel itself said (``raw_rules``), where the text has other words for the same, or none."""
    told: dict[str, list[Json]] = {}
    for statement in known:
        if (subject := _subject(statement)) is not None:
            told.setdefault(subject, []).append(statement)
    spelled = {_subject(statement) for statement in parsed}
    out = [
        one
        for subject, said in told.items()
        if subject not in spelled
        for one in said
        if not _has_effect(one)
    ]
    for statement in parsed:
        subject = _subject(statement)
        out.extend([statement] if subject is None or subject not in told else told[subject])
        if subject in told:
            told[subject] = []
    return out


def _subject(statement: Json) -> str | None:
    """Say what a statement is about, if the kernel's own format is read for that (``xt_formats``)."""
    match statement:
        case {"match": {"left": ({"fib": _} | {"payload": {"protocol": "icmp" | "icmpv6"}}) as left}}:
            return f"match {left}"
        case {"mangle": {"key": {"ct": {"key": "mark"}}}}:
            return "ct mark"
        case _:
            return None


def _fits(known: tuple[Json, ...], parsed: list[Json]) -> bool:
    """Whether a rule read from text says the same as its JSON does, as far as the JSON says anything: the verdict."""
    verdicts = ("accept", "drop", "return", "jump", "goto", "continue")
    wanted = [
        statement for statement in known if isinstance(statement, dict) and next(iter(statement)) in verdicts
    ]
    found = [
        statement for statement in parsed if isinstance(statement, dict) and next(iter(statement)) in verdicts
    ]
    return wanted == found


def _left_out(known: tuple[Json, ...], parsed: list[Json]) -> list[Json]:
    """Effects of which the text has nothing: for DNAT to an IPv6 address nft 1.0.6 prints a blank."""
    if any(map(_has_effect, parsed)):
        return []
    return [statement for statement in known if _has_effect(statement)]


def _has_effect(statement: Json) -> bool:
    if not isinstance(statement, dict):
        return True
    body = statement.get("xt")
    if isinstance(body, dict):
        return bool(body.get("type") == "target")
    return not statement.keys() <= _NO_EFFECT


def _has_xt(rule: Rule) -> bool:
    """Whether the text may say more of a rule than is known."""
    opaque = [statement["xt"] for statement in rule.expr if isinstance(statement, dict) and "xt" in statement]
    return bool(opaque) and not any(isinstance(body, dict) and body.get(LOSSY) for body in opaque)
