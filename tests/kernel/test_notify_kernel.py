"""What the daemon tells the service manager, through systemd's own library."""

from __future__ import annotations

import functools
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest
from guarded_host import GuardedHost, eventually, guarded_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from namespaces import Netns

pytestmark = pytest.mark.kernel


class Manager:
    """Listens where systemd would."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0)

    def hear(self) -> list[str]:
        """Everything told so far, one state an entry."""
        try:
            while True:
                self.heard += self._socket.recv(65536).decode().splitlines()
        except BlockingIOError:
            return self.heard

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


@pytest.fixture
def host(netns: Netns, tmp_path: Path) -> Iterator[GuardedHost]:
    with guarded_host(netns, tmp_path) as guarded:
        yield guarded


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


def test_ready_comes_after_the_first_look_and_pings_after_each_cycle(
    host: GuardedHost, manager: Manager
) -> None:
    host.start(NOTIFY_SOCKET=str(manager.path), WATCHDOG_USEC="300000")
    eventually(lambda: "READY=1" in manager.hear(), "ready")
    assert host.own_rules(), "ready before the table was made"
    assert any(
        "documented inbound services" in state for state in manager.hear() if state.startswith("STATUS=")
    )
    eventually(lambda: manager.hear().count("WATCHDOG=1") >= 5, "pings")

    assert host.process is not None
    host.process.send_signal(signal.SIGSTOP)
    time.sleep(0.2)
    pings = manager.hear().count("WATCHDOG=1")
    time.sleep(0.5)
    assert manager.hear().count("WATCHDOG=1") == pings, "a ping without a cycle"
    host.process.send_signal(signal.SIGCONT)


def test_a_reload_is_announced_and_ended_with_a_good_and_with_a_bad_file(
    host: GuardedHost, manager: Manager
) -> None:
    host.start(NOTIFY_SOCKET=str(manager.path))
    eventually(lambda: "READY=1" in manager.hear(), "ready")
    assert host.process is not None
    for number, text in enumerate((host.config.read_text() + "\n# another\n", "role = 5\n"), 1):
        manager.hear()
        host.config.write_text(text)
        host.process.send_signal(signal.SIGHUP)
        eventually(functools.partial(_told, manager, "RELOADING=1", number), "reloading")
        eventually(
            lambda: manager.hear()[::-1].index("READY=1") < manager.hear()[::-1].index("RELOADING=1"), "ready"
        )
    assert any(state.startswith("MONOTONIC_USEC=") for state in manager.hear())
    assert any("rejected" in state for state in manager.hear() if state.startswith("STATUS="))


def _told(manager: Manager, state: str, times: int) -> bool:
    return manager.hear().count(state) >= times


def test_a_wanted_end_is_no_failure(host: GuardedHost, manager: Manager) -> None:
    host.start(NOTIFY_SOCKET=str(manager.path))
    assert host.stop() == 0

    assert "STOPPING=1" in manager.hear()
