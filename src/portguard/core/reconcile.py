"""The daemon's mind: events in, commands out.

``step(state, event)`` returns the next state and the commands that the shell has to carry out. It reads no clock and
writes nothing; every event says when it happened. The shell is ``daemon/loop.py``.

A change in the own table is mended at once (one read of one table, one transaction); a change in anybody else's waits for
``settle``, because other firewalls come in several transactions. Either way the world is looked at again afterwards, and
only what that look shows is called healed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from portguard.core import compare, guests, heal, lifecycle
from portguard.core.drift import describe, mendable, rule_keys
from portguard.core.judge import judge
from portguard.core.lifecycle import Alert, AlertState, Book
from portguard.core.limits import Limiter
from portguard.core.render import OWN_TABLE, own_table
from portguard.model.finding import Finding, Kind, Severity
from portguard.model.judgement import Judgement, PathState
from portguard.model.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from portguard.model.judgement import ServiceVerdict
    from portguard.model.policy import Policy
    from portguard.model.ruleset import Actor, RulesetChange, Table
    from portguard.model.snapshot import Snapshot

REMEMBERED = 50
"""Heals that the status shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When something happened, on both clocks."""

    monotonic: float
    when: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Heal:
    """One transaction on its way to the kernel, and what it is for."""

    transaction: Transaction
    keys: frozenset[str]
    flows: tuple[str, ...]
    """Flows whose path has to be open afterwards."""
    what: str
    """What was wrong, for people: ``3 rules of inet portguard were removed``."""
    kind: Kind | None
    """``rule_removed`` or ``rule_altered``; None for what was not there before (first start, a new foreign chain)."""
    actor: Actor | None
    began: float
    """Monotonic time at which the kernel announced the change."""
    evidence: tuple[str, ...] = ()
    counts: bool = True
    """Whether it counts towards the limit: making the table at the first start is no fight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealRecord:
    """A heal that was done and verified, for the status."""

    when: datetime
    flow: str
    what: str
    took_ms: float
    actor: Actor | None


# --- events ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLoaded:
    """A valid configuration was resolved."""

    at: Moment
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTableSeen:
    """The own table was read because something changed it."""

    at: Moment
    table: Table | None
    change: RulesetChange


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldSeen:
    """Everything was looked at."""

    at: Moment
    snapshot: Snapshot
    sensitive: Mapping[int, str]
    quiet: float
    """Seconds since somebody last changed the ruleset."""
    change: RulesetChange | None = None
    """The last change that somebody else made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealDone:
    """The kernel took a transaction."""

    at: Moment
    heal: Heal


@dataclass(frozen=True, slots=True, kw_only=True)
class HealRefused:
    """The kernel refused a transaction; nothing of it was applied."""

    at: Moment
    heal: Heal
    message: str


Event = PolicyLoaded | OwnTableSeen | WorldSeen | HealDone | HealRefused

# --- commands --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Commit this transaction, and answer with HealDone or HealRefused."""

    heal: Heal


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Send these alerts."""

    alerts: tuple[Alert, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Look at the world again, after so many seconds at the latest."""

    after: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Write the status."""


Command = Run | Tell | Look | Publish


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that the daemon remembers from one event to the next."""

    policy: Policy | None = None
    desired: Table | None = None
    """The own table as it must be; None while nothing may be written."""
    own_known: bool = False
    """The table of our name is ours: seen with our marks, or made by us."""
    usurped: bool = False
    """A table of our name was made by somebody else."""
    limiter: Limiter = Limiter()
    book: Book = Book()
    judgement: Judgement | None = None
    unverified: tuple[tuple[Heal, float], ...] = ()
    """Heals that the kernel took, with the milliseconds from announcement to commit, until the next look."""
    tried: frozenset[str] = frozenset()
    """Flows that were healed and have not been seen open since."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why the kernel refused, by key."""
    records: tuple[HealRecord, ...] = ()


