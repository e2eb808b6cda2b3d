"""Helper process: what people write instead of a daemon. On every transaction it runs ``nft -f FILE``.

As lean as Python allows: a raw socket, no comparison, no question who it was. What is announced while nft runs is its own
transaction, and is thrown away.
"""

from __future__ import annotations

import subprocess
import sys

from bench.announcements import BUFFER, NFNLGRP_NFTABLES, concludes
from portguard.kernel.netlink import DATAGRAM, NETLINK_NETFILTER, open_socket


def main() -> None:
    """Watch until killed."""
    sock = open_socket(NETLINK_NETFILTER, groups=(NFNLGRP_NFTABLES,), receive_buffer=BUFFER)
    print("ready", flush=True)
    while True:
        sock.settimeout(None)
        if not concludes(sock.recv(DATAGRAM)):
            continue
        subprocess.run(["nft", "-f", sys.argv[1]], check=True)
        sock.settimeout(0.0)
        try:
            while sock.recv(DATAGRAM):
                pass
        except BlockingIOError:
            continue


if __name__ == "__main__":
    main()
