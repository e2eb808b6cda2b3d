"""Recognise Redis, JMX and JDWP by the process behind the socket. Passive: nothing is sent to anybody.

A process title and arguments are written by the process itself. They can only raise an alarm here, never silence one.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from portguard.model.exposure import Application, Exposure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from portguard.model.listener import Listener

# Debian's redis-server is the same file as redis-check-rdb, told apart by the name it is started with.
_REDIS = frozenset({"redis-server", "valkey-server", "keydb-server", "redis-sentinel", "valkey-sentinel"})
_REDIS_FILES = _REDIS | {"redis-check-rdb", "valkey-check-rdb"}
_REDIS_TITLE = re.compile(r"(redis|valkey|keydb)-server\b.*?:(\d+)(?:\s+\[(sentinel|cluster)\])?")
_REDIS_PORTS = {
    6379: Application.REDIS,
    26379: Application.REDIS_SENTINEL,
    16379: Application.REDIS_CLUSTER,
}
_CLUSTER_BUS = 10000
"""A Redis cluster node listens for other nodes at its client port plus this."""

_JMX = re.compile(r"-Dcom\.sun\.management\.jmxremote\.(port|rmi\.port)=(\d+)")
_JDWP = re.compile(r"-(?:agentlib:jdwp=|Xrunjdwp:)(?:.*,)?address=(?:[^,]*:)?(\d+)")


def sensitive(listeners: Iterable[Listener]) -> Mapping[int, Exposure]:
    """Name what must never be exposed, by the cookie of its socket."""
    return {
        row.cookie: Exposure(application=what) for row in listeners if (what := identify(row)) is not None
    }


def identify(listener: Listener) -> Application | None:
    """Name the application behind one listener, or None where nothing speaks for any of them."""
    owner = listener.owner
    if _names(listener) & _REDIS_FILES:
        return _redis(listener)
    arguments = owner.cmdline
    for argument in arguments:
        if (match := _JMX.search(argument)) and int(match[2]) == listener.port:
            return Application.JMX if match[1] == "port" else Application.JMX_RMI
        if (match := _JDWP.search(argument)) and int(match[1]) == listener.port:
            return Application.JDWP
    if owner.process is None and not arguments:
        # Nothing is known of the process: the well-known port has to speak for it.
        return _REDIS_PORTS.get(listener.port)
    return None


def _names(listener: Listener) -> set[str]:
    """Every name that the process goes by: its own, that of its file, and the one it was started with."""
    owner = listener.owner
    names = {owner.process or ""}
    if owner.exe:
        names.add(PurePosixPath(owner.exe.removesuffix(" (deleted)")).name)
    if owner.cmdline:
        names.add(PurePosixPath(owner.cmdline[0].partition(" ")[0]).name)
    return names


def _redis(listener: Listener) -> Application:
    title = _REDIS_TITLE.search(" ".join(listener.owner.cmdline))
    kind = title[3] if title else None
    if title and listener.port == int(title[2]) + _CLUSTER_BUS:
        return Application.REDIS_CLUSTER
    if kind == "sentinel" or _names(listener) & {"redis-sentinel", "valkey-sentinel"}:
        return Application.REDIS_SENTINEL
    return Application.REDIS
