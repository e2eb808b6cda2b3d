"""Listeners as the kernel announces them: lines of a trace instance that ``systemd/trace-setup`` made.

Tracepoints are those of the whole machine and name no network namespace, so an announcement is a reason to look, and what
sock_diag then shows is the truth. What is gone by then is known from its line alone.

Reading takes the lines away from every other reader. The lock on the pipe keeps a second daemon from doing that.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from portguard.errors import ObserveError
from portguard.kernel.attribution import clean, sees_all_pids
from portguard.kernel.owners import describe
from portguard.kernel.world import ListenNews, Opened
from portguard.model.listener import Owner
from portguard.model.net import Transport

if TYPE_CHECKING:
    from pathlib import Path

    from portguard.model.net import IPAddress

LISTENS = "events/sock/inet_sock_set_state"
BINDS = "events/syscalls/sys_exit_bind"

_AT_ONCE = 64
"""Reads of one call: whoever listens in an endless loop must not keep the daemon from its other work."""
_CHUNK = 1 << 16
_LONGEST = 4096
"""Bytes of a line that is kept until its end arrives; the longest has 330."""
_OWNERS = 32
"""Openings of one call whose process is looked up, at 0.2 ms each; of the others the line's name and number are known."""

_TAKEN = "another process reads {}/trace_pipe"

# A process chooses its name, and may put spaces, brackets or a line feed into its 15 bytes: the last match counts.
_LINE = re.compile(
    rb"(?P<comm>.*)-(?P<pid>\d+)\s+(?:\([ \d-]+\)\s+)?\[\d+\]\s+\S+\s+(?P<at>\d+\.\d+): "
    rb"(?:sys_bind -> 0x0|inet_sock_set_state: (?P<fields>family=.*))",
    re.DOTALL,
)
_LOST = re.compile(rb"CPU:\d+ \[LOST [\d ]*EVENTS\]")


class Polling:
    """Stands for a kernel that announces no listeners."""

    def __init__(self, reason: str) -> None:
        self.reason: str | None = reason
        """Why listeners are found by polling alone."""

    def fileno(self) -> None:
        """There is nothing to wait for."""

    def read(self) -> ListenNews:
        """Nothing is ever announced."""
        return ListenNews()

    def still_on(self) -> bool:
        """Nothing ever was."""
        return False

    def close(self) -> None:
        """Nothing is held."""


class TraceEvents:
    """The lines of one trace instance."""

    def __init__(self, instance: Path) -> None:
        """Open its pipe and lock it. Raises ObserveError, with the reason, where that cannot be."""
        self.reason: str | None = None
        self._instance = instance
        self._rest = b""
        self._own = _namespace("/proc/thread-self")
        if not _is_on(instance / LISTENS / "enable"):
            raise ObserveError(f"{instance} is not set up, or may not be read")
        try:
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(instance / "trace_pipe", flags)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise ObserveError(_TAKEN.format(instance)) from error
            raise ObserveError(f"{instance}/trace_pipe cannot be read: {error.strerror}") from error
        try:
            # Newer kernels open a pipe once only; of older ones, the lock keeps a second daemon out.
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise ObserveError(_TAKEN.format(instance)) from error

    def fileno(self) -> int | None:
        """Descriptor that is readable when something was announced; None when nothing is any longer."""
        return self._fd if self.reason is None else None

    def close(self) -> None:
        """Close the pipe."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read(self) -> ListenNews:
        """Take everything announced so far; never blocks."""
        if self.reason is not None:
            return ListenNews()
        opened: list[Opened] = []
        look = lost = False
        for _ in range(_AT_ONCE):
            lines = self._lines()
            if lines is None:
                break
            for line in lines:
                if _LOST.match(line):
                    lost = True
                elif match := _LINE.match(line):
                    # Own sockets that talk to the kernel are bound too, and nobody can reach them.
                    look = look or match["fields"] is not None or int(match["pid"]) != os.getpid()
                    if (event := self._opened(match, look_up=len(opened) < _OWNERS)) is not None:
                        opened.append(event)
        return ListenNews(opened=tuple(opened), look=look or lost, lost=lost)

    def still_on(self) -> bool:
        """Say whether anything is announced: somebody may have switched it off. What is off is off until the next start."""
        if self.reason is None and not _is_on(self._instance / LISTENS / "enable"):
            self.reason = f"somebody switched {self._instance} off"
        return self.reason is None

    def _lines(self) -> list[bytes] | None:
        """Read some lines; None when there are none left."""
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return None
        except OSError as error:
            self.reason = f"{self._instance}/trace_pipe cannot be read: {error.strerror}"
            return None
        if not data:
            return None
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-_LONGEST:]
        return lines

    def _opened(self, match: re.Match[bytes], *, look_up: bool) -> Opened | None:
        """Read what a line says of a socket that begins to listen; None for what else it may tell."""
        if match["fields"] is None:
            return None
        fields = dict(pair.split(b"=", 1) for pair in match["fields"].split() if b"=" in pair)
        port = int(fields.get(b"sport", b"0"))
        if fields.get(b"newstate") != b"TCP_LISTEN" or fields.get(b"protocol") != b"IPPROTO_TCP" or not port:
            # MPTCP's is followed by that of its TCP socket. A port that the kernel still has to pick is not told.
            return None
        address = _address(fields)
        if address is None:
            return None
        pid = int(match["pid"])
        comm = clean(match["comm"].strip().decode(errors="backslashreplace"))
        ours = self._is_ours(pid)
        process = _process_of(pid) if ours and look_up else None
        owner = describe(process) if process is not None else None
        return Opened(
            transport=Transport.TCP,
            address=address,
            port=port,
            at=float(match["at"]),
            ours=ours,
            owner=owner or Owner(process=comm, pid=pid),
        )

    def _is_ours(self, pid: int) -> bool | None:
        """Say whether a process is in this network namespace; None where that cannot be told (any more)."""
        there = _namespace(f"/proc/{pid}") if sees_all_pids() else None
        return None if there is None or self._own is None else there == self._own


def open_listen_events(instance: Path) -> TraceEvents | Polling:
    """Open the announcements of new listeners, or what stands for a kernel that makes none. Never raises."""
    try:
        return TraceEvents(instance)
    except ObserveError as error:
        return Polling(str(error))


def _address(fields: dict[bytes, bytes]) -> IPAddress | None:
    """Address that a socket is bound to; None when the line does not say."""
    try:
        if fields.get(b"family") == b"AF_INET6":
            return IPv6Address(fields[b"saddrv6"].decode("ascii"))
        return IPv4Address(fields[b"saddr"].decode("ascii"))
    except (KeyError, ValueError):
        return None


def _process_of(thread: int) -> int | None:
    """Process that a thread belongs to; None when it is gone."""
    try:
        with open(f"/proc/{thread}/status", encoding="utf-8", errors="replace") as status:  # noqa: PTH123 - no path
            return next((int(line[5:]) for line in status if line.startswith("Tgid:")), None)
    except OSError:
        return None


def _namespace(process: str) -> tuple[int, int] | None:
    """Identity of a process's network namespace; None when it is gone or hides it."""
    try:
        found = os.stat(f"{process}/ns/net")  # noqa: PTH116 - a namespace, not a path
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_on(switch: Path) -> bool:
    """Say whether an event's switch is on; one that cannot be read is not."""
    try:
        return switch.read_bytes().startswith(b"1")
    except OSError:
        return False
