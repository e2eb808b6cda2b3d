"""One process as /proc shows it, read through one directory: if it ends meanwhile, nothing of another one is read."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Self

PROC = "/proc"
_LONGEST = 1 << 16
"""Bytes of a file that are read; the longest of those that matter has 1,500."""
_TICKS = os.sysconf("SC_CLK_TCK")
_START = 19
"""Place of the start time among the fields after the name (field 22 of proc(5))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """What ``/proc/PID/stat`` says, as far as it matters."""

    comm: str
    parent: int
    started: float
    """Seconds since boot, time asleep included, in steps of 10 ms."""


class Process:
    """A process or a thread that exists now; to be closed. Raises OSError when there is none of this number."""

    def __init__(self, pid: int) -> None:
        """Hold on to its directory: the number may be given to somebody else, the directory is not."""
        if pid <= 0:
            raise ProcessLookupError(f"there is no process {pid}")
        self.pid = pid
        self._directory = os.open(f"{PROC}/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        """Use it until the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of it."""
        os.close(self._directory)

    def text(self, name: str) -> str:
        """Read one of its files; empty when it has ended or does not let us look."""
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory)
        except OSError:
            return ""
        try:
            return os.read(descriptor, _LONGEST).decode(errors="backslashreplace")
        except OSError:
            return ""
        finally:
            os.close(descriptor)

    def number(self, name: str) -> int | None:
        """Read a file that holds one number; None where it holds ``4294967295``, which stands for "none"."""
        word = self.text(name).strip()
        return int(word) if word.isdecimal() and word != "4294967295" else None

    def stat(self) -> Stat | None:
        """Read its name, parent and start; None when it has ended."""
        return parse_stat(self.text("stat"))

    def program(self) -> str | None:
        """Path of its executable as it was when it was started; None where that may not be known."""
        try:
            return os.readlink("exe", dir_fd=self._directory)
        except OSError:
            return None

    def runs(self, path: str) -> bool:
        """Whether the file of this path, as we see it, is the one that it runs: not so in most containers."""
        try:
            there, here = os.stat("exe", dir_fd=self._directory), os.stat(path)  # noqa: PTH116 - with dir_fd
        except OSError:
            return False
        return os.path.samestat(there, here)


def parse_stat(text: str) -> Stat | None:
    """Read a line of ``/proc/PID/stat``. The name may hold blanks and parentheses: the last parenthesis ends it."""
    head, _, rest = text.rpartition(") ")
    _, opened, comm = head.partition("(")
    fields = rest.split()
    if not opened or len(fields) <= _START or not fields[1].isdecimal() or not fields[_START].isdecimal():
        return None
    return Stat(comm=comm, parent=int(fields[1]), started=int(fields[_START]) / _TICKS)


def since_boot() -> float:
    """Seconds since boot on the clock by which the kernel notes starts."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
