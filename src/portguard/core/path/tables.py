"""Tables compiled for walking, once per table: which rules of a chain can concern a packet at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.core.path.constants import Names
from portguard.core.path.lookup import Lookup
from portguard.core.path.rules import CompiledRule, Verdict, compile_rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portguard.core.path.packet import Packet
    from portguard.model.ruleset import Json, Ruleset, Table, TableKey


class CompiledChain:
    """The rules of one chain that can decide or change something, found by version, transport and port."""

    def __init__(self, rules: Iterable[CompiledRule]) -> None:
        self.rules = tuple(rules)
        self._found: dict[tuple[int, str, int | None], tuple[CompiledRule, ...]] = {}
        self._by_port: dict[int, list[int]] = {}
        self._others: list[int] = []
        for place, rule in enumerate(self.rules):
            if rule.ports is not None and all(low == high for low, high in rule.ports):
                for port, _ in rule.ports:
                    self._by_port.setdefault(port, []).append(place)
            else:
                self._others.append(place)

    def concerning(self, packet: Packet) -> tuple[CompiledRule, ...]:
        """Rules that a packet of this class can match, in order."""
        key = (packet.version, packet.transport, packet.port)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = tuple(self._concerning(packet))
        return found

    def _concerning(self, packet: Packet) -> Iterable[CompiledRule]:
        if packet.port is None:
            places: Sequence[int] = range(len(self.rules))
        else:
            places = sorted((*self._by_port.get(packet.port, ()), *self._others))
        for place in places:
            rule = self.rules[place]
            if packet.version not in rule.versions:
                continue
            if rule.transports is not None and packet.transport not in rule.transports:
                continue
            if (
                rule.ports is not None
                and packet.port is not None
                and not any(low <= packet.port <= high for low, high in rule.ports)
            ):
                continue
            yield rule


class CompiledTable:
    """A table whose chains are compiled when they are first entered."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._chains: dict[str, CompiledChain] = {}
        self._accepts: dict[str, bool] = {}

    def chain(self, name: str) -> CompiledChain:
        """Compiled rules of a chain."""
        found = self._chains.get(name)
        if found is None:
            compiled = (
                compile_rule(rule, self.table.key, self.table.sets) for rule in self.table.rules_of(name)
            )
            found = self._chains[name] = CompiledChain(rule for rule in compiled if rule is not None)
        return found

    def accepts(self, name: str, depth: int = 0) -> bool:
        """Whether some rule of a chain, or of one it jumps to, accepts."""
        if name not in self._accepts:
            self._accepts[name] = False
            self._accepts[name] = depth < 16 and any(
                isinstance(op, Verdict)
                and (
                    op.kind == "accept"
                    or (op.kind in {"jump", "goto"} and self.accepts(op.target, depth + 1))
                )
                for rule in self.chain(name).rules
                for op in rule.ops
            )
        return self._accepts[name]

    def interface_names(self) -> set[str]:
        """Interfaces that rules name, and one that stands for each beginning of a name (``eth*``)."""
        out: set[str] = set()
        for chain in self.table.chains:
            if any(_names_interfaces(rule.expr) for rule in self.table.rules_of(chain)):
                for rule in self.chain(chain).rules:
                    for lookup in rule.interface:
                        out |= _names_in(lookup)
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
