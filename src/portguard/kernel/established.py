"""Connections to ports of this host, and the end of one of them: by sock_diag, without reading all the others.

Closing a port cuts nobody who is connected already. Who asks for that ends connections one by one (SOCK_DESTROY).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from portguard.errors import ObserveError
from portguard.kernel.netlink import (
    DATAGRAM,
    ERRNO,
    HEADER,
    NETLINK_SOCK_DIAG,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    messages,
    open_socket,
    request,
)
from portguard.model.listener import Owner
from portguard.model.net import Transport
from portguard.model.snapshot import Connection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from portguard.model.net import IPAddress

_SOCK_DIAG_BY_FAMILY = 20
_SOCK_DESTROY = 21
_NLM_F_ACK = 0x4
_ESTABLISHED = 1
_STATES = {1: "established", 4: "closing", 5: "closing", 8: "closing", 9: "closing"}
"""TCP states in which data can still pass; not those in which nothing has been agreed on yet."""
_ID = struct.Struct("=2s2s16s16sI8s")
"""source port, destination port, source, destination, interface, cookie (struct inet_diag_sockid)"""
_REQUEST = struct.Struct(f"=BBBBI{_ID.size}s")
_HEAD = struct.Struct("=BBBx")
_ANY_COOKIE = b"\xff" * 8


class Established:
    """A sock_diag socket in the network namespace of the thread that makes it."""

    def __init__(self) -> None:
        """Open the socket. Raises ObserveError."""
        try:
            self._socket = open_socket(NETLINK_SOCK_DIAG)
        except OSError as error:
            raise ObserveError(f"cannot open a sock_diag socket: {error.strerror}") from error
        self._told: dict[Connection, tuple[int, bytes]] = {}
        """Family and identity of the socket behind each connection that was listed."""

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def to(self, ports: Iterable[int]) -> tuple[Connection, ...]:
        """TCP connections to these ports of this host, sorted, without those from itself. Raises ObserveError."""
        found = {
            connection
            for port in sorted(set(ports))
            for family in (socket.AF_INET, socket.AF_INET6)
            for connection in self._dump(family, port)
        }
        return tuple(sorted(found, key=_order))

    def _dump(self, family: int, port: int) -> Iterator[Connection]:
        # A port in the id selects, and the kernel compares it: what belongs to other ports is never sent.
        only = _ID.pack(port.to_bytes(2), b"\0\0", b"", b"", 0, _ANY_COOKIE)
        states = sum(1 << state for state in _STATES)
        ask = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, states, only)
        try:
            answers = request(self._socket, _SOCK_DIAG_BY_FAMILY, ask, dump=True)
        except OSError as error:
            raise ObserveError(
                f"cannot list connections to port {port}: {error.strerror or error}"
            ) from error
        for answer in answers:
            connection = _connection(answer.payload)
            # What connects from here to an address of this host other than loopback has that address itself.
            inside = connection.peer.is_loopback or connection.peer == connection.local
            if connection.local_port == port and not inside:
                identity = bytes(answer.payload[_HEAD.size : _HEAD.size + _ID.size])
                self._told[connection] = (answer.payload[0], identity)
                yield connection

    def destroy(self, connection: Connection) -> bool:
        """End a connection that was listed; both sides are told by a reset. False when it has ended by itself.

        It needs CAP_NET_ADMIN, and a kernel with INET_DIAG_DESTROY, as Debian's are. Raises ObserveError when the kernel
        refuses, and KeyError for a connection that :meth:`to` has not given.
        """
        # With its cookie: where there is no connection (any more) with these ends, the kernel goes on to look for a listener
        # that would take one, and would end that.
        family, identity = self._told[connection]
        ask = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, 1 << _ESTABLISHED, identity)
        code = self._acknowledged(ask)
        if code not in (0, errno.ENOENT, errno.ESTALE):
            raise ObserveError(f"the connection from {connection.peer} cannot be ended: {os.strerror(code)}")
        return code == 0

    def _acknowledged(self, ask: bytes) -> int:
        """Send a request, and give the error number of its acknowledgement: 0 when it was carried out."""
        head = HEADER.pack(HEADER.size + len(ask), _SOCK_DESTROY, NLM_F_REQUEST | _NLM_F_ACK, 1, 0)
        try:
            self._socket.send(head + ask)
            answers = list(messages(self._socket.recv(DATAGRAM)))
        except OSError as error:
            return error.errno or errno.EIO
        codes = [-ERRNO.unpack_from(row.payload)[0] for row in answers if row.type == NLMSG_ERROR]
        return codes[0] if codes else errno.EIO


def _order(row: Connection) -> tuple[int, int, int, int]:
    return (row.local_port, row.peer.version, int(row.peer), row.peer_port)


def _connection(payload: memoryview) -> Connection:
    """Read one answer. Raises ObserveError when it is cut off."""
    try:
        family, state, _ = _HEAD.unpack_from(payload)
        local_port, peer_port, local, peer, _, _ = _ID.unpack_from(payload, _HEAD.size)
    except struct.error as error:
        raise ObserveError("the kernel's socket description is cut off") from error
    return Connection(
        peer=_address(family, peer),
        peer_port=int.from_bytes(peer_port),
        local=_address(family, local),
        local_port=int.from_bytes(local_port),
        transport=Transport.TCP,
        state=_STATES.get(state, "established"),
        owner=Owner(),
    )


def _address(family: int, packed: bytes) -> IPAddress:
    if family == socket.AF_INET:
        return IPv4Address(packed[:4])
    address = IPv6Address(packed)
    return address.ipv4_mapped or address
