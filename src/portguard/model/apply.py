"""What the kernel does with a transaction, on values: a plan is judged before it is run, and the fake behaves like nft.

The behaviour is that of kernel 6.18, tried by ``tests/contract`` through the fake. Not imitated: the respelling of
statements that libnftables does on the way back (except counters), the overlap of intervals, the passing of time:
an element with a timeout stays until somebody takes it out (the fake kernel does).
"""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self, assert_never

from portguard.errors import NftError
from portguard.model.ruleset import Rule, Set, Table
from portguard.model.transaction import ChainOp, ElementOp, RuleOp, SetOp, TableOp, Verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from portguard.model.ruleset import Json, Ruleset, TableKey
    from portguard.model.transaction import Operation, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """All tables, and the last handles given out: tables are numbered together, what is in one by itself."""

    tables: Mapping[TableKey, Table] = field(default_factory=dict)
    last_table: int = 0
    last_inside: Mapping[TableKey, int] = field(default_factory=dict)

    @classmethod
    def of(cls, tables: Mapping[TableKey, Table]) -> Self:
        """Take tables that were read; the kernel may have given out higher handles since, which nobody can see."""
        return cls(
            tables=tables,
            last_table=max((table.handle for table in tables.values()), default=0),
            last_inside={key: _last_handle(table) for key, table in tables.items()},
        )


def apply(ruleset: Ruleset, tx: Transaction) -> Ruleset:
    """Give the ruleset as it is after the transaction, one generation later. Raises NftError, as the kernel would."""
    after, _ = applied(Tables.of(ruleset.tables), tx)
    return replace(ruleset, generation=ruleset.generation + 1, tables=after.tables)


def applied(before: Tables, tx: Transaction) -> tuple[Tables, frozenset[TableKey]]:
    """Apply a transaction; returns what there is afterwards, and which tables were touched.

    None touched: the kernel makes no generation for it. Raises NftError, as the kernel would.
    """
    draft = _Draft(before)
    for operation in tx.operations:
        try:
            draft.apply(operation)
        except _RefusedError as refused:
            raise refusal(refused.code, tx) from None
    return draft.done()


_MESSAGES = {
    errno.ENOENT: "No such file or directory",
    errno.EBUSY: "Device or resource busy",
    errno.EEXIST: "File exists",
    errno.EOPNOTSUPP: "Operation not supported",
    errno.EPERM: "Operation not permitted",
}


def _last_handle(table: Table) -> int:
    handles = [chain.handle for chain in table.chains.values()] + [row.handle for row in table.sets.values()]
    handles += [rule.handle for rules in table.rules.values() for rule in rules]
    return max(handles, default=0)


def refusal(code: int, tx: Transaction) -> NftError:
    """Make the error that a refused transaction gives, by error number."""
    return NftError(
        f"the kernel refused the transaction: {_MESSAGES[code]}",
        transaction=str(tx),
        not_permitted=code == errno.EPERM,
    )


