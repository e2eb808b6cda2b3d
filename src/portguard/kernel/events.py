"""Announcements of the kernel: committed nftables transactions, and changed addresses, routes and neighbours."""

from __future__ import annotations

import errno
from time import monotonic
from typing import TYPE_CHECKING

from portguard.errors import ObserveError
from portguard.kernel.attribution import actor, clean
from portguard.kernel.generation import NFGENMSG, NFNL_SUBSYS_NFTABLES, NFTA_GEN_ID
from portguard.kernel.netlink import (
    DATAGRAM,
    NETLINK_NETFILTER,
    NETLINK_ROUTE,
    Message,
    attributes,
    distinct,
    open_socket,
    string,
)
from portguard.kernel.tables import FAMILIES
from portguard.kernel.world import Events
from portguard.model.ruleset import Actor, RulesetChange, TableKey

if TYPE_CHECKING:
    import socket

    from portguard.kernel.world import Firewall

_NFNLGRP_NFTABLES = 7
_NFT_MSG_NEWGEN = 15
_NFTA_GEN_PROC_PID = 2
_NFTA_GEN_PROC_NAME = 3
_NFTA_TABLE = 1
"""Every object's first attribute is its table's name: chains', rules', sets', elements', objects', flowtables'."""

_LINK_GROUPS = (1, 3, 5, 7, 9, 11)
"""RTNLGRP_LINK, _NEIGH, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE."""

_RULESET_BUFFER = 8 << 20
"""Bytes. The default of 208 KiB overruns while 2,000 rules are replaced; this one did not in any trial."""
_LINK_BUFFER = 1 << 20
_AT_ONCE = 10_000
"""Datagrams taken by one read: a writer that never stops must not keep the daemon from its other work."""


class NftEvents:
    """One :class:`RulesetChange` for each transaction in the network namespace of the thread that makes it."""

    def __init__(self, firewall: Firewall) -> None:
        """Join the kernel's group; ``firewall`` tells own commits. Raises ObserveError without CAP_NET_ADMIN."""
        self._firewall = firewall
        self._touched: set[TableKey] = set()
        self._heads: dict[int, bytes] = {}
        """How the announcements of the present transaction began, by type."""
        self._generation: int | None = None
        try:
            self._socket = open_socket(
                NETLINK_NETFILTER, groups=(_NFNLGRP_NFTABLES,), receive_buffer=_RULESET_BUFFER
            )
        except OSError as error:
            raise ObserveError(f"cannot hear of ruleset changes: {error.strerror}") from error
        self._socket.setblocking(False)  # noqa: FBT003 - the standard library's signature

    def fileno(self) -> int:
        """Descriptor that is readable when something was announced."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def read(self) -> Events:
        """Take everything announced so far; never blocks."""
        changes: list[RulesetChange] = []
        lost = False
        for _ in range(_AT_ONCE):
            try:
                datagram = _receive(self._socket)
                if datagram is None:
                    break
                for message in distinct(datagram, NFGENMSG.size, self._heads):
                    change = self._take(message)
                    if change is not None:
                        lost |= self._skipped(change.generation)
                        changes.append(change)
            except ObserveError:
                lost = True
        if lost:
            # Neither the generation nor the tables of a transaction whose end was swallowed say anything about
            # the next one. The overrun is told first, before what was queued until then, so this is done last.
            self._touched.clear()
            self._heads.clear()
            self._generation = None
        return Events(changes=tuple(changes), lost=lost)

    def _take(self, message: Message) -> RulesetChange | None:
        """Note what a message touches; the last of a transaction (NEWGEN) makes it a change."""
        if message.type >> 8 != NFNL_SUBSYS_NFTABLES or len(message.payload) < NFGENMSG.size:
            return None
        if message.type & 0xFF == _NFT_MSG_NEWGEN:
            return self._change(message)
        family = NFGENMSG.unpack_from(message.payload)[0]
        for kind, value in attributes(message.payload, NFGENMSG.size):
            if kind == _NFTA_TABLE:
                self._touched.add(TableKey(FAMILIES.get(family, str(family)), string(value)))
                break
        return None

    def _change(self, message: Message) -> RulesetChange:
        """Make the change that a NEWGEN concludes."""
        received = monotonic()
        self._heads.clear()
        fields = dict(attributes(message.payload, NFGENMSG.size))
        pid = int.from_bytes(fields[_NFTA_GEN_PROC_PID]) if _NFTA_GEN_PROC_PID in fields else None
        comm = string(fields[_NFTA_GEN_PROC_NAME]) if _NFTA_GEN_PROC_NAME in fields else None
        # Port 0 is the kernel itself, and our own as long as we have sent nothing.
        own = message.port != 0 and message.port == self._firewall.port_id
        tables, self._touched = frozenset(self._touched), set()
        generation = int.from_bytes(fields.get(NFTA_GEN_ID, b""))
        return RulesetChange(
            generation=generation,
            own=own,
            tables=tables,
            actor=Actor(comm=comm and clean(comm), pid=pid) if own else actor(pid, comm, generation),
            received=received,
        )

    def _skipped(self, generation: int) -> bool:
        """Whether generations are missing between the last announcement and this one."""
        before, self._generation = self._generation, generation
        # The kernel's 32-bit counter leaves out 0 when it starts again.
        return before is not None and generation != ((before + 1) & 0xFFFFFFFF or 1)


class RouteEvents:
    """Tells that links, addresses, routes or neighbours changed in the namespace of the thread that makes it."""

    def __init__(self) -> None:
        """Join the kernel's groups. Raises ObserveError."""
        try:
            self._socket = open_socket(NETLINK_ROUTE, groups=_LINK_GROUPS, receive_buffer=_LINK_BUFFER)
        except OSError as error:
            raise ObserveError(f"cannot hear of address changes: {error.strerror}") from error
        self._socket.setblocking(False)  # noqa: FBT003 - the standard library's signature

    def fileno(self) -> int:
        """Descriptor that is readable when something was announced."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def drain(self) -> bool:
        """Take everything announced so far, and say whether there was something; never blocks."""
        changed = False
        for _ in range(_AT_ONCE):
            try:
                if _receive(self._socket) is None:
                    break
            except ObserveError:
                pass  # An overrun is a reason to read again, as any announcement is.
            changed = True
        return changed


def _receive(sock: socket.socket) -> bytes | None:
    """Receive one datagram; None when there is none. Raises ObserveError when the kernel dropped some (ENOBUFS)."""
    try:
        return sock.recv(DATAGRAM)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno == errno.ENOBUFS:
            raise ObserveError("announcements were lost") from error
        raise
