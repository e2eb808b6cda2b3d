"""Which sockets are listeners, whether the fake's or the kernel's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portguard.model.net import Transport

if TYPE_CHECKING:
    from contract_sides import Side


def spelled(side: Side) -> list[str]:
    return [str(listener) for listener in side.world.sockets.listeners()]


def test_without_listeners_there_are_none(side: Side) -> None:
    assert side.world.sockets.listeners() == ()
    assert side.world.sockets.owner_gaps() == ()


def test_listeners_come_sorted_by_transport_address_and_port(side: Side) -> None:
    side.listen(Transport.UDP, "127.0.0.1", 161)
    side.listen(Transport.TCP, "::", 8081)
    side.listen(Transport.TCP, "127.0.0.1", 6379)
    side.listen(Transport.TCP, "0.0.0.0", 8001)
    side.listen(Transport.UDP, "::1", 162)

    assert spelled(side) == [
        "0.0.0.0:8001/tcp",
        "127.0.0.1:6379/tcp",
        "[::]:8081/tcp",
        "127.0.0.1:161/udp",
        "[::1]:162/udp",
    ]


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.UDP])
def test_a_dual_stack_listener_serves_both_versions(side: Side, transport: Transport) -> None:
    side.listen(transport, "::", 8001, v6only=False)
    side.listen(transport, "::", 8002, v6only=True)

    both, only = side.world.sockets.listeners()

    assert (both.versions, only.versions) == ((4, 6), (6,))


def test_an_ipv4_listener_serves_ipv4_only(side: Side) -> None:
    side.listen(Transport.TCP, "0.0.0.0", 8001)

    assert side.world.sockets.listeners()[0].versions == (4,)


def test_a_pass_is_equal_to_the_last_when_nothing_changed(side: Side) -> None:
    side.listen(Transport.TCP, "0.0.0.0", 8001)
    side.listen(Transport.UDP, "0.0.0.0", 8001)

    assert side.world.sockets.listeners() == side.world.sockets.listeners()


def test_a_closed_listener_is_gone_and_one_that_takes_its_place_is_another(side: Side) -> None:
    side.listen(Transport.TCP, "0.0.0.0", 8001)
    (first,) = side.world.sockets.listeners()

    side.close(8001)
    assert side.world.sockets.listeners() == ()

    side.listen(Transport.TCP, "0.0.0.0", 8001)
    (second,) = side.world.sockets.listeners()
    assert first.cookie != second.cookie
