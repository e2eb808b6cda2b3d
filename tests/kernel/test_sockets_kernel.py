"""Listeners of the real kernel, and who holds them."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portguard.errors import ObserveError
from portguard.kernel import diag, owners
from portguard.kernel.cgroups import cgroup2_mount
from portguard.kernel.sockets import SocketTable
from portguard.model.net import Transport
from portguard.model.snapshot import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from namespaces import Netns
    from portguard.model.listener import Listener

pytestmark = pytest.mark.kernel

SYS_PIDFD_GETFD = 438
"""On every architecture, as all system calls since 5.0."""

LISTEN = """
import socket, sys
sock = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def table(netns: Netns, monkeypatch: pytest.MonkeyPatch) -> Iterator[SocketTable]:  # noqa: ARG001 - opened in it
    # On a busy machine a walk over all processes may take so long that the next one is put off.
    monkeypatch.setattr(owners, "_CHEAP", 10.0)
    with closing(SocketTable()) as opened:
        yield opened


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup with a name as systemd gives it, below the one the test runs in."""
    mount = cgroup2_mount(Path("/proc/self/mountinfo").read_text())
    assert mount is not None, "kernel tests need cgroup2"
    path = mount / f"portguard-test-{os.getpid()}.service"
    path.mkdir()
    yield path
    path.rmdir()


@contextmanager
def program(
    port: int, *, cgroup: Path = Path("/dev/null"), user: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a program that listens on a port of loopback until the end of the block."""
    enter = 'echo $$ > "$0"; exec "$@"'
    place = cgroup / "cgroup.procs" if cgroup.is_dir() else cgroup
    with subprocess.Popen(
        ["sh", "-c", enter, str(place), sys.executable, "-c", LISTEN, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        user=user,
    ) as running:
        assert running.stdout is not None
        assert running.stdin is not None
        assert running.stdout.readline() == "ready\n"
        yield running
        running.stdin.close()
        running.wait(timeout=10)


def only(table: SocketTable) -> Listener:
    (listener,) = table.listeners()
    return listener


def test_the_owner_of_a_listener_is_its_process(table: SocketTable) -> None:
    with program(8001) as running:
        owner = only(table).owner

        assert owner.pid == running.pid
        assert owner.process is not None
        assert owner.process.startswith("python")
        assert owner.exe == str(Path(sys.executable).resolve())
        assert owner.cmdline[-1] == "8001"


def test_the_unit_of_a_listener_is_that_of_its_cgroup(table: SocketTable, cgroup: Path) -> None:
    with program(8001, cgroup=cgroup) as running:
        listener = only(table)

        assert listener.owner.unit == cgroup.name
        assert listener.owner.pid == running.pid
        assert listener.cgroup == cgroup.stat().st_ino


def test_a_socket_older_than_its_unit_has_the_unit_of_its_process(table: SocketTable, cgroup: Path) -> None:
    """The kernel keeps the cgroup in which the socket was made."""
    with program(8001) as running:
        (cgroup / "cgroup.procs").write_text(str(running.pid))

        assert only(table).owner.unit == cgroup.name


def test_a_listener_of_a_unit_started_later_is_found_too(
    table: SocketTable, cgroup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cgroup that is newer than the last walk of all cgroups."""
    with program(8001):
        assert only(table).owner.unit is None
        monkeypatch.setattr(table._owners._cgroups, "_monotonic", lambda: float("inf"))

        with program(8002, cgroup=cgroup):
            units = {listener.port: listener.owner.unit for listener in table.listeners()}

    assert units == {8001: None, 8002: cgroup.name}


def test_a_pass_looks_owners_up_for_new_sockets_only(
    table: SocketTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    find = table._owners.find

    def counting(records: list[diag.Record], *, likely: frozenset[int]) -> object:
        asked.extend(record.port for record in records)
        return find(records, likely=likely)

    monkeypatch.setattr(table._owners, "find", counting)
    with program(8001):
        table.listeners()
        table.listeners()
        with program(8002):
            table.listeners()
            table.listeners()

    assert asked == [8001, 8002]


def test_the_owner_of_a_socket_is_looked_for_where_it_is_expected_first(
    table: SocketTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table._owners, "_walk", lambda *_: pytest.fail("all processes were looked at"))
    with program(8001) as process:
        table.expect(frozenset({process.pid}))
        (listener,) = table.listeners()

    assert listener.owner.pid == process.pid


def test_a_socket_that_outlives_its_process_gets_a_new_owner(table: SocketTable) -> None:
    with ExitStack() as stack:
        with program(8001) as first:
            assert only(table).owner.pid == first.pid
            # We hold the socket as well, as a worker does that the main process has forked.
            stack.enter_context(_borrowed(first.pid))

        assert only(table).owner.pid == os.getpid()


def test_a_long_walk_over_all_processes_is_not_done_at_every_pass(
    table: SocketTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket whose process is not found at once has to wait; it is found in the end."""
    monkeypatch.setattr(owners, "_CHEAP", 0.0)
    now = 100.0

    def passing() -> float:
        nonlocal now
        now += 1.0
        return now

    monkeypatch.setattr(table._owners, "_monotonic", passing)
    monkeypatch.setattr(table._owners._cgroups, "processes", lambda _cgroup: ())
    with program(8001) as first:
        assert only(table).owner.pid == first.pid
        with program(8002) as second:
            pids: list[int | None] = []
            while not pids or pids[-1] is None:
                (waiting,) = [listener for listener in table.listeners() if listener.port == 8002]
                pids.append(waiting.owner.pid)

    assert pids == [*[None] * 18, second.pid]


def _borrowed(pid: int) -> socket.socket:
    """Take over a copy of the only socket of another process."""
    (held,) = [
        int(fd.name) for fd in Path(f"/proc/{pid}/fd").iterdir() if str(fd.readlink()).startswith("socket:")
    ]
    pidfd = os.pidfd_open(pid)
    try:
        copy = ctypes.CDLL(None, use_errno=True).syscall(SYS_PIDFD_GETFD, pidfd, held, 0)
    finally:
        os.close(pidfd)
    assert copy >= 0, os.strerror(ctypes.get_errno())
    return socket.socket(fileno=copy)


def test_without_the_right_to_look_the_owner_is_a_gap(netns: Netns) -> None:  # noqa: ARG001 - opened in it
    with program(8001), closing(SocketTable()) as table:
        os.seteuid(65534)
        try:
            listener = only(table)
        finally:
            os.seteuid(0)

        assert (listener.port, listener.owner.pid, listener.owner.process) == (8001, None, None)
        (gap,) = table.owner_gaps()
        assert gap.scope == Scope.OWNERS
        assert "1 listeners" in gap.reason
    # The gap goes with the socket that it was about.
    with closing(SocketTable()) as table:
        assert table.listeners() == ()
        assert table.owner_gaps() == ()


def test_the_user_is_the_one_who_made_the_socket(table: SocketTable) -> None:
    with program(8001, user=65534):
        assert only(table).uid == 65534


def test_a_socket_bound_to_an_interface_says_to_which(table: SocketTable) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        sock.bind(("0.0.0.0", 8001))
        sock.listen()

        assert only(table).interface == socket.if_nametoindex("lo")


def test_neither_connections_nor_connected_udp_sockets_are_listeners(table: SocketTable) -> None:
    with (
        socket.create_server(("127.0.0.1", 8001)) as server,
        socket.create_connection(("127.0.0.1", 8001)),
        server.accept()[0],
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.connect(("127.0.0.1", 53))

        assert [str(listener) for listener in table.listeners()] == ["127.0.0.1:8001/tcp"]


def test_a_bound_socket_that_does_not_listen_yet_is_no_listener(table: SocketTable) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 8001))

        assert table.listeners() == ()


def test_it_agrees_with_ss(netns: Netns, table: SocketTable) -> None:
    with ExitStack() as stack:
        for address, port, kind in (
            ("0.0.0.0", 8001, socket.SOCK_STREAM),
            ("127.0.0.1", 6379, socket.SOCK_STREAM),
            ("::1", 6379, socket.SOCK_STREAM),
            ("::", 5353, socket.SOCK_DGRAM),
            ("127.0.0.1", 161, socket.SOCK_DGRAM),
        ):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = stack.enter_context(socket.socket(family, kind))
            sock.bind((address, port))
            if kind == socket.SOCK_STREAM:
                sock.listen()

        lines = [line.split() for line in netns.run("ss", "-H", "-ltun", "-e").splitlines()]
        listed = {(line[0], line[4].replace("*:", "[::]:")) for line in lines}

        seen = {(listener.transport.value, str(listener).partition("/")[0]) for listener in table.listeners()}
        assert seen == listed


def test_a_refused_dump_is_an_error_not_an_empty_listing(
    table: SocketTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel without the module that lists this protocol's sockets tells so at the end of its answer."""
    monkeypatch.setattr(diag, "_PROTOCOLS", ((Transport.UDP, 99, 1 << 7),))

    with pytest.raises(ObserveError, match="cannot list udp sockets"):
        table.listeners()


def test_a_pass_after_a_failed_one_is_whole_again(
    table: SocketTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    with program(8001):
        before = table.listeners()
        with monkeypatch.context() as patch:
            patch.setattr(diag, "_PROTOCOLS", ((Transport.UDP, 99, 1 << 7),))
            with pytest.raises(ObserveError):
                table.listeners()

        assert table.listeners() == before
