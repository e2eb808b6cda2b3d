"""Who a process is, from /proc. For people to read: everything here is outside data and never authorises anything."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

from portguard.model.ruleset import Actor

_PROC = Path("/proc")
_NO_LOGIN = 0xFFFFFFFF
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
    groups: dict[str, str] = {}
    for line in (_read(pid, "cgroup") or "").splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        groups[controllers or hierarchy] = path
    # On a hybrid host systemd keeps its units in a hierarchy of its own, beside an empty cgroup2.
    return unit_of_cgroup(groups.get("0", "")) or unit_of_cgroup(groups.get("name=systemd", ""))


def actor(pid: int | None, comm: str | None) -> Actor:
    """Describe the process behind the *thread* id and name that the kernel gives with a commit.

    A one-shot program is often gone by now: then only what the kernel said is known, and nothing is guessed.
    """
    named = Actor(comm=None if comm is None else clean(comm), pid=pid)
    if pid is None or not sees_all_pids():
        # The kernel counts in the first pid namespace: in any other, /proc/PID would be somebody else.
        return named
    status = _status(pid)
    # A different name means that the process is gone and its number taken, or that it became another program.
    if comm is None or (_read(pid, "comm") or "").rstrip("\n") != comm:
        return named
    parent = _status(int(status.get("PPid", 0)))
    return Actor(
        comm=named.comm,
        pid=int(status.get("Tgid", pid)),
        parent=clean(parent["Name"]) if "Name" in parent else None,
        unit=unit_of_process(pid),
        loginuid=_loginuid(pid),
    )


def _status(pid: int) -> dict[str, str]:
    """Fields of /proc/PID/status; empty when the process is gone or not visible."""
    lines = (_read(pid, "status") or "").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _loginuid(pid: int) -> int | None:
    """User who logged in to start it; None for what no login started."""
    text = (_read(pid, "loginuid") or "").strip()
    return int(text) if text.isdecimal() and int(text) != _NO_LOGIN else None


def _read(pid: int, name: str) -> str | None:
    """Read a file of /proc/PID; None when the process is gone, or does not belong to what we may see."""
    if pid <= 0:
        return None
    try:
        return (_PROC / str(pid) / name).read_bytes().decode(errors="backslashreplace")
    except OSError:
        return None


@cache
def sees_all_pids() -> bool:
    """Whether /proc counts processes as the kernel's announcements do."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino == _INIT_PID_NAMESPACE  # noqa: PTH116 - a namespace, not a path
    except OSError:
        return False
