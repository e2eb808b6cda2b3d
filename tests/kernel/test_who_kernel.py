"""Who did it, in the alarm's line: somebody who is logged in deletes a rule and starts a listener."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from guarded_host import FILES_OF_ITS_OWN, GuardedHost, guarded_host

from portguard.kernel.cgroups import cgroup2_mount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from namespaces import Netns

pytestmark = pytest.mark.kernel

LOGINUID = 54321
"""Of nobody in /etc/passwd: the name is to be had from the session alone."""
LOGGED_IN = f"echo {LOGINUID} >/proc/self/loginuid && cat /proc/self/sessionid && echo && exec sh"
"""What pam_loginuid does. The kernel counts the session then."""


@pytest.fixture
def host(netns: Netns, tmp_path: Path) -> Iterator[GuardedHost]:
    with guarded_host(netns, tmp_path) as guarded:
        guarded.start(*FILES_OF_ITS_OWN)
        yield guarded


@pytest.fixture
def unit() -> Iterator[Path]:
    """A cgroup with a name as systemd gives it."""
    mount = cgroup2_mount(Path("/proc/self/mountinfo").read_text())
    assert mount is not None, "kernel tests need cgroup2"
    path = mount / f"portguard-who-{os.getpid()}.service"
    path.mkdir()
    yield path
    path.rmdir()


class Shell:
    """A shell that reads commands, and the number of its session."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self.session = process.stdout.readline().strip()

    def types(self, line: str) -> None:
        """Run a command, without waiting for its end."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()


@contextmanager
def logged_in(host: GuardedHost, unit: Path) -> Iterator[Shell]:
    """Log somebody in from 10.9.0.5, as sshd, PAM and logind do together."""
    with subprocess.Popen(
        ["sh", "-c", f"echo $$ >{unit}/cgroup.procs && {LOGGED_IN}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        shell = Shell(process)
        assert host.process is not None
        sessions = Path("/proc", str(host.process.pid), "root/run/systemd/sessions")
        (sessions / shell.session).write_text("USER=bob\nREMOTE_HOST=10.9.0.5\nSERVICE=sshd\n")
        yield shell
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=10)


def test_a_removed_rule_names_process_parent_unit_user_session_and_package(
    host: GuardedHost, unit: Path
) -> None:
    handle = host.handle("established")
    with logged_in(host, unit) as shell:
        # nft -i stays until it is told to end: of a process that is gone, less is known.
        shell.types(f"echo 'delete rule inet portguard input handle {handle}' >{host.folder}/typed")
        shell.types(f"(cat {host.folder}/typed; sleep 2) | nft -i >/dev/null")
        (line,) = host.wait_for("rule_removed")

    for field in (
        "actor_comm=nft", f"actor_unit={unit.name}", f"actor_loginuid={LOGINUID}", "actor_login=bob",
        f"actor_session={shell.session}", "actor_remote=10.9.0.5", "actor_package=nftables", "actor_exe=/usr/sbin/nft",
    ):  # fmt: skip
        assert f" {field}" in line
    assert " actor_parents=sh," in line
    assert "removed by nft (pid " in line
    assert "login bob, logged in from 10.9.0.5" in line


def test_a_new_listener_names_process_parent_unit_user_session_and_package(
    host: GuardedHost, unit: Path
) -> None:
    code = "import socket, sys; s = socket.create_server(('0.0.0.0', 4444)); sys.stdin.read()"
    with logged_in(host, unit) as shell:
        shell.types(f'/usr/bin/python3 -c "{code}"')
        (line,) = [row for row in host.wait_for("listener_unexpected") if " port=4444 " in row]

    for field in (
        f"unit={unit.name}", "exe=/usr/bin/python3", "parent=sh", "package=python3",
        f"loginuid={LOGINUID}", "login=bob", f"session={shell.session}", "remote=10.9.0.5",
    ):  # fmt: skip
        assert f" {field}" in line


def test_of_a_program_that_is_gone_the_line_has_its_name_and_number_and_no_guess(
    host: GuardedHost, unit: Path
) -> None:
    """Several tries: whether it is gone when it is looked up is a race that either may win."""
    handle = host.handle("established")
    with logged_in(host, unit) as shell:
        shell.types(f"nft delete rule inet portguard input handle {handle}")
        (line,) = host.wait_for("rule_removed")

    assert " actor_comm=nft actor_pid=" in line
    for name, value in (
        ("unit", unit.name),
        ("login", "bob"),
        ("package", "nftables"),
        ("remote", "10.9.0.5"),
    ):
        assert f" actor_{name}=" not in line or f" actor_{name}={value}" in line
