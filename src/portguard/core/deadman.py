"""Mode ``contain`` as time passes: connections are tracked, the dead man is armed, somebody confirms or nobody does.

::

    ordered --(connections tracked for PRIME)--> armed --confirm--> for good
                                                   |
                                                   +--(nobody confirms; a flush; a refusal)--> withdrawn: the mode before

Only an order arms. A heal never does as long as nobody has confirmed: what the kernel forgot, or somebody flushed, stays
forgotten, for it may be the very thing that lets an administrator back in.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from portguard.core import closing as rules
from portguard.core import contain
from portguard.core.compare import made_by_portguard
from portguard.core.exchange import (
    Command,
    Heal,
    HealDone,
    HealRefused,
    Keep,
    Look,
    Purpose,
    Reply,
    Run,
    Standing,
    Tell,
)
from portguard.core.lifecycle import Alert, AlertState
from portguard.core.news import mode_changed
from portguard.core.render import OWN_TABLE
from portguard.core.standing import confirmed, given, waiting, with_order
from portguard.model.containment import OrderState
from portguard.model.finding import Finding, Kind, Severity
from portguard.model.policy import Mode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from portguard.core.exchange import Moment, State
    from portguard.model.containment import Closing
    from portguard.model.exposure import Exposure
    from portguard.model.policy import Policy
    from portguard.model.snapshot import Snapshot
    from portguard.model.transaction import Transaction

PRIME = 3.0
"""Seconds for which connections are tracked before anything is closed: one that is open must be known as such."""
_LATE = 1.0
"""Seconds after which the kernel has forgotten for sure; it counts in jiffies, and is read in whole seconds."""

Step = tuple["State", tuple[Command, ...]]


def configured(state: State, policy: Policy, at: Moment) -> Step:
    """Take a configuration: an order that was given under another mode or other roles is over."""
    before, standing = state.policy, state.standing
    order = standing.order
    tell: list[Command] = []
    if order is not None and not order.fits(policy):
        order = None
    if (
        order is not None
        and order.mode.closes
        and policy.undefined
        and order.state is not OrderState.WITHDRAWN
    ):
        zones = ", ".join(row.zone for row in policy.undefined)
        tell.append(
            Tell(
                alerts=(mode_changed(f"mode {order.mode} is over: {zones} is not defined any more", at.when),)
            )
        )
        order = None
    if order is None and policy.mode.closes:
        order = given(policy, policy.mode, OrderState.WAITING, Mode.HEAL, policy.confirm_within)
    if order != standing.order:
        standing = Standing(order=order, pause=standing.pause, closing=standing.closing)
        tell.append(Keep())
    state = with_order(replace(state, configured=policy), standing)
    if (
        before is not None
        and before.mode.closes
        and state.policy is not None
        and not state.policy.mode.closes
    ):
        tell.append(_run(rules.disarm(OWN_TABLE), Purpose.DISARM, at))
    return state, (*tell, Look())


def look(state: State, snapshot: Snapshot, sensitive: Mapping[int, Exposure], at: Moment) -> Step:
    """Find out, before the own table is compared, what has ended by itself and what is to be closed."""
    commands: list[Command] = []
    pause = state.standing.pause
    if pause is not None and at.monotonic >= pause.ends:
        state = replace(state, standing=replace(state.standing, pause=None))
        commands += (
            Keep(),
            Tell(alerts=(mode_changed("the pause is over: portguard writes again", at.when),)),
        )
    if state.policy is None or not state.policy.mode.closes:
        if state.policy is not None and not state.policy.mode.writes and _left_armed(snapshot):
            # A former process closed it, under another configuration: who only observes must not go on closing.
            commands.append(disarming(at))
        return state, tuple(commands)
    state, news = _held_against_kernel(state, snapshot, at)
    commands += news
    if state.policy is not None and state.policy.mode.closes:
        state = _worked_out(state, snapshot, sensitive, at)
    return state, tuple(commands)


def _left_armed(snapshot: Snapshot) -> bool:
    table = snapshot.ruleset.tables.get(OWN_TABLE) if snapshot.ruleset is not None else None
    return table is not None and made_by_portguard(table) and rules.armed_for(table) is not None


def _held_against_kernel(state: State, snapshot: Snapshot, at: Moment) -> Step:
    """Find out whether the dead man still runs."""
    standing, ruleset = state.standing, snapshot.ruleset
    if not waiting(standing):
        return replace(state, standing=replace(standing, recalled=False)), ()
    if standing.disarms_at is not None and at.monotonic >= standing.disarms_at + _LATE:
        return withdrawn(state, "nobody confirmed it in time, and the kernel has disarmed it", at)
    if ruleset is None or OWN_TABLE in ruleset.unreadable:
        return state, ()
    left = rules.armed_for(ruleset.tables.get(OWN_TABLE))
    if left is None and (standing.recalled or standing.disarms_at is not None):
        return withdrawn(state, "the dead man does not run any more", at)
    if left is not None and standing.recalled:
        if math.isinf(left):
            # It was confirmed, and the process that did it died before it could write that down.
            return _for_good(state, at)
        standing = replace(standing, recalled=False, disarms_at=at.monotonic + left + _LATE)
        return replace(state, standing=standing), ()
    return state, ()


def _worked_out(state: State, snapshot: Snapshot, sensitive: Mapping[int, Exposure], at: Moment) -> State:
    """Work out what is to be closed now; another answer than before is another own table."""
    assert state.policy is not None
    before = state.standing.closing
    blind = snapshot.ruleset is None or snapshot.listeners is None
    if before is None and blind:
        return state
    known = before or state.standing.closed_before or contain.NOTHING
    found = contain.work_out(state.policy, snapshot, sensitive, known, at.monotonic)
    standing = replace(state.standing, closing=found, closed_before=None)
    if found == before:
        return replace(state, standing=standing)
    state = with_order(state, standing)
    active = confirmed(standing) or standing.disarms_at is not None
    return replace(state, renewal=_difference(before, found) if active and before is not None else "")


def _difference(before: Closing, after: Closing) -> str:
    """Say which ports are closed now, and which no longer, in one clause."""
    new = [f"{port} is closed to {_whom(port.zones)}" for port in after.ports if port not in before.ports]
    keys = {(port.transport, port.port) for port in after.ports}
    old = [f"{port} is closed no longer" for port in before.ports if (port.transport, port.port) not in keys]
    return "; ".join([*new, *old][:8])


def _whom(zones: tuple[str, ...]) -> str:
    return f"everyone but {', '.join(zones)}" if zones else "everyone"


def described(policy: Policy, closing: Closing) -> tuple[str, ...]:
    """Say what is closed and what is spared, one line each."""
    lines = [f"closes {port} to {_whom(port.zones)}" for port in closing.ports]
    if policy.reserved:
        where = f", except on {', '.join(closing.interfaces)}" if closing.interfaces else ""
        lines.append(f"closes the reserved range {policy.reserved}{where}")
    return (*lines, *(f"does not close {port}" for port in closing.spared))


def arming(state: State, at: Moment) -> tuple[Command, ...]:
    """Start the dead man when the own table stands with its closing rules and connections are tracked."""
    standing = state.standing
    if (
        not waiting(standing)
        or standing.disarms_at is not None
        or standing.recalled
        or standing.closing is None
    ):
        return ()
    if state.own_since is None or standing.pause is not None:
        return ()
    wait = state.own_since + PRIME - at.monotonic
    if wait > 0:
        return (Look(after=wait),)
    assert standing.order is not None
    seconds = math.ceil(standing.order.confirm_within)
    return (_run(rules.arm(OWN_TABLE, seconds), Purpose.ARM, at),)


def _run(transaction: Transaction, purpose: Purpose, at: Moment) -> Run:
    return Run(
        heal=Heal(
            transaction=transaction,
            keys=frozenset(),
            flows=(),
            what=purpose.value,
            kind=None,
            actor=None,
            began=at.monotonic,
            counts=False,
            purpose=purpose,
        )
    )


def confirming(at: Moment) -> Run:
    """Ask the kernel to keep what is armed for ever; it refuses when the time has run out."""
    return _run(rules.confirm(OWN_TABLE), Purpose.CONFIRM, at)


def disarming(at: Moment) -> Run:
    """End all closing at once."""
    return _run(rules.disarm(OWN_TABLE), Purpose.DISARM, at)


def done(state: State, event: HealDone) -> Step:
    """The kernel took it."""
    at, standing = event.at, state.standing
    match event.heal.purpose:
        case Purpose.ARM if standing.order is not None and standing.closing is not None:
            seconds = math.ceil(standing.order.confirm_within)
            state = replace(state, standing=replace(standing, disarms_at=at.monotonic + seconds))
            ports = ", ".join(map(str, standing.closing.ports)) or "no port"
            text = f"mode {standing.order.mode} is armed for {seconds} s: {ports} closed; portguard confirm keeps it"
            return state, (Tell(alerts=(mode_changed(text, at.when),)), Look())
        case Purpose.CONFIRM:
            state, commands = _for_good(state, at)
            return state, (*commands, Reply(ok=True, text="confirmed: what is closed stays closed"))
        case _:
            return state, (Look(),)


def refused(state: State, event: HealRefused) -> Step:
    """The kernel refused it."""
    match event.heal.purpose:
        case Purpose.ARM:
            return withdrawn(state, f"the kernel refused to arm it: {event.message}", event.at)
        case Purpose.CONFIRM:
            state, commands = withdrawn(state, "it was confirmed too late", event.at)
            text = f"too late, nothing is closed any more: {event.message}"
            return state, (*commands, Reply(ok=False, text=text))
        case _:
            # There is no such set: nothing is armed.
            return state, (Look(),)


def _for_good(state: State, at: Moment) -> Step:
    standing = state.standing
    assert standing.order is not None
    order = replace(standing.order, state=OrderState.CONFIRMED)
    renewed = state.renewed
    state = with_order(state, replace(standing, order=order, recalled=False, disarms_at=None))
    # The kernel holds it already: nothing has to be brought to it.
    state = replace(state, renewed=renewed)
    return state, (Keep(), Tell(alerts=(mode_changed(f"mode {order.mode} is confirmed", at.when),)), Look())


def withdrawn(state: State, why: str, at: Moment) -> Step:
    """Go back to the mode before. The configuration's own wish to close is remembered as not granted."""
    order, policy = state.standing.order, state.configured
    assert order is not None
    assert policy is not None
    after = None
    if policy.mode.closes:
        after = given(policy, policy.mode, OrderState.WITHDRAWN, Mode.HEAL)
    elif order.before is not policy.mode and not order.before.closes:
        after = given(policy, order.before, OrderState.CONFIRMED, policy.mode)
    state = with_order(state, Standing(order=after, pause=state.standing.pause))
    assert state.policy is not None
    text = f"mode {order.mode} is over, mode {state.policy.mode} is in force: {why}"
    return state, (Keep(), Tell(alerts=(mode_changed(text, at.when),)), Look())


