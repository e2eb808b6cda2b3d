"""Helper process: makes and ends connections over loopback as fast as it can, and says how many."""

from __future__ import annotations

import os
import socket
import struct
import sys
import time

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing resets, so that no port is held for a minute."""


def main() -> None:
    """Answer ``SECONDS`` with the number of connections made in that time, and ``pid`` with the number of this process."""
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024) as server:
        print("ready", flush=True)
        for line in sys.stdin:
            print(os.getpid() if line == "pid\n" else _storm(server, float(line)), flush=True)


def _storm(server: socket.socket, seconds: float) -> int:
    address = server.getsockname()
    count = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for _ in range(100):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.connect(address)
            server.accept()[0].close()
            client.close()
        count += 100
    return count


if __name__ == "__main__":
    main()
