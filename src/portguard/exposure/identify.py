"""Recognise Redis, JMX and JDWP by the process behind the socket. Passive: nothing is sent to anybody.

Names, titles and arguments are written by the process itself. They can raise an alarm here, and lower its severity where
they tell of a protection, but a listener that nobody documents is reported whatever it calls itself.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING

from portguard.exposure.jvm import MARKS, judge_jvm
from portguard.exposure.process import Process
from portguard.exposure.redis import is_redis, judge_redis
from portguard.model.exposure import Application, Exposure
from portguard.model.net import Transport

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from portguard.exposure.process import Threads
    from portguard.model.listener import Listener

_PORTS = {
    6379: Application.REDIS,
    26379: Application.REDIS_SENTINEL,
    16379: Application.REDIS_CLUSTER,
}
_LAUNCHERS = frozenset({"java", "jsvc", "javaw"})
_LONGEST = 200
"""Characters of one place in the evidence."""
_FIRST_THREADS = 24
"""Threads by which a process is recognised: Redis and a JVM start theirs before anything else."""


def judge_process(listeners: Sequence[Listener]) -> Mapping[int, Exposure]:
    """Say which sockets of one process must never be exposed, by cookie. All must have the same owner."""
    found = _judge_process(listeners)
    return {cookie: presentable(exposure) for cookie, exposure in found.items()}


def presentable(exposure: Exposure) -> Exposure:
    """Make what stands in its evidence fit to be shown: names of files are other people's words."""
    shown = tuple(
        "".join(char if char.isprintable() else "?" for char in place[:_LONGEST])
        for place in exposure.evidence
    )
    return exposure if shown == exposure.evidence else replace(exposure, evidence=shown)


def _judge_process(listeners: Sequence[Listener]) -> Mapping[int, Exposure]:
    owner = listeners[0].owner
    streams = [row for row in listeners if row.transport is Transport.TCP]
    if not streams:
        return {}
    if owner.pid is None:
        return _by_port(streams)
    try:
        with Process(owner.pid) as process:
            names = _names(listeners[0])
            threads = process.threads(_FIRST_THREADS)
            if is_redis(names, threads):
                return judge_redis(process, streams, threads)
            if names & _LAUNCHERS or _is_jvm(threads):
                return judge_jvm(process, streams)
    except OSError:
        return _by_port(streams)  # It ended meanwhile, or hides.
    return {}


def _by_port(listeners: Iterable[Listener]) -> dict[int, Exposure]:
    """Where nothing is known of the process, the well-known port has to speak for it."""
    return {
        row.cookie: Exposure(application=_PORTS[row.port], evidence=("port number",))
        for row in listeners
        if row.port in _PORTS and row.owner.process is None and not row.owner.cmdline
    }


def _names(listener: Listener) -> set[str]:
    """Every name that the process goes by: its own, that of its file, and the one it was started with."""
    owner = listener.owner
    names = {owner.process or ""}
    if owner.exe:
        names.add(posixpath.basename(owner.exe.removesuffix(" (deleted)")))
    if owner.cmdline:
        names.add(posixpath.basename(owner.cmdline[0].partition(" ")[0]))
    return names


def _is_jvm(threads: Threads | None) -> bool:
    return threads is not None and sum(threads.count(mark) > 0 for mark in MARKS) >= 2
