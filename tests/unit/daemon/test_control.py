"""The control socket: a line in, a line out, and nobody who asks can hold the daemon up."""

from __future__ import annotations

import json
import os
import select
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from portguard.daemon.control import LONGEST, Control, Peer, Request, address
from portguard.daemon.errands import Errands
from portguard.errors import ObserveError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Place:
    """A control socket, and a loop that is run by hand."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "control.sock"
        self.asked: list[Request] = []
        self.answer: dict[str, Any] = {"ok": True}
        self.control = Control(self.path, self._answer)

    def _answer(self, request: Request) -> dict[str, Any]:
        self.asked.append(request)
        return self.answer

    def client(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(5)
        with address(self.path) as place:
            sock.connect(place)
        return sock

    def turn(self) -> None:
        """Serve for as long as there is something to serve."""
        while select.select([self.control], [], [], 0)[0]:
            self.control.serve()

    def ask(self, line: bytes) -> Any:
        with closing(self.client()) as sock:
            sock.sendall(line)
            self.turn()
            text = b"".join(iter(lambda: sock.recv(65536), b""))
        return json.loads(text) if text else None


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    with closing(made.control):
        yield made


def test_a_line_is_answered_with_a_line_and_the_asker_is_named_by_the_kernel(place: Place) -> None:
    assert place.ask(b'{"command": "reload", "uid": 4711}\n') == {"ok": True}

    (request,) = place.asked
    assert request.peer == Peer(os.getpid(), os.geteuid(), os.getegid())
    assert request.words["command"] == "reload"


def test_a_line_that_comes_in_pieces_is_one_request(place: Place) -> None:
    with closing(place.client()) as sock:
        for piece in (b'{"comm', b'and": "re', b'load"}\n'):
            assert place.asked == []
            sock.sendall(piece)
            place.turn()
        assert json.loads(sock.recv(4096)) == {"ok": True}
    assert len(place.asked) == 1


@pytest.mark.parametrize("line", [b"reload\n", b"[]\n", b"\n", b"\xff\xfe\n", b"[" * 15_000 + b"\n"])
def test_what_is_no_request_is_refused_and_reaches_nobody(place: Place, line: bytes) -> None:
    answer = place.ask(line)

    assert answer["ok"] is False
    assert "one JSON object" in answer["error"]
    assert place.asked == []


def test_a_line_without_end_is_cut_off(place: Place) -> None:
    assert place.ask(b"x" * (LONGEST + 1)) is None
    assert place.asked == []


def test_a_client_that_says_nothing_keeps_nobody_waiting_and_many_of_them_are_dropped(place: Place) -> None:
    silent = []
    for _ in range(20):
        silent.append(place.client())
        place.turn()
    try:
        assert place.ask(b'{"command": "reload"}\n') == {"ok": True}
        assert silent[0].recv(1) == b"", "the oldest had to go"
    finally:
        for sock in silent:
            sock.close()


def test_a_client_that_goes_before_the_answer_does_no_harm(place: Place) -> None:
    with closing(place.client()) as sock:
        sock.sendall(b'{"command": "reload"}\n')
    place.turn()

    assert len(place.asked) == 1
    assert place.ask(b'{"command": "reload"}\n') == {"ok": True}


def test_an_answer_that_is_too_long_to_be_sent_at_once_says_so(place: Place) -> None:
    place.answer = {"ok": True, "text": "x" * 200_000}

    assert place.ask(b'{"command": "reload"}\n') == {"ok": False, "error": "the answer is too long"}


def test_the_socket_is_for_this_user_alone_and_goes_with_the_daemon(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert place.path.stat().st_mode & 0o777 == 0o600
    place.control.close()
    assert not place.path.exists()


def test_the_socket_of_a_dead_daemon_is_taken_over(tmp_path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with address(tmp_path / "control.sock") as where:
        dead.bind(where)
    dead.close()
    place = Place(tmp_path)
    with closing(place.control):
        assert place.ask(b'{"command": "reload"}\n') == {"ok": True}


def test_a_folder_with_a_long_name_is_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    place = Place(folder)
    with closing(place.control):
        assert place.ask(b'{"command": "reload"}\n') == {"ok": True}


def test_where_it_cannot_be_made_there_is_a_reason(tmp_path: Path) -> None:
    with pytest.raises(ObserveError, match="No such file or directory"):
        Control(tmp_path / "missing" / "control.sock", lambda _request: {})


class TestErrands:
    """Who may ask for what."""

    def ask(self, command: object, *, uid: int, faults: tuple[str, ...] = ()) -> Any:
        errands = Errands(reload=lambda: faults)
        return errands.answer(Request(Peer(1, uid, uid), {"command": command}))

    def test_root_and_the_daemons_own_user_may_reload(self) -> None:
        assert self.ask("reload", uid=0) == {"ok": True}
        assert self.ask("reload", uid=os.geteuid()) == {"ok": True}

    def test_nobody_else_may(self) -> None:
        answer = self.ask("reload", uid=4711)

        assert answer == {"ok": False, "error": "only root may do that", "exit": 3}

    def test_a_bad_configuration_is_told_with_every_fault(self) -> None:
        answer = self.ask("reload", uid=0, faults=("x.toml:1: mode: is wrong", "x.toml:2: role: is missing"))

        assert answer["ok"] is False
        assert answer["exit"] == 78
        assert len(answer["faults"]) == 2

    @pytest.mark.parametrize("command", ["sing", None, ["reload"], "x" * 1000])
    def test_an_unknown_command_is_refused_in_few_words(self, command: object) -> None:
        answer = self.ask(command, uid=0)

        assert answer["exit"] == 64
        assert len(answer["error"]) < 100