class _RefusedError(Exception):
    """An operation that the kernel refuses."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Draft:
    """Tables while they are changed; thrown away when an operation is refused."""

    def __init__(self, before: Tables) -> None:
        self._tables = dict(before.tables)
        self._last_table = before.last_table
        self._last_inside = dict(before.last_inside)
        self._touched: set[TableKey] = set()
        self._gone: dict[TableKey, set[int]] = {}
        """Handles of rules that this transaction deleted: until its end they still mark a place in the chain."""

    def done(self) -> tuple[Tables, frozenset[TableKey]]:
        """Freeze what came out."""
        after = Tables(
            tables={key: replace(table, rules=self._live(table)) for key, table in self._tables.items()},
            last_table=self._last_table,
            last_inside=self._last_inside,
        )
        return after, frozenset(self._touched)

    def _live(self, table: Table) -> dict[str, tuple[Rule, ...]]:
        """Rules of a table without those that were deleted."""
        gone = self._gone.get(table.key, set())
        return {
            chain: tuple(rule for rule in rules if rule.handle not in gone)
            for chain, rules in table.rules.items()
        }

    def apply(self, operation: Operation) -> None:
        """Apply one operation."""
        match operation:
            case TableOp():
                self._table(operation)
            case ChainOp():
                self._chain(operation)
            case SetOp():
                self._set(operation)
            case ElementOp():
                self._elements(operation)
            case RuleOp():
                self._rule(operation)
            case _:
                assert_never(operation)

    def _of(self, key: TableKey) -> Table:
        if key not in self._tables:
            raise _RefusedError(errno.ENOENT)
        return self._tables[key]

    def _put(self, table: Table) -> None:
        self._tables[table.key] = table
        self._touched.add(table.key)

    def _number(self, key: TableKey) -> int:
        self._last_inside[key] = self._last_inside.get(key, 0) + 1
        return self._last_inside[key]

    def _table(self, operation: TableOp) -> None:
        key = operation.table
        if operation.verb is Verb.DELETE:
            self._of(key)
            del self._tables[key], self._last_inside[key]
            self._gone.pop(key, None)
            self._touched.add(key)
        elif key not in self._tables:
            self._last_table += 1
            self._last_inside[key] = 0
            self._put(Table(key=key, handle=self._last_table))

    def _chain(self, operation: ChainOp) -> None:
        table, wanted = self._of(operation.table), operation.chain
        present = table.chains.get(wanted.name)
        chains, rules = dict(table.chains), dict(table.rules)
        if operation.verb is Verb.DELETE:
            if present is None:
                raise _RefusedError(errno.ENOENT)
            rules.pop(wanted.name, None)
            if wanted.name in _jumps(self._live(replace(table, rules=rules))):
                raise _RefusedError(errno.EBUSY)
            del chains[wanted.name]
        elif present is None:
            chains[wanted.name] = replace(wanted, handle=self._number(table.key))
        elif wanted.base:
            if (present.type, present.hook, present.priority) != (wanted.type, wanted.hook, wanted.priority):
                raise _RefusedError(errno.EOPNOTSUPP)
            chains[wanted.name] = replace(present, policy=wanted.policy)
        self._put(replace(table, chains=chains, rules=rules))

    def _set(self, operation: SetOp) -> None:
        table, wanted = self._of(operation.table), operation.set
        present = table.sets.get(wanted.name)
        sets = dict(table.sets)
        if operation.verb is Verb.DELETE:
            if present is None:
                raise _RefusedError(errno.ENOENT)
            if wanted.name in _references(self._live(table)):
                raise _RefusedError(errno.EBUSY)
            del sets[wanted.name]
        elif operation.verb is Verb.FLUSH:
            if present is None:
                raise _RefusedError(errno.ENOENT)
            if not present.elements:
                return
            sets[wanted.name] = replace(present, elements=())
        elif present is None:
            sets[wanted.name] = replace(
                wanted, handle=self._number(table.key), elements=_sorted(wanted.elements or ())
            )
        else:
            if (present.type, present.map, present.flags) != (wanted.type, wanted.map, wanted.flags):
                raise _RefusedError(errno.EEXIST)
            sets[wanted.name] = _with(present, wanted.elements or ())
        self._put(replace(table, sets=sets))

    def _elements(self, operation: ElementOp) -> None:
        table = self._of(operation.table)
        present = table.sets.get(operation.set)
        if present is None:
            raise _RefusedError(errno.ENOENT)
        if operation.verb is Verb.DELETE and present.elements is None:
            return
        if operation.verb is Verb.DELETE:
            held = {_identity(element): element for element in present.elements or ()}
            for element in operation.elements:
                if held.pop(_identity(element), None) is None:
                    raise _RefusedError(errno.ENOENT)
            changed = replace(present, elements=tuple(held.values()))
        else:
            changed = _with(present, operation.elements)
        if changed != present:
            self._put(replace(table, sets={**table.sets, present.name: changed}))

    def _rule(self, operation: RuleOp) -> None:
        table = self._of(operation.table)
        if operation.chain not in table.chains:
            raise _RefusedError(errno.ENOENT)
        rules = list(table.rules_of(operation.chain))
        place = len(rules) if operation.verb is Verb.ADD else 0
        # libnftables' JSON looks at the handle of a rule to insert or delete, never at that of one to add.
        if operation.handle is not None and operation.verb is not Verb.ADD:
            handles = [rule.handle for rule in rules]
            if operation.handle not in handles:
                raise _RefusedError(errno.ENOENT)
            place = handles.index(operation.handle)
        gone = self._gone.setdefault(operation.table, set())
        if operation.verb is Verb.DELETE:
            if rules[place].handle in gone:
                raise _RefusedError(errno.ENOENT)
            gone.add(rules[place].handle)
        else:
            rule = Rule(
                chain=operation.chain,
                handle=self._number(table.key),
                expr=tuple(_listed(statement) for statement in operation.expr),
                comment=operation.comment,
            )
            chain = {operation.chain: (rule,)}
            if not (_jumps(chain) <= table.chains.keys() and _references(chain) <= table.sets.keys()):
                raise _RefusedError(errno.ENOENT)
            rules.insert(place, rule)
        self._put(replace(table, rules={**table.rules, operation.chain: tuple(rules)}))


def _listed(statement: Json) -> Json:
    """Spell a statement as a listing does: an anonymous counter has counted nothing so far."""
    return {"counter": {"packets": 0, "bytes": 0}} if statement == {"counter": None} else statement


def _with(present: Set, elements: Iterable[Json]) -> Set:
    """Add elements to a set; those it holds stay as they are."""
    if present.elements is None:
        return present  # not read: what it holds afterwards is as unknown as before
    held = {_identity(element): element for element in present.elements}
    added = {_identity(element): element for element in elements}
    if added.keys() <= held.keys():
        return present
    return replace(present, elements=_sorted((added | held).values()))


def _sorted(elements: Iterable[Json]) -> tuple[Json, ...]:
    """Sort elements as nft prints them, as far as that is simple: numbers by size, the rest by spelling."""
    return tuple(sorted(elements, key=lambda e: (0, e, "") if isinstance(e, int) else (1, 0, _identity(e))))


def _identity(element: Json) -> str:
    """Key of an element: its value, without timeout and comment."""
    match element:
        case {"elem": {"val": value}}:
            return json.dumps(value, sort_keys=True)
        case _:
            return json.dumps(element, sort_keys=True)


def _jumps(rules: Mapping[str, tuple[Rule, ...]]) -> set[str]:
    """Name the chains that rules jump or go to."""
    return {
        body["target"]
        for node in _nodes([rule.expr for chain in rules.values() for rule in chain])
        if isinstance(node, dict)
        for body in (node.get("jump"), node.get("goto"))
        if isinstance(body, dict) and "target" in body
    }


def _references(rules: Mapping[str, tuple[Rule, ...]]) -> set[str]:
    """Name the sets that rules refer to."""
    nodes = _nodes([rule.expr for chain in rules.values() for rule in chain])
    return {node[1:] for node in nodes if isinstance(node, str) and node.startswith("@")}


def _nodes(value: Json) -> Iterator[Json]:
    """Walk through a JSON value, itself included."""
    yield value
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _nodes(item)
