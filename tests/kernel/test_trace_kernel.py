"""Listeners as the kernel of this machine announces them, in a trace instance of the tests' own."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from guarded_host import GuardedHost, eventually, guarded_host

from portguard.errors import ObserveError
from portguard.kernel.trace import BINDS, LISTENS, TraceEvents, open_listen_events
from portguard.model.net import Transport
from trace_instance import SCRIPT, alone_tracing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from namespaces import Netns
    from portguard.kernel.world import ListenNews, Opened

pytestmark = pytest.mark.kernel

PORT = 16390
"""Of no other test: an instance hears of the listeners of every namespace."""


@pytest.fixture
def instance() -> Iterator[Path]:
    """A trace instance that is set up."""
    with alone_tracing() as made:
        yield made


@pytest.fixture
def events(netns: Netns, instance: Path) -> Iterator[TraceEvents]:  # noqa: ARG001 - its listeners are "ours"
    """Its announcements, read from a namespace of the test's own."""
    with closing(TraceEvents(instance)) as opened:
        yield opened


def taken(events: TraceEvents) -> ListenNews:
    """Wait until there is something to read, and read it."""
    descriptor = events.fileno()
    assert descriptor is not None
    assert select.select([descriptor], [], [], 5.0)[0], "nothing was announced"
    return events.read()


def heard(events: TraceEvents, port: int) -> list[Opened]:
    """Wait for the announcement of a port; others on this machine are announced too, and may come first."""
    until = time.monotonic() + 5.0
    found: list[Opened] = []
    while not found:
        assert time.monotonic() < until, f"{port} was not announced"
        found = [event for event in taken(events).opened if event.port == port]
    return found


def ours(news: ListenNews) -> list[Opened]:
    """Leave out what else happens on this machine at the same time."""
    return [event for event in news.opened if event.ours]


LISTEN_AND_CLOSE = "import socket; socket.create_server(('{address}', {port}), family={family}).close()"


@pytest.mark.parametrize(
    ("address", "family"), [("0.0.0.0", "2"), ("127.0.0.1", "2"), ("::", "10"), ("::1", "10")]
)
def test_a_socket_that_listened_for_an_instant_is_announced_with_its_process(
    events: TraceEvents, netns: Netns, address: str, family: str
) -> None:
    netns.run(sys.executable, "-c", LISTEN_AND_CLOSE.format(address=address, port=PORT, family=family))

    found = heard(events, PORT)
    assert [(event.transport, str(event.address)) for event in found] == [(Transport.TCP, address)]
    assert found[0].owner.process is not None
    assert found[0].owner.process.startswith("python")
    assert found[0].owner.pid is not None


def test_a_process_that_lives_is_described_as_the_owner_of_its_listener(events: TraceEvents) -> None:
    with socket.create_server(("0.0.0.0", PORT)):
        (event,) = heard(events, PORT)

    assert event.ours
    assert event.owner.pid == os.getpid()
    assert event.owner.exe
    assert "\0".join((*event.owner.cmdline, "")) == Path("/proc/self/cmdline").read_text()


def test_the_listener_of_another_network_namespace_is_not_ours(events: TraceEvents, netns: Netns) -> None:
    code = f"import socket; s = socket.create_server(('0.0.0.0', {PORT})); print('up', flush=True); input()"
    other = subprocess.Popen(
        ["unshare", "--net", sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "up\n"
        assert [event.ours for event in heard(events, PORT)] == [False]
        assert other.stdin is not None
        other.stdin.close()
    assert netns.run("ss", "-Hltn") == ""


def test_a_bound_udp_socket_is_a_reason_to_look(events: TraceEvents, netns: Netns) -> None:
    netns.run(sys.executable, "-c", "import socket; socket.socket(2, 2).bind(('0.0.0.0', 161))")

    news = taken(events)
    assert news.look
    assert ours(news) == []


def test_a_thousand_connections_announce_nothing(events: TraceEvents) -> None:
    with socket.create_server(("127.0.0.1", PORT), backlog=64) as server:
        heard(events, PORT)
        for _ in range(1000):
            with socket.create_connection(("127.0.0.1", PORT)), server.accept()[0]:
                pass
        assert ours(events.read()) == []


def test_what_overran_the_buffer_is_told_to_be_lost(events: TraceEvents, netns: Netns) -> None:
    code = (
        "import socket\nfor _ in range(20000):\n s = socket.socket(2, 2); s.bind(('127.0.0.1', 0)); s.close()"
    )
    netns.run(sys.executable, "-c", code)

    assert taken(events).lost


def test_a_name_with_line_feeds_and_brackets_forges_nothing(events: TraceEvents, netns: Netns) -> None:
    code = (
        "import ctypes, socket\n"
        "ctypes.CDLL(None).prctl(15, b'a\\n-1 [000] .. 1', 0, 0, 0)\n"
        f"socket.create_server(('0.0.0.0', {PORT})).close()\n"
    )
    netns.run(sys.executable, "-c", code)

    (event,) = heard(events, PORT)
    assert event.owner.pid != 1
    assert "\n" not in str(event.owner.process)


def test_an_instance_has_one_reader(events: TraceEvents, instance: Path) -> None:
    assert events.reason is None

    second = open_listen_events(instance)
    assert second.fileno() is None
    assert "another process reads" in str(second.reason)


def test_without_an_instance_listeners_are_polled_for(tmp_path: Path) -> None:
    events = open_listen_events(tmp_path / "portguard")

    assert events.fileno() is None
    assert events.read().look is False
    assert "is not set up" in str(events.reason)


def test_what_somebody_switched_off_is_noticed(events: TraceEvents, instance: Path) -> None:
    assert events.still_on()
    (instance / LISTENS / "enable").write_text("0")

    assert not events.still_on()
    assert events.fileno() is None
    assert "switched" in str(events.reason)


def test_a_half_made_instance_is_not_read(instance: Path) -> None:
    (instance / LISTENS / "enable").write_text("0")

    with pytest.raises(ObserveError, match="not set up"):
        TraceEvents(instance)


def test_the_set_up_can_be_done_again_and_leaves_nothing(instance: Path) -> None:
    environ = {**os.environ, "PORTGUARD_TRACING": str(instance.parents[1])}

    def script(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SCRIPT), *arguments], env=environ, capture_output=True, text=True, check=False
        )

    assert script("setup", instance.name).returncode == 0
    assert (instance / BINDS / "filter").read_text() == "ret==0\n"
    assert script("remove", instance.name).returncode == 0
    assert not instance.exists()
    assert script("remove", instance.name).returncode == 0


