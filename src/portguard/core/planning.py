"""Everything that would be written now, as one transaction: what ``portguard plan`` shows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from portguard.core import contain, guests
from portguard.core.closing import PROTOCOLS, armed_for, with_closing
from portguard.core.compare import compare, made_by_portguard
from portguard.core.heal import mend
from portguard.core.render import OWN_TABLE, own_table
from portguard.model.apply import apply
from portguard.model.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portguard.model.exposure import Exposure
    from portguard.model.policy import Policy
    from portguard.model.ruleset import Ruleset, Table
    from portguard.model.snapshot import Snapshot


def plan(
    policy: Policy, snapshot: Snapshot, sensitive: Mapping[int, Exposure] | None = None
) -> tuple[Transaction, Ruleset]:
    """Give the transaction and the ruleset that it would lead to. Nothing is written in ``observe``.

    In a mode that closes, what is closed is shown as it is once it has been confirmed; the daemon arms it with a timeout
    first.
    """
    assert snapshot.ruleset is not None, "what could not be read is not planned for"
    ruleset = snapshot.ruleset
    if not policy.mode.writes:
        return Transaction(), ruleset
    seen = ruleset.tables.get(OWN_TABLE)
    if seen is not None and not made_by_portguard(seen):
        return Transaction(), ruleset
    desired = own_table(policy)
    if policy.mode.closes:
        closing = contain.work_out(policy, snapshot, sensitive or {})
        desired = with_closing(desired, policy, closing, None if _runs(seen) else PROTOCOLS)
    own = mend(desired, compare(desired, seen))
    ruleset = apply(ruleset, own)
    foreign = guests.plan(policy, replace(snapshot, ruleset=ruleset))
    after = foreign.after if foreign.after is not None else ruleset
    return Transaction(operations=(*own.operations, *foreign.transaction.operations)), after


def _runs(seen: Table | None) -> bool:
    """Whether the dead man of the table runs unconfirmed: then only a confirmation changes it."""
    left = armed_for(seen)
    return left is not None and math.isfinite(left)
