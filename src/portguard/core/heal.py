"""Work out the transaction that brings the own table back: the smallest one that does, or its replacement."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.core.compare import Drift
    from portguard.model.ruleset import Rule, Table


def mend(desired: Table, drift: Drift) -> Transaction:
    """Build the transaction that heals a drift; empty when there is none.

    Only what differs is written, so that counters survive. A broken frame is replaced as a whole: packets see the old
    table or the new one, never none. ``destroy`` would be shorter, and nft 1.0.6 does not know it.
    """
    if not drift:
        return Transaction()
    if drift.broken is not None:
        return replacement(desired, exists=not drift.lost)
    operations: list[Operation] = []
    key = desired.key
    for name, elements in sorted(drift.elements.items()):
        # First out, then in: a set refuses an interval that overlaps one it still holds.
        if elements.unexpected:
            operations.append(ElementOp(verb=Verb.DELETE, table=key, set=name, elements=elements.unexpected))
        if elements.missing:
            operations.append(ElementOp(verb=Verb.ADD, table=key, set=name, elements=elements.missing))
    operations += (
        RuleOp(verb=Verb.DELETE, table=key, chain=rule.chain, handle=rule.handle) for rule in drift.unexpected
    )
    operations += (_add(key_rule, desired) for key_rule in drift.missing)
    return Transaction(operations=tuple(operations))


def replacement(desired: Table, *, exists: bool) -> Transaction:
    """Make the table anew in one transaction, whatever it holds now."""
    return Transaction(operations=tuple(_replacement(desired, exists=exists)))


def removal(table: Table) -> Transaction:
    """Delete the table."""
    return Transaction(operations=(TableOp(verb=Verb.DELETE, table=table.key),))


def _replacement(desired: Table, *, exists: bool) -> Iterator[Operation]:
    key = desired.key
    if exists:
        yield TableOp(verb=Verb.DELETE, table=key)
    yield TableOp(verb=Verb.ADD, table=key)
    for row in desired.sets.values():
        yield SetOp(verb=Verb.ADD, table=key, set=row)
    for chain in desired.chains.values():
        yield ChainOp(verb=Verb.ADD, table=key, chain=chain)
    for rules in desired.rules.values():
        for rule in rules:
            yield _add(rule, desired)


def _add(rule: Rule, table: Table) -> RuleOp:
    return RuleOp(verb=Verb.ADD, table=table.key, chain=rule.chain, expr=rule.expr, comment=rule.comment)
