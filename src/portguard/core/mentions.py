"""Where a ruleset names addresses of given ranges: in rules, in sets and maps, in the targets of translations. Pure.

Any literal counts, whatever it is compared with, because each is somebody's belief that there is such an address. What is known
beside it (that the rule denies, that it names an interface) is for the judge to weigh.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, NamedTuple

from portguard.model.net import AddressSet, intersect
from portguard.model.nft_text import statements_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from portguard.model.ruleset import Json, Rule, Ruleset, Set, Table, TableKey

_DENIES = frozenset({"drop", "reject"})
_NO_LITERALS = frozenset(
    {"comment", "log", "counter", "jump", "goto", "limit", "quota", "timeout", "expires"}
)
"""Parts of rules and elements that hold text or numbers, and no address that packets are held against."""
_FILLS = frozenset({"set", "add", "update", "delete"})
"""Statements that put packets' addresses into sets: no use of what stands there already."""
_INTERFACES = frozenset({"iif", "iifname", "oif", "oifname"})
_OCTET = 8
_SHOWN = 20
"""Literals of one set that are named."""
_EVERYWHERE = 1
"""Length of a prefix that stands for everything, or for one half of it as VPNs write it: no mention of anything in it."""
_LONGEST = 300


class Literal(NamedTuple):
    """An address, a network or a range of addresses, as it stands in a ruleset."""

    version: int
    low: int
    high: int
    text: str
    excluded: bool
    """Compared with ``!=``, or mapped to a verdict that denies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """A rule or a set that names addresses of the ranges."""

    table: TableKey
    place: str
    """``chain input`` or ``set trusted``."""
    handle: int
    text: str
    """The rule, or the set's elements of interest, as nft spells them."""
    literals: tuple[str, ...]
    """Those that lie in the ranges or cross their border; with none of these, those that contain a range."""
    contains: bool
    """They merely contain a range, and are wider."""
    denies: bool
    """The rule drops or rejects, or only such rules refer to the set, or the literal is excluded."""
    interfaces: tuple[str, ...]
    """Interfaces that the rule names."""


_known: dict[TableKey, tuple[Table, AddressSet, tuple[Mention, ...]]] = {}
"""The last answer for each table: a set of 100,000 elements is walked when it has changed, and not at every look."""


def mentions(ruleset: Ruleset, ranges: AddressSet, without: TableKey) -> Iterator[Mention]:
    """Give all mentions of the ranges but those of one table, in the order of the tables."""
    for gone in _known.keys() - ruleset.tables.keys():
        del _known[gone]
    for key, table in ruleset.tables.items():
        if key == without:
            continue
        known = _known.get(key)
        if known is None or known[0] is not table or known[1] != ranges:
            known = _known[key] = (table, ranges, tuple(_of_table(table, ranges)))
        yield from known[2]


def _of_table(table: Table, ranges: AddressSet) -> Iterator[Mention]:
    finder = _Finder(ranges)
    rules = [rule for chain in table.chains for rule in table.rules_of(chain)]
    for rule in rules:
        found = _sorted_out(finder.within(rule.expr), ranges)
        if found is None:
            continue
        literals, contains = found
        yield Mention(
            table=table.key,
            place=f"chain {rule.chain}",
            handle=rule.handle,
            text=statements_text(rule.expr)[:_LONGEST],
            literals=tuple(literal.text for literal in literals)[:_SHOWN],
            contains=contains,
            denies=_denying(rule) or all(literal.excluded for literal in literals),
            interfaces=tuple(_interfaces(rule.expr)) + (table.chains[rule.chain].devices or ()),
        )
    for named in table.sets.values():
        found = _sorted_out(finder.within(named.elements or ()), ranges)
        if found is not None:
            yield _of_set(table, named, *found, rules)


def _of_set(
    table: Table,
    named: Set,
    literals: list[Literal],
    contains: bool,
    rules: Iterable[Rule],
) -> Mention:
    texts = tuple(literal.text for literal in literals)
    shown = ", ".join(texts[:_SHOWN]) + (f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else "")
    users = [rule for rule in rules if f"@{named.name}" in _references(rule.expr)]
    return Mention(
        table=table.key,
        place=f"{'map' if named.map else 'set'} {named.name}",
        handle=named.handle,
        text=shown,
        literals=texts[:_SHOWN],
        contains=contains,
        denies=(bool(users) and all(map(_denying, users))) or all(literal.excluded for literal in literals),
        interfaces=(),
    )


