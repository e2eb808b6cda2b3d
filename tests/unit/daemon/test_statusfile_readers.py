"""Who may read the status file."""

from __future__ import annotations

import grp
import os
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portguard.daemon import statusfile

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place in memory, as /run is: other file systems may have no access lists."""
    path = Path(f"/dev/shm/portguard-test-{os.getpid()}")
    path.mkdir()
    yield path
    for child in path.iterdir():
        child.unlink()
    path.rmdir()


def test_its_own_group_and_those_who_read_logs_may_read_it_and_nobody_else(folder: Path) -> None:
    path = folder / "status.json"
    statusfile.write(path, {"schema": 1})

    mode = stat.S_IMODE(path.stat().st_mode)
    assert mode == 0o640
    access = os.getxattr(path, "system.posix_acl_access")
    adm = grp.getgrnam("adm").gr_gid
    # The group's entry: tag 8, right to read.
    assert b"\x08\x00\x04\x00" + adm.to_bytes(4, "little") in access


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming somebody else needs root")
@pytest.mark.parametrize(("group", "may"), [("adm", True), ("nogroup", False)])
def test_the_kernel_agrees(folder: Path, group: str, may: bool) -> None:
    path = folder / "status.json"
    statusfile.write(path, {"schema": 1})
    gid = grp.getgrnam(group).gr_gid

    done = subprocess.run(
        ["setpriv", "--reuid=65534", f"--regid={gid}", "--clear-groups", "cat", str(path)],
        capture_output=True,
        check=False,
    )

    assert (done.returncode == 0) is may
