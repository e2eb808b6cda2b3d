"""Listeners: what the kernel says of each socket, and who holds it."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from portguard.kernel.cgroups import Cgroups, cgroup2_mount
from portguard.kernel.diag import Diag
from portguard.kernel.owners import Owners
from portguard.model.listener import Listener, Owner
from portguard.model.snapshot import Gap, Scope

if TYPE_CHECKING:
    from portguard.kernel.diag import Record


class SocketTable:
    """Listeners of the network namespace of the thread that makes it.

    A pass costs a dump of the listening sockets; an owner is looked up once for each socket.
    """

    def __init__(self) -> None:
        """Open the socket. Raises ObserveError."""
        self._diag = Diag()
        self._owners = open_owners()
        self._known: dict[Record, Listener] = {}
        self._hidden: frozenset[int] = frozenset()
        self._later: frozenset[int] = frozenset()
        self._likely: frozenset[int] = frozenset()

    def close(self) -> None:
        """Close the socket."""
        self._diag.close()

    def expect(self, processes: frozenset[int]) -> None:
        """Look for the owners of new sockets among these processes first: they were seen to listen."""
        self._likely = processes

    def listeners(self) -> tuple[Listener, ...]:
        """All listeners, sorted by transport, address and port. Raises ObserveError."""
        records = self._diag.listening()
        new = [record for record in records if self._is_new(record)]
        if new:
            self._look_up(new)
        # A closed socket is forgotten; its cookie never comes back.
        self._known = {record: self._known[record] for record in records}
        return tuple(sorted(self._known.values(), key=_order))

    def _is_new(self, record: Record) -> bool:
        """Whether the owner of a socket has to be looked up (again)."""
        known = self._known.get(record)
        return known is None or record.cookie in self._later or not _alive(known.owner)

    def _look_up(self, new: list[Record]) -> None:
        """Make listeners of sockets whose owner is not known."""
        found = self._owners.find(new, likely=self._likely)
        for record in new:
            self._known[record] = _listener(record, found.owners.get(record.cookie, Owner()))
        self._hidden = (self._hidden - {record.cookie for record in new}) | found.hidden
        self._later = found.later

    def owner_gaps(self) -> tuple[Gap, ...]:
        """Say for how many listeners the process could not be told for lack of rights."""
        count = sum(record.cookie in self._hidden for record in self._known)
        if not count:
            return ()
        return (
            Gap(scope=Scope.OWNERS, reason=f"not permitted to see which process holds {count} listeners"),
        )


def _listener(record: Record, owner: Owner) -> Listener:
    """Put a record into the project's words."""
    v4 = record.family == socket.AF_INET
    return Listener(
        transport=record.transport,
        address=ipaddress.IPv4Address(record.address) if v4 else ipaddress.IPv6Address(record.address),
        port=record.port,
        v6only=v4 or record.v6only,
        interface=record.interface or None,
        uid=record.uid,
        inode=record.inode,
        cookie=record.cookie,
        cgroup=record.cgroup,
        owner=owner,
    )


def _order(listener: Listener) -> tuple[str, int, int, int, int]:
    """Key that sorts listeners in a way that does not change from pass to pass."""
    address = listener.address
    return (listener.transport, address.version, int(address), listener.port, listener.cookie)


def _alive(owner: Owner) -> bool:
    """Whether the process that held a socket still exists; without one, the socket is another's by now."""
    return owner.pid is None or os.access(f"/proc/{owner.pid}", os.F_OK)


def open_owners() -> Owners:
    """Make what looks owners up on this host."""
    return Owners(Cgroups(_mount(), monotonic), monotonic)


def _mount() -> Path | None:
    """Where cgroup2 is mounted; None when there is none to be seen."""
    try:
        return cgroup2_mount(Path("/proc/self/mountinfo").read_text(errors="surrogateescape"))
    except OSError:
        return None
