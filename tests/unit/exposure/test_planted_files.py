"""A file that somebody may have planted is read only when it is what it should be; nothing waits for it."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portguard.exposure import files
from portguard.exposure.files import read_planted, read_stream
from portguard.exposure.process import Process

if TYPE_CHECKING:
    from collections.abc import Iterator

ME = {os.getuid()}


@contextmanager
def myself() -> Iterator[int]:
    descriptor = os.open("/proc/self", os.O_PATH | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read(path: Path, *, limit: int = 1000, owners: set[int] = ME) -> bytes:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    try:
        with myself() as process:
            return read_planted(process, str(path), limit=limit, owners=owners)[0]
    finally:
        assert len(os.listdir("/proc/self/fd")) == before, "a descriptor was left open"  # noqa: PTH208


def test_a_regular_file_of_the_user_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1000)

    assert read(tmp_path / "a") == b"x" * 1000


def test_a_file_that_is_too_large_is_not_read_in_part(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1001)
    with pytest.raises(OSError, match="larger"):
        read(tmp_path / "a")

    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="larger"):
        read(tmp_path / "sparse")


def test_a_file_of_somebody_else_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(PermissionError):
        read(tmp_path / "a", owners={os.getuid() + 1})


def test_no_link_is_followed_at_the_end_or_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").touch()
    (tmp_path / "file-link").symlink_to(tmp_path / "real" / "a")
    (tmp_path / "folder-link").symlink_to(tmp_path / "real")
    for path in (tmp_path / "file-link", tmp_path / "folder-link" / "a"):
        with pytest.raises(OSError):  # noqa: PT011 - which error it is differs with the place of the link
            read(path)


def test_nothing_waits_for_a_fifo_or_talks_to_a_socket_or_a_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name in ("fifo", "socket", "."):
            with pytest.raises(OSError):  # noqa: PT011 - as above
                read(tmp_path / name)


@pytest.mark.parametrize("path", ["", "/", "/tmp/../etc/passwd", "/a\0b", "/" + "a/" * 100])
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    with myself() as process, pytest.raises(OSError, match="not a path"):
        read_planted(process, path, limit=1, owners=ME)


def test_file_systems_that_others_answer_for_are_not_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").touch()
    monkeypatch.setattr(files, "_LOCAL", frozenset())
    with pytest.raises(OSError, match="of this host"):
        read(tmp_path / "a")


def test_a_file_of_proc_is_read_up_to_the_limit() -> None:
    whole, complete = read_stream("/proc/self/status", 1 << 20)
    part, cut = read_stream("/proc/self/status", 10)

    assert complete
    assert not cut
    assert part == whole[:10]


def test_a_process_tells_its_arguments_variables_threads_and_user() -> None:
    with Process(os.getpid()) as process:
        arguments = process.arguments()
        threads = process.threads(1000)
        variables, complete = process.environment(["PATH"])
        assert arguments is not None
        assert "\0".join((*arguments, "")) == Path("/proc/self/cmdline").read_text()
        assert complete
        assert variables == {"PATH": os.environ["PATH"]}
        assert threads is not None
        assert threads.complete
        assert process.users == {os.getuid()}
        assert process.perfdata() == (None, False)


def test_a_process_that_is_gone_is_an_error_at_once() -> None:
    with pytest.raises(FileNotFoundError):
        Process(4_000_000)


def test_a_file_is_found_as_the_process_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("x")
    monkeypatch.chdir(tmp_path)
    with Process(os.getpid()) as process:
        for name in ("a", "./b/../a", str(tmp_path / "a")):
            file = process.file(name, 10)
            assert file is not None
            assert file.content == b"x"
        assert process.file("missing", 10) is None
        assert process.file("a\0", 10) is None
