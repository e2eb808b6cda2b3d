"""Announced listeners, and connections by their peers, whether the fake's or the kernel's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from contract_words import readable

from portguard.model.net import AddressSet, Transport

if TYPE_CHECKING:
    from contract_sides import Side

    from portguard.kernel.world import Opened

RANGE = AddressSet.of("10.28.32.0/26")


def ours(opened: tuple[Opened, ...]) -> list[tuple[str, int]]:
    """Leave out other namespaces of the machine."""
    return [(str(event.address), event.port) for event in opened if event.ours]


class TestAnnounced:
    """A world that tells of listeners."""

    def test_it_gives_no_reason_to_poll(self, announcing: Side) -> None:
        events = announcing.world.listen_events

        assert events.reason is None
        assert events.fileno() is not None
        assert events.still_on()

    def test_sockets_that_begin_to_listen_are_announced_once_in_order(self, announcing: Side) -> None:
        announcing.listen(Transport.TCP, "0.0.0.0", 8001)
        announcing.listen(Transport.TCP, "::1", 8002)
        events = announcing.world.listen_events

        descriptor = events.fileno()
        assert descriptor is not None
        assert readable(descriptor)
        news = events.read()
        assert ours(news.opened) == [("0.0.0.0", 8001), ("::1", 8002)]
        assert news.look
        assert not news.lost
        assert ours(events.read().opened) == []

    def test_a_socket_that_is_closed_again_was_announced(self, announcing: Side) -> None:
        announcing.listen(Transport.TCP, "0.0.0.0", 8001)
        announcing.close(8001)

        assert ours(announcing.world.listen_events.read().opened) == [("0.0.0.0", 8001)]
        assert announcing.world.sockets.listeners() == ()

    def test_one_that_ceases_to_listen_is_a_reason_to_look(self, announcing: Side) -> None:
        announcing.listen(Transport.TCP, "0.0.0.0", 8001)
        announcing.world.listen_events.read()
        announcing.close(8001)

        assert announcing.world.listen_events.read().look

    def test_a_udp_socket_is_a_reason_to_look_and_no_more_is_known(self, announcing: Side) -> None:
        announcing.listen(Transport.UDP, "0.0.0.0", 8001)
        news = announcing.world.listen_events.read()

        assert ours(news.opened) == []


class TestPolled:
    """A world that does not."""

    def test_it_says_why_and_never_announces(self, side: Side) -> None:
        events = side.world.listen_events
        side.listen(Transport.TCP, "0.0.0.0", 8001)

        assert events.reason
        assert events.fileno() is None
        assert not events.still_on()
        assert events.read().opened == ()
        assert not events.read().look


class TestPeers:
    """Connections by their peers."""

    def test_without_connections_there_are_none(self, side: Side) -> None:
        side.listen(Transport.TCP, "0.0.0.0", 8001)

        assert side.world.peers.connections(RANGE) == ()

    @pytest.mark.parametrize("transport", [Transport.TCP, Transport.UDP])
    def test_connections_with_a_peer_in_the_networks_are_found_from_both_ends(
        self, side: Side, transport: Transport
    ) -> None:
        side.add_address("10.28.32.5/26")
        side.listen(transport, "10.28.32.5", 8001)
        side.listen(transport, "127.0.0.1", 8002)
        side.connect(transport, "10.28.32.5", 8001)
        side.connect(transport, "127.0.0.1", 8002)

        found = side.world.peers.connections(RANGE)
        assert [(str(row.peer), row.transport, row.state) for row in found] == [
            ("10.28.32.5", transport, "established")
        ] * 2
        assert {8001} < {row.peer_port for row in found}
        assert side.world.peers.connections(AddressSet.of("10.28.33.0/26")) == ()

    def test_no_network_has_no_connection(self, side: Side) -> None:
        assert side.world.peers.connections(AddressSet()) == ()
