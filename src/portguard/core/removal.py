"""Take everything of portguard's out of a ruleset, and nothing else. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.core.compare import made_by_portguard
from portguard.core.guests import fillable
from portguard.core.manager import writable
from portguard.core.render import ALLOW_SETS, MARK, OWN_TABLE
from portguard.model.transaction import ElementOp, RuleOp, TableOp, Transaction, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.model.ruleset import Ruleset
    from portguard.model.transaction import Operation


def removal(ruleset: Ruleset) -> Transaction:
    """Delete the own table, marked rules in foreign chains, and the elements of the sets that portguard fills.

    What only bears a name of ours stays: a table without a single mark, a rule in a table that portguard never writes to.
    """
    return Transaction(operations=tuple(_operations(ruleset)))


def _operations(ruleset: Ruleset) -> Iterator[Operation]:
    for key, table in ruleset.tables.items():
        if key == OWN_TABLE:
            if made_by_portguard(table):
                yield TableOp(verb=Verb.DELETE, table=key)
            continue
        if not writable(table):
            continue
        for chain, rules in table.rules.items():
            for rule in rules:
                if rule.comment is not None and rule.comment.startswith(MARK):
                    yield RuleOp(verb=Verb.DELETE, table=key, chain=chain, handle=rule.handle)
        for version, name in ALLOW_SETS.items():
            row = table.sets.get(name)
            if row is not None and row.elements and fillable(row, version):
                yield ElementOp(verb=Verb.DELETE, table=key, set=name, elements=row.elements)
