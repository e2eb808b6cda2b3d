"""Announced transactions, also heard while something longer goes on: drift of the own table does not wait for a look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portguard.core.render import OWN_TABLE
from portguard.kernel.world import Events

if TYPE_CHECKING:
    from portguard.kernel.world import Clock, RulesetEvents
    from portguard.model.ruleset import RulesetChange


class OvertakenError(Exception):
    """Somebody changed the own table: what is being read or judged is history."""


class Announcements:
    """Reads announcements, and keeps those that came when nobody could answer them."""

    def __init__(self, events: RulesetEvents, clock: Clock) -> None:
        self._events = events
        self._clock = clock
        self._heard: list[Events] = []
        self.urgent = False
        """Whether drift of the own table ends what is going on."""
        self.foreign: RulesetChange | None = None
        """The last change that somebody else made."""
        self._foreign_at = float("-inf")

    def take(self) -> Events:
        """Take everything announced so far; never blocks."""
        heard = [*self._heard, self._events.read()]
        self._heard = []
        changes = tuple(change for events in heard for change in events.changes)
        if foreign := [change for change in changes if not change.own]:
            self.foreign, self._foreign_at = foreign[-1], self._clock.monotonic()
        return Events(changes=changes, lost=any(events.lost for events in heard))

    def quiet(self, now: float) -> float:
        """Seconds since somebody else last changed the ruleset."""
        return now - self._foreign_at

    def checkpoint(self) -> None:
        """Listen for a moment. Raises OvertakenError when the own table was changed and that is urgent.

        Nothing is answered from within: readings and steps of the core are given up as a whole, which leaves nothing half done.
        """
        if not self.urgent:
            return
        events = self._events.read()
        self._heard.append(events)
        if any(not change.own and OWN_TABLE in change.tables for change in events.changes):
            raise OvertakenError