def contained(state: State, alerts: tuple[Alert, ...]) -> tuple[Alert, ...]:
    """Say of alarms that end because portguard has closed the port that this is why."""
    closing = state.standing.closing
    closed = {(port.transport, port.port) for port in closing.ports} if closing is not None else set()
    return tuple(
        replace(alert, finding=_contained(alert.finding))
        if alert.state is AlertState.RESOLVED
        and alert.finding.kind is Kind.SERVICE_EXPOSED
        and (alert.finding.transport, alert.finding.port) in closed
        else alert
        for alert in alerts
    )


def _contained(finding: Finding) -> Finding:
    evidence = {**finding.evidence, "contained": True}
    return replace(finding, message=f"{finding.message}; contained by portguard", evidence=evidence)


def next_moment(state: State) -> float | None:
    """Give the monotonic time at which something ends by itself: the dead man, or a pause."""
    standing = state.standing
    ends = (
        None if standing.disarms_at is None else standing.disarms_at + _LATE,
        None if standing.pause is None else standing.pause.ends,
    )
    return min((moment for moment in ends if moment is not None), default=None)


def findings(state: State) -> Iterator[Finding]:
    """Say that the configuration wants to close and may not: nobody has confirmed it."""
    order = state.standing.order
    if order is not None and order.state is OrderState.WITHDRAWN:
        yield Finding(
            kind=Kind.MODE_CHANGED,
            severity=Severity.WARNING,
            message=f"the configuration asks for mode {order.mode}, which is not confirmed: mode {order.before} is in "
            f"force, nothing is closed; portguard mode {order.mode}, then portguard confirm",
            subject=f"{order.mode}, not confirmed",
        )
