"""Connections to ports of this host, as sock_diag's answers spell them, and what its refusals mean."""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from portguard.errors import ObserveError
from portguard.kernel import established
from portguard.kernel.established import Established
from portguard.kernel.netlink import HEADER, NLMSG_DONE, NLMSG_ERROR
from portguard.model.listener import Owner
from portguard.model.net import Transport
from portguard.model.snapshot import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

V4, V6 = socket.AF_INET, socket.AF_INET6
_BY_FAMILY, _DESTROY = 20, 21


def packed(address: str) -> bytes:
    return ip_address(address).packed.ljust(16, b"\0")


COOKIE = b"cookie!!"


def row(family: int, local: str, port: int, peer: str, *, state: int = 1) -> bytes:
    """``struct inet_diag_msg`` as the kernel sends it."""
    ports = port.to_bytes(2) + (50000).to_bytes(2)
    ends = packed(local) + packed(peer)
    return bytes([family, state, 0, 0]) + ports + ends + bytes(4) + COOKIE + bytes(20)


def message(kind: int, sequence: int, payload: bytes, flags: int = 0) -> bytes:
    return (
        HEADER.pack(HEADER.size + len(payload), kind, flags, sequence, 0) + payload + bytes(-len(payload) % 4)
    )


class Kernel:
    """A sock_diag socket whose requests are answered by a function of type, family and id."""

    def __init__(self, answer: Callable[[int, int, bytes], bytes | int]) -> None:
        self._answer = answer
        self._waiting = b""
        self.asked: list[tuple[int, int, bytes]] = []
        self.closed = False

    def send(self, data: bytes) -> None:
        _, kind, _, sequence, _ = HEADER.unpack_from(data)
        family, identity = data[HEADER.size], data[HEADER.size + 8 : HEADER.size + 56]
        self.asked.append((kind, family, identity))
        said = self._answer(kind, family, identity)
        if isinstance(said, int):
            self._waiting = message(NLMSG_ERROR, sequence, struct.pack("=i", -said))
        else:
            done = message(NLMSG_DONE, sequence, struct.pack("=i", 0))
            self._waiting = (message(_BY_FAMILY, sequence, said, flags=2) if said else b"") + done

    def recv(self, size: int) -> bytes:
        assert size >= len(self._waiting)
        return self._waiting

    def close(self) -> None:
        self.closed = True


def opened(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[int, int, bytes], bytes | int]
) -> tuple[Established, Kernel]:
    kernel = Kernel(answer)
    monkeypatch.setattr(established, "open_socket", lambda _: kernel)
    return Established(), kernel


def connection(peer: str = "10.77.0.9", local: str = "10.1.0.1") -> Connection:
    return Connection(
        peer=ip_address(peer),
        peer_port=50000,
        local=ip_address(local),
        local_port=6390,
        transport=Transport.TCP,
        state="established",
        owner=Owner(),
    )


def test_a_connection_has_both_ends_and_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: dict[int, bytes] = {V4: row(V4, "10.1.0.1", 6390, "10.77.0.9"), V6: b""}
    found, kernel = opened(monkeypatch, lambda _, family, __: rows[family])

    assert found.to([6390, 6390]) == (connection(),)
    assert [(kind, family) for kind, family, _ in kernel.asked] == [(_BY_FAMILY, V4), (_BY_FAMILY, V6)]
    assert all(identity[:4] == (6390).to_bytes(2) + bytes(2) for _, _, identity in kernel.asked)
    found.close()
    assert kernel.closed


def test_an_ipv4_peer_of_a_dual_stack_socket_is_told_as_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    mapped = row(V6, "::ffff:10.1.0.1", 6390, "::ffff:10.77.0.9")
    found, _ = opened(monkeypatch, lambda _, family, __: mapped if family == V6 else b"")

    assert found.to([6390]) == (connection(),)


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_what_comes_from_this_host_itself_is_left_out(monkeypatch: pytest.MonkeyPatch, peer: str) -> None:
    family = V6 if ":" in peer else V4
    local = "::1" if ":" in peer else "127.0.0.1"
    found, _ = opened(
        monkeypatch, lambda _, asked, __: row(family, local, 6390, peer) if asked == family else b""
    )

    assert found.to([6390]) == ()


