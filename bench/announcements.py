"""Helper process: the clock of the heal measurement, which belongs neither to the writer nor to the healer.

Prints, for each transaction that the kernel announces (NEWGEN), the monotonic time in nanoseconds and the generation.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time

from portguard.kernel.generation import NFGENMSG, NFTA_GEN_ID
from portguard.kernel.netlink import DATAGRAM, HEADER, NETLINK_NETFILTER, attributes, open_socket

NFNLGRP_NFTABLES = 7
NEWGEN = (10 << 8) | 15
BUFFER = 32 << 20
"""Bytes: flushing 10,000 rules announces each of them."""


def main() -> None:
    """Print until killed."""
    sock = open_socket(NETLINK_NETFILTER, groups=(NFNLGRP_NFTABLES,), receive_buffer=BUFFER)
    sock.settimeout(None)
    # Two cores are busy with the writer and the healer just when the clock has to be read.
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    print("ready", flush=True)
    while True:
        datagram = sock.recv(DATAGRAM)
        at = time.monotonic_ns()
        if concludes(datagram):
            sys.stdout.write(f"{at} {generation(datagram)}\n")
            sys.stdout.flush()


def concludes(datagram: bytes) -> bool:
    """Say whether a datagram announces the end of a transaction, which always comes in one of its own.

    Only its first message is looked at: whoever takes apart the announcements of 10,000 rules reads the clock too late.
    """
    return len(datagram) >= HEADER.size and HEADER.unpack_from(datagram)[1] == NEWGEN


def generation(datagram: bytes) -> int:
    """Read the generation that a transaction made: the first attribute of its announcement."""
    payload = memoryview(datagram)[HEADER.size :]
    return int.from_bytes(
        next(value for kind, value in attributes(payload, NFGENMSG.size) if kind == NFTA_GEN_ID)
    )


if __name__ == "__main__":
    main()
