"""Where alerts go: the journal, or readable lines on standard error where there is none."""

from __future__ import annotations

import socket
import sys
from collections import deque
from typing import TYPE_CHECKING, Protocol, TextIO

from portguard.alert.message import MESSAGE_IDS, fields, message

if TYPE_CHECKING:
    from collections.abc import Callable

    from portguard.core.lifecycle import Alert

IDENTIFIER = "portguard"
FACILITY = 10
"""authpriv (RFC 5424): Debian's rsyslog writes it to a file that only administrators read."""

WAITING = 1000
"""Alerts that are kept while the journal is away."""

JOURNAL = "/run/systemd/journal/socket"


class Context(Protocol):
    """What every alert says about the host."""

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles of this host."""

    @property
    def mode(self) -> str:
        """What may be written."""

    @property
    def manager(self) -> str:
        """Whose firewall it is."""


class Sink(Protocol):
    """Takes alerts. Must not raise for anything that can go wrong on the way."""

    def send(self, alert: Alert, context: Context) -> None:
        """Deliver one alert."""

    def flush(self) -> None:
        """Try again what could not be delivered; called once a second or so."""


class JournalSink:
    """Sends to systemd-journald through its native protocol (systemd-python).

    While journald restarts, alerts wait here in order; the oldest go first when more than ``WAITING`` have to wait.
    """

    def __init__(self, send: Callable[..., None] | None = None) -> None:
        if send is None:
            import systemd.journal  # noqa: PLC0415 - only where there is a journal

            send = systemd.journal.send
        self._send: Callable[..., None] = send
        self._waiting: deque[tuple[str, dict[str, object]]] = deque(maxlen=WAITING)

    def send(self, alert: Alert, context: Context) -> None:
        """Deliver one alert with all its fields."""
        values = fields(alert, roles=context.roles, mode=context.mode, manager=context.manager)
        finding = alert.finding
        self._waiting.append(
            (
                message(alert, values),
                {
                    "MESSAGE_ID": MESSAGE_IDS[finding.kind],
                    "PRIORITY": finding.severity.priority,
                    "SYSLOG_IDENTIFIER": IDENTIFIER,
                    "SYSLOG_FACILITY": FACILITY,
                    **{f"PORTGUARD_{name}": value for name, value in values.items()},
                },
            )
        )
        self.flush()

    def flush(self) -> None:
        """Send what waits, oldest first, as far as the journal takes it."""
        while self._waiting:
            text, given = self._waiting[0]
            try:
                self._send(text, **given)
            except OSError:
                return
            self._waiting.popleft()


class StreamSink:
    """Writes one line per alert, for a terminal or a supervisor that collects standard error."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr

    def send(self, alert: Alert, context: Context) -> None:
        """Write the line ``<severity> <message>``."""
        values = fields(alert, roles=context.roles, mode=context.mode, manager=context.manager)
        try:
            print(f"{alert.finding.severity.value:8} {message(alert, values)}", file=self._stream, flush=True)
        except (OSError, ValueError):
            # A closed pipe must not stop the guard; there is nobody left to tell.
            return

    def flush(self) -> None:
        """Nothing ever waits: a stream that is closed stays closed."""


class RecordingSink:
    """Keeps what it is sent, for tests: the same message and fields that the journal would get."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, str]]] = []

    def send(self, alert: Alert, context: Context) -> None:
        """Keep one alert."""
        values = fields(alert, roles=context.roles, mode=context.mode, manager=context.manager)
        self.sent.append((message(alert, values), values))

    def flush(self) -> None:
        """Nothing ever waits."""

    def events(self) -> list[str]:
        """Kinds and states in the order in which they came: ``rule_healed resolved``."""
        return [f"{values['EVENT']} {values['STATE']}" for _, values in self.sent]


def journal_available(path: str = JOURNAL) -> bool:
    """Say whether a journal takes messages here."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        probe.connect(path)
    except OSError:
        return False
    finally:
        probe.close()
    return True


def open_sink() -> Sink:
    """Choose the journal where systemd started us and it is there, else standard error."""
    return JournalSink() if journal_available() else StreamSink()
