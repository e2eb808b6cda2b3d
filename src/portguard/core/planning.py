"""Everything that would be written now, as one transaction: what ``portguard plan`` shows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from portguard.core import guests
from portguard.core.compare import compare, made_by_portguard
from portguard.core.heal import mend
from portguard.core.render import OWN_TABLE, own_table
from portguard.model.apply import apply
from portguard.model.transaction import Transaction

if TYPE_CHECKING:
    from portguard.model.policy import Policy
    from portguard.model.ruleset import Ruleset
    from portguard.model.snapshot import Snapshot


def plan(policy: Policy, snapshot: Snapshot) -> tuple[Transaction, Ruleset]:
    """Give the transaction and the ruleset that it would lead to. Nothing is written in ``observe``."""
    assert snapshot.ruleset is not None, "what could not be read is not planned for"
    ruleset = snapshot.ruleset
    if not policy.mode.writes:
        return Transaction(), ruleset
    seen = ruleset.tables.get(OWN_TABLE)
    if seen is not None and not made_by_portguard(seen):
        return Transaction(), ruleset
    desired = own_table(policy)
    own = mend(desired, compare(desired, seen))
    ruleset = apply(ruleset, own)
    foreign = guests.plan(policy, replace(snapshot, ruleset=ruleset))
    after = foreign.after if foreign.after is not None else ruleset
    return Transaction(operations=(*own.operations, *foreign.transaction.operations)), after
