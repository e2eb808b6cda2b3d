"""The kernel's lines, whole, cut, forged."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portguard.kernel import trace
from portguard.kernel.trace import BINDS, LISTENS, TraceEvents, open_listen_events

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from portguard.kernel.world import ListenNews

NOBODY = 4_194_304
"""Above the kernel's largest process number."""
LINE = (
    "{comm:>16}-{pid:<7} [001] ..... {at}: inet_sock_set_state: family=AF_INET protocol={protocol} sport={port} dport=0 "
    "saddr=0.0.0.0 daddr=0.0.0.0 saddrv6=::ffff:0.0.0.0 daddrv6=::ffff:0.0.0.0 oldstate={old} newstate={new}\n"
)


def line(**changes: object) -> str:
    given_: dict[str, object] = {
        "comm": "redis-server",
        "pid": NOBODY,
        "at": "12.345678",
        "port": 6379,
        "protocol": "IPPROTO_TCP",
        "old": "TCP_CLOSE",
        "new": "TCP_LISTEN",
    }
    return LINE.format(**{**given_, **changes})


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., ListenNews]:
    """Read an instance whose pipe is a file of these lines."""

    def reading(*texts: str | bytes) -> ListenNews:
        for event in (LISTENS, BINDS):
            (tmp_path / event).mkdir(parents=True, exist_ok=True)
            (tmp_path / event / "enable").write_text("1\n")
        content = b"".join(text.encode() if isinstance(text, str) else text for text in texts)
        (tmp_path / "trace_pipe").write_bytes(content)
        events = TraceEvents(tmp_path)
        try:
            return events.read()
        finally:
            events.close()

    return reading


def test_a_line_tells_socket_process_and_moment(read: Callable[..., ListenNews]) -> None:
    (event,) = read(line()).opened

    assert (str(event.address), event.port, event.at) == ("0.0.0.0", 6379, 12.345678)
    assert (event.owner.process, event.owner.pid, event.ours) == ("redis-server", NOBODY, None)


def test_of_ipv6_the_other_address_is_read(read: Callable[..., ListenNews]) -> None:
    text = (
        line().replace("family=AF_INET ", "family=AF_INET6 ").replace("saddrv6=::ffff:0.0.0.0", "saddrv6=::1")
    )

    assert [str(event.address) for event in read(text).opened] == ["::1"]


@pytest.mark.parametrize(
    "changes",
    [
        {"old": "TCP_LISTEN", "new": "TCP_CLOSE"},
        {"protocol": "IPPROTO_MPTCP"},
        {"protocol": "IPPROTO_SCTP"},
        {"port": 0},
    ],
)
def test_what_tells_of_no_port_is_a_reason_to_look_and_no_more(
    read: Callable[..., ListenNews], changes: dict[str, object]
) -> None:
    news = read(line(**changes))

    assert (news.opened, news.look) == ((), True)


def test_an_own_bind_is_no_reason_to_look(read: Callable[..., ListenNews]) -> None:
    bind = "       portguard-{:<7} [000] ..... 12.3: sys_bind -> 0x0\n"

    assert not read(bind.format(os.getpid())).look
    assert read(bind.format(NOBODY)).look


def test_a_column_with_the_process_of_a_thread_is_passed_over(read: Callable[..., ListenNews]) -> None:
    text = line().replace(" [001]", " (-------) [001]")

    assert [event.owner.process for event in read(text).opened] == ["redis-server"]


@pytest.mark.parametrize("text", ["CPU:1 [LOST 1724 EVENTS]\n", "CPU:0 [LOST EVENTS]\n"])
def test_an_overrun_is_told(read: Callable[..., ListenNews], text: str) -> None:
    news = read(line(), text, line(port=6380))

    assert news.lost
    assert news.look
    assert [event.port for event in news.opened] == [6379, 6380]


@pytest.mark.parametrize("comm", ["a-1 [000] ..", "x\ny", "-1 [0] . 1.0: x", "] [", "\x1b[2J", "%s%n"])
def test_a_name_cannot_stand_for_another_process(read: Callable[..., ListenNews], comm: str) -> None:
    (event,) = read(line(comm=comm)).opened

    assert event.owner.pid == NOBODY
    assert "\n" not in str(event.owner.process)
    assert "\x1b" not in str(event.owner.process)


def test_a_line_that_comes_in_two_reads_is_one(
    read: Callable[..., ListenNews], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "_CHUNK", 50)

    assert [event.port for event in read(line(), line(port=80)).opened] == [6379, 80]


def test_a_line_without_an_end_is_not_kept_for_ever(
    read: Callable[..., ListenNews], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "_AT_ONCE", 1000)

    assert [event.port for event in read("x" * (1 << 20), "\n", line()).opened] == [6379]


@given(
    st.lists(
        st.one_of(st.binary(max_size=80), st.just(line().encode()), st.text(max_size=40).map(str.encode))
    )
)
def test_nothing_that_a_pipe_may_hold_stops_the_daemon(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("instance")
    (folder / LISTENS).mkdir(parents=True)
    (folder / LISTENS / "enable").write_text("1\n")
    (folder / "trace_pipe").write_bytes(b"\n".join(pieces))
    events = TraceEvents(folder)
    try:
        news = events.read()
    finally:
        events.close()

    assert all(0 < event.port < 65536 for event in news.opened)


@pytest.mark.parametrize(("enabled", "pipe"), [(None, None), ("0\n", ""), ("1\n", None)])
def test_an_instance_that_is_not_whole_leads_to_polling(
    tmp_path: Path, enabled: str | None, pipe: str | None
) -> None:
    (tmp_path / LISTENS).mkdir(parents=True)
    if enabled is not None:
        (tmp_path / LISTENS / "enable").write_text(enabled)
    if pipe is not None:
        (tmp_path / "trace_pipe").write_text(pipe)

    events = open_listen_events(tmp_path)
    assert events.fileno() is None
    assert str(tmp_path) in str(events.reason)
