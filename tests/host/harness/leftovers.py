"""What hosts may leave behind, found and taken away. A run that ends by itself leaves nothing."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from host.harness import cgroup
from host.harness.held import HOSTS, RUNS

if TYPE_CHECKING:
    from collections.abc import Iterator

_GROUP = re.compile(re.escape(cgroup.PREFIX) + r"(\d+)-")


def found(run: int | None = None) -> list[str]:
    """List what is left of a run of the tests, or of all: mounts, processes, control groups, folders, network namespaces.

    Other than folders and empty groups nothing can be left of a run that has ended, even by SIGKILL.
    """
    mark = str(RUNS) if run is None else str(RUNS / str(run))
    mounts = [
        f"mount {line.split()[1]}"
        for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
        if str(HOSTS) in line
    ]
    processes = [
        f"process {path.parent.name}: {words}"
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if mark in (words := _words(path)) and "systemd-nspawn" in words
    ]
    groups = [
        f"group {path}" for path in cgroup.existing() if run is None or f"{cgroup.PREFIX}{run}-" in path.name
    ]
    folders = [f"folder {path}" for path in RUNS.glob("*") if run is None or path.name == str(run)]
    # The lab and the kernel tests name theirs as well, with the number of their own process, and may run at the same time.
    named = [
        f"namespace {path}"
        for path in Path("/run/netns").glob("pg*")
        if run is None or str(run) in path.name.split("-")
    ]
    return mounts + processes + groups + folders + named


def sweep() -> None:
    """Take away what killed runs left. What belongs to a run that still lives stays."""
    RUNS.mkdir(parents=True, exist_ok=True)
    with _alone():
        for group in list(cgroup.existing()):
            match = _GROUP.match(group.name)
            if match and not _lives(match[1]):
                cgroup.remove(group)
        for folder in RUNS.glob("*"):
            if not _lives(folder.name):
                shutil.rmtree(folder)


def end_of_run() -> None:
    """Remove the folder of this run, which is empty when every host was destroyed."""
    folder = RUNS / str(os.getpid())
    if folder.exists():
        folder.rmdir()


@contextmanager
def _alone() -> Iterator[None]:
    """Hold off other runs, which would take away the same things."""
    runs = os.open(RUNS, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(runs, fcntl.LOCK_EX)
        yield
    finally:
        os.close(runs)


def _lives(pid: str) -> bool:
    return Path("/proc", pid).exists()


def _words(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""  # it ended while it was being read
