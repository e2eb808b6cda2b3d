"""Tell everybody who asks what the daemon knows: the status file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import portguard
from portguard.core.lifecycle import Alert, AlertState
from portguard.core.report import report
from portguard.daemon import statusfile
from portguard.model.snapshot import Gap

if TYPE_CHECKING:
    from pathlib import Path

    from portguard.core.exchange import State
    from portguard.kernel.world import Clock

STATUS_FILE = "status file"


class Publisher:
    """Writes the status document of this daemon."""

    def __init__(self, host: str, clock: Clock) -> None:
        self._host = host
        self._clock = clock
        self._started = clock.now()

    def publish(self, state: State, path: Path, rejected: tuple[str, ...]) -> Gap | None:
        """Write what is known now; returns a gap when it cannot be written (a full disk). The guard goes on anyway."""
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
        document = report(
            state.policy,
            state.judgement,
            firing,
            state.records,
            host=self._host,
            when=self._clock.now(),
            daemon={
                "pid": os.getpid(),
                "since": self._started.isoformat(timespec="milliseconds"),
                "version": portguard.__version__,
                "events": "polling",
                "config_rejected": list(rejected),
            },
        )
        try:
            statusfile.write(path, document)
        except OSError as error:
            return Gap(scope=STATUS_FILE, reason=f"{path} cannot be written: {error.strerror or error}")
        return None
