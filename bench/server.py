"""The guarded server of the benchmark: its configuration, its listeners, and the daemon itself."""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.sandbox import PYTHON, child
from portguard.catalogue.load import load

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

ROLE = "printum/all-in-one"
LISTENERS = 20
FOLDER = Path("/run/portguard-bench")
CONFIG = FOLDER / "portguard.toml"
STATUS = FOLDER / "status.json"

_READY_WITHIN = 30.0
_NO_FIGHT = ("[heal]", "max_heals = 100000", "writer_burst = 100000")
"""The benchmark is a writer that never rests, which is just what these limits are there to stop."""


def write_config(role: str = ROLE, *, trace: Path = FOLDER / "no-trace-instance") -> Path:
    """Write the configuration of the guarded server, with a network for every zone and an address for every component.

    ``trace`` is the trace instance that announces listeners: never that of a daemon which guards this machine.
    """
    FOLDER.mkdir(exist_ok=True)
    catalogue = load()
    zones = sorted(zone.id for zone in catalogue.zones if zone.id != "any")
    components = sorted(component.id for component in catalogue.components if component.zone is None)
    lines = [
        f'role = "{role}"',
        'mode = "heal"',
        "[zones]",
        *(f'"{zone}" = ["10.{at}.0.0/16", "2001:db8:{at:x}::/48"]' for at, zone in enumerate(zones, start=1)),
        "[hosts]",
        *(f'"{name}" = ["10.200.0.{at}"]' for at, name in enumerate(components, start=1)),
        "[failsafe]",
        'inbound = [{ transport = "tcp", port = 22, from = "admins" }]',
        "[paths]",
        f'status = "{STATUS}"',
        f'state = "{FOLDER / "state"}"',
        f'trace = "{trace}"',
        *_NO_FIGHT,
    ]
    CONFIG.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return CONFIG


@contextmanager
def listeners(count: int = LISTENERS) -> Iterator[None]:
    """Hold TCP and UDP listeners of both IP versions, documented ports and others."""
    with ExitStack() as stack:
        for number in range(count):
            stack.enter_context(_listener(number))
        yield


def _listener(number: int) -> socket.socket:
    family = socket.AF_INET6 if number % 2 else socket.AF_INET
    kind = socket.SOCK_DGRAM if number % 5 == 4 else socket.SOCK_STREAM
    held = socket.socket(family, kind)
    held.bind(("::" if number % 2 else "0.0.0.0", 8001 + number))
    if kind == socket.SOCK_STREAM:
        held.listen(64)
    return held


class Daemon:
    """The real ``portguard run``, as systemd would start it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.pid = process.pid


@contextmanager
def daemon() -> Iterator[Daemon]:
    """Start the daemon and wait until it has looked at everything once. Raises RuntimeError when it does not."""
    notify = FOLDER / "notify"
    notify.unlink(missing_ok=True)
    with ExitStack() as stack:
        mailbox = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        mailbox.bind(str(notify))
        log = stack.enter_context((FOLDER / "daemon.log").open("a"))
        process = stack.enter_context(
            child(
                PYTHON,
                "-m",
                "portguard",
                "run",
                "--config",
                str(CONFIG),
                stdout=log,
                stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": str(notify)},
            )
        )
        ready = threading.Event()
        threading.Thread(target=_read_states, args=(mailbox, ready), daemon=True).start()
        if not ready.wait(_READY_WITHIN):
            raise RuntimeError(
                f"the daemon did not get ready:\n{(FOLDER / 'daemon.log').read_text()[-2000:]}"
            )
        yield Daemon(process)
        if process.poll() is not None:
            raise RuntimeError(f"the daemon ended by itself:\n{(FOLDER / 'daemon.log').read_text()[-2000:]}")
        process.send_signal(signal.SIGTERM)


def _read_states(mailbox: socket.socket, ready: threading.Event) -> None:
    """Take what the daemon tells systemd: a full socket would hold it up."""
    while True:
        try:
            states = mailbox.recv(8192)
        except OSError:
            return
        if b"READY=1" in states:
            ready.set()
