"""Who a process is, from /proc. For people to read: everything here is outside data and never authorises anything."""

from __future__ import annotations

import os
import re
from functools import cache

from portguard.kernel.process import Process, Stat, since_boot
from portguard.kernel.sessions import session_of_cgroup
from portguard.model.ruleset import Actor

_INIT_PID_NAMESPACE = 0xEFFFFFFC
"""Inode of the first pid namespace (PROC_PID_INIT_INO in include/linux/proc_ns.h)."""
_LONGEST = 256
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UNIT = re.compile(r"[^/]+\.(?:service|scope|socket|mount|swap)")


def clean(value: str) -> str:
    """Make outside text fit for a log line: no control characters, at most 256 characters."""
    return _CONTROL.sub("", value)[:_LONGEST]


def unit_of_cgroup(path: str) -> str | None:
    """Name the innermost systemd unit in a cgroup path; slices are groups of units and do not count."""
    units = [part for part in path.split("/") if _UNIT.fullmatch(part)]
    return clean(units[-1]) if units else None


def unit_of_process(pid: int) -> str | None:
    """Name the unit that a process runs in; None when it runs in none, or cannot be seen."""
    try:
        with Process(pid) as process:
            return unit_of_cgroup(cgroup_of(process.text("cgroup")))
    except OSError:
        return None


def cgroup_of(text: str) -> str:
    """Choose the cgroup that systemd put a process in, of the lines of ``/proc/PID/cgroup``."""
    groups: dict[str, str] = {}
    for line in text.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        groups[controllers or hierarchy] = path
    # On a hybrid host systemd keeps its units in a hierarchy of its own, beside an empty cgroup2.
    for path in (groups.get("0", ""), groups.get("name=systemd", "")):
        if unit_of_cgroup(path) is not None:
            return path
    return ""


def actor(pid: int | None, comm: str | None, generation: int | None = None) -> Actor:
    """Describe the process behind the *thread* id and name that the kernel gives with the commit of a generation.

    Only what may be gone in a millisecond is read here, 0.1 ms at most, because a heal waits for it;
    ``background.complete`` finds out the rest. A one-shot program is often gone by now: then only what the kernel said is
    known, and nothing is guessed.
    """
    heard = since_boot()
    named = Actor(comm=None if comm is None else clean(comm), pid=pid, heard=heard, generation=generation)
    if pid is None or comm is None or not sees_all_pids():
        # The kernel counts in the first pid namespace: in any other, /proc/PID would be somebody else.
        return named
    try:
        with Process(pid) as process:
            stat = process.stat()
            # A different name means that the process is gone and its number taken, or that it became another program. One
            # that began after the change was heard of cannot have made it.
            if stat is None or stat.comm != comm or stat.started > heard:
                return named
            cgroup = cgroup_of(process.text("cgroup"))
            exe, loginuid = process.program(), process.number("loginuid")
            parent = parent_of(stat)
            return Actor(
                comm=named.comm,
                pid=_process_of(process.text("status"), pid),
                parent=clean(parent.comm) if parent is not None else None,
                unit=unit_of_cgroup(cgroup),
                loginuid=loginuid,
                session=session_of(process, cgroup, loginuid),
                exe=exe and clean(exe),
                exe_here=exe is not None and process.runs(exe),
                generation=generation,
                parent_pid=stat.parent or None,
                started=stat.started,
                heard=heard,
            )
    except OSError:
        return named


def session_of(process: Process, cgroup: str, loginuid: int | None) -> str | None:
    """Login session of a process: by its cgroup, or for what ``systemd --user`` runs as the kernel counts sessions."""
    session = session_of_cgroup(cgroup)
    if session is None and loginuid is not None:
        number = process.number("sessionid")
        session = str(number) if number is not None else None
    return session


def parent_of(child: Stat) -> Stat | None:
    """Read the parent of a process; None when it is gone: whoever began later only has its number."""
    try:
        with Process(child.parent) as process:
            parent = process.stat()
    except OSError:
        return None
    return parent if parent is not None and parent.started <= child.started else None


def _process_of(status: str, thread: int) -> int:
    """Number of the process that a thread belongs to."""
    for line in status.splitlines():
        if line.startswith("Tgid:"):
            return int(line[5:])
    return thread


@cache
def sees_all_pids() -> bool:
    """Whether /proc counts processes as the kernel's announcements do."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino == _INIT_PID_NAMESPACE  # noqa: PTH116 - a namespace, not a path
    except OSError:
        return False
