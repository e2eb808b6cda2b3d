"""The control socket: a line in, a line out, and nobody who asks can hold the daemon up."""

from __future__ import annotations

import json
import os
import select
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from portguard.core.exchange import Moment, Ordered, Paused, Reply
from portguard.core.exchange import Request as Asked
from portguard.daemon.control import LONGEST, Control, Peer, Request, address
from portguard.daemon.errands import Errands
from portguard.daemon.observer import Observer
from portguard.errors import ObserveError
from portguard.kernel.fake import FakeKernel
from portguard.model.policy import Mode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portguard.kernel.world import World


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


class Asking:
    """Errands over a world in memory, with a core that says yes to everything."""

    def __init__(self, world: World, *, faults: tuple[str, ...] = (), reply: Reply | None = None) -> None:
        self.taken: list[Asked] = []
        self._reply = reply or Reply(ok=True, text="done", details=("one line",))
        self.errands = Errands(
            reload=lambda: faults,
            take=self._take,
            moment=lambda: Moment(monotonic=world.clock.monotonic(), when=world.clock.now()),
            observer=Observer(world),
        )

    def _take(self, asked: Asked) -> Reply:
        self.taken.append(asked)
        return self._reply

    def ask(self, command: object, *, uid: int = 0, **words: object) -> Any:
        return self.errands.answer(Request(Peer(1, uid, uid), {"command": command, **words}))


@pytest.fixture
def world() -> Iterator[World]:
    made = FakeKernel().world()
    with closing(made):
        yield made


class TestErrands:
    """Who may ask for what."""

    def test_root_and_the_daemons_own_user_may_reload(self, world: World) -> None:
        assert Asking(world).ask("reload") == {"ok": True}
        assert Asking(world).ask("reload", uid=os.geteuid()) == {"ok": True}

    def test_nobody_else_may(self, world: World) -> None:
        answer = Asking(world).ask("reload", uid=4711)

        assert answer == {"ok": False, "error": "only root may do that", "exit": 3}

    @pytest.mark.parametrize("command", ["mode", "confirm", "rollback", "pause", "resume", "sing"])
    def test_orders_are_roots_alone_even_where_the_daemon_is_somebody_else(
        self, command: str, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        asking = Asking(world)

        assert asking.ask(command, uid=4711)["error"] == "only root may do that"
        assert asking.taken == []

    def test_a_bad_configuration_is_told_with_every_fault(self, world: World) -> None:
        answer = Asking(world, faults=("x.toml:1: mode: is wrong", "x.toml:2: role: is missing")).ask(
            "reload"
        )

        assert answer["ok"] is False
        assert answer["exit"] == 78
        assert len(answer["faults"]) == 2

    @pytest.mark.parametrize("command", ["sing", None, ["reload"], "x" * 1000])
    def test_an_unknown_command_is_refused_in_few_words(self, command: object, world: World) -> None:
        answer = Asking(world).ask(command)

        assert answer["exit"] == 64
        assert len(answer["error"]) < 100

    def test_an_order_goes_to_the_core_with_what_was_just_seen(self, world: World) -> None:
        asking = Asking(world)
        way = {"peer": "10.9.0.5", "peer_port": 50000, "local": "10.1.0.1", "local_port": 22}
        answer = asking.ask("mode", mode="contain", confirm_within=60, own=[way])

        (asked,) = asking.taken
        assert isinstance(asked, Ordered)
        assert (asked.mode, asked.confirm_within) == (Mode.CONTAIN, 60.0)
        assert [str(row.peer) for row in asked.own] == ["10.9.0.5"]
        assert asked.snapshot.ruleset is not None
        assert answer == {"ok": True, "text": "done", "details": ["one line"]}

    def test_a_refusal_of_the_core_is_3_with_its_reasons(self, world: World) -> None:
        answer = Asking(world, reply=Reply(ok=False, text="no", details=("because",))).ask("confirm")

        assert answer == {"ok": False, "error": "no", "exit": 3, "details": ["because"]}

    @pytest.mark.parametrize(
        ("command", "words"),
        [
            ("mode", {}),
            ("mode", {"mode": "contain"}),
            ("mode", {"mode": "sleep", "confirm_within": 60}),
            ("mode", {"mode": "contain", "confirm_within": "60"}),
            ("mode", {"mode": "contain", "confirm_within": True}),
            ("mode", {"mode": "contain", "confirm_within": float("nan")}),
            ("mode", {"mode": "contain", "confirm_within": 1e9}),
            ("mode", {"mode": "contain", "confirm_within": 0}),
            ("mode", {"mode": "contain", "confirm_within": 60, "own": 5}),
            ("mode", {"mode": "contain", "confirm_within": 60, "own": [{"peer": "me"}]}),
            ("pause", {"seconds": 60}),
            ("pause", {"seconds": 60, "reason": "  "}),
            ("pause", {"seconds": 60, "reason": 5}),
            ("pause", {"seconds": 86401, "reason": "long"}),
        ],
    )
    def test_nonsense_is_refused_and_reaches_nobody(
        self, command: str, words: dict[str, Any], world: World
    ) -> None:
        asking = Asking(world)
        answer = asking.ask(command, **words)

        assert answer["exit"] == 64
        assert asking.taken == []
        assert len(answer["error"]) <= 200

    def test_a_reason_is_one_short_line(self, world: World) -> None:
        asking = Asking(world)
        asking.ask("pause", seconds=60, reason="new\nrules " + "x" * 1000)

        (asked,) = asking.taken
        assert isinstance(asked, Paused)
        assert asked.reason.startswith("new rules x")
        assert len(asked.reason) == 200
