"""A control group per host: without one, units of the same name on different hosts would share a group."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from host.harness.held import HarnessError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOUNTED = Path("/sys/fs/cgroup")
PREFIX = "pg-hosts-"


def hierarchies() -> list[Path]:
    """Where systemd-nspawn looks for its own group: the unified hierarchy, and systemd's named one where there is one.

    Raises HarnessError where control groups are not to be had.
    """
    if (_MOUNTED / "cgroup.procs").exists():
        found = [_MOUNTED]
    else:
        found = [path for name in ("unified", "systemd") if (path := _MOUNTED / name).is_dir()]
    if not any((path / "cgroup.controllers").exists() for path in found):
        raise HarnessError(f"no cgroup2 below {_MOUNTED}: a host's systemd needs one")
    if not os.access(found[0], os.W_OK):
        raise HarnessError(
            f"{found[0]} cannot be written: the hosts need root, and a machine rather than a container"
        )
    return found


def make(name: str) -> list[Path]:
    """Make the groups of a host; a process joins them by writing 0 to their ``cgroup.procs``."""
    groups = [hierarchy / f"{PREFIX}{name}" for hierarchy in hierarchies()]
    for group in groups:
        group.mkdir(exist_ok=True)
    return groups


def remove(group: Path, patience: float = 5.0) -> None:
    """Remove a group and all below it, once their last process is gone. Raises HarnessError when one stays."""
    until = time.monotonic() + patience
    while group.exists():
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        if not group.exists():
            return
        if time.monotonic() > until:
            raise HarnessError(f"{group} still has processes")
        time.sleep(0.01)


def existing() -> Iterator[Path]:
    """List the groups of all hosts, also of runs that were killed."""
    for hierarchy in hierarchies():
        yield from hierarchy.glob(f"{PREFIX}*")
