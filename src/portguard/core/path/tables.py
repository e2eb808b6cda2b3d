"""Tables compiled for walking, once per table: which rules of a chain can concern a packet at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.core.path.constants import Names
from portguard.core.path.lookup import Lookup
from portguard.core.path.ops import Branching, Verdict
from portguard.core.path.rules import CompiledRule, compile_rule
from portguard.core.path.runs import Run, Shape, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from portguard.core.path.packet import Packet
    from portguard.model.ruleset import Json, Rule, Ruleset, Table, TableKey


class CompiledChain:
    """The rules of one chain that can decide or change something, found by version, transport and port.

    Rules of plain shape are compiled only when a packet can match them, or never: runs of them are one lookup.
    """

    def __init__(self, rules: Iterable[Rule], compile_one: Callable[[Rule], CompiledRule | None]) -> None:
        self._compile = compile_one
        self._rules: list[CompiledRule | Shape] = []
        for written in rules:
            found = shape_of(written) or compile_one(written)
            if found is not None:
                self._rules.append(found)
        self._found: dict[tuple[int, str, int | None], tuple[CompiledRule | Run, ...]] = {}
        self._runs: dict[tuple[int, tuple[int, ...]], Run] = {}
        self._by_port: dict[int, list[int]] = {}
        self._others: list[int] = []
        for place, rule in enumerate(self._rules):
            if (
                rule.ports is not None
                and len(rule.ports) <= 16
                and all(low == high for low, high in rule.ports)
            ):
                for port, _ in rule.ports:
                    self._by_port.setdefault(port, []).append(place)
            else:
                self._others.append(place)

    def every(self) -> Iterator[CompiledRule]:
        """All rules, compiled."""
        for rule in self._rules:
            compiled = self._compile(rule.rule) if isinstance(rule, Shape) else rule
            if compiled is not None:
                yield compiled

    def verdicts(self) -> Iterator[tuple[str, str]]:
        """Kind and target of each verdict in the chain."""
        for rule in self._rules:
            if isinstance(rule, Shape):
                yield rule.verdict, ""
                continue
            for op in rule.ops:
                if isinstance(op, Verdict):
                    yield op.kind, op.target
                elif isinstance(op, Branching):
                    yield from op.verdicts()

    def concerning(self, packet: Packet) -> tuple[CompiledRule | Run, ...]:
        """Rules that a packet of this class can match, in order."""
        key = (packet.version, packet.transport, packet.port)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = tuple(self._concerning(packet))
        return found

    def _concerning(self, packet: Packet) -> Iterator[CompiledRule | Run]:
        places: Sequence[int] = range(len(self._rules))
        if packet.port is not None:
            places = sorted((*self._by_port.get(packet.port, ()), *self._others))
        run: list[int] = []
        for place in places:
            rule = self._rules[place]
            if not _concerns(rule, packet):
                continue
            # A translation may have made the port unknown: then a shape that names one is no sure match.
            if (
                isinstance(rule, Shape)
                and rule.source is not None
                and (rule.ports is None or packet.port is not None)
            ):
                run.append(place)
                continue
            yield from self._run(run, packet.version)
            run = []
            compiled = self._compile(rule.rule) if isinstance(rule, Shape) else rule
            if compiled is not None:
                yield compiled
        yield from self._run(run, packet.version)

    def _run(self, places: list[int], version: int) -> Iterator[CompiledRule | Run]:
        """Give a run of shapes as one lookup; a short one rule by rule."""
        shapes = [rule for place in places if isinstance(rule := self._rules[place], Shape)]
        if len(shapes) < _WORTH_A_RUN:
            for shape in shapes:
                if (compiled := self._compile(shape.rule)) is not None:
                    yield compiled
            return
        key = (version, tuple(places))
        if key not in self._runs:
            self._runs[key] = Run(version, shapes)
        yield self._runs[key]


_WORTH_A_RUN = 8


def _concerns(rule: CompiledRule | Shape, packet: Packet) -> bool:
    if isinstance(rule, Shape):
        if rule.version not in {None, packet.version} or rule.transport not in {None, packet.transport}:
            return False
    elif packet.version not in rule.versions or (
        rule.transports is not None and packet.transport not in rule.transports
    ):
        return False
    port = packet.port
    return rule.ports is None or port is None or any(low <= port <= high for low, high in rule.ports)


class CompiledTable:
    """A table whose chains are compiled when they are first entered."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._chains: dict[str, CompiledChain] = {}
        self._verdicts: dict[str, frozenset[str]] = {}
        self._interfaces: set[str] | None = None
        self.passed_over: dict[tuple[int, frozenset[str]], bool] = {}
        """Whether the interface alone keeps packets from matching a rule, by the rule's identity."""
        self.told_apart: dict[tuple[int, frozenset[str]], tuple[frozenset[str], ...]] = {}
        """Groups of interfaces that a rule treats alike, by the rule's identity; only of plain comparisons."""

    def chain(self, name: str) -> CompiledChain:
        """Compiled rules of a chain."""
        found = self._chains.get(name)
        if found is None:
            found = self._chains[name] = CompiledChain(
                self.table.rules_of(name), lambda rule: compile_rule(rule, self.table.key, self.table.sets)
            )
        return found

    def verdicts(self, name: str) -> frozenset[str]:
        """Kinds of verdicts that a chain, or one it leads to, can end in."""
        found = self._verdicts.get(name)
        if found is None:
            self._verdicts[name] = frozenset()  # A chain that leads to itself adds nothing.
            kinds: set[str] = set()
            for kind, target in self.chain(name).verdicts():
                kinds |= self.verdicts(target) if kind in {"jump", "goto"} else {kind}
            found = self._verdicts[name] = frozenset(kinds)
        return found

    def interface_names(self) -> set[str]:
        """Interfaces that rules name, and one that stands for each beginning of a name (``eth*``)."""
        if self._interfaces is not None:
            return self._interfaces
        out: set[str] = set()
        for chain in self.table.chains:
            if any(_names_interfaces(rule.expr) for rule in self.table.rules_of(chain)):
                for rule in self.chain(chain).every():
                    for lookup in rule.interface:
                        out |= _names_in(lookup)
        self._interfaces = out
        return out


