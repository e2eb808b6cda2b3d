"""Tell everybody who asks what the daemon knows, and the next daemon what people were told."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import portguard
from portguard.core.lifecycle import Alert, AlertState
from portguard.core.order_report import order_json
from portguard.core.report import report
from portguard.daemon import statusfile
from portguard.daemon.memory import Memory
from portguard.daemon.orderfile import OrderFile
from portguard.model.snapshot import Gap

if TYPE_CHECKING:
    from portguard.core.exchange import Moment, Standing, State
    from portguard.core.lifecycle import Book
    from portguard.kernel.world import Clock, ListenEvents
    from portguard.model.paths import Paths

STATUS_FILE = "status file"
STATE_FOLDER = "state directory"


class Publisher:
    """Writes the status document of this daemon, and its memory."""

    def __init__(self, host: str, clock: Clock, paths: Paths, events: ListenEvents) -> None:
        self.paths = paths
        """Where to write; a changed configuration may change it."""
        self._host = host
        self._events = events
        self._clock = clock
        self._started = clock.now()
        self._memory = Memory(paths.state)
        self._orders = OrderFile(paths.state)

    def recall(self) -> Book:
        """Give the findings that people were told before this daemon started."""
        return self._memory.recall(self._clock.monotonic())

    def recall_standing(self, at: Moment) -> Standing:
        """Give what was ordered before this daemon started."""
        return self._orders.recall(at)

    def publish(self, state: State, rejected: tuple[str, ...]) -> dict[str, Gap | None]:
        """Write what is known now.

        Returns a gap for each file that cannot be written (a full disk), None for those that can: the guard goes on anyway.
        """
        gaps: dict[str, Gap | None] = {STATUS_FILE: None}
        try:
            statusfile.write(self.paths.status, self._document(state, rejected))
        except OSError as error:
            reason = f"{self.paths.status} cannot be written: {error.strerror or error}"
            gaps[STATUS_FILE] = Gap(scope=STATUS_FILE, reason=reason)
        return {**gaps, **self.keep(state)}

    def keep(self, state: State) -> dict[str, Gap | None]:
        """Write down what the next daemon has to know; returns gaps as ``publish`` does."""
        try:
            self._orders.keep(state)
            self._memory.keep(state.book)
        except OSError as error:
            reason = f"what was told and ordered cannot be kept over a restart: {error.strerror or error}"
            return {STATE_FOLDER: Gap(scope=STATE_FOLDER, reason=reason)}
        return {STATE_FOLDER: None}

    def _document(self, state: State, rejected: tuple[str, ...]) -> dict[str, Any]:
        assert state.policy is not None
        assert state.judgement is not None
        firing = [
            Alert(
                finding=entry.finding,
                state=AlertState.FLAPPING if entry.flapping else AlertState.FIRING,
                since=entry.since,
                count=len(entry.raised),
            )
            for entry in state.book.firing()
        ]
        return report(
            state.policy,
            state.judgement,
            firing,
            state.records,
            host=self._host,
            when=self._clock.now(),
            order=order_json(state, self._clock.monotonic()),
            daemon={
                "pid": os.getpid(),
                "since": self._started.isoformat(timespec="milliseconds"),
                "version": portguard.__version__,
                "events": "tracefs" if self._events.reason is None else "polling",
                "events_reason": self._events.reason,
                "config_rejected": list(rejected),
            },
        )
