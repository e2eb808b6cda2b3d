"""Tables compiled for walking, once per table. Of a table that changed, what did not change is taken over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.core.path.chains import CompiledChain
from portguard.core.path.constants import Names
from portguard.core.path.lookup import Lookup

if TYPE_CHECKING:
    from portguard.model.ruleset import Json, Ruleset, Table, TableKey


class CompiledTable:
    """A table whose chains are compiled when they are first entered."""

    def __init__(self, table: Table, before: CompiledTable | None = None) -> None:
        self.table = table
        self._before = before
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
            table, before = self.table, self._before
            old = None if before is None else before.peek(name)
            if before is not None and old is not None and self._same(name, before.table):
                found = old
            else:
                found = CompiledChain(table.rules_of(name), table.key, table.sets, old)
            self._chains[name] = found
        return found

    def peek(self, name: str) -> CompiledChain | None:
        """Compiled rules of a chain where somebody asked for them before."""
        return self._chains.get(name)

    def _same(self, name: str, before: Table) -> bool:
        """Whether a chain has the very rules that it had, over the very sets."""
        return (
            before.rules.get(name) is self.table.rules.get(name)
            and before.sets.keys() == self.table.sets.keys()
            and all(before.sets[key] is found for key, found in self.table.sets.items())
        )

    def ends(self, name: str) -> tuple[bool, bool] | None:
        """Say of a chain whether it shuts anything out and whether it lets anything in; None: it is not in the listing."""
        chain = self.table.chains.get(name)
        if chain is None:
            return None
        kinds = self.verdicts(name)
        return chain.policy == "drop" or bool(kinds & {"drop", "reject"}), "accept" in kinds

    def settle(self) -> None:
        """Let go of the version before this one."""
        self._before = None
        for chain in self._chains.values():
            chain.settle()

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
        if kept:
            kept[0].settle()
        compiled = CompiledTable(table, kept[0] if kept else None)
        self._tables[table.key] = [compiled, *kept[:1]]
        return compiled

    def keep_only(self, ruleset: Ruleset | None) -> None:
        """Let go of everything that was compiled for other rulesets."""
        current = ruleset.tables if ruleset is not None else {}
        tables: dict[TableKey, list[CompiledTable]] = {}
        for key, kept in self._tables.items():
            for compiled in kept:
                if compiled.table is current.get(key):
                    compiled.settle()
                    tables[key] = [compiled]
        self._tables = tables


_CACHE = _Cache()


def compiled(table: Table) -> CompiledTable:
    """Compile a table, or find it compiled."""
    return _CACHE.of(table)


def keep_only(ruleset: Ruleset | None) -> None:
    """Free what was compiled for tables that are not of this ruleset."""
    _CACHE.keep_only(ruleset)
