"""The loop of the lab's helper processes: JSON lines in, JSON lines out, and sockets in between.

A helper lives inside one namespace, because a socket belongs for ever to the namespace in which it was made.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import selectors
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

Message = dict[str, Any]
"""One request or one reply; every reply carries the ``id`` of its request."""


class Loop:
    """Reads requests from standard input, calls back when a socket is ready or a moment has come, ends at EOF."""

    def __init__(self, handle: Callable[[Message], None]) -> None:
        self._handle = handle
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._input = b""
        self._open = True
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ, self._read)

    def at(self, moment: float, call: Callable[[], None]) -> None:
        """Call once when the monotonic clock has reached the moment, in seconds."""
        heapq.heappush(self._timers, (moment, next(self._order), call))

    def when(self, sock: socket.socket, events: int, call: Callable[[], None]) -> None:
        """Call each time the socket is ready, until :meth:`forget`."""
        self._selector.register(sock, events, call)

    def forget(self, sock: socket.socket) -> None:
        """Stop watching a socket and close it."""
        self._selector.unregister(sock)
        sock.close()

    def run(self) -> None:
        """Serve until standard input ends."""
        while self._open:
            wait = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
            for key, _ in self._selector.select(wait):
                # A callback before this one may have closed the socket and given its number to another.
                if self._selector.get_map().get(key.fd) is key:
                    key.data()
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()

    def _read(self) -> None:
        data = os.read(sys.stdin.fileno(), 65536)
        self._open = bool(data)
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            self._handle(json.loads(line))


def reply(message: Message) -> None:
    """Write one line to standard output."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
