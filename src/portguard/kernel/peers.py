"""Connections with peers in some networks, found by a filter that the kernel runs (INET_DIAG_REQ_BYTECODE).

50,000 connections cost 14 ms so, and 250 ms if all of them were read. ``ss`` has the same filter, but no way to say that
its dump failed.
"""

from __future__ import annotations

import socket
import struct
from collections import Counter
from ipaddress import IPv4Address, IPv6Address
from itertools import islice
from typing import TYPE_CHECKING

from portguard.errors import ObserveError
from portguard.kernel.diag import ANSWER, REQUEST, SOCK_DIAG_BY_FAMILY, Record, record_of
from portguard.kernel.netlink import ATTRIBUTE, NETLINK_SOCK_DIAG, open_socket, request
from portguard.model.listener import Owner
from portguard.model.net import Transport
from portguard.model.snapshot import SAME_ENDS, Connection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from portguard.kernel.owners import Owners
    from portguard.model.net import AddressSet, IPAddress, IPNetwork

_BYTECODE = 1
"""INET_DIAG_REQ_BYTECODE: a request's attribute."""
_PEER = 8
"""INET_DIAG_BC_D_COND: the peer lies in a network."""
_JUMP = 1
"""INET_DIAG_BC_JMP."""
_OPERATION = struct.Struct("=BBH")
"""code, offset where it holds, offset where not (struct inet_diag_bc_op); beyond the end by 4 is: not this socket."""
_CONDITION = struct.Struct("=BBxxi")
"""family, prefix length, port or -1 (struct inet_diag_hostcond); the address follows."""

_STATES = {
    1: "established",
    2: "opening",
    4: "closing",
    5: "closing",
    6: "closed",
    8: "closing",
    9: "closing",
    11: "closing",
}
"""TCP states. Not SYN_RECV (3, 12): whoever can send a packet can forge a peer that never answered."""
_UDP_STATES = {1: "established"}
_ASKED = (
    (Transport.TCP, socket.IPPROTO_TCP, _STATES),
    (Transport.UDP, socket.IPPROTO_UDP, _UDP_STATES),
)
_NETWORKS = 512
"""Networks of one request: a program of 16 KiB."""
_MOST = 4096
"""Connections that are described at most."""
_OWNED = 64
"""Connections whose process is looked for."""


_ENDS = slice(8, 40)
"""Both addresses within ``struct inet_diag_msg``: behind family, state, timer, retransmissions and the two ports."""
_Row = tuple[Record, bytes, str]
"""A socket, its description, and its state in words."""


class Peers:
    """A warm sock_diag socket in the network namespace of the thread that makes it."""

    def __init__(self, owners: Owners) -> None:
        """Look processes up through ``owners``. Raises ObserveError."""
        self._owners = owners
        try:
            self._socket = open_socket(NETLINK_SOCK_DIAG)
        except OSError as error:
            raise ObserveError(f"cannot open a sock_diag socket: {error.strerror}") from error

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def connections(self, networks: AddressSet) -> tuple[Connection, ...]:
        """Connections with a peer in these networks, sorted; of those between the same addresses the first SAME_ENDS.

        Where the product itself uses a range, thousands of its own must not hide one of somebody else's. Raises ObserveError.
        """
        found = list(islice(self._few_of_each(self._records(networks)), _MOST))
        owners = self._owners.find([record for record, _, _ in found if record.inode][:_OWNED]).owners
        return tuple(sorted((_connection(*row, owners) for row in found), key=lambda row: row.order))

    @staticmethod
    def _few_of_each(rows: Iterator[_Row]) -> Iterator[_Row]:
        seen: Counter[bytes] = Counter()
        for row in rows:
            ends = row[1][_ENDS]
            seen[ends] += 1
            if seen[ends] <= SAME_ENDS:
                yield row

    def _records(self, networks: AddressSet) -> Iterator[_Row]:
        """Ask in both families: a dual-stack socket has its IPv4 peers in the list of IPv6."""
        nets = list(networks.networks())
        for start in range(0, len(nets), _NETWORKS):
            program = any_peer(nets[start : start + _NETWORKS])
            attribute = ATTRIBUTE.pack(ATTRIBUTE.size + len(program), _BYTECODE) + program
            for transport, protocol, states in _ASKED:
                mask = sum(1 << state for state in states)
                for family in (socket.AF_INET, socket.AF_INET6):
                    ask = REQUEST.pack(family, protocol, 0, 0, mask) + attribute
                    for payload in self._dump(transport, ask):
                        state = states.get(payload[1])
                        if state is not None:
                            yield record_of(transport, payload), bytes(payload[: ANSWER.size]), state

    def _dump(self, transport: Transport, ask: bytes) -> Iterator[memoryview]:
        try:
            for message in request(self._socket, SOCK_DIAG_BY_FAMILY, ask, dump=True):
                yield message.payload
        except OSError as error:
            raise ObserveError(f"cannot list {transport} connections: {error.strerror or error}") from error


def any_peer(networks: Sequence[IPNetwork]) -> bytes:
    """Write a program that takes a socket whose peer lies in any of these networks. There must be one."""
    program = b""
    for network in reversed(networks):
        family = socket.AF_INET if network.version == 4 else socket.AF_INET6
        body = _CONDITION.pack(family, network.prefixlen, -1) + network.network_address.packed
        size = _OPERATION.size + len(body)
        # Where it holds, the next operation jumps to the very end; where not, the one behind that asks on.
        leap = _OPERATION.pack(_JUMP, _OPERATION.size, _OPERATION.size + len(program)) if program else b""
        program = _OPERATION.pack(_PEER, size, size + 4) + body + leap + program
    return program


def _connection(record: Record, fixed: bytes, state: str, owners: Mapping[int, Owner]) -> Connection:
    """Put an answer into the project's words."""
    _, _, _, _, peer_port, _, peer, *_ = ANSWER.unpack(fixed)
    v4 = record.family == socket.AF_INET
    return Connection(
        peer=_address(peer[:4] if v4 else peer),
        peer_port=int.from_bytes(peer_port),
        local=_address(record.address),
        local_port=record.port,
        transport=record.transport,
        state=state,
        owner=owners.get(record.cookie, Owner()),
    )


def _address(packed: bytes) -> IPAddress:
    """Read an address; a v4-mapped one is IPv4."""
    if len(packed) == 4:
        return IPv4Address(packed)
    address = IPv6Address(packed)
    return address.ipv4_mapped or address
