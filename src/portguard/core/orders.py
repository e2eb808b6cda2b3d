"""What a person may ask of the running guard: a mode, a confirmation, the way back, a pause. Each gets one answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, assert_never

from portguard.core import contain, deadman
from portguard.core.closing import PROTOCOLS, with_closing
from portguard.core.exchange import (
    Command,
    Confirmed,
    Keep,
    Look,
    Ordered,
    Paused,
    Publish,
    Reply,
    Resumed,
    RolledBack,
    Standing,
    Tell,
)
from portguard.core.news import mode_changed
from portguard.core.render import OWN_TABLE, own_table
from portguard.core.standing import confirmed, given, waiting, with_order
from portguard.model.containment import OrderState, Pause
from portguard.model.policy import Mode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portguard.core.exchange import Request, State
    from portguard.model.containment import Closing
    from portguard.model.policy import Policy

Step = tuple["State", tuple[Command, ...]]


def take(state: State, event: Request) -> Step:
    """Take one request."""
    if state.configured is None or state.policy is None:
        return _no(state, "the guard is not ready yet")
    match event:
        case Ordered():
            return _ordered(state, event, state.configured, state.policy)
        case Confirmed():
            return _confirmed(state, event)
        case RolledBack():
            return _rolled_back(state, event)
        case Paused():
            return _paused(state, event)
        case Resumed():
            return _resumed(state, event)
        case _:
            assert_never(event)


def _no(state: State, text: str, *details: str) -> Step:
    return state, (Reply(ok=False, text=text, details=details),)


def _ordered(state: State, event: Ordered, configured: Policy, policy: Policy) -> Step:
    if state.standing.pause is not None:
        return _no(state, "portguard is paused: portguard resume first")
    if event.mode.closes:
        return _close(state, event, configured, policy)
    order = given(configured, event.mode, OrderState.CONFIRMED, policy.mode)
    standing = Standing(order=None if event.mode is configured.mode else order)
    before = policy.mode
    state = with_order(state, standing)
    commands: list[Command] = [Keep()]
    if before.closes:
        commands.append(deadman.disarming(event.at))
    if before is not event.mode:
        text = f"the mode changed from {before} to {event.mode} by order"
        commands.append(Tell(alerts=(mode_changed(text, event.at.when),)))
    return state, (*commands, Look(), Publish(), Reply(ok=True, text=f"mode {event.mode} is in force"))


# --- closing ---------------------------------------------------------------------------------------------------


def _close(state: State, event: Ordered, configured: Policy, policy: Policy) -> Step:
    if event.mode is not Mode.CONTAIN:
        return _no(state, f"mode {event.mode} is not available in this version; use contain")
    if confirmed(state.standing) and policy.mode.closes:
        lines = (
            deadman.described(policy, state.standing.closing) if state.standing.closing is not None else ()
        )
        # What is asked for is so. Whoever asks again wants to know who is connected to what was closed since, or end that.
        text = "mode contain is confirmed already: nothing has to be armed"
        return state, (Reply(ok=True, text=text, details=tuple(lines)),)
    wanted = replace(configured, mode=event.mode)
    refusals = list(_blind(state, event, wanted))
    if refusals:
        return _no(state, "nothing is closed", *refusals)
    before = state.standing.closing or contain.NOTHING
    closing = contain.work_out(wanted, event.snapshot, event.sensitive, before, event.at.monotonic)
    refusals = list(_cut(wanted, closing, event))
    if refusals:
        return _no(state, "nothing is closed, because your own connection would be cut", *refusals)
    old = state.standing.order
    back = old.before if old is not None and waiting(state.standing) else policy.mode
    order = given(configured, event.mode, OrderState.WAITING, back, event.confirm_within)
    state = with_order(state, Standing(order=order, closing=closing))
    text = f"mode contain is being armed for {event.confirm_within:g} s; portguard confirm keeps it"
    lines = (*deadman.described(wanted, closing), *_others(wanted, closing, event))
    return state, (Keep(), Look(), Publish(), Reply(ok=True, text=text, details=lines))


def _blind(state: State, event: Ordered, policy: Policy) -> Iterator[str]:
    """Say why nothing may be closed, whatever is exposed."""
    snapshot = event.snapshot
    if snapshot.ruleset is None or OWN_TABLE in snapshot.ruleset.unreadable:
        yield "the ruleset could not be read"
    if snapshot.listeners is None:
        yield "the listeners could not be read"
    if state.usurped:
        yield f"table {OWN_TABLE} was made by somebody else"
    yield from missing_zones(policy)


def missing_zones(policy: Policy) -> Iterator[str]:
    """Name the zones that have to be defined before anything may be closed."""
    for row in policy.undefined:
        table = "hosts" if "/" in row.zone else "zones"
        yield f"{table}.{row.zone} must be defined before anything may be closed: needed by {', '.join(row.flows)}"


def _cut(policy: Policy, closing: Closing, event: Ordered) -> Iterator[str]:
    """Name the rules that would cut off the very person who asks."""
    table = with_closing(own_table(policy), policy, closing, PROTOCOLS)
    for connection, rule in contain.cut(table, event.own, event.snapshot.links):
        yield f"{_way(connection.peer, connection.local, connection.local_port)} would be cut by {rule}"


def _others(policy: Policy, closing: Closing, event: Ordered) -> Iterator[str]:
    table = with_closing(own_table(policy), policy, closing, PROTOCOLS)
    for connection, rule in contain.cut(table, event.others, event.snapshot.links):
        way = _way(connection.peer, connection.local, connection.local_port)
        yield f"warning: {way} could not be made again, by {rule}"


def _way(peer: object, local: object, port: int) -> str:
    return f"the connection from {peer} to {local} port {port}"


def _confirmed(state: State, event: Confirmed) -> Step:
    if not waiting(state.standing):
        if state.policy is not None and state.policy.mode.closes:
            return state, (Reply(ok=True, text="mode contain is confirmed already"),)
        return _no(state, "there is nothing to confirm: nothing is armed")
    if state.standing.disarms_at is None:
        return _no(state, "it is not armed yet: see that you still get in, then confirm")
    return state, (deadman.confirming(event.at),)


def _rolled_back(state: State, event: RolledBack) -> Step:
    order, policy = state.standing.order, state.configured
    if order is None or policy is None or order.state is OrderState.WITHDRAWN:
        return _no(state, "there is nothing to roll back: the configuration says the mode")
    closes = order.mode.closes
    state, commands = deadman.withdrawn(state, "rolled back by order", event.at)
    assert state.policy is not None
    undo = (deadman.disarming(event.at),) if closes else ()
    reply = Reply(ok=True, text=f"rolled back: mode {state.policy.mode} is in force")
    return state, (*undo, *commands, Publish(), reply)


# --- pauses ----------------------------------------------------------------------------------------------------


def _paused(state: State, event: Paused) -> Step:
    until = event.at.when + timedelta(seconds=event.seconds)
    pause = Pause(until=until, ends=event.at.monotonic + event.seconds, reason=event.reason)
    state = replace(state, standing=replace(state.standing, pause=pause))
    text = f"nothing is written until {until.isoformat(timespec='seconds')}: {event.reason}"
    news = Tell(alerts=(mode_changed(text, event.at.when),))
    return state, (Keep(), news, Look(after=event.seconds), Publish(), Reply(ok=True, text=text))


def _resumed(state: State, event: Resumed) -> Step:
    if state.standing.pause is None:
        return state, (Reply(ok=True, text="portguard is not paused"),)
    state = replace(state, standing=replace(state.standing, pause=None))
    news = Tell(alerts=(mode_changed("the pause was ended by order: portguard writes again", event.at.when),))
    return state, (Keep(), news, Look(), Publish(), Reply(ok=True, text="resumed: portguard writes again"))