def step(state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    """Take one event."""
    match event:
        case PolicyLoaded():
            return _policy_loaded(state, event.policy)
        case OwnTableSeen():
            return _own_table(state, event)
        case WorldSeen():
            return _world_seen(state, event)
        case HealDone(heal=done, at=at):
            limits = _limits(state)
            took_ms = (at.monotonic - done.began) * 1000.0
            state = replace(
                state,
                own_known=state.own_known or any(op.table == OWN_TABLE for op in done.transaction.operations),
                limiter=state.limiter.healed(done.keys, done.actor, limits.limits, at.monotonic)
                if done.counts
                else state.limiter,
                unverified=(*state.unverified, (done, took_ms)),
                refused={key: why for key, why in state.refused.items() if key not in done.keys},
            )
            return state, (Look(),)
        case HealRefused(heal=done, at=at):
            # A refusal counts as a heal: a kernel that keeps saying no is not asked in a hot loop.
            limits = _limits(state)
            state = replace(
                state,
                limiter=state.limiter.healed(done.keys, done.actor, limits.limits, at.monotonic),
                refused={**state.refused, **dict.fromkeys(done.keys, event.message)},
            )
            return state, (Look(after=1.0),)


def _limits(state: State) -> Policy:
    assert state.policy is not None, "nothing is healed before there is a policy"
    return state.policy


def _policy_loaded(state: State, policy: Policy) -> tuple[State, tuple[Command, ...]]:
    desired = own_table(policy) if policy.mode.writes else None
    return replace(state, policy=policy, desired=desired), (Look(),)


def _own_table(state: State, event: OwnTableSeen) -> tuple[State, tuple[Command, ...]]:
    """Mend the own table at once; the look that follows proves it."""
    state, commands = _mend(
        state, event.table, event.change.actor, event.change.received, event.at, announced=True
    )
    return state, (*commands, Look())


def _mend(
    state: State, table: Table | None, actor: Actor | None, began: float, at: Moment, *, announced: bool
) -> tuple[State, tuple[Command, ...]]:
    policy, desired = state.policy, state.desired
    if policy is None or desired is None:
        return state, ()
    if table is not None and not state.own_known and not compare.made_by_portguard(table):
        return replace(state, usurped=True), ()
    state = replace(state, usurped=False, own_known=state.own_known or table is not None)
    drift = compare.compare(desired, table)
    if not drift:
        return state, ()
    first = not state.own_known and table is None
    limiter, admission = state.limiter.admit(
        rule_keys(drift), None if first else actor, policy.limits, at.monotonic
    )
    state = replace(state, limiter=limiter)
    if admission.wait:
        return state, (Look(after=admission.wait),)
    drift = mendable(drift, admission.allowed)
    if not drift:
        return state, ()
    kind = Kind.RULE_ALTERED if drift.altered else Kind.RULE_REMOVED
    what, evidence = describe(drift, desired)
    order = Heal(
        transaction=heal.mend(desired, drift),
        keys=rule_keys(drift),
        flows=tuple(sorted({service.flow for service in policy.inbound})) if drift.lost else (),
        what=f"table {OWN_TABLE} was made" if first else what,
        kind=None if first else kind,
        actor=None if first else actor,
        began=began,
        evidence=evidence,
        counts=not first,
    )
    commands: list[Command] = [Run(heal=order)]
    if order.kind is not None:
        commands.append(Tell(alerts=(_drift_alert(order, at, announced=announced),)))
    return state, tuple(commands)


def _world_seen(state: State, event: WorldSeen) -> tuple[State, tuple[Command, ...]]:
    policy, at = state.policy, event.at
    if policy is None:
        return state, (Publish(),)
    commands: list[Command] = []
    ruleset = event.snapshot.ruleset
    actor = event.change.actor if event.change is not None else None
    began = event.change.received if event.change is not None else at.monotonic
    if ruleset is not None and OWN_TABLE not in ruleset.unreadable:
        state, mending = _mend(state, ruleset.tables.get(OWN_TABLE), actor, began, at, announced=False)
        commands += mending

    judgement = judge(policy, event.snapshot, event.sensitive)
    state, healed = _verify(state, judgement, at)
    state = replace(state, judgement=judgement, limiter=state.limiter.rested(policy.limits, at.monotonic))
    findings = (*judgement.findings, *_own_findings(state, judgement))
    book, alerts, due = lifecycle.advance(state.book, findings, _grace(policy), at.monotonic, at.when)
    state = replace(state, book=book)
    if healed or alerts:
        commands.append(Tell(alerts=(*healed, *alerts)))

    if policy.mode.writes and ruleset is not None and not state.usurped:
        state, opening = _open_guests(state, event, began)
        commands += opening
    wake = [moment for moment in (due, state.limiter.next_retry(at.monotonic)) if moment is not None]
    if wake:
        commands.append(Look(after=max(min(wake) - at.monotonic, 0.0)))
    commands.append(Publish())
    return state, tuple(commands)


def _open_guests(state: State, event: WorldSeen, began: float) -> tuple[State, tuple[Command, ...]]:
    """Open what foreign chains shut by default, once their writer has come to rest."""
    policy, snapshot, now = state.policy, event.snapshot, event.at.monotonic
    assert policy is not None
    assert snapshot.ruleset is not None
    plan = guests.plan(
        policy,
        snapshot.ruleset,
        snapshot.links,
        snapshot.listeners,
        # Of a rule that ran into its limit just now, admit() below has to hear, to suspend it.
        frozenset(
            key for key, row in state.limiter.rules.items() if row.retry_at is not None and now < row.retry_at
        ),
    )
    if not plan.heals:
        return state, ()
    if event.quiet < policy.limits.settle:
        return state, (Look(after=policy.limits.settle - event.quiet),)
    actor = event.change.actor if event.change is not None else None
    limiter, admission = state.limiter.admit({row.key for row in plan.heals}, actor, policy.limits, now)
    state = replace(state, limiter=limiter)
    if admission.wait:
        return state, (Look(after=admission.wait),)
    rows = [row for row in plan.heals if row.key in admission.allowed]
    if not rows:
        return state, ()
    flows = tuple(sorted({row.flow for row in rows if not row.removes}))
    places = sorted({f"{row.operation.table}" for row in rows})
    what = f"{len(flows)} documented flows were shut by {', '.join(places)}"
    if not flows:
        what = f"{len(rows)} left-over or altered marked rules stood in {', '.join(places)}"
    order = Heal(
        transaction=Transaction(operations=tuple(row.operation for row in rows)),
        keys=frozenset(row.key for row in rows),
        flows=flows,
        what=what,
        kind=Kind.RULE_ALTERED if any(row.removes for row in rows) else None,
        actor=actor,
        began=began,
        evidence=tuple(str(row.operation) for row in rows[:20]),
    )
    return state, (Run(heal=order),)


def _verify(state: State, judgement: Judgement, at: Moment) -> tuple[State, tuple[Alert, ...]]:
    """Hold the heals that the kernel took against what the paths say now."""
    shut = {row.service.flow for row in judgement.services if _shut(row)}
    alerts = []
    records = list(state.records)
    tried = set(state.tried)
    for done, took_ms in state.unverified:
        tried |= set(done.flows)
        still = sorted(shut & set(done.flows))
        flow = done.flows[0] if len(done.flows) == 1 else ""
        records.append(HealRecord(when=at.when, flow=flow, what=done.what, took_ms=took_ms, actor=done.actor))
        tail = f"; still shut: {', '.join(still)}" if still else ""
        alerts.append(
            Alert(
                finding=Finding(
                    kind=Kind.RULE_HEALED,
                    severity=Severity.NOTICE,
                    message=f"{done.what}; put right in {took_ms:.1f} ms{tail}",
                    subject=" ".join(sorted(done.keys)) or done.what,
                    flow=flow or None,
                    evidence={
                        "took_ms": round(took_ms, 3),
                        "actor": done.actor,
                        "rules": list(done.evidence),
                    },
                ),
                state=AlertState.RESOLVED,
                since=at.when,
            )
        )
    state = replace(
        state,
        unverified=(),
        tried=frozenset(tried & shut),
        records=tuple(records[-REMEMBERED:]),
    )
    return state, tuple(alerts)


def _shut(row: ServiceVerdict) -> bool:
    return row.path in (PathState.BLOCKED, PathState.PARTIAL) and row.by is not None


def _own_findings(state: State, judgement: Judgement) -> Iterator[Finding]:
    """Findings about portguard's own work."""
    if state.usurped:
        yield Finding(
            kind=Kind.HEAL_FAILED,
            severity=Severity.CRITICAL,
            message=f"table {OWN_TABLE} was made by somebody else: nothing is written until it is renamed or deleted",
            subject=f"table {OWN_TABLE}",
        )
    for key, why in sorted(state.refused.items()):
        yield Finding(
            kind=Kind.HEAL_FAILED,
            severity=Severity.CRITICAL,
            message=f"the kernel refused to heal {key}: {why}",
            subject=key,
            evidence={"reason": why},
        )
    for key, row in sorted(state.limiter.fights().items()):
        yield Finding(
            kind=Kind.HEAL_SUSPENDED,
            severity=Severity.CRITICAL,
            message=f"{row.actor or 'somebody'} keeps undoing {key}: healed {len(row.heals)} times, now trying less often",
            subject=key,
            evidence={"actor": row.actor, "heals": len(row.heals)},
        )
    for verdict in judgement.services:
        if verdict.service.flow in state.tried and _shut(verdict) and verdict.by is not None:
            yield Finding(
                kind=Kind.HEAL_INEFFECTIVE,
                severity=Severity.CRITICAL,
                message=f"{verdict.service.flow} is still shut for {verdict.service.zone} after a heal, by {verdict.by}",
                transport=verdict.service.transport,
                port=verdict.service.ports.first if verdict.service.ports else None,
                flow=verdict.service.flow,
                zone=verdict.service.zone,
                evidence={"table": str(verdict.by.table), "chain": verdict.by.chain, "text": verdict.by.text},
            )


def _grace(policy: Policy) -> Mapping[Kind, float]:
    """Say how long each kind has to hold before people are told."""
    return {
        Kind.LISTENER_MISSING: policy.listener_grace,
        Kind.LISTENER_LOOPBACK_ONLY: policy.listener_grace,
        Kind.LISTENER_UNEXPECTED: 1.0,
        # What the next transaction opens again is told as a heal, not as an outage of every single port.
        Kind.REQUIRED_PORT_BLOCKED: policy.limits.settle + 1.0 if policy.mode.writes else 0.0,
        Kind.FLOW_WIDER: 1.0,
    }


def _drift_alert(order: Heal, at: Moment, *, announced: bool) -> Alert:
    assert order.kind is not None
    who = f" by {order.actor}" if order.actor is not None else "" if announced else ", unannounced"
    return Alert(
        finding=Finding(
            kind=order.kind,
            severity=Severity.WARNING,
            message=f"{order.what}{who}",
            subject=" ".join(sorted(order.keys)),
            evidence={"actor": order.actor, "rules": list(order.evidence)},
        ),
        state=AlertState.FIRING,
        since=at.when,
    )
