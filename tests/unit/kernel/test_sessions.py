"""Login sessions as logind keeps them, and names of users of this host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from portguard.kernel.sessions import Session, login_name, read_session, session_of_cgroup

if TYPE_CHECKING:
    from pathlib import Path

FILE = """\
# This is private data. Do not parse.
UID=1000
USER=bob
ACTIVE=1
STATE=active
REMOTE=1
TYPE=tty
CLASS=user
SCOPE=session-4.scope
FIFO=/run/systemd/sessions/4.ref
TTY=pts/0
REMOTE_HOST=10.9.0.5
SERVICE=sshd
LEADER=812
AUDIT=4
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/user.slice/user-1000.slice/session-4.scope", "4"),
        ("/user.slice/user-1000.slice/session-c2.scope/below", "c2"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice", None),
        ("/system.slice/mysession-4.scope", None),
        ("/system.slice/session-4.service", None),
        ("", None),
    ],
)
def test_a_scope_names_its_session(path: str, expected: str | None) -> None:
    assert session_of_cgroup(path) == expected


def test_reads_who_logged_in_and_from_where(tmp_path: Path) -> None:
    (tmp_path / "4").write_text(FILE)

    assert read_session("4", str(tmp_path)) == Session(
        id="4", user="bob", service="sshd", remote="10.9.0.5", terminal="pts/0"
    )


def test_a_session_that_logind_does_not_know_has_only_its_number(tmp_path: Path) -> None:
    assert read_session("5", str(tmp_path)) == Session(id="5")


@pytest.mark.parametrize("number", ["../4", "4/..", "", "a" * 100, "4\n"])
def test_a_number_cannot_leave_the_folder(number: str, tmp_path: Path) -> None:
    (tmp_path / "4").write_text(FILE)
    folder = tmp_path / "below"
    folder.mkdir()

    assert read_session(number, str(folder)).user is None


@pytest.mark.parametrize("value", ["evil\\x20host", 'a" b', "x" * 300, "a\x1b[2J", ""])
def test_values_that_are_no_plain_words_are_left_out(value: str, tmp_path: Path) -> None:
    (tmp_path / "4").write_text(f"USER=bob\nREMOTE_HOST={value}\n")

    assert read_session("4", str(tmp_path)) == Session(id="4", user="bob")


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text(FILE)
    (tmp_path / "4").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "5")

    assert read_session("4", str(tmp_path)).user is None
    assert read_session("5", str(tmp_path)).user is None


def test_names_come_from_this_hosts_own_file(tmp_path: Path) -> None:
    passwd = tmp_path / "passwd"
    passwd.write_text("root:x:0:0:root:/root:/bin/bash\nbroken\nbob:x:1000:1000::/home/bob:/bin/sh\n")

    assert login_name(1000, str(passwd)) == "bob"
    assert login_name(0, str(passwd)) == "root"
    assert login_name(10, str(passwd)) is None
    assert login_name(0, str(tmp_path / "none")) is None