@pytest.mark.parametrize("arguments", [(), ("setup", "../x"), ("setup", "a b"), ("begin",)])
def test_the_set_up_refuses_what_is_no_name(arguments: tuple[str, ...]) -> None:
    done = subprocess.run([str(SCRIPT), *arguments], capture_output=True, text=True, check=False)

    assert done.returncode == 64


def test_where_nothing_can_be_traced_the_set_up_says_so(tmp_path: Path) -> None:
    environ = {**os.environ, "PORTGUARD_TRACING": str(tmp_path)}
    done = subprocess.run([str(SCRIPT), "setup"], env=environ, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "polling" in done.stderr


# --- the daemon --------------------------------------------------------------------------------------------------


@pytest.fixture
def host(netns: Netns, tmp_path: Path, instance: Path) -> Iterator[GuardedHost]:
    """A host whose daemon polls once an hour, so that it hears of listeners through their announcements alone."""
    with guarded_host(netns, tmp_path) as guarded:
        text = guarded.config.read_text()
        text = text.replace("listeners = 0.1", "listeners = 3600")
        text = text.replace(f"{tmp_path}/no-trace-instance", str(instance))
        guarded.config.write_text(text)
        yield guarded


REDIS = """\
import socket, sys, time
with socket.create_server(("0.0.0.0", 6390)):
    time.sleep(0.05)
print("closed", flush=True)
sys.stdin.read()
"""
"""Its process outlives its socket: of one that is gone as well, nobody could tell whose namespace it was in."""


def test_a_redis_that_listens_for_50_ms_is_told_and_over(host: GuardedHost) -> None:
    host.start()
    assert host.status()["daemon"]["events"] == "tracefs"
    assert host.status()["daemon"]["events_reason"] is None
    command = ["bash", "-c", 'exec -a redis-server "$0" -c "$1"', sys.executable, REDIS]

    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as redis:
        assert redis.stdin is not None
        assert redis.stdout is not None
        assert redis.stdout.readline() == "closed\n"
        (line,) = host.wait_for("service_exposed")
        assert "port=6390" in line
        host.wait_for("service_exposed", "resolved")
        redis.stdin.close()


def test_a_listener_is_found_without_polling(host: GuardedHost) -> None:
    host.start()
    with socket.create_server(("0.0.0.0", 4444)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("0.0.0.0", 4445))
        lines = host.wait_for("listener_unexpected", count=2)

    assert any("port=4444" in line for line in lines)
    assert any("port=4445" in line for line in lines)


def test_a_daemon_without_an_instance_says_why_it_polls(netns: Netns, tmp_path: Path) -> None:
    with guarded_host(netns, tmp_path) as polling:
        polling.start()
        daemon = polling.status()["daemon"]
        assert daemon["events"] == "polling"
        assert "not set up" in daemon["events_reason"]
        assert not [gap for gap in polling.status()["gaps"] if gap["scope"] == "events"]
        with socket.create_server(("0.0.0.0", 4444)):
            polling.wait_for("listener_unexpected")
            eventually(lambda: polling.status()["findings"], "a finding")
