"""Raw netlink: the framing that nfnetlink, sock_diag and rtnetlink share (``man 7 netlink``)."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

from portguard.errors import ObserveError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NETLINK_ROUTE = 0
NETLINK_SOCK_DIAG = 4
NETLINK_NETFILTER = 12

NLM_F_REQUEST = 0x1
NLM_F_DUMP = 0x300
NLM_F_DUMP_INTR = 0x10
NLMSG_ERROR = 2
NLMSG_DONE = 3

HEADER = struct.Struct("=IHHII")
"""length, type, flags, sequence, port"""
ATTRIBUTE = struct.Struct("=HH")
ERRNO = struct.Struct("=i")

TYPE_MASK = 0x3FFF
"""An attribute's type without the NESTED and BYTEORDER flags."""
DATAGRAM = 1 << 16
"""Bytes read at once: the kernel sends at most 32 KiB at a time."""

_SOL_NETLINK = 270
_ADD_MEMBERSHIP = 1
_SO_RCVBUFFORCE = 33
_ANSWER_WITHIN = 5.0
"""Seconds. The kernel answers a request while it is being sent, so this is not reached by load."""


class Message(NamedTuple):
    """One netlink message."""

    type: int
    flags: int
    sequence: int
    port: int
    """Port of the socket that caused it; 0 is the kernel."""
    payload: memoryview


def messages(datagram: bytes) -> Iterator[Message]:
    """Split a datagram into messages. Raises ObserveError when one is cut off."""
    view = memoryview(datagram)
    offset = 0
    while offset < len(view):
        if len(view) - offset < HEADER.size:
            raise ObserveError("the kernel's netlink message is cut off")
        length, kind, flags, sequence, port = HEADER.unpack_from(view, offset)
        if not HEADER.size <= length <= len(view) - offset:
            raise ObserveError("the kernel's netlink message is cut off")
        yield Message(kind, flags, sequence, port, view[offset + HEADER.size : offset + length])
        offset += (length + 3) & ~3


def distinct(datagram: bytes, fixed: int, heads: dict[int, bytes]) -> Iterator[Message]:
    """Split a datagram as :func:`messages` does, but leave out each message that begins as the last one of its type.

    The beginning is the fixed part, of ``fixed`` bytes, and the first attribute; ``heads`` remembers it by type from
    one datagram to the next. Flushing 10,000 rules of a table announces each of them, and to learn which table it was
    one will do: it takes a quarter of the time. Raises ObserveError when a message is cut off.
    """
    offset = 0
    while offset < len(datagram):
        if len(datagram) - offset < HEADER.size:
            raise ObserveError("the kernel's netlink message is cut off")
        length, kind, flags, sequence, port = HEADER.unpack_from(datagram, offset)
        if not HEADER.size <= length <= len(datagram) - offset:
            raise ObserveError("the kernel's netlink message is cut off")
        start, end = offset + HEADER.size, offset + length
        head = heads.get(kind)
        if head is None or end - start < len(head) or not datagram.startswith(head, start):
            first = (
                ATTRIBUTE.unpack_from(datagram, start + fixed)[0]
                if end - start >= fixed + ATTRIBUTE.size
                else 0
            )
            heads[kind] = datagram[start : min(start + fixed + first, end)]
            yield Message(kind, flags, sequence, port, memoryview(datagram)[start:end])
        offset += (length + 3) & ~3


def attributes(payload: memoryview, offset: int) -> Iterator[tuple[int, memoryview]]:
    """Yield type and value of the attributes that follow a message's fixed part."""
    while offset + ATTRIBUTE.size <= len(payload):
        length, kind = ATTRIBUTE.unpack_from(payload, offset)
        if not ATTRIBUTE.size <= length <= len(payload) - offset:
            raise ObserveError("the kernel's netlink attribute is cut off")
        yield kind & TYPE_MASK, payload[offset + ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


def string(value: memoryview) -> str:
    """Read a NUL-terminated string. The bytes are whatever a program chose, so nothing is taken for granted."""
    return bytes(value).partition(b"\0")[0].decode(errors="backslashreplace")


def open_socket(
    protocol: int, *, groups: Iterable[int] = (), receive_buffer: int | None = None
) -> socket.socket:
    """Open a netlink socket in the network namespace of the calling thread and join multicast groups.

    Raises OSError; joining an nftables group needs CAP_NET_ADMIN.
    """
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    try:
        if receive_buffer is not None:
            _enlarge(sock, receive_buffer)
        sock.bind((0, 0))
        for group in groups:
            sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        sock.settimeout(_ANSWER_WITHIN)
    except OSError:
        sock.close()
        raise
    return sock


def _enlarge(sock: socket.socket, size: int) -> None:
    """Enlarge the receive buffer beyond net.core.rmem_max, or up to it without CAP_NET_ADMIN."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def request(sock: socket.socket, kind: int, payload: bytes, *, dump: bool = False) -> list[Message]:
    """Send a request and return the messages that answer it, read to the end before any is looked at.

    Raises OSError with what the kernel says (a dump may fail at its end: that is not an empty answer), and
    with EINTR when the objects changed while they were being dumped.
    """
    flags = NLM_F_REQUEST | (NLM_F_DUMP if dump else 0)
    sequence = int.from_bytes(os.urandom(3)) + 1
    sock.send(HEADER.pack(HEADER.size + len(payload), kind, flags, sequence, 0) + payload)
    interrupted = False
    answers: list[Message] = []
    while True:
        for message in messages(sock.recv(DATAGRAM)):
            if message.sequence != sequence:
                # Left over from a request whose answer was not read to its end.
                continue
            interrupted |= bool(message.flags & NLM_F_DUMP_INTR)
            if message.type in (NLMSG_ERROR, NLMSG_DONE):
                _raise_for(message)
                if interrupted:
                    raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
                return answers
            answers.append(message)
            if not dump:
                return answers


def _raise_for(message: Message) -> None:
    """Raise OSError for the error number that an ERROR or DONE message carries."""
    code = -ERRNO.unpack_from(message.payload)[0] if len(message.payload) >= ERRNO.size else 0
    if code:
        raise OSError(code, os.strerror(code))
