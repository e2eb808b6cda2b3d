"""What ``portguard probe`` asks, where, and what it makes of the answer."""

from __future__ import annotations

import ipaddress

import pytest

from portguard.cli.probe import Target, choose, judge, own_addresses
from portguard.exposure.probe import Answer
from portguard.model.exposure import Application, Exposure, Protection
from portguard.model.finding import Verdict
from portguard.model.listener import Listener
from portguard.model.net import Transport
from portguard.model.snapshot import Interface, Links, Snapshot

ETH0 = ("10.1.0.1", "2001:db8::1", "fe80::1")
REDIS = Exposure(application=Application.REDIS)


def listener(
    port: int, address: str, *, v6only: bool = True, transport: Transport = Transport.TCP
) -> Listener:
    return Listener(
        transport=transport, address=ipaddress.ip_address(address), port=port, v6only=v6only, cookie=port
    )


def seen(*listeners: Listener, addresses: tuple[str, ...] = ETH0) -> Snapshot:
    interfaces = [("lo", ("127.0.0.1", "::1")), ("eth0", addresses)]
    links = Links(
        interfaces=tuple(
            Interface(
                index=number,
                name=name,
                up=True,
                addresses=tuple((ipaddress.ip_address(text), 24) for text in texts),
            )
            for number, (name, texts) in enumerate(interfaces, 1)
        )
    )
    return Snapshot(listeners=listeners, ruleset=None, links=links)


def asked(
    snapshot: Snapshot, *ports: int, suspects: tuple[int, ...] = (), only: str | None = None
) -> list[str]:
    sensitive = dict.fromkeys(suspects, REDIS)
    address = ipaddress.ip_address(only) if only else None
    targets = choose(snapshot, sensitive, ports, own_addresses(snapshot), address)
    return [f"{target.address} {target.port}" for target in targets]


def test_a_listener_on_every_address_is_asked_on_one_of_the_network() -> None:
    snapshot = seen(listener(6390, "::", v6only=False), listener(6391, "0.0.0.0"), listener(6392, "::"))

    assert asked(snapshot, 6390, 6391, 6392) == [
        "10.1.0.1 6390",
        "2001:db8::1 6390",
        "10.1.0.1 6391",
        "2001:db8::1 6392",
    ]


def test_a_bound_listener_is_asked_where_it_is_bound() -> None:
    snapshot = seen(
        listener(6390, "127.0.0.1"), listener(6391, "::ffff:10.1.0.1"), listener(6392, "2001:db8::1")
    )

    assert asked(snapshot, 6390, 6391, 6392) == ["127.0.0.1 6390", "10.1.0.1 6391", "2001:db8::1 6392"]


def test_an_address_that_is_not_of_this_host_is_never_asked() -> None:
    """IP_FREEBIND lets a program listen on addresses that stand on another machine."""
    assert asked(seen(listener(6390, "10.1.0.99")), 6390) == []


def test_a_host_without_a_network_is_asked_on_loopback() -> None:
    assert asked(seen(listener(6390, "0.0.0.0"), addresses=()), 6390) == ["127.0.0.1 6390"]


def test_only_suspects_are_asked_where_no_port_is_given() -> None:
    snapshot = seen(
        listener(6390, "0.0.0.0"), listener(9100, "0.0.0.0"), listener(6391, "127.0.0.1"),
        listener(6392, "0.0.0.0", transport=Transport.UDP),
    )  # fmt: skip

    assert asked(snapshot, suspects=(6390, 6391, 6392)) == ["10.1.0.1 6390"]


def test_one_address_alone() -> None:
    assert asked(seen(listener(6390, "::", v6only=False)), 6390, only="2001:db8::1") == ["2001:db8::1 6390"]


@pytest.mark.parametrize(
    ("application", "protection", "known", "verdict"),
    [
        ("redis", Protection.NONE, None, Verdict.CRITICAL),
        ("redis", Protection.TLS, None, Verdict.CRITICAL),
        ("redis", Protection.PASSWORD, None, Verdict.WARNING),
        ("redis", Protection.UNKNOWN, None, Verdict.WARNING),
        ("redis", Protection.PASSWORD_TLS, None, Verdict.OK),
        ("redis", Protection.REFUSES_STRANGERS, Protection.NONE, Verdict.OK),
        ("jdwp", Protection.NONE, None, Verdict.CRITICAL),
        ("jmx", Protection.UNKNOWN, Protection.NONE, Verdict.CRITICAL),
        ("jmx", Protection.UNKNOWN, Protection.TLS, Verdict.CRITICAL),
        ("jmx", Protection.UNKNOWN, Protection.PASSWORD, Verdict.WARNING),
        ("jmx", Protection.UNKNOWN, Protection.PASSWORD_TLS, Verdict.OK),
        ("jmx", Protection.UNKNOWN, Protection.UNKNOWN, Verdict.UNKNOWN),
        ("jmx", Protection.UNKNOWN, None, Verdict.UNKNOWN),
        ("rmi", Protection.UNKNOWN, None, Verdict.WARNING),
        ("tls", Protection.CERTIFICATE, None, Verdict.OK),
        ("http", Protection.UNKNOWN, None, Verdict.OK),
    ],
)
def test_what_an_answer_means(
    application: str, protection: Protection, known: Protection | None, verdict: Verdict
) -> None:
    exposure = Exposure(application=Application.JMX, protection=known) if known is not None else None
    answer = Answer(application=application, protection=protection, said="", sent=())
    network, loopback = (
        Target(address=ipaddress.ip_address(text), port=1, listener=None, exposure=exposure)
        for text in ("10.1.0.1", "127.0.0.1")
    )

    assert judge(network, answer) is verdict
    assert judge(loopback, answer) is Verdict.OK


def test_no_answer_means_nothing() -> None:
    answer = Answer(application=None, protection=Protection.UNKNOWN, said="", sent=(), answered=False)
    target = Target(address=ipaddress.ip_address("127.0.0.1"), port=1, listener=None, exposure=None)

    assert judge(target, answer) is Verdict.UNKNOWN
