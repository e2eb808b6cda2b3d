"""Which mode is in force: the configuration's, or the one that a person ordered. Helpers over values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from portguard.core.closing import PROTOCOLS, with_closing
from portguard.core.render import own_table
from portguard.model.containment import Order, OrderState
from portguard.model.policy import Mode

if TYPE_CHECKING:
    from portguard.core.exchange import Standing, State
    from portguard.model.policy import Policy
    from portguard.model.ruleset import Table


def effective(configured: Policy, order: Order | None) -> Mode:
    """Give the mode in force. ``contain`` is in force only by an order, be it one that the configuration gave."""
    if order is None:
        return Mode.HEAL if configured.mode.closes else configured.mode
    if order.state is OrderState.WITHDRAWN:
        return order.before
    return order.mode


def with_order(state: State, standing: Standing) -> State:
    """Put another order in force: policy and own table follow from it."""
    assert state.configured is not None, "nothing is ordered before there is a policy"
    policy = replace(state.configured, mode=effective(state.configured, standing.order))
    if not policy.mode.closes:
        standing = replace(standing, closing=None, disarms_at=None, recalled=False)
    desired = desired_table(policy, standing)
    return replace(
        state,
        policy=policy,
        standing=standing,
        desired=desired,
        renewed=state.renewed or desired != state.desired,
    )


def desired_table(policy: Policy, standing: Standing) -> Table | None:
    """Render the own table as it must be; None where nothing may be written, or is not worked out yet."""
    if not policy.mode.writes:
        return None
    if not policy.mode.closes:
        return own_table(policy)
    if standing.closing is None:
        # Until the first look: a table without closing rules would open what a former process has closed.
        return None
    return with_closing(
        own_table(policy), policy, standing.closing, PROTOCOLS if confirmed(standing) else None
    )


def confirmed(standing: Standing) -> bool:
    """Whether what is closed stays closed."""
    return standing.order is not None and standing.order.state is OrderState.CONFIRMED


def waiting(standing: Standing) -> bool:
    """Whether an order to close waits for a word of confirmation."""
    return standing.order is not None and standing.order.state is OrderState.WAITING


def given(policy: Policy, mode: Mode, state: OrderState, before: Mode, confirm_within: float = 0.0) -> Order:
    """Make an order under a configuration."""
    return Order(
        mode=mode,
        state=state,
        configured=policy.mode,
        roles=policy.roles,
        before=before,
        confirm_within=confirm_within,
    )
