"""Words and keys for a drift of the own table: what the heal history counts, and what people read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from portguard.core.render import MARK, OWN_TABLE
from portguard.model.nft_text import statements_text

if TYPE_CHECKING:
    from portguard.core.compare import Drift
    from portguard.model.policy import Policy
    from portguard.model.ruleset import Rule, Table


def frame_key() -> str:
    """Key of the table as a whole: what is counted when it is deleted, not each of its rules."""
    return f"table {OWN_TABLE}"


def rule_key(rule: Rule) -> str:
    """Key of one rule of the own table. The comment names it; a rule without our mark is named by its text."""
    return f"{OWN_TABLE} {rule.chain} {_name(rule)}"


def _name(rule: Rule) -> str:
    return rule.comment.removeprefix(MARK) if rule.comment else statements_text(rule.expr)


def rule_keys(drift: Drift) -> frozenset[str]:
    """Keys of everything that this drift would heal."""
    if drift.broken is not None:
        return frozenset({frame_key()})
    rules = (*drift.missing, *drift.unexpected)
    return frozenset([*map(rule_key, rules), *(f"{OWN_TABLE} @{name}" for name in drift.elements)])


def concerned(drift: Drift, policy: Policy) -> tuple[str, ...]:
    """Flows whose rules are missing: their paths have to be open once it is healed."""
    names = {_name(rule) for rule in drift.missing}
    return tuple(sorted({service.flow for service in policy.inbound if service.flow in names}))


def mendable(drift: Drift, allowed: frozenset[str]) -> Drift:
    """Narrow a drift to what may be healed now."""
    if drift.broken is not None:
        return drift if frame_key() in allowed else type(drift)()
    return replace(
        drift,
        missing=tuple(rule for rule in drift.missing if rule_key(rule) in allowed),
        unexpected=tuple(rule for rule in drift.unexpected if rule_key(rule) in allowed),
        elements={name: row for name, row in drift.elements.items() if f"{OWN_TABLE} @{name}" in allowed},
    )


def describe(drift: Drift, desired: Table) -> tuple[str, tuple[str, ...]]:
    """Say what was wrong in one clause, with the rules concerned as nft text (20 at most)."""
    rows = [*(("-", rule) for rule in drift.missing), *(("+", rule) for rule in drift.unexpected)]
    evidence = tuple(f"{sign} {statements_text(rule.expr)}" for sign, rule in rows[:20])
    if drift.lost:
        return f"table {desired.key} was removed, with {_count(len(drift.missing), 'rule')}", evidence
    if drift.broken is not None:
        return f"table {desired.key} was altered: {drift.broken}", evidence
    names = sorted({_name(rule) for rule in (*drift.missing, *drift.unexpected)})
    if drift.missing and drift.unexpected:
        verb = "altered"
    elif drift.unexpected:
        verb = "added"
    else:
        verb = "removed"
    if not names:
        return (
            f"elements of {', '.join(f'@{name}' for name in drift.elements)} in {desired.key} were altered",
            evidence,
        )
    what = f"rule {names[0]}" if len(names) == 1 else f"{len(names)} rules"
    plural = "was" if len(names) == 1 else "were"
    return f"{what} of {desired.key} {plural} {verb}", evidence


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