def test_every_one_of_very_many_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever ends them, or counts strangers among them, must not be given the first ones only."""
    many = [row(V6, "2001:db8:1::1", 6390, f"2001:db8:77::{number:x}") for number in range(1, 5001)]
    answers = iter(many)

    class Many(Kernel):
        def recv(self, size: int) -> bytes:
            first = super().recv(size)
            sequence = HEADER.unpack_from(first)[3]
            rows = b"".join(message(_BY_FAMILY, sequence, one, flags=2) for one in answers)
            return rows + first

    kernel = Many(lambda *_: b"")
    monkeypatch.setattr(established, "open_socket", lambda _: kernel)

    assert len(Established().to([6390])) == 5000


def test_what_is_of_another_port_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a kernel compares the port is not relied on."""
    found, _ = opened(monkeypatch, lambda *_: row(V4, "10.1.0.1", 22, "10.77.0.9"))

    assert found.to([6390]) == ()


@pytest.mark.parametrize(
    ("state", "said"), [(1, "established"), (4, "closing"), (5, "closing"), (8, "closing")]
)
def test_a_connection_that_is_being_closed_says_so(
    monkeypatch: pytest.MonkeyPatch, state: int, said: str
) -> None:
    one = row(V4, "10.1.0.1", 6390, "10.77.0.9", state=state)
    found, _ = opened(monkeypatch, lambda _, family, __: one if family == V4 else b"")

    assert [each.state for each in found.to([6390])] == [said]


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOENT, errno.ENOBUFS])
def test_a_list_that_was_refused_is_no_empty_one(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    found, _ = opened(monkeypatch, lambda *_: code)

    with pytest.raises(ObserveError, match="cannot list connections to port 6390"):
        found.to([6390])


def test_an_answer_that_is_cut_off_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = opened(monkeypatch, lambda *_: row(V4, "10.1.0.1", 6390, "10.77.0.9")[:40])

    with pytest.raises(ObserveError, match="cut off"):
        found.to([6390])


def test_without_a_socket_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(established, "open_socket", refuse)
    with pytest.raises(ObserveError, match="cannot open a sock_diag socket: Operation not permitted"):
        Established()


# --- ending one --------------------------------------------------------------------------------------------------


def listed(monkeypatch: pytest.MonkeyPatch, one: bytes, code: int) -> tuple[Established, Kernel, Connection]:
    """List one connection, of which the kernel then says this when it is to be ended."""
    found, kernel = opened(
        monkeypatch,
        lambda kind, family, _: code if kind == _DESTROY else one if family == one[0] else b"",
    )
    (connection,) = found.to([6390])
    kernel.asked.clear()
    return found, kernel, connection


@pytest.mark.parametrize(
    ("family", "local", "peer"),
    [
        (V4, "10.1.0.1", "10.77.0.9"),
        (V6, "::ffff:10.1.0.1", "::ffff:10.77.0.9"),
        (V6, "2001:db8:1::1", "2001:db8:77::9"),
    ],
)
def test_the_very_socket_that_was_listed_is_ended_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, family: int, local: str, peer: str
) -> None:
    """Without its cookie the kernel may find a listener by the same ends."""
    found, kernel, one = listed(monkeypatch, row(family, local, 6390, peer), 0)

    assert found.destroy(one)
    ends = (6390).to_bytes(2) + (50000).to_bytes(2) + packed(local) + packed(peer)
    assert kernel.asked == [(_DESTROY, family, ends + bytes(4) + COOKIE)]


@pytest.mark.parametrize("code", [errno.ENOENT, errno.ESTALE])
def test_one_that_has_ended_by_itself_was_not_ended(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    found, _, one = listed(monkeypatch, row(V4, "10.1.0.1", 6390, "10.77.0.9"), code)

    assert not found.destroy(one)


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_refusal_is_told_with_the_peer(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    found, _, one = listed(monkeypatch, row(V4, "10.1.0.1", 6390, "10.77.0.9"), code)

    with pytest.raises(ObserveError, match=r"connection from 10\.77\.0\.9 cannot be ended"):
        found.destroy(one)


def test_what_was_not_listed_is_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    found, kernel = opened(monkeypatch, lambda *_: 0)

    with pytest.raises(KeyError):
        found.destroy(connection())
    assert kernel.asked == []
