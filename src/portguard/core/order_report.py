"""Spell what was ordered and what is closed as JSON (``docs/status.md``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portguard.core.standing import confirmed

if TYPE_CHECKING:
    from portguard.core.exchange import State
    from portguard.model.containment import Closing


def order_json(state: State, now: float) -> dict[str, Any] | None:
    """Spell it as of a moment of the monotonic clock; None before there is a policy."""
    if state.configured is None:
        return None
    standing = state.standing
    order, pause = standing.order, standing.pause
    armed = standing.disarms_at is not None
    left = max(standing.disarms_at - now, 0.0) if standing.disarms_at is not None else None
    return {
        "configured": state.configured.mode.value,
        "ordered": order.mode.value if order is not None else None,
        "state": order.state.value if order is not None else None,
        "armed": armed or (confirmed(standing) and standing.closing is not None),
        "disarms_in": None if left is None else round(left, 1),
        "closes": _closes(standing.closing),
        "spares": [str(port) for port in standing.closing.spared] if standing.closing is not None else [],
        "pause": None
        if pause is None
        else {"until": pause.until.isoformat(timespec="seconds"), "reason": pause.reason},
    }


def _closes(closing: Closing | None) -> list[dict[str, Any]]:
    return [
        {
            "transport": port.transport.value,
            "port": port.port,
            "application": port.application,
            "zones": list(port.zones),
            "allowed": [str(network) for network in port.allowed.networks()],
        }
        for port in (closing.ports if closing is not None else ())
    ]
