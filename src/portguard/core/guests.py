"""Heal in somebody else's chain: marked rules exactly where a default drop shuts a documented port.

An accept in portguard's own table opens nothing that another base chain drops, so the rule has to stand in the chain
that drops. It goes right before the rule that decides (or at the end of the chain, where the policy does), never at the
head: whatever the administrator drops earlier and on purpose, a ban or a deny, keeps its effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from portguard.core import canonical
from portguard.core.manager import writable
from portguard.core.reach import Reach
from portguard.core.render import ALLOW_SETS, MARK, OWN_TABLE, allow_elements, guest_rules
from portguard.model.apply import apply
from portguard.model.net import Transport
from portguard.model.path import Branch, Outcome
from portguard.model.policy import Direction, Manager, opened_to
from portguard.model.transaction import ElementOp, Operation, RuleOp, Transaction, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from portguard.model.policy import Policy, Service
    from portguard.model.ruleset import Rule, RuleRef, Ruleset, Set, Table, TableKey
    from portguard.model.snapshot import Snapshot

_ROUNDS = 8
"""Base chains that may each drop the same port, one opened per round; more than that is not a firewall to fix blindly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestHeal:
    """One operation in a foreign table, with what it is for."""

    key: str
    """Names the rule for the heal history: table, chain and flow."""
    flow: str
    operation: Operation
    removes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestPlan:
    """What has to be written into foreign tables, and what cannot be."""

    heals: tuple[GuestHeal, ...] = ()
    after: Ruleset | None = None
    """The ruleset as it would be, for judging the plan before it is run; None after a single round."""

    @property
    def transaction(self) -> Transaction:
        """All heals as one transaction."""
        return Transaction(operations=tuple(heal.operation for heal in self.heals))


def plan(
    policy: Policy,
    snapshot: Snapshot,
    suspended: frozenset[str] = frozenset(),
    *,
    reach: Reach | None = None,
    rounds: int = _ROUNDS,
) -> GuestPlan:
    """Work out the marked rules and set elements that are missing or left over in foreign tables.

    ``suspended`` names heals that are not to be tried now because another writer keeps undoing them; ``reach`` is over the
    same snapshot, where somebody has asked it already. The ruleset of the snapshot must have been read.
    """
    world = snapshot.ruleset
    assert world is not None, "what could not be read is not planned for"
    if policy.manager not in (None, Manager.NFTABLES):
        # The administrator says whose firewall it is: nothing is put into anybody's chains behind its back.
        return GuestPlan(after=world)
    heals: list[GuestHeal] = []
    for batch in (_left_over(policy, world), _allow_sets(policy, world, suspended)):
        if rows := list(batch):
            world, reach = _after(world, rows), None
            heals += rows
    for _ in range(rounds):
        reach = reach or Reach(world, snapshot.links, snapshot.listeners)
        rows = list(_openings(policy, world, reach, suspended))
        if not rows:
            break
        heals += rows
        if rounds == 1:
            # Whoever asks for one round looks again after it: what the ruleset would be like is for the kernel to say.
            return GuestPlan(heals=tuple(heals))
        world, reach = _after(world, rows), None
    return GuestPlan(heals=tuple(heals), after=world)


def _after(ruleset: Ruleset, rows: Sequence[GuestHeal]) -> Ruleset:
    return apply(ruleset, Transaction(operations=tuple(row.operation for row in rows)))


Shape: TypeAlias = "Mapping[TableKey, tuple[object, ...]]"
"""What other people's tables look like, told by their handles: cheap to take and to compare."""


def shape(ruleset: Ruleset) -> Shape:
    """Take the shape of all foreign tables without our marked rules.

    A replaced rule gets a new handle, and so does a table that was made anew: what somebody else changed shows, and a
    marked rule that was deleted does not.
    """
    return {
        key: (
            table.handle,
            *((name, chain.priority, chain.policy) for name, chain in table.chains.items()),
            *(rule.handle for rules in table.rules.values() for rule in rules if not _marked(rule)),
        )
        for key, table in ruleset.tables.items()
        if key != OWN_TABLE
    }


def _services(policy: Policy) -> Iterator[Service]:
    for service in policy.services:
        portless = service.ports is None and service.transport is not Transport.ICMP
        if service.direction is Direction.INBOUND and not portless and opened_to(service):
            yield service


def _foreign(ruleset: Ruleset) -> Iterator[Table]:
    return (table for key, table in ruleset.tables.items() if key != OWN_TABLE and writable(table))


def _marked(rule: Rule) -> bool:
    return rule.comment is not None and rule.comment.startswith(MARK)


