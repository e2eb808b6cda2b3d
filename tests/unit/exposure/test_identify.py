"""A listener is what its process shows; ports speak only where nothing is known of the process."""

from __future__ import annotations

import ipaddress
import os

import pytest

from portguard.exposure.exposures import Exposures
from portguard.exposure.identify import judge_process
from portguard.exposure.process import Threads
from portguard.exposure.redis import Title, is_redis
from portguard.model.exposure import Application, Exposure, Protection
from portguard.model.listener import Listener, Owner
from portguard.model.net import Transport

NOBODY = 4_000_000
"""A process id above any that this machine gives."""


def listener(port: int, *, cookie: int = 0, **owner: object) -> Listener:
    return Listener(
        transport=Transport.TCP,
        address=ipaddress.ip_address("0.0.0.0"),
        port=port,
        cookie=cookie or port,
        owner=Owner(**owner),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("socket", "expected"),
    [
        (listener(6379), Application.REDIS),
        (listener(26379), Application.REDIS_SENTINEL),
        (listener(16379), Application.REDIS_CLUSTER),
        (listener(6379, process="nginx", cmdline=("nginx",)), None),
        (listener(8080), None),
        (listener(6379, process="redis-server", pid=NOBODY), None),
    ],
)
def test_a_port_speaks_only_where_nothing_is_known_of_the_process(
    socket: Listener, expected: Application | None
) -> None:
    found = judge_process([socket])

    assert {exposure.application for exposure in found.values()} == ({expected} if expected else set())
    assert all(exposure.protection is Protection.UNKNOWN for exposure in found.values())


def test_a_process_that_is_neither_is_nothing() -> None:
    assert judge_process([listener(6379, process="python3", pid=os.getpid())]) == {}


@pytest.mark.parametrize(
    ("names", "threads", "expected"),
    [
        ({"redis-server"}, (), True),
        ({"x", "redis-check-rdb"}, (), True),
        ({"valkey-server"}, (), True),
        ({"keydb-server"}, (), True),
        ({"cached"}, ("cached", "bio_close_file", "bio_aof", "bio_lazy_free"), True),
        ({"cached"}, ("cached", "bio_close_file", "bio_aof_fsync", "bio_lazy_free", "jemalloc_bg_thd"), True),
        # Every program that brings jemalloc may have this one.
        ({"cached"}, ("cached", "jemalloc_bg_thd"), False),
        ({"nginx"}, (), False),
    ],
)
def test_redis_is_known_by_its_names_or_by_its_threads(
    names: set[str], threads: tuple[str, ...], expected: bool
) -> None:
    assert is_redis(names, Threads(names=threads, complete=True)) is expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("/usr/bin/redis-server 0.0.0.0:6390",), Title(port=6390, kind=None)),
        (("redis-server *:7000 [sentinel]",), Title(port=7000, kind="sentinel")),
        (("valkey-server [::1]:7000 [cluster]  ",), Title(port=7000, kind="cluster")),
        (("redis-server", "--port", "6390"), None),
        (("nginx: master process",), None),
        ((), None),
    ],
)
def test_a_title_gives_port_and_kind(arguments: tuple[str, ...], expected: Title | None) -> None:
    assert Title.read(arguments) == expected


class Watched:
    """Exposures over a judge that the test turns about."""

    def __init__(self) -> None:
        self.time = 0.0
        self.asked: list[int] = []
        self.answer: dict[int, Exposure] = {}
        self.exposures = Exposures(lambda: self.time, self._judge)

    def _judge(self, listeners: object) -> dict[int, Exposure]:
        assert isinstance(listeners, tuple)
        self.asked.append(listeners[0].owner.pid)
        return self.answer


def test_a_process_is_asked_again_only_while_its_sockets_are_young_or_the_slow_pass_comes() -> None:
    watched = Watched()
    sockets = (listener(1, pid=10), listener(2, pid=10), listener(3, pid=20))
    watched.exposures.of(sockets)
    assert sorted(watched.asked) == [10, 20]

    watched.time = 4.0
    watched.exposures.of(sockets)
    watched.asked.clear()
    for _ in range(5):
        watched.exposures.of(sockets)
    assert watched.asked == []

    watched.exposures.time_passed()
    assert sorted(watched.asked) == [10, 20]


def test_what_a_young_process_tells_later_is_a_difference() -> None:
    watched = Watched()
    sockets = (listener(9010, pid=10),)
    before = watched.exposures.of(sockets)
    assert watched.exposures.of(sockets) is before

    watched.answer = {9010: Exposure(application=Application.JMX, protection=Protection.NONE)}
    after = watched.exposures.of(sockets)
    assert after is not before
    assert after == watched.answer


def test_listeners_that_could_not_be_read_change_nothing() -> None:
    watched = Watched()
    watched.answer = {6390: Exposure(application=Application.REDIS)}
    watched.exposures.of((listener(6390, pid=10),))

    assert watched.exposures.of(None) == watched.answer


def test_arguments_seen_before_a_title_hid_them_are_kept_as_long_as_the_socket() -> None:
    watched = Watched()
    seen = Exposure(
        application=Application.REDIS, protection=Protection.NONE, evidence=("arguments", "x.conf")
    )
    watched.answer = {1: seen}
    watched.exposures.of((listener(6390, cookie=1, pid=10),))
    watched.answer = {1: Exposure(application=Application.REDIS, evidence=("process title",))}
    assert watched.exposures.of((listener(6390, cookie=1, pid=10),)) == {1: seen}

    watched.answer = {2: Exposure(application=Application.REDIS, evidence=("process title",))}
    assert watched.exposures.of((listener(6390, cookie=2, pid=10),))[2].protection is Protection.UNKNOWN


def test_a_closed_socket_is_forgotten() -> None:
    watched = Watched()
    watched.answer = {6390: Exposure(application=Application.REDIS)}
    watched.exposures.of((listener(6390, pid=10),))

    assert watched.exposures.of(()) == {}
