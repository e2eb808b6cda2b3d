"""What the sockets of a Redis are for, and who may talk to them. Valkey and KeyDB are Redis here.

Redis writes a title over its arguments: the address and the port, and whether it is a Sentinel or a node of a cluster. What
it was told is then to be had from its unit alone, or from the moment between its first socket and its title.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portguard.exposure.redis_options import FILE, RedisOptions, options_of
from portguard.exposure.units import exec_start
from portguard.model.exposure import Application, Exposure, Protection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from portguard.exposure.process import Process, Threads
    from portguard.model.listener import Listener

PROGRAMS = frozenset(
    {f"{name}-{kind}" for name in ("redis", "valkey", "keydb") for kind in ("server", "sentinel")}
)
FILES = PROGRAMS | {"redis-check-rdb", "valkey-check-rdb", "redis-check-aof", "valkey-check-aof"}
"""Debian's redis-server is the same file as redis-check-rdb, told apart by the name it is started with."""
_TITLE = re.compile(r"(?P<name>\S+) \S*?:(?P<port>\d{1,5})(?: \[(?P<kind>sentinel|cluster)\])? *$")
_BUS = 10_000
_DEBIAN = re.compile(rb'^VERSION_ID="?(\d+)', re.MULTILINE)
_DEBIAN_7 = 12
"""Debian 12 came with Redis 7.0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Title:
    """What Redis writes over its arguments."""

    port: int
    kind: str | None

    @classmethod
    def read(cls, arguments: Sequence[str]) -> Title | None:
        """Read a title; None for arguments that are still those that Redis was started with."""
        match = _TITLE.fullmatch(arguments[0]) if len(arguments) == 1 else None
        return None if match is None else cls(port=int(match["port"]), kind=match["kind"])


def is_redis(names: set[str], threads: Threads | None) -> bool:
    """Recognise Redis by any of its names, or by the threads that it does its cleaning with, whatever it is called."""
    if names & FILES:
        return True
    return threads is not None and threads.count("bio_close_file") > 0 and threads.count("bio_lazy_free") > 0


def judge_redis(
    process: Process,
    listeners: Sequence[Listener],
    threads: Threads | None,
    exec_start: Callable[[str], tuple[str, ...] | None] = exec_start,
) -> Mapping[int, Exposure]:
    """Say what the TCP sockets of one Redis are, by cookie."""
    arguments = process.arguments() or ()
    title = Title.read(arguments)
    owner = listeners[0].owner
    sentinel = (title is not None and title.kind == "sentinel") or any(
        name and "sentinel" in posixpath.basename(name.partition(" ")[0])
        for name in (owner.process, *arguments[:1])
    )
    cluster = title is not None and title.kind == "cluster"
    options = _options(process, listeners, arguments, title, sentinel=sentinel, exec_start=exec_start)
    ports = {row.port for row in listeners}
    out: dict[int, Exposure] = {}
    for row in listeners:
        application = _application(row.port, ports, title, options, sentinel=sentinel, cluster=cluster)
        protection = Protection.UNKNOWN
        places: tuple[str, ...] = ("process title",) if title is not None else ("process",)
        if options is not None:
            protection = options.protection(row.port, honours_bind=_honours_bind(process, owner.exe, threads))
            places = tuple(options.places) or ("defaults",)
        out[row.cookie] = Exposure(application=application, protection=protection, evidence=places)
    return out


def _application(
    port: int,
    ports: set[int],
    title: Title | None,
    options: RedisOptions | None,
    *,
    sentinel: bool,
    cluster: bool,
) -> Application:
    if sentinel or (options is not None and options.sentinel):
        return Application.REDIS_SENTINEL
    if options is not None:
        return Application.REDIS_CLUSTER if port == options.bus else Application.REDIS
    if port - _BUS in ports:
        # Ten thousand above a client port of its own.
        return Application.REDIS_CLUSTER
    others = ports - {title.port} if title is not None else set()
    if cluster and port in others and len(others) == 1:
        return Application.REDIS_CLUSTER
    return Application.REDIS


def _options(
    process: Process,
    listeners: Sequence[Listener],
    arguments: Sequence[str],
    title: Title | None,
    *,
    sentinel: bool,
    exec_start: Callable[[str], tuple[str, ...] | None],
) -> RedisOptions | None:
    """Settings of this process, if it is certain enough that they are: they must name the ports that it listens on."""
    newer = False

    def read(path: str) -> str | None:
        nonlocal newer
        file = process.file(path, FILE)
        if file is None:
            return None
        newer |= process.older_than(file)
        return file.content.decode(errors="replace")

    ports = {row.port for row in listeners}
    unit = listeners[0].owner.unit
    # A title of one word may be what a template made of it: arguments count where there are several.
    own = arguments[1:] if title is None and len(arguments) > 1 else None
    for place, given in (("arguments", own), (f"unit {unit}", _started(unit, listeners[0], exec_start))):
        if given is None:
            continue
        found = options_of(given, read, sentinel=sentinel)
        if not ports <= found.ports:
            continue
        if newer and not found.sentinel:
            # Edited since: what it says need not be in force. A Sentinel writes its file itself.
            found.complete = False
            found.places.append("changed since the start")
        found.places[:] = [place, *(name for name in found.places if name != "arguments")]
        return found
    return None


def _started(
    unit: str | None, listener: Listener, exec_start: Callable[[str], tuple[str, ...] | None]
) -> tuple[str, ...] | None:
    """Arguments that the unit gives to this very program."""
    command = exec_start(unit) if unit is not None else None
    if command is None:
        return None
    name, exe = posixpath.basename(command[0]), listener.owner.exe
    if name not in PROGRAMS and (exe is None or name != posixpath.basename(exe)):
        return None
    return command[1:]


def _honours_bind(process: Process, exe: str | None, threads: Threads | None) -> bool:
    """Say whether its protected mode holds where addresses are named: since Redis 7.0, and never in KeyDB."""
    if exe is None or "keydb" in exe or threads is None:
        return False
    if "bio_aof" in threads.names:
        return True  # So called since Redis 7.2, and in Valkey.
    release = process.file("/etc/os-release", 4096) or process.file("/usr/lib/os-release", 4096)
    debian = (
        _DEBIAN.search(release.content) if release is not None and b"ID=debian" in release.content else None
    )
    return exe.startswith("/usr/bin/") and debian is not None and int(debian[1]) >= _DEBIAN_7
