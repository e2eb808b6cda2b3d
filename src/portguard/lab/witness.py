"""Helper in the server's namespace: notes when each nftables transaction was committed, and by whom.

The kernel's own announcement is the clock: the time from somebody's commit to the daemon's is measured from outside,
beside what the daemon says of itself. One JSON line each: ``{"at", "pid", "comm"}``, ``at`` in seconds of the monotonic
clock. An announcement that was lost is said as ``{"lost": true}``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import time
from typing import TYPE_CHECKING

from portguard.kernel.generation import NFGENMSG, NFNL_SUBSYS_NFTABLES
from portguard.kernel.netlink import DATAGRAM, NETLINK_NETFILTER, attributes, messages, open_socket, string
from portguard.lab.worker import Loop, reply

if TYPE_CHECKING:
    import socket

_NFNLGRP_NFTABLES = 7
_NEWGEN = (NFNL_SUBSYS_NFTABLES << 8) | 15
_GEN_PROC_PID, _GEN_PROC_NAME = 2, 3
_BUFFER = 8 << 20
"""Bytes: enough for the announcement of some 40,000 rules."""


def _read(sock: socket.socket) -> None:
    try:
        datagram = sock.recv(DATAGRAM)
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise
        reply({"lost": True})
        return
    at = time.monotonic()
    for message in messages(datagram):
        if message.type == _NEWGEN:
            fields = dict(attributes(message.payload, NFGENMSG.size))
            pid = int.from_bytes(fields.get(_GEN_PROC_PID, b""))
            reply({"at": at, "pid": pid, "comm": string(fields.get(_GEN_PROC_NAME, memoryview(b"")))})


def main() -> None:
    """Report until standard input ends."""
    with contextlib.suppress(OSError):
        # A clock must not wait for the processes that it watches; where this is not permitted, it is less exact.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    sock = open_socket(NETLINK_NETFILTER, groups=(_NFNLGRP_NFTABLES,), receive_buffer=_BUFFER)
    loop = Loop(lambda _request: None)
    loop.when(sock, selectors.EVENT_READ, lambda: _read(sock))
    reply({"ready": True})
    loop.run()


if __name__ == "__main__":
    main()
