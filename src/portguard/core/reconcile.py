"""The daemon's mind: events in, commands out.

``step(state, event)`` returns the next state and the commands that the shell has to carry out. It reads no clock and
writes nothing; every event says when it happened. The shell is ``daemon/loop.py``.

A change in the own table is mended at once (one read of one table, one transaction); a change in anybody else's waits for
``settle``, because other firewalls come in several transactions. Either way the world is looked at again afterwards, and
only what that look shows is called healed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from portguard.core import compare, deadman, guests, heal, lifecycle, orders, outcome
from portguard.core.drift import concerned, describe, mendable, rule_keys
from portguard.core.exchange import (
    Command,
    Event,
    Heal,
    HealDone,
    HealRefused,
    Look,
    Moment,
    OwnTableSeen,
    PolicyLoaded,
    Publish,
    Purpose,
    Run,
    State,
    Tell,
    WorldSeen,
)
from portguard.core.judge import judge
from portguard.core.lifecycle import Alert, AlertState
from portguard.core.reach import Reach
from portguard.core.render import OWN_TABLE
from portguard.model.finding import Finding, Kind, Severity
from portguard.model.transaction import Transaction

if TYPE_CHECKING:
    from portguard.model.policy import Policy
    from portguard.model.ruleset import Actor, RulesetChange, Table
    from portguard.model.snapshot import Snapshot


def step(state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    """Take one event."""
    match event:
        case PolicyLoaded():
            return deadman.configured(state, event.policy, event.at)
        case OwnTableSeen():
            return _own_table(state, event)
        case WorldSeen():
            return _world_seen(state, event)
        case HealDone(heal=done) if done.purpose is not Purpose.MEND:
            return deadman.done(state, event)
        case HealRefused(heal=done) if done.purpose is not Purpose.MEND:
            return deadman.refused(state, event)
        case HealDone(heal=done, at=at):
            limits = _limits(state)
            took_ms = (at.monotonic - done.began) * 1000.0
            own = any(operation.table == OWN_TABLE for operation in done.transaction.operations)
            state = replace(
                state,
                own_known=state.own_known or own,
                own_since=at.monotonic if own and state.own_since is None else state.own_since,
                renewed=state.renewed and not own,
                renewal="" if own else state.renewal,
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
        case _:
            return orders.take(state, event)


def _limits(state: State) -> Policy:
    assert state.policy is not None, "nothing is healed before there is a policy"
    return state.policy


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
    if policy is None or desired is None or state.standing.pause is not None:
        return state, ()
    if table is not None and not state.own_known and not compare.made_by_portguard(table):
        return replace(state, usurped=True), ()
    known = table is not None
    since = None if not known else at.monotonic if state.own_since is None else state.own_since
    state = replace(state, usurped=False, own_known=state.own_known or known, own_since=since)
    drift = compare.compare(desired, table)
    if not drift:
        return replace(state, renewed=False, renewal=""), ()
    # What the configuration asks for anew is no drift, and nobody's doing.
    fresh = state.renewed
    actor = None if fresh else actor
    limiter, admission = state.limiter.admit(rule_keys(drift), actor, policy.limits, at.monotonic)
    state = replace(state, limiter=limiter)
    if admission.wait:
        return state, (Look(after=admission.wait),)
    drift = mendable(drift, admission.allowed)
    if not drift:
        return state, ()
    what, evidence = describe(drift, desired)
    if fresh:
        made = f"table {OWN_TABLE} was {'made' if table is None else 'brought to the configuration'}"
        what = state.renewal or made
    order = Heal(
        transaction=heal.mend(desired, drift),
        keys=rule_keys(drift),
        flows=concerned(drift, policy),
        what=what,
        kind=None if fresh else Kind.RULE_ALTERED if drift.altered else Kind.RULE_REMOVED,
        actor=actor,
        began=at.monotonic if fresh else began,
        evidence=evidence,
        counts=not fresh,
    )
    commands: list[Command] = [Run(heal=order)]
    if order.kind is not None:
        commands.append(Tell(alerts=(_drift_alert(order, at, announced=announced),)))
    return state, tuple(commands)


def _world_seen(state: State, event: WorldSeen) -> tuple[State, tuple[Command, ...]]:
    policy, at = state.policy, event.at
    if policy is None:
        return state, (Publish(),)
    snapshot, ruleset = event.snapshot, event.snapshot.ruleset
    state, ordered = deadman.look(state, snapshot, event.sensitive, at)
    commands: list[Command] = [*ordered]
    policy = state.policy or policy  # an order may just have ended
    # Of a change before the last look that found all in order nobody is accused, and no time is counted from it.
    change = event.change if event.change is not None and event.change.received > state.fine_at else None
    actor, began = (change.actor, change.received) if change is not None else (None, at.monotonic)
    if ruleset is not None and OWN_TABLE not in ruleset.unreadable:
        state, mending = _mend(state, ruleset.tables.get(OWN_TABLE), actor, began, at, announced=False)
        commands += mending or deadman.arming(state, at)

    reach = Reach(ruleset, snapshot.links, snapshot.listeners, event.checkpoint)
    state, calm = _at_rest(state, event)
    if not calm:
        commands.append(Look(after=policy.limits.settle - event.quiet))
    elif policy.mode.writes and not state.usurped and state.standing.pause is None:
        state, opening = _open_guests(state, snapshot, reach, change, at)
        commands += opening
        if any(isinstance(command, Run) for command in opening):
            # What is judged now would be history in a moment: the look that follows the heal judges.
            return state, tuple(commands)

    judgement = judge(policy, snapshot, event.sensitive, reach)
    healed: tuple[Alert, ...] = ()
    if calm:
        # While somebody is still writing, what is shut may be their doing and not a heal that failed.
        state, healed = outcome.verify(state, judgement, at)
        state = replace(state, fine_at=at.monotonic)
    state = replace(state, judgement=judgement, limiter=state.limiter.rested(policy.limits, at.monotonic))
    findings = (*judgement.findings, *outcome.own_findings(state, judgement), *deadman.findings(state))
    book, alerts, due = lifecycle.advance(state.book, findings, outcome.grace(policy), at.monotonic, at.when)
    state = replace(state, book=book)
    if healed or alerts:
        commands.append(Tell(alerts=(*healed, *deadman.contained(state, alerts))))

    moments = (due, state.limiter.next_retry(at.monotonic), deadman.next_moment(state))
    wake = [moment for moment in moments if moment is not None]
    if wake:
        commands.append(Look(after=max(min(wake) - at.monotonic, 0.0)))
    commands.append(Publish())
    return state, tuple(commands)


def _at_rest(state: State, event: WorldSeen) -> tuple[State, bool]:
    """Say whether other people's tables are at rest: unchanged, or untouched for the settle time."""
    ruleset = event.snapshot.ruleset
    if ruleset is None or state.policy is None:
        return state, True
    shape = guests.shape(ruleset)
    if event.quiet < state.policy.limits.settle and shape != state.calm:
        return state, False
    return replace(state, calm=shape), True


def _open_guests(
    state: State, snapshot: Snapshot, reach: Reach, change: RulesetChange | None, at: Moment
) -> tuple[State, tuple[Command, ...]]:
    """Open what foreign chains shut by default; of several that shut the same port, one at each look."""
    policy, now = state.policy, at.monotonic
    if policy is None or snapshot.ruleset is None:
        return state, ()
    # Of a rule that ran into its limit just now, admit() below has to hear, to suspend it.
    suspended = frozenset(
        key for key, row in state.limiter.rules.items() if row.retry_at is not None and now < row.retry_at
    )
    plan = guests.plan(policy, snapshot, suspended, reach=reach, rounds=1)
    if not plan.heals:
        return state, ()
    # What is about to be healed again did not fail: somebody shut it anew.
    again = {row.flow for row in plan.heals if not row.removes}
    state = replace(state, tried=frozenset(key for key in state.tried if key[0] not in again))
    actor, began = (change.actor, change.received) if change is not None else (None, now)
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
