"""Compare the own table that must be with the one that was seen: by content, never by comment or handle."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portguard.core import canonical
from portguard.core.render import ARMED, MARK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portguard.model.ruleset import Chain, Json, Rule, Set, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementDrift:
    """Elements of one set that differ."""

    missing: tuple[Json, ...] = ()
    unexpected: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How a table that portguard owns differs from what it should be. Empty means that it is right."""

    broken: str | None = None
    """What is wrong with its frame (table, chain or set), so that only a replacement mends it; None: nothing."""
    missing: tuple[Rule, ...] = ()
    """Desired rules whose body no rule of the chain has."""
    unexpected: tuple[Rule, ...] = ()
    """Rules, with their handles, whose body nothing desires: added by somebody, or altered."""
    elements: Mapping[str, ElementDrift] = field(default_factory=dict)
    """Differences by set."""
    lost: bool = False
    """The table itself is gone."""

    def __bool__(self) -> bool:
        return bool(self.broken or self.missing or self.unexpected or self.elements)

    @property
    def altered(self) -> bool:
        """Something is other than it should be, rather than only rules or the table gone."""
        return bool(self.unexpected or self.elements) or (self.broken is not None and not self.lost)


def compare(desired: Table, seen: Table | None) -> Drift:
    """Name every difference between the desired table and the one seen (None: it does not exist)."""
    every = tuple(rule for rules in desired.rules.values() for rule in rules)
    if seen is None:
        return Drift(broken=f"table {desired.key} is gone", missing=every, lost=True)
    broken = _frame(desired, seen)
    missing: list[Rule] = []
    unexpected: list[Rule] = []
    for chain in desired.chains:
        gone, extra = _rules(desired.rules_of(chain), seen.rules_of(chain))
        missing += gone
        unexpected += extra
    sets = {
        name: drift
        for name, wanted in desired.sets.items()
        if name in seen.sets
        # Elements that are None are nobody's to desire: an unconfirmed dead man, whose end is no drift.
        and wanted.elements is not None
        and (drift := _elements(wanted, seen.sets[name])) is not None
    }
    return Drift(broken=broken, missing=tuple(missing), unexpected=tuple(unexpected), elements=sets)


def _frame(desired: Table, seen: Table) -> str | None:
    """Find what adding and deleting rules cannot mend."""
    if "dormant" in seen.flags:
        return f"table {desired.key} is dormant"
    for name, chain in desired.chains.items():
        there = seen.chains.get(name)
        if there is None:
            return f"chain {name} is gone"
        if _hook(there) != _hook(chain):
            return f"chain {name} has another hook, priority or policy"
    for name in seen.chains.keys() - desired.chains.keys():
        return f"chain {name} is not portguard's"
    for name, wanted in desired.sets.items():
        found = seen.sets.get(name)
        if found is None:
            return f"set {name} is gone"
        if found.type != wanted.type or not set(wanted.flags) <= set(found.flags):
            return f"set {name} has another type"
        if found.elements is None:
            return f"set {name} could not be read"
    # A set that nothing refers to any more does no harm, but it is not what should be there.
    for name in seen.sets.keys() - desired.sets.keys():
        return f"set {name} is not portguard's"
    return None


def _hook(chain: Chain) -> tuple[object, ...]:
    return (chain.type, chain.hook, chain.priority, chain.policy)


def _rules(desired: tuple[Rule, ...], seen: tuple[Rule, ...]) -> tuple[list[Rule], list[Rule]]:
    """Match rules by body, each at most once: a second copy of a rule is unexpected."""
    left = Counter(canonical.rule_body(rule) for rule in desired)
    unexpected = []
    for rule in seen:
        body = canonical.rule_body(rule)
        if left[body]:
            left[body] -= 1
        else:
            unexpected.append(rule)
    missing = [rule for rule in desired if left[canonical.rule_body(rule)] > 0]
    return missing, unexpected


def _elements(desired: Set, seen: Set) -> ElementDrift | None:
    wanted = {canonical.element(row): row for row in desired.elements or ()}
    found = {canonical.element(row): row for row in seen.elements or ()}
    missing = tuple(row for name, row in wanted.items() if name not in found)
    unexpected = tuple(row for name, row in found.items() if name not in wanted)
    return ElementDrift(missing=missing, unexpected=unexpected) if missing or unexpected else None


def made_by_portguard(table: Table) -> bool:
    """Say whether a table of our name is ours: empty, or it bears at least one of our marks.

    This is how a restarted daemon without memory knows its own table. One rule with our mark is enough, because somebody
    may have deleted the others; a table with content and no mark at all was made by somebody else, and is never touched.
    """
    rules = [rule for rows in table.rules.values() for rule in rows]
    if not rules:
        return all(name == ARMED or name.endswith(("_4", "_6")) for name in table.sets)
    return any(rule.comment is not None and rule.comment.startswith(MARK) for rule in rules)
