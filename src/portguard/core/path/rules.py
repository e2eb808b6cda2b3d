"""Rules compiled into what the walk does with them: tests, effects, verdicts. Counters and logs are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from portguard.core.path.lookup import Flags, Lookup, comparison, flags
from portguard.core.path.operands import operand
from portguard.core.path.ops import (
    Branching,
    Chance,
    Fill,
    Hand,
    Mark,
    Notrack,
    Op,
    Opaque,
    Test,
    Translate,
    Verdict,
    Zone,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from portguard.core.path.values import Operand
    from portguard.model.net import Intervals
    from portguard.model.ruleset import Json, Rule, Set, TableKey


class CompiledRule(NamedTuple):
    """A rule ready to be walked."""

    rule: Rule
    ops: tuple[Op, ...]
    interface: tuple[Lookup | Flags, ...]
    """Tests for which interfaces must be told apart first."""
    cuts: tuple[Intervals, ...]
    """Sets of destinations that must be told apart first."""
    selective: bool
    """It names sources, a port, a set, or something that is not known: not a default for everyone."""
    versions: tuple[int, ...]
    transports: frozenset[str] | None
    ports: tuple[tuple[Lookup, int], ...] | None
    """Where it looks the port up, and as which operand; None: what it does may differ from each port to the next."""
    sets: frozenset[str]
    """Named sets and maps that it looks something up in, or adds to."""

    def concerns(self, version: int, transport: str) -> bool:
        """Whether it can match packets of a version and a transport at all."""
        return version in self.versions and (self.transports is None or transport in self.transports)


_PASSIVE = frozenset(
    {"counter", "log", "ct helper", "ct timeout", "ct expectation", "secmark", "flow", "last", "dup"}
)
"""Statements that never decide and change nothing that a rule can ask for afterwards."""
_PASSIVE_TARGETS = frozenset({
    "LOG", "NFLOG", "ULOG", "TCPMSS", "CHECKSUM", "CLASSIFY", "TRACE", "AUDIT", "TEE", "SECMARK", "CONNSECMARK", "LED",
    "DSCP", "TOS", "ECN", "TTL", "HL", "TCPOPTSTRIP", "IDLETIMER", "RATEEST", "SET",
})  # fmt: skip
"""Targets of iptables that pass the packet on (iptables-extensions(8))."""
_EXTENSIONS = frozenset({"ah", "dst", "esp", "frag", "hbh", "mh", "rt"})
"""Matches of ip6tables that are about one extension header."""
_UNDECIDED = frozenset({"connbytes", "connlimit", "hashlimit", "nfacct", "rateest", "recent"})
_UNDECIDED_FOR_ALL = frozenset({"limit", "quota", "quota2", "statistic", "time"})
"""Matches of iptables that are known to go either way: by what came before of each source, or of all."""
_ORDERING = frozenset({"<", ">", "<=", ">="})


def compile_rule(rule: Rule, table: TableKey, sets: Mapping[str, Set]) -> CompiledRule | None:
    """Compile a rule; None when it can decide nothing and change nothing (it counts, or logs)."""
    return _Compiler(table, sets).rule(rule)


class _Compiler:
    def __init__(self, table: TableKey, sets: Mapping[str, Set]) -> None:
        self._table = table
        self._sets = sets

    def rule(self, rule: Rule) -> CompiledRule | None:
        ops: list[Op] = []
        for statement in rule.expr:
            ops.extend(self._statement(statement))
        while ops and isinstance(ops[-1], Test | Chance):
            ops.pop()  # Nothing hangs on it.
        if not ops:
            return None
        lookups = [
            op.lookup for op in ops if isinstance(op, Test | Branching | Mark | Translate) and op.lookup
        ]
        fills = [op for op in ops if isinstance(op, Fill)]
        lookups += [op.held for op in fills if op.held is not None]
        operands = [item for lookup in lookups for item in _operands(lookup)]
        first = next((place for place, op in enumerate(ops) if not isinstance(op, Test | Chance)), len(ops))
        # What is asked for after an effect does not keep the effect from happening.
        asked = [op for op in ops[:first] if isinstance(op, Test)]
        tested = [item for op in asked for item in _operands(op.lookup)]
        versions = tuple(v for v in (4, 6) if all(v in item.versions for item in tested))
        limits = [item.transports for item in tested if item.transports is not None]
        return CompiledRule(
            rule=rule,
            ops=tuple(ops),
            interface=tuple(lookup for lookup in lookups if lookup.interface),
            cuts=tuple(cut for lookup in lookups for cut in lookup.cuts()),
            selective=any(item.about != "plain" for item in operands)
            or any(isinstance(op, Opaque) or (isinstance(op, Chance) and op.selective) for op in ops),
            versions=versions,
            transports=frozenset.intersection(*limits) if limits else None,
            ports=_ports(ops),
            sets=frozenset(
                (
                    *(lookup.name[1] for lookup in lookups if isinstance(lookup, Lookup) and lookup.name),
                    *(op.name[1] for op in fills),
                )
            ),
        )

    def _statement(self, statement: Json) -> list[Op]:
        if not isinstance(statement, dict) or len(statement) != 1:
            return [Opaque("a statement is not understood")]
        ((kind, body),) = statement.items()
        try:
            return self._mapped(body) if kind in _PASSIVE else self._known(kind, body)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            return [Opaque(f"a {kind} statement is not understood")]

    def _known(self, kind: str, body: Json) -> list[Op]:
        match kind:
            case "match":
                return [self._match(body["op"], body["left"], body["right"])]
            case "vmap":
                return [Branching(self._map(body["key"], body["data"]))]
            case "accept" | "drop" | "return" | "continue":
                return [Verdict(kind)]
            case "jump" | "goto":
                return [Verdict(kind, body["target"])]
            case "reject":
                return self._reject(body or {})
            case "limit" | "quota" | "ct count" | "meter":
                chance = f"a {kind.replace('ct ', 'connection ')} lets some through and others not"
                return [*self._mapped(body), Chance(chance)]
            case "mangle":
                return self._mangle(body["key"], body["value"])
            case "set" | "map":
                return self._fill(body, kind)
            case "notrack":
                return [Notrack()]
            case "dnat" | "redirect":
                return [self._translate(kind, body or {})]
            case "snat" | "masquerade":
                return [*self._addressed(body), Verdict("accept", text=kind, masks=True)]
            case "tproxy":
                return [Hand(f"handed to the socket on port {body.get('port', 'of the packet')}")]
            case "queue" | "synproxy":
                return [Opaque(f"{kind} leaves the decision to another program")]
            case "xt":
                return self._xt(body or {})
            case "fwd":
                return [Verdict("drop", text="sent out by another interface")]
            case _:
                return [Opaque(f"a {kind} statement is not understood")]

    def _match(self, op: str, left: Json, right: Json) -> Op:
        is_set = (isinstance(right, str) and right.startswith("@")) or (
            isinstance(right, dict) and isinstance(right.get("set"), list)
        )
        if op in {"==", "!=", "in"} and is_set:
            return Test(self._lookup(left, right), negate=op == "!=")
        if op in {"==", "!="}:
            return Test(Lookup(_keys(left), [(right, None)]), negate=op == "!=")
        if op in {"in", "!"}:
            return Test(flags(op, left, right))
        if op in _ORDERING:
            return Test(comparison(op, left, right))
        return Chance(f"a comparison with {op} is not understood", selective=True)

    def _lookup(self, left: Json, right: Json) -> Lookup:
        if isinstance(right, str):
            return self._named(left, right[1:])
        return Lookup(_keys(left), [(member, None) for member in right["set"]])

    def _named(self, left: Json, name: str) -> Lookup:
        found = self._sets.get(name)
        pairs = None
        if found is not None and found.elements is not None:
            # Gone through once: a large set is never held as objects.
            pairs = (
                (element[0], element[1])
                if found.map is not None and isinstance(element, list)
                else (element, None)
                for element in found.elements
            )
        return Lookup(_keys(left), pairs, name=(self._table, name))

    def _map(self, key: Json, data: Json) -> Lookup:
        if isinstance(data, str):
            return self._named(key, data[1:])
        pairs = [
            (_bare(member[0]), member[1]) if isinstance(member, list) else (member, None)
            for member in data["set"]
        ]
        return Lookup(_keys(key), pairs)

    @staticmethod
    def _reject(body: Mapping[str, Json]) -> list[Op]:
        code = body.get("type"), body.get("expr")
        text = "reject" if code[1] in {None, "port-unreachable"} else f"reject with {code[0]} {code[1]}"
        text = "reject with tcp reset" if code[0] == "tcp reset" else text
        refuse = Verdict("reject", text=text)
        # nft asks for the family or for TCP before it rejects in their words, and leaves that out of its listing.
        if code[0] in {"icmp", "icmpv6"}:
            family = {"meta": {"key": "nfproto"}}
            return [Test(Lookup([family], [("ipv4" if code[0] == "icmp" else "ipv6", None)])), refuse]
        if code[0] == "tcp reset":
            return [Test(Lookup([{"meta": {"key": "l4proto"}}], [("tcp", None)])), refuse]
        return [refuse]

    def _mapped(self, body: Json) -> list[Op]:
        """Compile the lookup of what a statement works with, if it has one: what is not in that map goes on to the next rule."""
        if isinstance(body, dict) and isinstance(body.get("map"), dict):
            return [Test(self._map(body["map"]["key"], body["map"]["data"]))]
        return []

    def _mangle(self, key: Json, value: Json) -> list[Op]:
        match key:
            case {"meta": {"key": "mark"}} | {"ct": {"key": "mark"}}:
                lookup = None
                if isinstance(value, dict) and "map" in value:
                    lookup = self._map(value["map"]["key"], value["map"]["data"])
                return [Mark("ct" in key, value, lookup)]
            case {"payload": {"field": "saddr" | "daddr" | "dport" | "protocol" | "nexthdr"}}:
                return [Opaque("it rewrites an address or a port")]
            case {"meta": {"key": "pkttype"}}:
                return [Opaque("it changes the packet type")]
            case {"ct": {"key": "zone"}}:
                return [*self._mapped(value), Zone()]
            case {"tcp option": _}:
                return [_present({"payload": {"protocol": "tcp", "field": "flags"}})]
            case {"payload": _}:
                return [*self._mapped(value), _present(key)]
            case _:
                return self._mapped(value)

    def _fill(self, body: Mapping[str, Json], kind: str) -> list[Op]:
        name = body[kind].removeprefix("@")
        elem = body["elem"]
        keys = _keys(_bare(elem))
        if body["op"] == "delete":
            return [Fill((self._table, name), Lookup(keys, []), takes_out=True)]
        found = self._sets.get(name)
        full = found is not None and found.full
        fill = Fill(
            (self._table, name),
            Lookup(keys, []),
            held=self._named(_bare(elem), name) if full else None,
        )
        # Statements of the set itself are not repeated in the rule.
        inner = body.get("stmt") or (found.statements if found is not None else ())
        return [fill, *(op for one in inner for op in self._statement(one) if isinstance(op, Chance))]

    def _addressed(self, body: Json) -> list[Op]:
        """Compile the lookup of a new source, if there is one."""
        return [
            op for part in ("addr", "port") if isinstance(body, dict) for op in self._mapped(body.get(part))
        ]

    def _translate(self, kind: str, body: Mapping[str, Json]) -> Op:
        address, port = body.get("addr"), body.get("port")
        family = {"ip": 4, "ip6": 6}.get(body.get("family", ""))
        if family is None and self._table.family in {"ip", "ip6"}:
            family = 4 if self._table.family == "ip" else 6
        looked = address if isinstance(address, dict) and "map" in address else port
        lookup = None
        if isinstance(looked, dict) and "map" in looked:
            lookup = self._map(looked["map"]["key"], looked["map"]["data"])
        return Translate(family, address, port, kind, lookup)

    @staticmethod
    def _xt(body: Mapping[str, Json]) -> list[Op]:
        name = str(body.get("name", "?"))
        if body.get("type") == "match" and name in _EXTENSIONS:
            # They ask for an extension header, and an ordinary packet has none.
            return [Test(Lookup([{"meta": {"key": "nfproto"}}], []))]
        if body.get("type") == "match":
            return _xt_match(name)
        if name in _PASSIVE_TARGETS:
            return []
        if name == "REJECT":
            return [Verdict("reject")]
        return [Opaque(f'what its iptables target "{name}" does is not shown by nft')]


def _xt_match(name: str) -> list[Op]:
    """Compile a match of iptables that is known by its name alone."""
    if name == "comment":
        return []
    if name in _UNDECIDED or name in _UNDECIDED_FOR_ALL:
        reason = f'the iptables match "{name}" lets some through and others not'
        return [Chance(reason, selective=name in _UNDECIDED)]
    return [Chance(f'what its iptables match "{name}" asks for is not shown by nft', selective=True)]


def _keys(left: Json) -> list[Json]:
    if isinstance(left, dict) and isinstance(left.get("concat"), list):
        return list(left["concat"])
    return [left]


def _bare(element: Json) -> Json:
    """Take a key or element out of its wrapper with comment, timeout and counter."""
    if isinstance(element, dict) and isinstance(element.get("elem"), dict) and "val" in element["elem"]:
        return element["elem"]["val"]
    return element


def _operands(lookup: Lookup | Flags) -> list[Operand]:
    return lookup.operands if isinstance(lookup, Lookup) else [lookup.item]


def _present(key: Json) -> Test:
    """Compile the question whether a packet has something at all: a statement that needs it breaks off without."""
    return Test(Lookup([key], [("*", None)]))


def _ports(ops: Iterable[Op]) -> tuple[tuple[Lookup, int], ...] | None:
    """Collect the lookups of the port; None where it is made use of in another way."""
    found: list[tuple[Lookup, int]] = []
    for op in ops:
        if isinstance(op, Mark) and op.lookup is None and operand(op.value).port:
            return None  # The port goes on as a mark.
        lookup = op.lookup if isinstance(op, Test | Branching | Mark | Translate) else None
        for place, item in enumerate(_operands(lookup) if lookup is not None else ()):
            if item.port and (item.about != "port" or not isinstance(lookup, Lookup)):
                return None
            if item.port and isinstance(lookup, Lookup):
                found.append((lookup, place))
    return tuple(found)
