"""What a listener is, by what its process shows; ports speak only where nothing is known of the process."""

from __future__ import annotations

import ipaddress

import pytest

from portguard.exposure.identify import identify, sensitive
from portguard.model.exposure import Application, Exposure
from portguard.model.listener import Listener, Owner
from portguard.model.net import Transport


def listener(port: int, **owner: object) -> Listener:
    return Listener(
        transport=Transport.TCP,
        address=ipaddress.ip_address("0.0.0.0"),
        port=port,
        cookie=port,
        owner=Owner(**owner),  # type: ignore[arg-type]
    )


JMX = (
    "java",
    "-Dcom.sun.management.jmxremote.port=9010",
    "-Dcom.sun.management.jmxremote.rmi.port=9011",
    "-agentlib:jdwp=transport=dt_socket,server=y,suspend=n,address=*:5005",
    "Main",
)


@pytest.mark.parametrize(
    ("socket", "expected"),
    [
        (listener(6390, process="redis-server"), "redis"),
        (listener(6390, process="renamed", exe="/usr/bin/redis-check-rdb"), "redis"),
        (listener(6390, process="renamed", exe="/usr/bin/redis-check-rdb (deleted)"), "redis"),
        (listener(6390, process="x", cmdline=("/usr/bin/redis-server *:6390",)), "redis"),
        (
            listener(7000, process="redis-server", cmdline=("redis-server *:7000 [sentinel]",)),
            "redis-sentinel",
        ),
        (
            listener(16390, process="redis-server", cmdline=("redis-server 0.0.0.0:6390 [cluster]",)),
            "redis-cluster",
        ),
        (listener(6390, process="redis-server", cmdline=("redis-server 0.0.0.0:6390 [cluster]",)), "redis"),
        (listener(6390, process="valkey-server"), "redis"),
        (listener(6390, process="keydb-server"), "redis"),
        (listener(26380, process="redis-sentinel"), "redis-sentinel"),
        (listener(9010, process="java", cmdline=JMX), "jmx"),
        (listener(9011, process="java", cmdline=JMX), "jmx-rmi"),
        (listener(5005, process="java", cmdline=JMX), "jdwp"),
        (listener(8080, process="java", cmdline=JMX), None),
        (
            listener(
                5005, process="java", cmdline=("java", "-Xrunjdwp:transport=dt_socket,address=5005,server=y")
            ),
            "jdwp",
        ),
        (listener(6379), "redis"),
        (listener(26379), "redis-sentinel"),
        (listener(6379, process="nginx", cmdline=("nginx",)), None),
        (listener(8080, process="nginx"), None),
        (listener(8080), None),
    ],
)
def test_a_listener_is_what_its_process_shows(socket: Listener, expected: str | None) -> None:
    assert identify(socket) == expected


def test_sockets_are_named_by_their_cookie() -> None:
    found = sensitive([listener(6390, process="redis-server"), listener(80, process="nginx")])

    assert found == {6390: Exposure(application=Application.REDIS)}
