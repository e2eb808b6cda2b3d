"""The directory of one run, the lock that says the run is alive, and what a crashed run left behind.

``/run/portguard-lab/<pid>.lock`` is held while the run lives and freed by the kernel when it dies in whatever way. A
directory or namespace whose lock nobody holds is a leftover; a process id that was given out again fools nobody.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from portguard.errors import LabError
from portguard.lab.network import namespaces, remove_namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE = Path("/run/portguard-lab")
FAMILY = "pglab"
"""Head of the names of all labs' namespaces. Labs with another base need another one: the locks lie in the base."""


class RunDir:
    """Files of one run: configuration, status, logs, and the names under which the lab's processes appear."""

    def __init__(self, base: Path = BASE, family: str = FAMILY, *, tag: int | None = None) -> None:
        self.base = base
        self.family = family
        self.tag = os.getpid() if tag is None else tag
        self.path = base / str(self.tag)
        self._lock: IO[str] | None = None

    @property
    def prefix(self) -> str:
        """Beginning of the names of this run's namespaces."""
        return f"{self.family}-{self.tag}-"

    def open(self) -> list[int]:
        """Claim the directory, after removing what crashed runs left. Returns the ids of those runs."""
        try:
            with _everybody_waits(self.base):
                self.base.mkdir(mode=0o755, exist_ok=True)
                removed = remove_leftovers(self.base, self.family)
                self._lock = (self.base / f"{self.tag}.lock").open("w")
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.path.mkdir(mode=0o755)
            (self.path / "bin").mkdir()
        except OSError as error:
            raise LabError(f"{error.filename or self.path}: {error.strerror}") from error
        return removed

    def close(self) -> None:
        """Remove the directory and give up the lock."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is None:
            return
        with _everybody_waits(self.base):
            (self.base / f"{self.tag}.lock").unlink(missing_ok=True)
            self._lock.close()
            self._lock = None
            with contextlib.suppress(OSError):  # not empty: another lab is alive
                self.base.rmdir()

    def program(self, name: str, target: str = sys.executable) -> str:
        """Give a program another name, under which `ps` and portguard show the process."""
        link = self.path / "bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        return str(link)


def remove_leftovers(base: Path, family: str) -> list[int]:
    """Remove namespaces, directories and locks of runs that are dead. Returns their ids."""
    removed = [tag for tag in sorted(_tags(base, family)) if not _alive(base, tag)]
    for tag in removed:
        remove_namespaces(namespaces(f"{family}-{tag}-"))
        shutil.rmtree(base / str(tag), ignore_errors=True)
        (base / f"{tag}.lock").unlink(missing_ok=True)
    return removed


def _tags(base: Path, family: str) -> set[int]:
    pattern = re.compile(rf"{re.escape(family)}-(\d+)-")
    names = {int(match[1]) for name in namespaces(f"{family}-") if (match := pattern.match(name))}
    return names | {int(entry.stem) for entry in base.iterdir() if entry.stem.isdigit()}


def _alive(base: Path, tag: int) -> bool:
    with _opened(base / f"{tag}.lock") as lock:
        if lock is None:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


@contextlib.contextmanager
def _everybody_waits(base: Path) -> Iterator[None]:
    """Keep other labs from coming and going. The lock is on the folder above, which nobody removes."""
    descriptor = os.open(base.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[str] | None]:
    try:
        with path.open() as file:
            yield file
    except FileNotFoundError:
        yield None
