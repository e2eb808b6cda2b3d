"""Listening sockets straight from the kernel (``man 7 sock_diag``), at a cost that connections do not change.

This is not pyroute2's ``DiagSocket``, because that takes a refused dump for an empty one (seen in 0.7.7 and 0.9.7:
the error that the closing NLMSG_DONE carries is not looked at), and 0.7.7 drops the cgroup. It is ten times
faster as well: 0.1 ms for 20 listeners.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import TYPE_CHECKING, NamedTuple

from portguard.errors import ObserveError
from portguard.kernel.netlink import NETLINK_SOCK_DIAG, attributes, open_socket, request
from portguard.model.net import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator

SOCK_DIAG_BY_FAMILY = 20
_TCP_LISTEN = 10
_TCP_CLOSE = 7
"""The state of a UDP socket that is bound and has no peer."""
_INET_DIAG_SKV6ONLY = 11
_INET_DIAG_CGROUP_ID = 21

REQUEST = struct.Struct("=BBBBI48x")
"""family, protocol, extensions, padding, states, then a socket id that selects nothing."""
ANSWER = struct.Struct("=BBBx2s2s16s16sI8sIIIII")
"""family, state, timer, source port, destination port, source, destination, interface, cookie, expires, receive
queue, write queue, uid, inode (struct inet_diag_msg)."""

_PROTOCOLS = (
    (Transport.TCP, socket.IPPROTO_TCP, 1 << _TCP_LISTEN),
    (Transport.UDP, socket.IPPROTO_UDP, 1 << _TCP_CLOSE),
)


class Record(NamedTuple):
    """A socket as the kernel describes it; equal as long as nothing that matters changed."""

    transport: Transport
    family: int
    """AF_INET or AF_INET6."""
    address: bytes
    port: int
    v6only: bool
    interface: int
    uid: int
    inode: int
    """0 for a socket of the kernel itself, which no process holds."""
    cookie: int
    cgroup: int


class Diag:
    """A warm sock_diag socket in the network namespace of the thread that makes it."""

    def __init__(self) -> None:
        """Open the socket. Raises ObserveError."""
        try:
            self._socket = open_socket(NETLINK_SOCK_DIAG)
        except OSError as error:
            raise ObserveError(f"cannot open a sock_diag socket: {error.strerror}") from error

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def listening(self) -> list[Record]:
        """All sockets that accept traffic, in no order. Raises ObserveError when any of the dumps fails."""
        return [
            record
            for transport, protocol, states in _PROTOCOLS
            for family in (socket.AF_INET, socket.AF_INET6)
            for record in self._dump(transport, family, protocol, states)
        ]

    def _dump(self, transport: Transport, family: int, protocol: int, states: int) -> Iterator[Record]:
        """Dump the sockets of one transport and family. Raises ObserveError."""
        ask = REQUEST.pack(family, protocol, 0, 0, states)
        try:
            for message in request(self._socket, SOCK_DIAG_BY_FAMILY, ask, dump=True):
                record = record_of(transport, message.payload)
                if record.port:
                    yield record
        except OSError as error:
            raise ObserveError(f"cannot list {transport} sockets: {error.strerror or error}") from error


def record_of(transport: Transport, payload: memoryview) -> Record:
    """Read one answer. Raises ObserveError when it is cut off."""
    try:
        family, _, _, port, _, source, _, interface, cookie, *_, uid, inode = ANSWER.unpack_from(payload)
    except struct.error as error:
        raise ObserveError("the kernel's socket description is cut off") from error
    v6only, cgroup = False, 0
    for kind, value in attributes(payload, ANSWER.size):
        if kind == _INET_DIAG_SKV6ONLY:
            v6only = bool(value[0])
        elif kind == _INET_DIAG_CGROUP_ID:
            cgroup = int.from_bytes(value, sys.byteorder)
    return Record(
        transport=transport,
        family=family,
        address=source[:4] if family == socket.AF_INET else source,
        port=int.from_bytes(port),
        v6only=v6only,
        interface=interface,
        uid=uid,
        inode=inode,
        cookie=int.from_bytes(cookie, sys.byteorder),
        cgroup=cgroup,
    )
