"""Who a process is, asked of the real /proc."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portguard.kernel import attribution
from portguard.kernel.attribution import actor, unit_of_process
from portguard.kernel.cgroups import Cgroups, cgroup2_mount
from portguard.model.ruleset import Actor

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.kernel


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup with a name as systemd gives it."""
    mount = cgroup2_mount(Path("/proc/self/mountinfo").read_text())
    assert mount is not None, "kernel tests need cgroup2"
    path = mount / f"portguard-writer-{os.getpid()}.service"
    path.mkdir()
    yield path
    path.rmdir()


@contextmanager
def cat(*, cgroup: Path | None = None) -> Iterator[int]:
    """Run ``cat`` until the end of the block."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        if cgroup is not None:
            (cgroup / "cgroup.procs").write_text(str(running.pid))
        # It has become "cat" when it answers.
        running.stdin.write(b"x")
        running.stdin.flush()
        running.stdout.read(1)
        yield running.pid
        running.stdin.close()
        running.wait(timeout=10)


def test_a_living_process_is_named_with_parent_and_unit(cgroup: Path) -> None:
    with cat(cgroup=cgroup) as pid:
        found = actor(pid, "cat")

    own_name = Path("/proc/self/comm").read_text().strip()
    assert (found.comm, found.pid, found.parent, found.unit) == ("cat", pid, own_name, cgroup.name)


def test_the_login_user_is_none_where_nobody_logged_in() -> None:
    text = Path("/proc/self/loginuid").read_text()
    with cat() as pid:
        found = actor(pid, "cat")

    assert found.loginuid == (None if text == "4294967295" else int(text))


def test_a_thread_is_reported_as_its_process() -> None:
    """The kernel names the thread that committed."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        number = thread.native_id
        assert number is not None
        comm = Path(f"/proc/{number}/comm").read_text().rstrip("\n")
        found = actor(number, comm)
    finally:
        done.set()
        thread.join()

    assert number != os.getpid()
    assert found.pid == os.getpid()


def test_of_a_process_that_is_gone_only_what_the_kernel_said_is_known() -> None:
    with cat() as pid:
        pass

    assert actor(pid, "nft") == Actor(comm="nft", pid=pid)


def test_a_process_that_took_the_number_of_the_writer_is_not_blamed() -> None:
    with cat() as pid:
        assert actor(pid, "nft") == Actor(comm="nft", pid=pid)


def test_in_another_pid_namespace_nobody_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's number would be somebody else's there."""
    monkeypatch.setattr(attribution, "sees_all_pids", lambda: False)
    with cat() as pid:
        assert actor(pid, "cat") == Actor(comm="cat", pid=pid)


def test_the_unit_of_a_process_that_is_gone_is_unknown() -> None:
    with cat() as pid:
        pass

    assert unit_of_process(pid) is None


def test_a_cgroup_is_found_by_its_number_and_forgotten_when_it_is_gone(cgroup: Path) -> None:
    now = 0.0
    cgroups = Cgroups(cgroup.parent, lambda: now)
    number = cgroup.stat().st_ino
    assert cgroups.path(number) == cgroup
    assert cgroups.processes(number) == ()
    with cat(cgroup=cgroup) as pid:
        assert cgroups.processes(number) == (pid,)

    assert cgroups.path(number + 1_000_000) is None
    below = cgroup / "new.service"
    below.mkdir()
    try:
        new = below.stat().st_ino
        assert cgroups.path(new) is None, "it was looked for again within a second"
        now = 1.0
        assert cgroups.path(new) == below
    finally:
        below.rmdir()
    now = 2.0
    assert cgroups.path(number + 1_000_000) is None
    assert cgroups.path(new) is None
