"""Where the administrator is connected from: the environment, or that of a parent."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest

from portguard.kernel.administrator import Connection, connection, parse

if TYPE_CHECKING:
    from pathlib import Path

HERE = Connection(ipaddress.ip_address("10.9.0.5"), 22)


def process(proc: Path, pid: int, parent: int, environ: bytes) -> None:
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "environ").write_bytes(environ)
    (folder / "status").write_text(f"Name:\tbash\nPPid:\t{parent}\n")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("10.9.0.5 50000 10.1.0.1 22", HERE),
        ("::ffff:10.9.0.5 50000 ::ffff:10.1.0.1 22", HERE),
        ("2001:db8::5 50000 2001:db8::1 2222", Connection(ipaddress.ip_address("2001:db8::5"), 2222)),
        ("fe80::5%eth0 50000 fe80::1%eth0 22", Connection(ipaddress.ip_address("fe80::5%eth0"), 22)),
        ("10.9.0.5 50000 10.1.0.1 0", None),
        ("10.9.0.5 50000 10.1.0.1 70000", None),
        ("10.9.0.5 50000 10.1.0.1", None),
        ("evil 50000 10.1.0.1 22", None),
        ("", None),
    ],
)
def test_reads_what_sshd_writes_and_nothing_else(value: str, expected: Connection | None) -> None:
    assert parse(value) == expected


def test_the_environment_is_asked_first(tmp_path: Path) -> None:
    assert connection({"SSH_CONNECTION": "10.9.0.5 1 10.1.0.1 22"}, 5, tmp_path) == HERE


def test_sudo_takes_the_variable_away_and_a_parent_still_has_it(tmp_path: Path) -> None:
    process(tmp_path, 30, 20, b"PATH=/bin\0")
    process(tmp_path, 20, 10, b"A=1\0SSH_CONNECTION=10.9.0.5 1 10.1.0.1 22\0B=2\0")

    assert connection({}, 30, tmp_path) == HERE


def test_a_console_has_none(tmp_path: Path) -> None:
    process(tmp_path, 30, 1, b"PATH=/bin\0")

    assert connection({}, 30, tmp_path) is None


def test_a_circle_of_parents_ends(tmp_path: Path) -> None:
    process(tmp_path, 30, 20, b"")
    process(tmp_path, 20, 30, b"")

    assert connection({}, 30, tmp_path) is None


def test_a_parent_that_is_gone_or_unreadable_ends_the_search(tmp_path: Path) -> None:
    assert connection({}, 30, tmp_path) is None
