"""Helper in a client's namespace: opens real connections and says what became of them.

Requests (JSON lines; the reply repeats ``id``; times are seconds of the monotonic clock, which all namespaces share)::

    {"op": "probe", "targets": [{"transport", "from", "to", "port"}], "timeout": 0.3}
        -> {"results": [{"outcome", "ms"}]}
    {"op": "talk", "from", "to", "port", "send": HEX, "timeout": 1.0} -> {"outcome", "reply": HEX}
    {"op": "watch", "target": {...}, "every": 0.002, "timeout": 0.3}  -> {}
    {"op": "unwatch"} -> {"attempts": [[begun, outcome, ms]]}

An outcome is ``open``, ``refused`` (a reset or an ICMP error told so) or ``dropped`` (no answer within the timeout).
UDP is ``open`` when the same bytes come back. Between namespaces of one kernel an ICMP error may come back while
connect() still holds the socket; TCP then keeps it until the retransmission after a second, and it counts as dropped.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import struct
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from portguard.lab.worker import Loop, Message, reply

if TYPE_CHECKING:
    from collections.abc import Callable

OPEN = "open"
REFUSED = "refused"
DROPPED = "dropped"

_TOLD = frozenset(
    {errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM}
)
"""What a reject, a reset or a missing route turns into at the client's socket."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER of 0 s: thousands of probes would otherwise leave as many sockets in TIME_WAIT."""


class Attempt:
    """One connection, from its first packet to its outcome."""

    def __init__(self, loop: Loop, target: Message, timeout: float, done: Callable[[Attempt], None]) -> None:
        self.begun = time.monotonic()
        self.took = 0.0
        self.outcome = ""
        self._loop = loop
        self._done = done
        self._tcp = target["transport"] == "tcp"
        self._token = os.urandom(8)
        family = socket.AF_INET6 if ":" in target["to"] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM if self._tcp else socket.SOCK_DGRAM)
        self._socket.setblocking(False)  # noqa: FBT003 - the standard library's signature
        loop.when(self._socket, selectors.EVENT_WRITE if self._tcp else selectors.EVENT_READ, self._ready)
        loop.at(self.begun + timeout, self._late)
        self._start(target)

    def _start(self, target: Message) -> None:
        try:
            self._socket.bind((target["from"], 0))
            code = self._socket.connect_ex((target["to"], target["port"]))
            if code not in (0, errno.EINPROGRESS):
                self._end(_outcome(code))
            elif not self._tcp:
                self._socket.send(self._token)
        except OSError as error:
            self._end(_outcome(error.errno or errno.EIO))

    def _ready(self) -> None:
        if self._tcp:
            self._end(_outcome(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))
            return
        try:
            echoed = self._socket.recv(64)
        except OSError as error:
            self._end(_outcome(error.errno or errno.EIO))
        else:
            if echoed == self._token:
                self._end(OPEN)

    def _late(self) -> None:
        if not self.outcome:
            self._end(DROPPED)

    def _end(self, outcome: str) -> None:
        self.outcome = outcome
        self.took = time.monotonic() - self.begun
        if self._tcp:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._loop.forget(self._socket)
        self._done(self)


def _outcome(code: int) -> str:
    if code == 0:
        return OPEN
    return REFUSED if code in _TOLD else DROPPED


class Prober:
    """Answers the requests of one client."""

    def __init__(self) -> None:
        self.loop = Loop(self.handle)
        self._watching: Message | None = None
        self._attempts: list[Attempt] = []
        self._pending = 0

    def handle(self, request: Message) -> None:
        """Begin what a request asks for."""
        match request["op"]:
            case "probe":
                self._probe(request)
            case "talk":
                reply({"id": request["id"], **talk(request)})
            case "watch":
                self._watching, self._attempts = request, []
                self._attempt()
                reply({"id": request["id"]})
            case "unwatch":
                self._watching = None
                self._report(request["id"])

    def _probe(self, request: Message) -> None:
        attempts: list[Attempt] = []
        waiting = len(request["targets"])

        def done(_attempt: Attempt) -> None:
            nonlocal waiting
            waiting -= 1

        def answer() -> None:
            # An attempt may end while it is being made, so completeness is asked for here and not in done().
            if waiting:
                self.loop.at(time.monotonic() + 0.001, answer)
                return
            results = [{"outcome": row.outcome, "ms": round(row.took * 1000, 3)} for row in attempts]
            reply({"id": request["id"], "results": results})

        attempts.extend(Attempt(self.loop, target, request["timeout"], done) for target in request["targets"])
        answer()

    def _attempt(self) -> None:
        """Begin the next connection of a watch, whatever became of the ones before."""
        watching = self._watching
        if watching is None:
            return
        self.loop.at(time.monotonic() + watching["every"], self._attempt)
        self._pending += 1
        self._attempts.append(Attempt(self.loop, watching["target"], watching["timeout"], self._attempted))

    def _attempted(self, _attempt: Attempt) -> None:
        self._pending -= 1

    def _report(self, number: int) -> None:
        if self._pending:
            self.loop.at(time.monotonic() + 0.005, partial(self._report, number))
            return
        rows = [[row.begun, row.outcome, round(row.took * 1000, 3)] for row in self._attempts]
        self._attempts = []
        reply({"id": number, "attempts": rows})


def talk(request: Message) -> dict[str, Any]:
    """Connect, send bytes, and return the first bytes that come back."""
    source, timeout = (request["from"], 0), request["timeout"]
    answer = b""
    try:
        sock = socket.create_connection((request["to"], request["port"]), timeout, source_address=source)
    except TimeoutError:
        return {"outcome": DROPPED, "reply": ""}
    except OSError as error:
        return {"outcome": _outcome(error.errno or errno.EIO), "reply": ""}
    with sock, contextlib.suppress(OSError):
        sock.sendall(bytes.fromhex(request["send"]))
        answer = sock.recv(512)
    return {"outcome": OPEN, "reply": answer.hex()}


if __name__ == "__main__":
    Prober().loop.run()
