"""Helper in the server's namespace: stands on every documented port.

Requests (JSON lines; the reply repeats ``id``)::

    {"op": "open",  "listeners": [[transport, port, local]]} -> {"failed": [[transport, port, reason]]}
    {"op": "close", "listeners": [[transport, port, local]]} -> {"failed": []}

TCP accepts, says its port and closes; UDP sends back what it gets. A listener that is not ``local`` is bound to every
address of both IP versions.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
from functools import partial
from pathlib import Path

from portguard.lab.worker import Loop, Message, reply

_IPV6 = Path("/proc/net/if_inet6").exists()
_LOOPBACK = ("127.0.0.1", "::1") if _IPV6 else ("127.0.0.1",)
_EVERYWHERE = ("::",) if _IPV6 else ("0.0.0.0",)  # noqa: S104 - the lab's own namespace

Spec = tuple[str, int, bool]


class Listeners:
    """The sockets, by what they were opened for."""

    def __init__(self) -> None:
        self.loop = Loop(self.handle)
        self._open: dict[Spec, list[socket.socket]] = {}

    def handle(self, request: Message) -> None:
        """Open or close listeners."""
        failed: list[tuple[str, int, str]] = []
        for transport, port, local in request["listeners"]:
            spec = (transport, port, local)
            if request["op"] == "close":
                for sock in self._open.pop(spec, ()):
                    self.loop.forget(sock)
                continue
            try:
                self._stand(spec)
            except OSError as error:
                failed.append((transport, port, error.strerror or str(error)))
        reply({"id": request["id"], "failed": failed})

    def _stand(self, spec: Spec) -> None:
        transport, port, local = spec
        if spec in self._open:
            return
        hosts = _LOOPBACK if local else _EVERYWHERE
        with contextlib.ExitStack() as undo:
            sockets = [undo.enter_context(_bound(transport, host, port)) for host in hosts]
            undo.pop_all()
        for sock in sockets:
            serve = _accept if transport == "tcp" else _echo
            self.loop.when(sock, selectors.EVENT_READ, partial(serve, sock, port))
        self._open[spec] = sockets


def _bound(transport: str, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM)
    try:
        if host == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if transport == "tcp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
        sock.bind((host, port))
        if transport == "tcp":
            sock.listen(128)
    except OSError:
        sock.close()
        raise
    return sock


def _accept(sock: socket.socket, port: int) -> None:
    with contextlib.suppress(OSError):  # the client may be gone again
        client, _ = sock.accept()
        with client:
            client.send(b"portguard lab, port %d\r\n" % port)


def _echo(sock: socket.socket, _port: int) -> None:
    with contextlib.suppress(OSError):
        data, sender = sock.recvfrom(2048)
        sock.sendto(data, sender)


if __name__ == "__main__":
    Listeners().loop.run()
