"""Connections of strangers to a port, listed and ended by the real kernel."""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from portguard.kernel.established import Established

if TYPE_CHECKING:
    from collections.abc import Iterator

    from namespaces import Netns
    from portguard.model.snapshot import Connection

pytestmark = pytest.mark.kernel

PORT = 6390
OWN, OWN6 = "10.1.0.1", "2001:db8:1::1"
OTHER = {OWN: "10.1.0.2", OWN6: "2001:db8:1::2", "127.0.0.1": "127.0.0.1", "::1": "::1"}
"""Stand for strangers: whoever connects from here without choosing has the address that it connects to."""


class Talk:
    """A dual-stack server on every address, and clients on this host's own addresses."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.server = stack.enter_context(
            socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True)
        )
        self.server.settimeout(5.0)

    def client(self, address: str, source: str = "") -> tuple[socket.socket, socket.socket]:
        """Connect to an address; both ends."""
        client = self._stack.enter_context(
            socket.create_connection(
                (address, PORT), timeout=5.0, source_address=(source or OTHER[address], 0)
            )
        )
        return client, self._stack.enter_context(self.server.accept()[0])


@pytest.fixture
def talk(netns: Netns) -> Iterator[Talk]:
    for address in (OWN, OTHER[OWN]):
        netns.run("ip", "address", "add", f"{address}/32", "dev", "lo")
    for address in (OWN6, OTHER[OWN6]):
        netns.run("ip", "-6", "address", "add", f"{address}/128", "dev", "lo", "nodad")
    with ExitStack() as stack:
        yield Talk(stack)


def peers(found: tuple[Connection, ...]) -> list[str]:
    return [str(row.peer) for row in found]


def test_connections_of_both_families_are_listed_and_those_of_the_host_itself_are_not(talk: Talk) -> None:
    talk.client(OWN)
    talk.client(OWN6)
    talk.client("127.0.0.1")
    talk.client("::1")
    talk.client(OWN, OWN)
    talk.client(OWN6, OWN6)
    with closing(Established()) as found:
        assert peers(found.to([PORT])) == [OTHER[OWN], OTHER[OWN6]]
        assert found.to([PORT + 1]) == ()
        assert found.to([]) == ()


@pytest.mark.parametrize("address", [OWN, OWN6])
def test_one_is_ended_and_the_others_go_on(talk: Talk, address: str) -> None:
    victim, _ = talk.client(address)
    kept, other_end = talk.client(address)
    port = victim.getsockname()[1]
    with closing(Established()) as found:
        (row,) = [row for row in found.to([PORT]) if row.peer_port == port]
        assert found.destroy(row)
        assert not found.destroy(row), "it has ended"
        assert [row.peer_port for row in found.to([PORT])] == [kept.getsockname()[1]]
    talk.client(address)  # Whoever listens still does.

    with pytest.raises(ConnectionResetError):
        victim.recv(1)
    other_end.sendall(b"x")
    assert kept.recv(1) == b"x"


def test_an_ipv4_socket_is_ended_as_well_as_a_dual_stack_one(netns: Netns) -> None:
    for address in (OWN, OTHER[OWN]):
        netns.run("ip", "address", "add", f"{address}/32", "dev", "lo")
    with (
        socket.create_server((OWN, PORT)) as server,
        socket.create_connection((OWN, PORT), timeout=5.0, source_address=(OTHER[OWN], 0)) as client,
        server.accept()[0],
        closing(Established()) as found,
    ):
        (row,) = found.to([PORT])
        assert found.destroy(row)
        assert not found.destroy(row)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        socket.create_connection((OWN, PORT), timeout=5.0).close()


def test_what_only_listens_is_no_connection(talk: Talk) -> None:
    with closing(Established()) as found:
        assert talk.server.fileno() >= 0
        assert found.to([PORT]) == ()
