"""What a transaction does to a ruleset, in pure values: a plan is judged before it is run, and fakes behave like nft."""

from __future__ import annotations

from dataclasses import replace

from portguard.model.ruleset import Rule, Ruleset, Set, Table, TableKey
from portguard.model.transaction import (
    ChainOp,
    ElementOp,
    Operation,
    RuleOp,
    SetOp,
    TableOp,
    Transaction,
    Verb,
)


class ApplyError(Exception):
    """The kernel would refuse this operation, and with it the whole transaction."""


def apply(ruleset: Ruleset, transaction: Transaction) -> Ruleset:
    """Return the ruleset as it is after the transaction, one generation later.

    Raises ApplyError where the kernel answers "No such file or directory"; the given ruleset stays as it was.
    """
    tables = dict(ruleset.tables)
    for operation in transaction.operations:
        _run(tables, operation)
    return replace(ruleset, generation=ruleset.generation + 1, tables=tables)


def _run(tables: dict[TableKey, Table], operation: Operation) -> None:
    key = operation.table
    match operation:
        case TableOp(verb=Verb.DELETE):
            _existing(tables, key)
            del tables[key]
        case TableOp():
            tables.setdefault(key, Table(key=key, handle=_next_handle(tables)))
        case ChainOp() | SetOp() | ElementOp() | RuleOp():
            tables[key] = _in_table(_existing(tables, key), operation)


def _existing(tables: dict[TableKey, Table], key: TableKey) -> Table:
    if key not in tables:
        raise ApplyError(f"no table {key}")
    return tables[key]


def _next_handle(tables: dict[TableKey, Table]) -> int:
    return max((table.handle for table in tables.values()), default=0) + 1


def _in_table(table: Table, operation: ChainOp | SetOp | ElementOp | RuleOp) -> Table:
    match operation:
        case ChainOp(verb=Verb.DELETE, chain=chain):
            chains = {name: row for name, row in table.chains.items() if name != chain.name}
            if len(chains) == len(table.chains):
                raise ApplyError(f"no chain {chain.name} in table {table.key}")
            rules = {name: rows for name, rows in table.rules.items() if name != chain.name}
            return replace(table, chains=chains, rules=rules)
        case ChainOp(chain=chain):
            if chain.name in table.chains:
                return table
            return replace(table, chains={**table.chains, chain.name: replace(chain, handle=_handle(table))})
        case SetOp(verb=Verb.DELETE, set=row):
            if row.name not in table.sets:
                raise ApplyError(f"no set {row.name} in table {table.key}")
            return replace(table, sets={name: kept for name, kept in table.sets.items() if name != row.name})
        case SetOp(set=row):
            if row.name in table.sets:
                return table
            return replace(table, sets={**table.sets, row.name: replace(row, handle=_handle(table))})
        case ElementOp():
            return replace(table, sets={**table.sets, operation.set: _elements(table, operation)})
        case RuleOp():
            return replace(table, rules={**table.rules, operation.chain: _rules(table, operation)})


def _handle(table: Table) -> int:
    """Next free handle; the kernel counts them per table over chains, sets and rules together."""
    handles = [row.handle for row in table.chains.values()]
    handles += [row.handle for row in table.sets.values()]
    handles += [rule.handle for rules in table.rules.values() for rule in rules]
    return max(handles, default=0) + 1


def _elements(table: Table, operation: ElementOp) -> Set:
    if operation.set not in table.sets:
        raise ApplyError(f"no set {operation.set} in table {table.key}")
    row = table.sets[operation.set]
    if row.elements is None:
        return row
    if operation.verb is Verb.DELETE:
        for element in operation.elements:
            if element not in row.elements:
                raise ApplyError(f"no such element in set {row.name} of table {table.key}")
        return replace(row, elements=tuple(one for one in row.elements if one not in operation.elements))
    return replace(
        row, elements=(*row.elements, *(one for one in operation.elements if one not in row.elements))
    )


def _rules(table: Table, operation: RuleOp) -> tuple[Rule, ...]:
    if operation.chain not in table.chains:
        raise ApplyError(f"no chain {operation.chain} in table {table.key}")
    rules = table.rules_of(operation.chain)
    at = next((n for n, rule in enumerate(rules) if rule.handle == operation.handle), None)
    if operation.handle is not None and at is None:
        raise ApplyError(
            f"no rule with handle {operation.handle} in chain {operation.chain} of table {table.key}"
        )
    if operation.verb is Verb.DELETE:
        return tuple(rule for rule in rules if rule.handle != operation.handle)
    new = Rule(chain=operation.chain, handle=_handle(table), expr=operation.expr, comment=operation.comment)
    if operation.verb is Verb.INSERT:
        place = at or 0
        return (*rules[:place], new, *rules[place:])
    place = len(rules) if at is None else at + 1
    return (*rules[:place], new, *rules[place:])
