"""The control socket: one JSON line in, one JSON line out, for ``portguard reload`` and whatever else changes the guard.

It stands in the runtime directory, beside the status file. Who asks is told by the kernel (SO_PEERCRED), never by the
asker. Nothing here waits: a client that has not sent its line when it is read, or does not take its answer, keeps
nobody else waiting.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from portguard.errors import ObserveError
from portguard.model.snapshot import Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from portguard.daemon.errands import Errands
    from portguard.daemon.observer import Observer

NAME = "control.sock"
"""Name of the socket in the folder of the status file."""

LONGEST = 16 * 1024
"""Bytes of a request; the longest that portguard itself sends has a few hundred."""
_LONGEST_ANSWER = 96 * 1024
"""Bytes of an answer: what a fresh socket takes at once, so that nothing is ever left to be sent later."""
_CLIENTS = 8
"""Clients at a time; one more, and the oldest is dropped."""
_LONGEST_PATH = 100
"""Bytes of a path that an AF_UNIX address holds for sure; a longer one is reached through its folder."""
_CREDENTIALS = struct.Struct("=3i")


class Peer(NamedTuple):
    """Who asks, as the kernel says (``struct ucred``)."""

    pid: int
    uid: int
    gid: int


class Request(NamedTuple):
    """A request and who made it."""

    peer: Peer
    words: Mapping[str, Any]


class Control:
    """Listens, and answers each line at once.

    Its descriptor is that of an epoll over the socket and all clients, so that the loop has one thing to wait for.
    """

    def __init__(self, path: Path, answer: Callable[[Request], Mapping[str, Any]]) -> None:
        """Listen at ``path``; whatever lies there is a dead daemon's. Raises ObserveError."""
        self._path = path
        self._answer = answer
        self._clients: dict[int, _Client] = {}
        self._epoll = select.epoll()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            with address(path) as place:
                path.unlink(missing_ok=True)
                # Made for nobody but this user and root; opened further only by who may change the folder.
                before = os.umask(0o177)
                try:
                    self._socket.bind(place)
                finally:
                    os.umask(before)
            self._socket.listen(_CLIENTS)
        except OSError as error:
            self._socket.close()
            self._epoll.close()
            raise ObserveError(f"{path} cannot be made: {error.strerror or error}") from None
        self._epoll.register(self._socket, select.EPOLLIN)

    def fileno(self) -> int:
        """Descriptor that is readable when somebody asks."""
        return self._epoll.fileno()

    def serve(self) -> None:
        """Answer whoever has asked by now; never blocks."""
        for descriptor, _ in self._epoll.poll(0, maxevents=2 * _CLIENTS):
            if descriptor == self._socket.fileno():
                self._welcome()
            elif descriptor in self._clients:
                self._listen_to(self._clients[descriptor])

    def close(self) -> None:
        """Stop listening, and take the socket away."""
        for client in list(self._clients.values()):
            self._drop(client)
        self._socket.close()
        self._epoll.close()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _welcome(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return  # it went away again, or there are no descriptors left: it may try once more
        connection.settimeout(0.0)
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        while len(self._clients) >= _CLIENTS:
            self._drop(next(iter(self._clients.values())))
        client = _Client(connection, Peer(*_CREDENTIALS.unpack(raw)))
        self._clients[connection.fileno()] = client
        self._epoll.register(connection, select.EPOLLIN)

    def _listen_to(self, client: _Client) -> None:
        """Take what a client sent; answer when the line is whole."""
        try:
            line = client.line()
        except BlockingIOError:
            return
        except (OSError, EOFError):
            self._drop(client)
            return
        if line is None:
            return
        try:
            client.connection.send(self._reply(client.peer, line))
        except OSError:
            pass  # the asker is gone, or takes nothing: what was asked has been done all the same
        finally:
            self._drop(client)

    def _reply(self, peer: Peer, line: bytes) -> bytes:
        try:
            words = json.loads(line)
        except (ValueError, RecursionError):
            words = None
        if isinstance(words, dict):
            answer = self._answer(Request(peer, words))
        else:
            answer = {"ok": False, "error": "a request is one JSON object on one line"}
        text = json.dumps(answer, separators=(",", ":")).encode()
        if len(text) > _LONGEST_ANSWER:
            text = b'{"ok":false,"error":"the answer is too long"}'
        return text + b"\n"

    def _drop(self, client: _Client) -> None:
        self._clients.pop(client.connection.fileno(), None)
        client.connection.close()  # which takes it out of the epoll as well


class _Client:
    """One connection, and what came of its line so far."""

    def __init__(self, connection: socket.socket, peer: Peer) -> None:
        self.connection = connection
        self.peer = peer
        self._sent = b""

    def line(self) -> bytes | None:
        """Take what is there; the line when it is whole. Raises OSError and EOFError when nothing more will come."""
        piece = self.connection.recv(LONGEST)
        self._sent += piece
        line, end, _ = self._sent.partition(b"\n")
        if end:
            return line
        if not piece or len(self._sent) > LONGEST:
            raise EOFError
        return None


@contextlib.contextmanager
def open_control(status: Path, errands: Errands, observer: Observer) -> Iterator[Control | None]:
    """Open the socket beside the status file; None, with a gap that says so, where it cannot be made.

    The guard goes on without: signals and the watch of the configuration are left.
    """
    try:
        control = Control(status.with_name(NAME), errands.answer)
    except ObserveError as error:
        observer.set_standing_gap(NAME, Gap(scope="control socket", reason=str(error)))
        yield None
        return
    with contextlib.closing(control):
        yield control


@contextlib.contextmanager
def address(path: Path) -> Iterator[str]:
    """Give the address of a socket, by way of its folder's descriptor where the path is too long for one.

    Raises OSError when the folder cannot be opened.
    """
    text = str(path)
    if len(os.fsencode(text)) <= _LONGEST_PATH:
        yield text
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
