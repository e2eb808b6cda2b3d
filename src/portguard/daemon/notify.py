"""Talk to systemd: readiness, status line, reload and watchdog (``man sd_notify``). Silent where nobody listens."""

from __future__ import annotations

import os
import time


class Notifier:
    """Sends states to the service manager that started this process, if one did."""

    def __init__(self, environ: dict[str, str] | None = None) -> None:
        environ = dict(os.environ) if environ is None else environ
        self._listening = bool(environ.get("NOTIFY_SOCKET"))
        pid = environ.get("WATCHDOG_PID")
        usec = environ.get("WATCHDOG_USEC", "")
        mine = pid is None or pid == str(os.getpid())
        self.watchdog: float | None = int(usec) / 1e6 / 3 if mine and usec.isdigit() and int(usec) else None
        """Seconds between pings: a third of what systemd allows, so that one late ping does no harm."""
        self._pinged = 0.0

    def ready(self, status: str) -> None:
        """Say that the first full look is done."""
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def status(self, status: str) -> None:
        """Set the line that ``systemctl status`` shows."""
        self._send(f"STATUS={_line(status)}")

    def reloading(self) -> None:
        """Say that a reload began; ``ready`` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Say that the end is wanted, not a failure."""
        self._send("STOPPING=1")

    def cycle_done(self, now: float) -> None:
        """Ping the watchdog if it is time; called only after a completed cycle of the loop."""
        if self.watchdog is not None and now - self._pinged >= self.watchdog:
            self._pinged = now
            self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        if not self._listening:
            return
        import systemd.daemon  # noqa: PLC0415 - only under systemd

        systemd.daemon.notify(state)


def _line(text: str) -> str:
    return " ".join(text.split())
