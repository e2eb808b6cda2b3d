"""Who holds a socket: its unit by cgroup id, its process by the descriptors of processes."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psutil

from portguard.kernel.attribution import cgroup_of, clean, session_of, unit_of_cgroup, unit_of_process
from portguard.kernel.background import ancestors, of_this_host
from portguard.kernel.process import Process
from portguard.model.listener import Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from portguard.kernel.cgroups import Cgroups
    from portguard.kernel.diag import Record

_SOCKET = "socket:["
_ARGUMENTS = 64
_CHEAP = 0.02
"""Seconds. A walk over all processes that takes no longer may be done at every look-up."""
_REST = 19.0
"""How many times the length of a longer walk passes before the next one: 5 % of the time at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a look-up brought, by the cookies of the sockets."""

    owners: Mapping[int, Owner]
    hidden: frozenset[int]
    """Some process did not let us look, and no other holds the socket."""
    later: frozenset[int]
    """Not in its own cgroup, and the walk over all processes was put off: to be looked up again."""


class Owners:
    """Looks owners up; keeps nothing of them, that is the caller's."""

    def __init__(self, cgroups: Cgroups, monotonic: Callable[[], float]) -> None:
        """Find units through ``cgroups``."""
        self._cgroups = cgroups
        self._monotonic = monotonic
        self._walk_from = float("-inf")

    def find(self, records: Iterable[Record], *, likely: Iterable[int] = ()) -> Found:
        """Look up the owners of sockets.

        Likely processes are tried first, then those of a socket's own cgroup; only what is not found there costs a walk
        over all processes: 2 ms on a small host, half a second where 100,000 descriptors are open.
        """
        wanted = {record.inode: record for record in records if record.inode}
        holders: dict[int, int] = {}
        _search(likely, set(wanted), holders)
        for cgroup in {record.cgroup for record in wanted.values()}:
            _search(self._cgroups.processes(cgroup), wanted.keys() - holders.keys(), holders)
        denied, walked = False, True
        if wanted.keys() - holders.keys():
            denied, walked = self._walk(wanted.keys() - holders.keys(), holders)
        missing = frozenset(record.cookie for inode, record in wanted.items() if inode not in holders)
        return Found(
            owners={
                record.cookie: self._owner(record, holders.get(record.inode)) for record in wanted.values()
            },
            hidden=missing if denied else frozenset(),
            later=frozenset() if walked else missing,
        )

    def _walk(self, inodes: set[int], holders: dict[int, int]) -> tuple[bool, bool]:
        """Search all processes, unless that takes long and was just done; says whether some hid, and if it was.

        Sockets that live for milliseconds (a resolver's) are gone when they are looked for: a walk for each of
        them would be a load of its own.
        """
        started = self._monotonic()
        if started < self._walk_from:
            return False, False
        denied = _search(psutil.pids(), inodes, holders)
        ended = self._monotonic()
        if ended - started > _CHEAP:
            self._walk_from = ended + (ended - started) * _REST
        return denied, True

    def _owner(self, record: Record, pid: int | None) -> Owner:
        """Describe the owner of a socket."""
        path = self._cgroups.path(record.cgroup)
        unit = None if path is None else unit_of_cgroup(str(path))
        if pid is None:
            return Owner(unit=unit)
        # The cgroup is that of the moment when the socket was made; a process moved since then has its own.
        return describe(pid, unit) or Owner(unit=unit or unit_of_process(pid), pid=pid)


def describe(pid: int, unit: str | None = None) -> Owner | None:
    """Describe a process, or the one that a thread is of, as the owner of a socket; None when it is gone, or hides."""
    unit = unit or unit_of_process(pid)
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            name, arguments = process.name(), process.cmdline()[:_ARGUMENTS]
    except psutil.Error:
        return None
    owner = Owner(
        unit=unit,
        process=clean(name),
        pid=pid,
        cmdline=tuple(clean(argument) for argument in arguments),
    )
    try:
        with Process(pid) as held:
            return _with_origin(owner, held)
    except OSError:
        return owner


def _with_origin(owner: Owner, process: Process) -> Owner:
    """Add the program, and who started it."""
    background = of_this_host()
    # Reading the program's path takes more rights than the name does.
    exe, loginuid, stat = process.program(), process.number("loginuid"), process.stat()
    session = session_of(process, cgroup_of(process.text("cgroup")), loginuid)
    chain = tuple(ancestors(stat.parent, stat.started)) if stat is not None else ()
    login = background.login(loginuid, session, stat.parent if stat is not None else None, chain)
    return replace(
        owner,
        exe=clean(exe) if exe else None,
        parent=clean(chain[0][1].comm) if chain else None,
        loginuid=loginuid,
        login=login.name,
        session=session,
        remote=login.remote,
        package=background.package(exe) if exe and process.runs(exe) else None,
    )


def _search(pids: Iterable[int], inodes: set[int], holders: dict[int, int]) -> bool:
    """Note which process holds which socket; says whether some processes did not let us look.

    A socket that several processes hold (workers that were forked) belongs to the oldest: the first in order.
    """
    denied = False
    left = set(inodes)
    for pid in sorted(pids):
        if not left:
            break
        try:
            # Listening sockets are opened early and have low numbers: what comes after them is not looked at.
            for inode in _sockets_of(pid):
                if inode in left:
                    left.remove(inode)
                    holders[inode] = pid
                    if not left:
                        break
        except PermissionError:
            denied = True
        except OSError:
            continue  # It ended meanwhile, and its sockets with it.
    return denied


def _sockets_of(pid: int) -> Iterator[int]:
    """Inodes of the sockets that a process holds, in the order of their descriptors. Raises OSError."""
    directory = f"/proc/{pid}/fd"
    for name in os.listdir(directory):  # noqa: PTH208 - this runs over every descriptor of the host
        try:
            target = os.readlink(f"{directory}/{name}")  # noqa: PTH115 - as above
        except FileNotFoundError:
            continue  # Closed meanwhile.
        if target.startswith(_SOCKET):
            yield int(target[len(_SOCKET) : -1])
