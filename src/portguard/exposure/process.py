"""One process, seen through its directory in /proc. The directory is held open: every answer is about the same process.

Everything here was written by the process itself, or by whoever may write where it reads: it is material to judge.
"""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

from portguard.exposure.files import read_planted, read_stream

if TYPE_CHECKING:
    from collections.abc import Iterable

_ARGUMENTS = 256 * 1024
"""Bytes of the arguments and of the environment that are read; the kernel allows eight times that."""
_MAPS = 8 << 20
_PERFDATA = re.compile(
    rb" (?P<inode>\d+) +\S*/(?P<folder>hsperfdata_[^/\n]{1,64})/(?P<name>\d{1,10})$", re.MULTILINE
)
_PERFDATA_SIZE = 4 << 20
"""A JVM's is 32 KiB; PerfDataMemorySize may ask for more."""
_STALE = 2.0
"""Seconds by which the time of a start may be wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threads:
    """Names that a process gave to its threads, each cut to 15 characters by the kernel."""

    names: tuple[str, ...]
    complete: bool
    """Whether these are all of them."""

    def count(self, name: str) -> int:
        """Count the threads whose name begins so."""
        return sum(thread.startswith(name) for thread in self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """Content of a file, and when it was last written."""

    content: bytes
    written: float
    """Seconds since the epoch."""


class Process:
    """A process that holds a socket. What cannot be read is None, never empty."""

    def __init__(self, pid: int) -> None:
        """Open the directory of the process. Raises OSError when there is none."""
        self._directory = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._directory)

    def arguments(self) -> tuple[str, ...] | None:
        """Arguments, or the title that the process wrote over them."""
        read = self._read("cmdline", _ARGUMENTS)
        return None if read is None else _strings(read[0])

    def environment(self, names: Iterable[str]) -> tuple[dict[str, str], bool]:
        """Variables of these names; says whether all of the environment was read. Nothing else of it is kept."""
        read = self._read("environ", _ARGUMENTS)
        if read is None:
            return {}, False
        wanted = {name.encode() for name in names}
        pairs = (entry.partition(b"=") for entry in read[0].split(b"\0"))
        return {
            name.decode(): value.decode(errors="replace") for name, _, value in pairs if name in wanted
        }, read[1]

    def threads(self, limit: int) -> Threads | None:
        """Names of the first ``limit`` threads."""
        try:
            task = os.open("task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._directory)
        except OSError:
            return None
        names: list[str] = []
        complete = True
        try:
            with os.scandir(task) as entries:
                for entry in entries:
                    if len(names) >= limit:
                        complete = False
                        break
                    try:
                        name, _ = read_stream(f"{entry.name}/comm", 64, task)
                    except OSError:
                        continue  # It ended meanwhile.
                    names.append(name.rstrip(b"\n").decode(errors="replace"))
        except OSError:
            return None
        finally:
            os.close(task)
        return Threads(names=tuple(names), complete=complete)

    def perfdata(self) -> tuple[bytes | None, bool]:
        """The memory that a JVM shares with its tools, and whether it has one at all (None: not known).

        Found by the process's own mappings, so that a file left behind by a former process of this number, or put there by
        somebody else, is not taken for it.
        """
        maps = self._read("maps", _MAPS)
        if maps is None:
            return None, True
        found = _PERFDATA.search(maps[0])
        if found is None:
            return None, not maps[1]
        path = b"/tmp/%b/%b" % (found["folder"], found["name"])
        try:
            content, status = read_planted(
                self._directory, os.fsdecode(path), limit=_PERFDATA_SIZE, owners=self.users
            )
        except OSError:
            return None, True
        return (content if status.st_ino == int(found["inode"]) else None), True

    def file(self, path: str, limit: int) -> File | None:
        """A file of root's or of the process's own user, named as the process would name it."""
        try:
            # Lexically, as no link is followed on the way either.
            absolute = posixpath.normpath(posixpath.join(os.readlink("cwd", dir_fd=self._directory), path))
            content, status = read_planted(self._directory, absolute, limit=limit, owners={0, *self.users})
        except (OSError, ValueError):
            return None
        return File(content=content, written=status.st_mtime)

    @cached_property
    def users(self) -> frozenset[int]:
        """Real and effective user."""
        for line in (self._read("status", 1 << 16) or (b"", True))[0].splitlines():
            if line.startswith(b"Uid:"):
                return frozenset(map(int, line.split()[1:3]))
        return frozenset()

    @cached_property
    def started(self) -> float | None:
        """When it was started, in seconds since the epoch."""
        stat = self._read("stat", 4096)
        boot = re.search(rb"^btime (\d+)$", _kernel_stat(), re.MULTILINE)
        if stat is None or boot is None:
            return None
        # The name of the process comes second and may hold anything, a bracket too.
        fields = stat[0].rpartition(b")")[2].split()
        return int(boot[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK") if len(fields) > 19 else None

    def older_than(self, file: File) -> bool:
        """Say whether a file was written since the process was started, so that it need not be in force."""
        return self.started is None or file.written > self.started + _STALE

    def _read(self, name: str, limit: int) -> tuple[bytes, bool] | None:
        try:
            return read_stream(name, limit, self._directory)
        except OSError:
            return None


def _kernel_stat() -> bytes:
    try:
        return read_stream("/proc/stat", 1 << 20)[0]
    except OSError:
        return b""


def _strings(raw: bytes) -> tuple[str, ...]:
    """Split NUL-terminated strings. Titles are padded with NULs: what is empty at the end is no argument."""
    return tuple(part.decode(errors="replace") for part in raw.rstrip(b"\0").split(b"\0"))
