"""What did not change between two readings of a table stays the same object, so that what is known of it stays known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portguard.model.ruleset import Json, Rule, Table


def continued(before: Table, now: Table) -> Table:
    """Give the table as it is now, made of the objects of an earlier reading wherever those say the same.

    What rules have counted is left out of the comparison: nothing is decided by it.
    """
    rules = {chain: _rules(before.rules_of(chain), found) for chain, found in now.rules.items()}
    sets = {
        name: old if (old := before.sets.get(name)) == found and old is not None else found
        for name, found in now.sets.items()
    }
    same = (
        rules.keys() == before.rules.keys()
        and all(rules[chain] is found for chain, found in before.rules.items())
        and sets.keys() == before.sets.keys()
        and all(sets[name] is found for name, found in before.sets.items())
    )
    if same and replace(now, rules=before.rules, sets=before.sets) == before:
        return before
    return replace(now, rules=rules, sets=sets)


def _rules(before: tuple[Rule, ...], now: tuple[Rule, ...]) -> tuple[Rule, ...]:
    by_handle = {rule.handle: rule for rule in before}
    out = tuple(
        old if (old := by_handle.get(rule.handle)) is not None and _same(old, rule) else rule for rule in now
    )
    alike = len(out) == len(before) and all(old is rule for old, rule in zip(before, out, strict=True))
    return before if alike else out


def _same(old: Rule, rule: Rule) -> bool:
    if old.chain != rule.chain or old.comment != rule.comment or len(old.expr) != len(rule.expr):
        return False
    return all(
        one == other or (_counts(one) and _counts(other))
        for one, other in zip(old.expr, rule.expr, strict=True)
    )


def _counts(statement: Json) -> bool:
    return isinstance(statement, dict) and len(statement) == 1 and isinstance(statement.get("counter"), dict)
