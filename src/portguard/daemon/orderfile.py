"""What was ordered, and the table for the next boot: two files of the state directory that outlive this process.

An order that waits for its confirmation is kept as well, but never trusted: the next process asks the kernel whether the
dead man still runs (``core.deadman``). The table is kept only while what it closes is confirmed; ``portguard-boot.service``
loads it before the network comes up.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from portguard.core.exchange import Standing
from portguard.core.heal import replacement
from portguard.core.render import OWN_TABLE
from portguard.core.standing import confirmed
from portguard.daemon import statusfile
from portguard.errors import ObserveError
from portguard.model.containment import ClosedPort, Closing, Order, OrderState, Pause
from portguard.model.net import Transport
from portguard.model.policy import Mode
from portguard.model.transaction import TableOp, Verb

if TYPE_CHECKING:
    from pathlib import Path

    from portguard.core.exchange import Moment, State

SCHEMA = 1
ORDER = "order.json"
TABLE = "own-table.nft"
"""The own table as nft text, for a boot that comes before this daemon does."""

_LONGEST_PAUSE = timedelta(days=1)


class OrderFile:
    """Keeps and recalls. Both files are memory: a damaged one costs an order, and nothing is closed by it."""

    def __init__(self, folder: Path) -> None:
        self._order = folder / ORDER
        self._table = folder / TABLE
        self._written: dict[str, Any] | None = None
        self._text: str | None = None

    def recall(self, at: Moment) -> Standing:
        """Give what was ordered before this process; nothing where no file says so."""
        try:
            document = statusfile.read(self._order)
            return Standing(
                order=(order := _order(document["order"])),
                pause=_pause(document["pause"], at),
                recalled=True,
                closed_before=_closing(order, document.get("closed", []), at),
            )
        except (ObserveError, KeyError, TypeError, ValueError, OverflowError):
            # A moment in the first or last hours of the calendar overflows in another time zone.
            return Standing()

    def keep(self, state: State) -> None:
        """Write down what changed, and wait for the disk. Raises OSError when that cannot be done."""
        document = _document(state.standing)
        if document != self._written:
            self._order.parent.mkdir(parents=True, exist_ok=True)
            statusfile.write(self._order, document, durable=True)
            self._written = document
        text = table_text(state)
        if text == self._text:
            return
        if text is None:
            with contextlib.suppress(FileNotFoundError):
                self._table.unlink()
        else:
            statusfile.replace(self._table, text, durable=True)
        self._text = text


def withdraw(folder: Path) -> None:
    """Take back an order without a daemon: the next one starts as the configuration says. Raises OSError."""
    for name in (ORDER, TABLE):
        (folder / name).unlink(missing_ok=True)


def table_text(state: State) -> str | None:
    """Spell the own table for ``nft -f`` at boot; None where nothing is closed for good."""
    if state.policy is None or state.desired is None:
        return None
    if not state.policy.mode.closes or not confirmed(state.standing):
        return None
    # The table may exist or not when it is loaded: added first, it can be deleted.
    return f"{TableOp(verb=Verb.ADD, table=OWN_TABLE)}\n{replacement(state.desired, exists=True)}"


def _document(standing: Standing) -> dict[str, Any]:
    order, pause = standing.order, standing.pause
    closing = standing.closing or standing.closed_before
    return {
        "schema": SCHEMA,
        "order": None
        if order is None
        else {
            "mode": order.mode.value,
            "state": order.state.value,
            "configured": order.configured.value,
            "roles": list(order.roles),
            "before": order.before.value,
            "confirm_within": order.confirm_within,
        },
        "pause": None if pause is None else {"until": pause.until.isoformat(), "reason": pause.reason},
        "closed": [
            {"transport": port.transport.value, "port": port.port, "application": port.application}
            for port in (closing.ports if closing is not None and confirmed(standing) else ())
        ],
    }


def _closing(order: Order | None, rows: list[dict[str, Any]], at: Moment) -> Closing | None:
    """Give what was closed for good: it stays so for a while, because after a boot its service may start later than this does."""
    if order is None or not order.mode.closes or order.state is not OrderState.CONFIRMED or not rows:
        return None
    ports = tuple(
        ClosedPort(
            transport=Transport(row["transport"]), port=int(row["port"]), application=str(row["application"])
        )
        for row in rows
    )
    return Closing(ports=ports, seen={(port.transport, port.port): at.monotonic for port in ports})


def _order(row: dict[str, Any] | None) -> Order | None:
    if row is None:
        return None
    return Order(
        mode=Mode(row["mode"]),
        state=OrderState(row["state"]),
        configured=Mode(row["configured"]),
        roles=tuple(map(str, row["roles"])),
        before=Mode(row["before"]),
        confirm_within=float(row["confirm_within"]),
    )


def _pause(row: dict[str, Any] | None, at: Moment) -> Pause | None:
    if row is None:
        return None
    until = datetime.fromisoformat(row["until"]).astimezone(UTC)
    # A clock that was set back must not make a pause of an hour one of a year.
    left = min(until - at.when, _LONGEST_PAUSE)
    if left <= timedelta(0):
        return None
    return Pause(until=at.when + left, ends=at.monotonic + left.total_seconds(), reason=str(row["reason"]))