def _names_interfaces(value: Json) -> bool:
    if isinstance(value, dict):
        meta = value.get("meta")
        if isinstance(meta, dict) and meta.get("key") in {"iif", "iifname"}:
            return True
        return any(_names_interfaces(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_names_interfaces(item) for item in value)
    return False


def _names_in(lookup: object) -> set[str]:
    out: set[str] = set()
    if isinstance(lookup, Lookup):
        for group in lookup.groups:
            for dim in group.dims:
                if isinstance(dim, Names):
                    out |= dim.exact
                    out.update(f"{start}(any)" for start in dim.starts)
    return out


class _Cache:
    """Compiled tables by identity: a ruleset is asked about many ports, and most tables outlive a change."""

    def __init__(self) -> None:
        self._tables: dict[TableKey, list[CompiledTable]] = {}

    def of(self, table: Table) -> CompiledTable:
        """Give the compiled form of a table; the two last versions of each are kept."""
        kept = self._tables.setdefault(table.key, [])
        for compiled in kept:
            if compiled.table is table:
                return compiled
        compiled = CompiledTable(table)
        self._tables[table.key] = [compiled, *kept[:1]]
        return compiled

    def forget(self, ruleset: Ruleset) -> None:
        """Let go of tables that are gone, where there are many more of them than the ruleset has."""
        if len(self._tables) > 16 + 2 * len(ruleset.tables):
            self._tables = {key: kept for key, kept in self._tables.items() if key in ruleset.tables}


_CACHE = _Cache()


def compiled(table: Table) -> CompiledTable:
    """Compile a table, or find it compiled."""
    return _CACHE.of(table)


def forget_others(ruleset: Ruleset) -> None:
    """Free what was compiled for tables that no longer exist."""
    _CACHE.forget(ruleset)