def _sorted_out(found: list[Literal], ranges: AddressSet) -> tuple[list[Literal], bool] | None:
    """Keep the literals that touch the ranges, or, where none is narrower than a range, those that contain one."""
    narrow: list[Literal] = []
    wide: list[Literal] = []
    for literal in found:
        reserved = ranges.version(literal.version)
        touched = intersect(((literal.low, literal.high),), reserved)
        if not touched:
            continue
        inside = any(low <= literal.low and literal.high <= high for low, high in reserved)
        whole = all(pair in reserved for pair in touched)
        (wide if whole and not inside else narrow).append(literal)
    if narrow:
        return narrow, False
    wide = [literal for literal in wide if not _everything(literal)]
    return (wide, True) if wide else None


def _everything(literal: Literal) -> bool:
    bits = 32 if literal.version == 4 else 128
    return literal.high - literal.low >= (1 << (bits - _EVERYWHERE)) - 1


class _Finder:
    """Finds addresses near the ranges. Most that a ruleset has are told apart by their first octet: 100,000 in 30 ms."""

    def __init__(self, ranges: AddressSet) -> None:
        self._octets = {str(octet) for low, high in ranges.v4 for octet in range(low >> 24, (high >> 24) + 1)}
        self._v6 = bool(ranges.v6)

    def within(self, value: Json) -> list[Literal]:
        """Find the addresses in a rule's statements or a set's elements."""
        out: list[Literal] = []
        for part in value:
            # A set of single addresses is by far the most common: no call for what is somewhere else.
            if type(part) is not str or part.partition(".")[0] in self._octets or ":" in part:
                self._find(part, out, excluded=False)
        return out

    def _find(self, value: Json, out: list[Literal], *, excluded: bool) -> None:
        if isinstance(value, str):
            if (found := self._address(value)) is not None:
                out.append(Literal(*found, found[1], value, excluded))
        elif isinstance(value, dict):
            self._find_in(value, out, excluded=excluded)
        elif isinstance(value, (list, tuple)):
            if len(value) == 2 and _verdict(value[1]) in _DENIES:
                self._find(value[0], out, excluded=True)
                return
            for child in value:
                self._find(child, out, excluded=excluded)

    def _find_in(self, value: Mapping[str, Json], out: list[Literal], *, excluded: bool) -> None:
        for key, child in value.items():
            if key == "match":
                self._find(child["left"], out, excluded=excluded)
                self._find(child["right"], out, excluded=excluded or child["op"] == "!=")
            elif key == "prefix" and isinstance(child, dict):
                self._find_prefix(str(child["addr"]), int(child["len"]), out, excluded=excluded)
            elif key == "range" and isinstance(child, list) and all(isinstance(end, str) for end in child):
                first, last = map(_parsed, child)
                if first is not None and last is not None:
                    out.append(Literal(*first, last[1], "-".join(child), excluded))
            elif key not in _NO_LITERALS and child is not None:
                self._find(child, out, excluded=excluded)

    def _find_prefix(self, text: str, length: int, out: list[Literal], *, excluded: bool) -> None:
        if length >= _OCTET and text.partition(".")[0] not in self._octets and ":" not in text:
            return
        found = _parsed(text)
        if found is not None:
            version, low = found
            size = 1 << max((32 if version == 4 else 128) - length, 0)
            low -= low % size
            out.append(Literal(version, low, low + size - 1, f"{text}/{length}", excluded))

    def _address(self, text: str) -> tuple[int, int] | None:
        """Read an address that may lie in a range; None for every other word."""
        if text.partition(".")[0] in self._octets or (self._v6 and ":" in text):
            return _parsed(text)
        return None


def _parsed(text: str) -> tuple[int, int] | None:
    """Read an address; None for every other word."""
    try:
        if ":" in text:
            return 6, int(IPv6Address(text))
        return (4, int(IPv4Address(text))) if text.count(".") == 3 else None
    except ValueError:
        return None


def _verdict(value: Json) -> str | None:
    return next(iter(value)) if isinstance(value, dict) and len(value) == 1 else None


def _denying(rule: Rule) -> bool:
    """Say whether a rule ends in a verdict that lets nobody through."""
    return any(_verdict(statement) in _DENIES for statement in rule.expr)


def _interfaces(value: Json) -> Iterator[str]:
    """Name the interfaces that statements are held against."""
    for statement in value:
        match statement:
            case {"match": {"left": {"meta": {"key": key}}, "right": right}} if key in _INTERFACES:
                members = right["set"] if isinstance(right, dict) and "set" in right else [right]
                for name in members if isinstance(members, list) else [members]:
                    if isinstance(name, str):
                        yield name
            case _:
                continue


def _references(expr: Iterable[Json]) -> set[str]:
    """Name the sets that a rule holds packets against, as ``@name``."""
    found: set[str] = set()
    left = [
        statement for statement in expr if not (isinstance(statement, dict) and _FILLS & statement.keys())
    ]
    while left:
        value = left.pop()
        if isinstance(value, str):
            if value.startswith("@"):
                found.add(value)
        elif isinstance(value, (list, tuple)):
            left += value
        elif isinstance(value, dict):
            left += value.values()
    return found
