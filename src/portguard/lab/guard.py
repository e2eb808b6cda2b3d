"""The real daemon as a child in the server's namespace, and what it says: readiness, events, status.

It is started as systemd starts it (``portguard run --config FILE`` with a ``NOTIFY_SOCKET``). Its alerts come on standard
error, never into the host's journal: an alarm of the lab is nothing for the SIEM.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portguard.errors import LabError
from portguard.lab.children import Child

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

READY_WITHIN = 30.0
"""Seconds from the start to READY=1."""

_JOURNAL = "/run/systemd/journal"
_WITHOUT_JOURNAL = f'if [ -d {_JOURNAL} ]; then mount -t tmpfs tmpfs {_JOURNAL}; fi; exec "$@"'
"""``ip netns exec`` gives the child mounts of its own, so this hides the journal from the child alone."""

_LINE = re.compile(
    r"(?:(?P<severity>critical|error|warning|notice|info) +)?(?P<message>.*?) \| (?P<pairs>\w+=.*)"
)
_PAIR = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardEvent:
    """One alert line of the daemon."""

    at: float
    """When the lab read it, seconds of the monotonic clock."""
    message: str
    fields: dict[str, str]

    @property
    def kind(self) -> str:
        """Kind of the event, e.g. ``rule_removed``."""
        return self.fields.get("event", "")

    @property
    def state(self) -> str:
        """``firing``, ``reminder``, ``resolved`` or ``flapping``."""
        return self.fields.get("state", "")

    @property
    def finding(self) -> str:
        """Id of the finding."""
        return self.fields.get("finding", "")


def parse(line: str, at: float) -> GuardEvent | None:
    """Read an alert line; None for any other line, such as a traceback's."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    fields = {key: value.strip('"') for key, value in _PAIR.findall(match["pairs"])}
    return GuardEvent(at=at, message=match["message"], fields=fields) if "event" in fields else None


class Guard:
    """The running daemon."""

    def __init__(self, namespace: str, folder: Path, *, program: str = sys.executable) -> None:
        self.events: list[GuardEvent] = []
        """Everything it said, oldest first; grows from another thread."""
        self.ready_ms = 0.0
        """Milliseconds from its start to READY=1."""
        self._folder = folder
        self._other_lines: list[str] = []
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._notify.bind(str(folder / "notify"))
        self._began = time.monotonic()
        command = [program, "-m", "portguard", "run", "--config", str(folder / "portguard.toml")]
        self._child = Child(
            namespace,
            ["sh", "-c", _WITHOUT_JOURNAL, "portguard", *command],
            on_error=self._take,
            env={"NOTIFY_SOCKET": str(folder / "notify")},
        )

    @property
    def pid(self) -> int:
        """Process id of the daemon."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._child.alive

    def wait_ready(self) -> None:
        """Wait until it says READY=1. Raises LabError when it ends before, or takes too long."""
        self._notify.settimeout(0.2)
        while time.monotonic() < self._began + READY_WITHIN:
            try:
                states = self._notify.recv(8192).decode(errors="replace").splitlines()
            except TimeoutError:
                self.check()
                continue
            if "READY=1" in states:
                self.ready_ms = (time.monotonic() - self._began) * 1000
                return
        raise LabError(f"the daemon was not ready within {READY_WITHIN:g} s{self._last_words()}")

    def check(self) -> None:
        """Raise LabError when the daemon is gone."""
        if not self._child.alive:
            raise LabError(f"the daemon ended by itself{self._last_words()}")

    def status(self) -> dict[str, Any]:
        """Read its status file. Raises LabError when it is gone or wrote none."""
        self.check()
        try:
            document: dict[str, Any] = json.loads((self._folder / "status.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise LabError(f"the daemon's status cannot be read: {error}") from error
        return document

    def mark(self) -> int:
        """Remember how much it has said so far, for :meth:`since`."""
        return len(self.events)

    def since(self, mark: int) -> list[GuardEvent]:
        """Give what it said after a mark."""
        return self.events[mark:]

    def wait(self, true: Callable[[], bool], within: float) -> bool:
        """Wait until something is true of what it says. Raises LabError when it ends meanwhile."""
        deadline = time.monotonic() + within
        while not true():
            self.check()
            self.pump()
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def stop(self) -> None:
        """End it with SIGTERM, as systemd does."""
        self._child.stop(5.0)
        self._notify.close()

    def pump(self) -> None:
        """Empty the notify socket: a full one would hold the daemon up, and systemd would never let it fill."""
        self._notify.setblocking(False)  # noqa: FBT003 - the standard library's signature
        try:
            while self._notify.recv(8192):
                pass
        except BlockingIOError:
            return

    def _take(self, line: str) -> None:
        event = parse(line, time.monotonic())
        if event is not None:
            self.events.append(event)
        elif line.strip():
            self._other_lines.append(line)

    def _last_words(self) -> str:
        return "".join(f"\n  {line}" for line in self._other_lines[-8:])