def _left_over(policy: Policy, ruleset: Ruleset) -> Iterator[GuestHeal]:
    """Find marked rules that no service asks for any more, or that somebody altered under our mark."""
    for table in _foreign(ruleset):
        wanted = {
            canonical.rule_body(rule)
            for service in _services(policy)
            for rule in guest_rules(service, "", table.key.family)
        }
        for chain, rules in table.rules.items():
            for rule in rules:
                if _marked(rule) and canonical.rule_body(rule) not in wanted:
                    flow = (rule.comment or "").removeprefix(MARK)
                    yield GuestHeal(
                        key=f"{table.key} {chain} {flow}",
                        flow=flow,
                        operation=RuleOp(verb=Verb.DELETE, table=table.key, chain=chain, handle=rule.handle),
                        removes=True,
                    )


def _allow_sets(policy: Policy, ruleset: Ruleset, suspended: frozenset[str]) -> Iterator[GuestHeal]:
    """Fill ``portguard_allow4`` and ``portguard_allow6`` where an administrator made them and a rule refers to them."""
    for table in _foreign(ruleset):
        for version, name in ALLOW_SETS.items():
            row = table.sets.get(name)
            if (
                row is None
                or row.elements is None
                or not fillable(row, version)
                or not _referred(table, name)
            ):
                continue
            wanted = {canonical.element(one): one for one in allow_elements(_services(policy), version)}
            found = {canonical.element(one): one for one in row.elements}
            key = f"{table.key} @{name}"
            if key in suspended:
                continue
            # Out before in: an interval set refuses an element that overlaps one it still holds.
            for verb, elements in (
                (Verb.DELETE, tuple(one for text, one in found.items() if text not in wanted)),
                (Verb.ADD, tuple(one for text, one in wanted.items() if text not in found)),
            ):
                if elements:
                    yield GuestHeal(
                        key=key,
                        flow=f"@{name}",
                        operation=ElementOp(verb=verb, table=table.key, set=name, elements=elements),
                        removes=verb is Verb.DELETE,
                    )


def fillable(row: Set, version: int) -> bool:
    """Say whether a set has the promised shape: address . protocol . port, with intervals."""
    address = "ipv4_addr" if version == 4 else "ipv6_addr"
    return row.map is None and row.type == (address, "inet_proto", "inet_service") and "interval" in row.flags


def _referred(table: Table, name: str) -> bool:
    return any(f'"@{name}"' in canonical.rule_body(rule) for rules in table.rules.values() for rule in rules)


def _openings(
    policy: Policy, ruleset: Ruleset, reach: Reach, suspended: frozenset[str]
) -> Iterator[GuestHeal]:
    """Find the next rule that each blocked service needs; several services of one round never share a body."""
    places = {table.key for table in _foreign(ruleset)}
    ours = _Ours(ruleset)
    seen: set[tuple[str, str]] = set()
    for service in _services(policy):
        for report in reach.ports(service.transport, service.ports):
            for branch in report.within(opened_to(service)).branches:
                if not _shut_by_default(branch) or branch.by is None or branch.by.table not in places:
                    continue
                for heal, body in _opening(service, branch, branch.by, ours):
                    # Two flows may document the same port for the same networks: one rule serves both.
                    place = (str(branch.by), body)
                    if heal.key not in suspended and place not in seen:
                        seen.add(place)
                        yield heal


class _Ours:
    """Bodies of the marked rules of each chain, spelled once."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._bodies: dict[tuple[TableKey, str], set[str]] = {}

    def bodies(self, table: TableKey, chain: str) -> set[str]:
        """Give those of one chain."""
        place = (table, chain)
        if place not in self._bodies:
            rules = self._ruleset.tables[table].rules_of(chain)
            self._bodies[place] = {canonical.rule_body(rule) for rule in rules if _marked(rule)}
        return self._bodies[place]


def _shut_by_default(branch: Branch) -> bool:
    return branch.outcome in (Outcome.DROPPED, Outcome.REFUSED) and branch.general


def _opening(service: Service, branch: Branch, by: RuleRef, ours: _Ours) -> Iterator[tuple[GuestHeal, str]]:
    versions = [version for version in (4, 6) if branch.sources.version(version)]
    for rule in guest_rules(service, by.chain, by.table.family, versions):
        body = canonical.rule_body(rule)
        if body in ours.bodies(by.table, by.chain):
            # We put it there already and it does not help: something before it decides. Never insert it again and again.
            continue
        operation = RuleOp(
            verb=Verb.ADD if by.handle is None else Verb.INSERT,
            table=by.table,
            chain=by.chain,
            expr=rule.expr,
            comment=rule.comment,
            handle=by.handle,
        )
        key = f"{by.table} {by.chain} {service.flow}"
        yield GuestHeal(key=key, flow=service.flow, operation=operation), body
