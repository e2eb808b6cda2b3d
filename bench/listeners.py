"""One pass over the listening sockets: portguard's own against ``ss`` and psutil, with and without many connections."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import psutil

from bench import server, timing
from bench.figures import Figure
from bench.sandbox import helper, say
from portguard.kernel.sockets import SocketTable

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = f"a pass over {server.LISTENERS} listeners"
UNIT = "ms"
AIM = 2.0
CONNECTIONS = 20_000
PROCESSES = 10
FIRST_PORT = 30000
"""Below the ports that the kernel gives to clients."""


def measure(*, quick: bool) -> list[Figure]:
    """Measure without a connection, then with many."""
    figures: list[Figure] = []
    with ExitStack() as stack:
        stack.enter_context(server.listeners())
        for connections in (0, 2000 if quick else CONNECTIONS):
            if connections:
                say(f"making {connections:,} connections over loopback")
                # In several processes: one may not hold so many descriptors everywhere.
                for part in range(PROCESSES):
                    arguments = (str(connections // PROCESSES), str(FIRST_PORT + part))
                    stack.enter_context(helper("bench.connections", *arguments))
            say(f"listeners with {connections:,} connections")
            figures += _pass(connections, quick=quick)
    return figures


def _pass(connections: int, *, quick: bool) -> Iterator[Figure]:
    case = f"{connections:,} established connections" if connections else "no connection"
    few = 2 if quick else 10
    table = SocketTable()
    try:
        count = len(table.listeners())
        if count != server.LISTENERS:
            raise RuntimeError(f"{count} listeners were found, not {server.LISTENERS}")
        ours = timing.milliseconds(table.listeners, 20 if quick else 500)
    finally:
        table.close()
    yield Figure(case=case, subject="portguard, warm", unit=UNIT, samples=ours, aim=AIM)
    once = timing.milliseconds(_from_scratch, few)
    note = "with all owners"
    yield Figure(case=case, subject="portguard, first pass", unit=UNIT, samples=once, note=note)
    found = timing.program("ss", "-H", "-ltunp", repetitions=few)
    yield Figure(case=case, subject="ss -H -ltunp", unit=UNIT, samples=found)
    found = timing.milliseconds(lambda: psutil.net_connections("inet"), few)
    yield Figure(case=case, subject="psutil.net_connections", unit=UNIT, samples=found)


def _from_scratch() -> None:
    table = SocketTable()
    try:
        table.listeners()
    finally:
        table.close()
